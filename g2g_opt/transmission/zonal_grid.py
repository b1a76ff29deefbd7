"""A transmission grid of zones, dispatched at every step with the load there is (equations 9.2, 9.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.events import EventEmitter
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.grid.base import BusVoltages, GridBackend, GridState, PowerSamples
from g2g_opt.grid.command import GridCommand
from g2g_opt.transmission.zonal_datacenter import HOUR_S, ZonalDatacenter

Floats = NDArray[np.float64]

# How rule (24) reads: a shift with which load is shed is rejected, or one with which more is shed than without it.
ShedRule = Literal["sheds nothing", "sheds no more"]
# MW that a solver's tolerance may shed.
SHED_TOLERANCE_MW = 1e-2


class Dispatch(NamedTuple):
    """One dispatch: cost ($/h), shed load (zone,), price (zone,) $/MWh, flow (line,) MW; `solved` False if none is."""

    solved: bool
    cost_usd_per_h: float
    shed_mw: Floats
    price_usd_per_mwh: Floats
    flow_mw: Floats


# Load with datacenters (zone,) and renewables (zone,), in MW, to a dispatch.
DispatchFunction = Callable[[Floats, Floats], Dispatch]


@dataclass(frozen=True)
class ZonalGridState(GridState):
    """Besides the time: load without datacenters, renewables (zone,), the dispatch, and whether shifts were accepted.

    There are no voltages: a DC power flow has none.
    """

    _: KW_ONLY
    load_mw: tuple[float, ...]
    renewable_mw: tuple[float, ...]
    dispatch: Dispatch
    shift_accepted: bool


class ZonalGrid(GridBackend[ZonalGridState]):
    """Dispatches `load_mw` (step, zone) less `renewable_mw` (step, zone) with what the datacenters draw.

    `dispatch` is handed in by the study. If a shift breaks `shed_rule`, the datacenters withdraw it and the grid is
    dispatched without: rule (24). Raises `PowerFlowError` for a step that has no dispatch even then.
    """

    def __init__(
        self,
        load_mw: Floats,
        renewable_mw: Floats,
        dispatch: DispatchFunction,
        *,
        shed_rule: ShedRule = "sheds no more",
        dt_s: Fraction = HOUR_S,
    ) -> None:
        super().__init__()
        if load_mw.shape != renewable_mw.shape or load_mw.ndim != 2:
            raise InputError(f"load {load_mw.shape} and renewables {renewable_mw.shape} must be (step, zone) alike")
        self.load_mw, self.renewable_mw = load_mw, renewable_mw
        self._dispatch, self.shed_rule, self._dt_s = dispatch, shed_rule, dt_s
        self._attached: list[ZonalDatacenter] = []
        self._step = 0

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def attach_dc(self, datacenter: ZonalDatacenter) -> None:
        """A datacenter of this grid; `InputError` if its zone is none of it, or it does not step with the grid."""
        if not 0 <= datacenter.zone < self.load_mw.shape[1]:
            raise InputError(f"datacenter {datacenter.name!r} is in zone {datacenter.zone}, which the grid lacks")
        # A shift is withdrawn step by step.
        if datacenter.dt_s != self._dt_s:
            raise InputError(
                f"datacenter {datacenter.name!r} steps every {datacenter.dt_s} s, its grid every {self._dt_s} s; "
                "give both the same dt_s"
            )
        self._attached.append(datacenter)

    @property
    def attached_datacenters(self) -> Sequence[ZonalDatacenter]:
        """Datacenters that are attached."""
        return self._attached

    def reset(self) -> None:
        """Back to the first step."""
        self._step = 0

    def apply_control(self, command: GridCommand, events: EventEmitter) -> None:
        raise InputError(f"a zonal grid takes no command, got {type(command).__name__}")

    def step(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> ZonalGridState:
        if self._step >= len(self.load_mw):
            raise InputError(f"the run is longer than the {len(self.load_mw)} steps of load")
        load, renewable = self.load_mw[self._step], self.renewable_mw[self._step]
        self._step += 1
        drawn = {dc: _mean_mw(power_samples_w.get(dc, ())) for dc in self._attached}
        found = self._dispatch(self._with(load, drawn), renewable)
        accepted = True
        shifted = any(dc.state is not None and dc.state.shift_mw != 0.0 for dc in self._attached)
        if shifted and (not found.solved or found.shed_mw.sum() > SHED_TOLERANCE_MW):
            without = self._dispatch(self._with(load, {dc: dc.base_mw for dc in self._attached}), renewable)
            allowed = without.shed_mw.sum() if self.shed_rule == "sheds no more" else 0.0
            if not found.solved or found.shed_mw.sum() > allowed + SHED_TOLERANCE_MW:
                found, accepted = without, False
                for dc in self._attached:
                    dc.withdraw_shift(clock.time_s)
                events.emit("shift.rejected", {"shed_mw": float(without.shed_mw.sum())})
        if not found.solved:
            raise PowerFlowError(Failure(FailureKind.NO_DISPATCH, run=f"step {self._step - 1}"))
        return ZonalGridState(
            clock.time_s,
            BusVoltages({}),
            load_mw=tuple(load.tolist()),
            renewable_mw=tuple(renewable.tolist()),
            dispatch=found,
            shift_accepted=accepted,
        )

    def _with(self, load: Floats, drawn_mw: dict[ZonalDatacenter, float]) -> Floats:
        total = load.copy()
        for dc, mw in drawn_mw.items():
            total[dc.zone] += mw
        return total


def _mean_mw(samples_w: Sequence[ThreePhase]) -> float:
    """Mean power of a step's samples."""
    return sum(sample.total for sample in samples_w) / (1e6 * len(samples_w)) if samples_w else 0.0
