"""Regulator taps at given times."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand, SetTaps
from g2g_opt.tap_position import TapSchedule


class TapScheduleController(Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Sends each tap position of `schedule` at the first step at or after its time."""

    def __init__(self, *, schedule: TapSchedule, dt_s: Fraction = Fraction(1)) -> None:
        self.schedule = schedule
        self._dt_s = dt_s
        self._sent = 0

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._sent = 0

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        due: list[DatacenterCommand | GridCommand] = []
        entries = self.schedule.entries
        while self._sent < len(entries) and entries[self._sent][0] <= clock.time_s:
            due.append(SetTaps(entries[self._sent][1]))
            self._sent += 1
        if due:
            events.emit("controller.tap_schedule.fired", {"n_positions": len(due)})
        return due
