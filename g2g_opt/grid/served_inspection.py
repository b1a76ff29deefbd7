"""`ServedInspection`: was what was asked for served? Asked of every stretch of a run's solutions before its figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.unsolved import told_why
from g2g_opt.errors import PowerFlowError
from g2g_opt.grid.served import OwnLoadCheck, ServedCheck
from g2g_opt.grid.setup import GridSetup


@dataclass(frozen=True, eq=False)
class ServedInspection:
    """The checks of a run on a circuit, in the order in which they are told apart; `opened` are devices that have.

    It knows nothing of the grid whose record calls it: the two would keep each other in memory.
    """

    circuit: Circuit
    served: ServedCheck
    own_loads: OwnLoadCheck
    setup: GridSetup
    opened: Iterable[str]

    def look(self, time_s: NDArray[np.float64], phasors: NDArray[np.complex128], asked_kw: NDArray[np.float64]) -> None:
        """See that what was asked for was served, before figures of these solutions can be read.

        Raises `PowerFlowError` for something attached that was not, where the set-up asks for that.
        """
        share = self.setup.own_load_share
        asking = slice(None) if share is None else share.of_all.at(time_s) > 0.0
        self.own_loads.check(time_s[asking], phasors[asking])
        self.served.check(time_s, phasors, asked_kw)
        if self.served.first is not None and self.setup.unserved == "raise":
            raise PowerFlowError(told_why(self.circuit, self.served.first, self.opened))
