"""Regulators that follow the voltages: one step of one regulator at a time (equation 4.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import Regulator
from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand, SetTaps
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.quantities import BandVoltagePu, ErrorPu, TimeS, check_quantities
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class AdaptiveTapConfig:
    """Band (pu), `margin_pu` inside it at which a regulator acts, and the rest it needs between two moves (s)."""

    v_min: BandVoltagePu = 0.95
    v_max: BandVoltagePu = 1.05
    margin_pu: ErrorPu = 0.0
    cooldown_s: TimeS = 30.0

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.v_min + self.margin_pu < self.v_max - self.margin_pu:
            raise InputError(f"adaptive taps need v_min + margin < v_max - margin, got {self}")


def tap_move(
    lowest_pu: Floats, highest_pu: Floats, may_raise: Flags, may_lower: Flags, config: AdaptiveTapConfig
) -> Floats:
    """Which regulator moves and where: +1, -1 or 0 per regulator, at most one not 0 in each row.

    All arrays have shape (scenario, regulator): the lowest and highest voltage (pu) each regulator serves, and
    whether it may go up or down. The regulator with the worst margin that can act on it moves one step; if both
    sides are out of band, the worse side counts.
    """
    under = np.where(may_raise, config.v_min + config.margin_pu - lowest_pu, -np.inf)
    over = np.where(may_lower, highest_pu - (config.v_max - config.margin_pu), -np.inf)
    # A regulator that would push its other side further out of band than it mends stays.
    under = np.where(highest_pu - config.v_max >= np.maximum(under, 0.0), -np.inf, under)
    over = np.where(config.v_min - lowest_pu >= np.maximum(over, 0.0), -np.inf, over)
    need = np.maximum(under, over)
    worst = need.argmax(axis=1)
    move = np.zeros(need.shape)
    rows = np.flatnonzero(need[np.arange(len(need)), worst] > 0.0)
    chosen = worst[rows]
    move[rows, chosen] = np.where(under[rows, chosen] >= over[rows, chosen], 1.0, -1.0)
    return move


def room_to_move(regulators: Sequence[Regulator], ratio: Floats, rested: Flags) -> tuple[Flags, Flags]:
    """Which regulators may raise, and which may lower, the voltages they serve, at ratios (.., regulator) in pu."""
    step = np.array([r.tap_step_pu for r in regulators])
    up = rested & (ratio + 0.5 * step < [r.tap_max_pu for r in regulators])
    down = rested & (ratio - 0.5 * step > [r.tap_min_pu for r in regulators])
    raises = np.array([r.direction > 0 for r in regulators])
    return np.where(raises, up, down), np.where(raises, down, up)


class AdaptiveTapController(Controller[DatacenterBackend[Any], OpenDSSGrid]):
    """Every `dt_s` (5 s) the regulator with the worst margin moves one tap step, if it has rested long enough.

    `served_buses` names, per regulator, the buses whose voltages it looks after; left out, each looks after the
    monitored nodes of its own phases (on a feeder with one bank, that is what it can move). Raises `InputError`
    for unknown regulators or buses, or if the feeder has no regulator.
    """

    def __init__(
        self,
        *,
        grid: OpenDSSGrid,
        config: AdaptiveTapConfig | None = None,
        served_buses: Mapping[str, Sequence[str]] | None = None,
        dt_s: Fraction = Fraction(5),
    ) -> None:
        feeder = grid.feeder
        if not feeder.regulators:
            raise InputError(f"feeder {feeder.name} has no regulator to move")
        for name, buses in (served_buses or {}).items():
            feeder.regulator(name)
            for bus in buses:
                if bus.lower() not in feeder.buses:
                    raise unknown_name("bus", bus, feeder.buses, f"in feeder {feeder.name}")
        self.grid, self._dt_s = grid, dt_s
        self.config = config or AdaptiveTapConfig()
        self._served = {n.lower(): {b.lower() for b in buses} for n, buses in (served_buses or {}).items()}
        self.regulators = list(feeder.regulators.values())
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._rested_at_s = np.full(len(self.regulators), -np.inf)
        self._columns: list[NDArray[np.int64]] | None = None

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        if self._columns is None:
            self._columns = [self._columns_of(regulator) for regulator in self.regulators]
        voltage_pu = self.grid.voltages_vector()
        taps = self.grid.tap_position
        assert taps is not None
        ratio = np.array([taps.regulators[r.name] for r in self.regulators])
        step = np.array([r.tap_step_pu for r in self.regulators])
        rested = clock.time_s >= self._rested_at_s
        may_raise, may_lower = room_to_move(self.regulators, ratio, rested)
        lowest = np.array([voltage_pu[c].min() if len(c) else 1.0 for c in self._columns])
        highest = np.array([voltage_pu[c].max() if len(c) else 1.0 for c in self._columns])
        move = tap_move(lowest[None], highest[None], may_raise[None], may_lower[None], self.config)[0]
        moving = np.flatnonzero(move)
        if len(moving) == 0:
            return []
        i = int(moving[0])
        self._rested_at_s[i] = clock.time_s + self.config.cooldown_s
        regulator = self.regulators[i]
        new_ratio = regulator.clipped(float(ratio[i] + move[i] * regulator.direction * step[i]))
        events.emit(
            "controller.adaptive_tap.move",
            {"regulator": regulator.name, "ratio_pu": new_ratio, "direction": int(move[i])},
        )
        return [SetTaps(TapPosition(regulators={regulator.name: new_ratio}))]

    def serves(self, regulator: Regulator, bus: str, phase: int) -> bool:
        """Does this regulator look after the voltage of a bus-phase?"""
        served = self._served.get(regulator.name)
        return phase in regulator.phases and (served is None or bus in served)

    def _columns_of(self, regulator: Regulator) -> NDArray[np.int64]:
        served = [i for i, (bus, phase) in enumerate(self.grid.v_index) if self.serves(regulator, bus, phase)]
        return np.array(served, dtype=np.int64)
