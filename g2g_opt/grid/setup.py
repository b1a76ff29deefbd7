"""`GridSetup`: everything a grid is told before a run, for any engine that shall solve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.clock_banks import RowClock
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, Circuit
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import AttachmentBook
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.loading import BranchLoading, JudgedRating, judged_ratings
from g2g_opt.grid.regulators import RegulatorBank
from g2g_opt.held_series import LoadShares, UnitShares
from g2g_opt.limits import RatingBasis
from g2g_opt.tap_position import TapPosition

Unserved = Literal["raise", "record"]


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
    own_load_share: LoadShares | None = None
    own_sun_share: UnitShares | None = None
    rating_basis: RatingBasis = "normal"
    clock: RowClock | None = None

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
        if self.clock is not None and self.dss_controls and self.dt_s < SETTLED_DT_S:
            # From there on, time passes by itself.
            commands.append(f"Set hour={self.clock.first_hour} sec=0")
        return commands

    def clock_of_step(self) -> RowClock | None:
        """The clock that steps are made at one by one, if controls settle within each and banks follow it."""
        return self.clock if self.dss_controls and self.dt_s >= SETTLED_DT_S else None

    def compiled(self) -> Circuit:
        """A circuit of its own with the attachments, solved once without their power."""
        circuit = Circuit(
            self.commands(),
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            regulator_control_dt_s=float(self.dt_s) if self.dss_controls else None,
        )
        self.attached.add_injections(circuit)
        if self.taps is not None:
            self.regulators.apply(circuit, self.taps)
        circuit.finish()
        return circuit

    def ratings(self) -> tuple[JudgedRating, ...]:
        """What loadings are shares of."""
        return judged_ratings(self.feeder.branches, self.rating_basis)

    def loading(self, circuit: Circuit) -> BranchLoading:
        """Loadings at the circuit's present taps."""
        return BranchLoading.of(circuit, self.ratings())

    def monitored_nodes(self, nodes: Sequence[tuple[str, int]]) -> NDArray[np.int64]:
        """Places of the monitored bus-phases among `nodes`, phase by phase, buses in the circuit's order."""
        index = {node: place for place, node in enumerate(nodes)}
        judged = JudgedVoltages.of(self.feeder.buses, nodes, np.ones(len(nodes))).monitored
        # The circuit's own numbers: 1 to 3, others where a neutral has one of them.
        numbers = sorted({phase for bus in self.feeder.buses.values() for phase in bus.phases})
        order = [
            index[bus, phase]
            for phase in numbers
            for bus in self.feeder.buses
            if bus not in self.exclude_buses and (bus, phase) in index and judged[index[bus, phase]]
        ]
        return np.array(order, dtype=np.int64)
