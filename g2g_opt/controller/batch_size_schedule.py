"""Batch sizes at given times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand
from g2g_opt.quantities import BatchSize, Weight, check_quantities
from g2g_opt.schedule import Schedule


@dataclass(frozen=True)
class BatchSizeChange:
    """A new batch size; `ramp_up_rate` (batch per s) is for backends that can grow a batch gradually."""

    batch_size: BatchSize
    ramp_up_rate: Weight = 0.0

    def __post_init__(self) -> None:
        check_quantities(self)

    def at(self, t: float) -> BatchSizeSchedule:
        """This change at `t` seconds; join such entries with `|`."""
        return BatchSizeSchedule(((float(t), self),))


class BatchSizeSchedule(Schedule[BatchSizeChange]):
    """Changes of one model's batch size: `(time_s, change)` entries, kept in order of time."""


class BatchSizeScheduleController(Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Sends each model's batch sizes at the first step at or after their times; `schedules` is by model label."""

    def __init__(
        self,
        *,
        datacenter: DatacenterBackend[Any],
        schedules: Mapping[str, BatchSizeSchedule],
        dt_s: Fraction = Fraction(1),
    ) -> None:
        self.datacenter = datacenter
        self.schedules = dict(schedules)
        self._dt_s = dt_s
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._sent = dict.fromkeys(self.schedules, 0)

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        due: dict[str, BatchSizeChange] = {}
        for label, schedule in self.schedules.items():
            while self._sent[label] < len(schedule) and schedule.entries[self._sent[label]][0] <= clock.time_s:
                due[label] = schedule.entries[self._sent[label]][1]
                self._sent[label] += 1
        if not due:
            return []
        batches = {label: change.batch_size for label, change in due.items()}
        ramps = {label: change.ramp_up_rate for label, change in due.items() if change.ramp_up_rate > 0}
        events.emit("controller.batch_schedule.fired", {"batch_size_by_model": batches})
        return [SetBatchSize(batches, ramps, target=self.datacenter)]
