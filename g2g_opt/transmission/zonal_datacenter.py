"""A datacenter of a network that shares its users' work: its load is its own work plus what is shifted to it."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter

HOUR_S = Fraction(3600)


@dataclass(frozen=True)
class ShiftTasks(DatacenterCommand):
    """Do `shift_mw` more work than without coordination (negative: less), until the next such command."""

    shift_mw: float
    _: KW_ONLY
    target: ZonalDatacenter


@dataclass(frozen=True)
class ZonalDatacenterState(DatacenterState):
    """Load (MW) and how much of it is shifted there."""

    load_mw: float
    shift_mw: float


class ZonalDatacenter(DatacenterBackend[ZonalDatacenterState]):
    """Does `base_mw` of work, and what a network's policy shifts to it; `zone` is where it draws its power.

    Raises `InputError` for a load that is negative or no number.
    """

    def __init__(self, name: str, zone: int, base_mw: float, dt_s: Fraction = HOUR_S) -> None:
        super().__init__(name=name)
        if not 0.0 <= base_mw < math.inf:
            raise InputError(f"datacenter {name!r} cannot do {base_mw} MW of work")
        self.zone, self.base_mw, self._dt_s = zone, base_mw, dt_s
        self._shift_mw = 0.0

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        """No shift."""
        self._shift_mw = 0.0

    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        if not isinstance(command, ShiftTasks):
            raise InputError(f"datacenter {self.name!r} takes ShiftTasks only, not {type(command).__name__}")
        if not math.isfinite(command.shift_mw):
            raise InputError(f"datacenter {self.name!r} cannot shift {command.shift_mw} MW: that is no number")
        self._shift_mw = command.shift_mw

    def step(self, clock: SimulationClock, events: EventEmitter) -> ZonalDatacenterState:
        return self._state(clock.time_s, self._shift_mw)

    def withdraw_shift(self, time_s: float) -> None:
        """The grid does not accept the shift of this step: the datacenter does its own work."""
        self._states[-1] = self._state(time_s, 0.0)

    def _state(self, time_s: float, shift_mw: float) -> ZonalDatacenterState:
        # A datacenter cannot do less than nothing; a network accepts no such shift but for rounding.
        load_mw = max(0.0, self.base_mw + shift_mw)
        phase_w = 1e6 * load_mw / 3.0
        return ZonalDatacenterState(time_s, ThreePhase(phase_w, phase_w, phase_w), load_mw, shift_mw)
