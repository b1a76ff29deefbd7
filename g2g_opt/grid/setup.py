"""`GridSetup`: everything a grid is told before a run, for any engine that shall solve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import AttachmentBook
from g2g_opt.grid.circuit_parts import Bus
from g2g_opt.grid.config import TapPosition
from g2g_opt.grid.held_series import HeldSeries
from g2g_opt.grid.regulators import RegulatorBank

Unserved = Literal["raise", "record"]
_PHASES = (1, 2, 3)


@dataclass(frozen=True, eq=False)
class GridSetup:
    """A feeder, what is attached to it, and how it is solved; see `OpenDSSGrid` for the meaning of each.

    Raises `InputError` for figures that cannot be used.
    """

    feeder: Feeder
    dt_s: Fraction
    source_pu: float | None
    taps: TapPosition | None
    exclude_buses: tuple[str, ...]
    dss_controls: bool
    tolerance: float
    max_iterations: int
    unserved: Unserved
    record_loading: bool
    regulators: RegulatorBank
    attached: AttachmentBook
    own_load_share: HeldSeries | None = None

    def __post_init__(self) -> None:
        if not self.tolerance > 0 or self.max_iterations < 2:
            raise InputError(
                f"tolerance must be positive and max_iterations 2 or more, got {self.tolerance}, {self.max_iterations}"
            )
        if self.unserved not in ("raise", "record"):
            raise InputError(f"unserved must be 'raise' or 'record', got {self.unserved!r}")
        if self.source_pu is not None and not 0.5 < self.source_pu < 1.5:
            raise InputError(f"source_pu must be a voltage near 1 pu, got {self.source_pu}")
        if self.taps is not None:
            self.regulators.resolve(self.taps)

    def commands(self) -> list[str]:
        """The OpenDSS commands that build the circuit, source voltage included."""
        commands = list(self.feeder.commands)
        if self.source_pu is not None:
            commands.append(f"Edit Vsource.source pu={self.source_pu:.12g}")
        return commands

    def monitored_nodes(self, buses: Mapping[str, Bus], node_index: Mapping[tuple[str, int], int]) -> NDArray[np.int64]:
        """Places of the monitored bus-phases, phase by phase, buses in the circuit's order."""
        order = [
            node_index[bus, phase]
            for phase in _PHASES
            for bus in buses
            if bus not in self.exclude_buses and (bus, phase) in node_index
        ]
        return np.array(order, dtype=np.int64)
