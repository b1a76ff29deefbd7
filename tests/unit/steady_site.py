"""A site that draws the same power at every step."""

from __future__ import annotations

from fractions import Fraction

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.events import EventEmitter


class SteadySite(DatacenterBackend[DatacenterState]):
    """`total_kw` evenly on the phases, or `power_w` per phase; counts its steps and takes no command."""

    def __init__(
        self, name: str = "dc", total_kw: float = 300.0, power_w: tuple[float, float, float] | None = None
    ) -> None:
        super().__init__(name=name)
        self.power_w = ThreePhase(*(power_w or (total_kw * 1e3 / 3,) * 3))
        self.n_steps = 0

    @property
    def dt_s(self) -> Fraction:
        return Fraction(1)

    def reset(self) -> None:
        pass

    def step(self, clock: SimulationClock, events: EventEmitter) -> DatacenterState:
        self.n_steps += 1
        return DatacenterState(clock.time_s, self.power_w)

    def apply_control(self, command: object, events: EventEmitter) -> None:
        raise AssertionError("a steady site takes no command")
