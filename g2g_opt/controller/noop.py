"""No coordination: the baseline."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand


class NoopController(Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Never sends a command."""

    def __init__(self, dt_s: Fraction = Fraction(1)) -> None:
        self._dt_s = dt_s

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        """Nothing to clear."""

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        return []
