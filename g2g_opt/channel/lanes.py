"""What has arrived at every tick of a run, on every lane: tables that both engines look up.

A run begins with an exchange that reaches everyone, as when a node joins: the first measurement of every source is
known at once. From then on, sources send at every step of theirs, and controllers send their set-points at every tick
at which one of them is due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from g2g_opt.channel.transport import arrivals_s, fill_newest
from g2g_opt.communication import CONTROLLER, GRID, Channels, StaleSignal
from g2g_opt.coordinator import RunTiming
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Measured:
    """What controllers have of one source, arrays [tick].

    `tick` is the tick of the newest measurement that is there, `before` that of the one shown before it (-1: none), and
    `shown_at` the tick at which the measurement made at a tick is first seen (-1: never).
    """

    tick: Ints
    before: Ints
    shown_at: Ints
    age_s: Floats
    stale: Bools


@dataclass(frozen=True, eq=False)
class Commanded:
    """What one target has of the controllers, arrays [tick].

    `tick` is the tick whose set-points hold at a target's step (-1: none yet), `at_once` says that those sent at a tick
    are there at that tick already. `acts` marks the ticks at which a site that nobody reaches acts by itself.
    """

    tick: Ints
    at_once: Bools
    acts: Bools


@dataclass(frozen=True, eq=False)
class RunTables:
    """All lanes of a run: the grid's measurements, those of every site in order, and commands to sites and grid."""

    timing: RunTiming
    voltage: Measured
    sites: tuple[Measured, ...]
    to_sites: tuple[Commanded, ...]
    command_grid: Callable[[], Commanded]

    @cached_property
    def to_grid(self) -> Commanded:
        """Commands to the grid, which not every run sends: worked out when somebody asks."""
        return self.command_grid()


@lru_cache(maxsize=256)
def run_tables(channels: Channels, seed: int, scenario: str, sites: tuple[str, ...], timing: RunTiming) -> RunTables:
    """The lanes of a run of `sites` (names) in a scenario; all draws are keyed by seed, scenario and lane.

    Raises `InputError` for a lane of nobody, or if a site would take the time between two commands for silence.
    """
    channels.check_names(sites)
    fail_safe = channels.fail_safe
    if fail_safe.rule != "hold" and timing.control_ticks:
        period_s = float(min(timing.control_ticks) * timing.tick_s)
        if fail_safe.silence_s <= period_s:
            raise InputError(
                f"silence_s={fail_safe.silence_s:g} s is no longer than the {period_s:g} s between commands"
            )
    at_s, due = _ticks_of(timing)
    n, key = len(at_s), (seed, scenario, "channel")

    def measured(source: str, topic: str, every: int, signal: StaleSignal) -> Measured:
        arrival_s = arrivals_s(channels.spec(source, CONTROLLER, topic), at_s[::every], *key, source, CONTROLLER, topic)
        arrival_s[:1] = at_s[:1]
        tick, before, shown = np.empty((3, n), dtype=np.int64)
        found = Measured(tick, before, shown, np.empty(n), np.empty(n, dtype=np.bool_))
        _fill_measured(
            arrival_s, at_s, every, signal.age_max_s, found.tick, found.before, found.shown_at, found.age_s, found.stale
        )
        return found

    voltage = measured(GRID, "voltage", timing.grid_ticks, channels.voltage)
    of_sites = tuple(
        measured(name, "site", every, channels.site) for name, every in zip(sites, timing.site_ticks, strict=True)
    )
    speaks = due & ~voltage.stale if channels.voltage.rule == "silence" else due

    def commanded(target: str, sends: Bools, reacts: bool) -> Commanded:
        sent = np.flatnonzero(sends)
        sent_s = at_s[sent]
        arrival_s = arrivals_s(
            channels.spec(CONTROLLER, target, "command"), sent_s, *key, CONTROLLER, target, "command"
        )
        found = Commanded(np.empty(n, dtype=np.int64), np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_))
        found.at_once[sent] = arrival_s == sent_s
        _fill_commanded(arrival_s, sent, at_s, due, fail_safe.silence_s if reacts else np.inf, found.tick, found.acts)
        return found

    reacts = fail_safe.rule != "hold"
    to_sites = tuple(
        commanded(name, speaks & ~own.stale if channels.site.rule == "silence" else speaks, reacts)
        for name, own in zip(sites, of_sites, strict=True)
    )
    return RunTables(timing, voltage, of_sites, to_sites, partial(commanded, GRID, speaks, False))


@lru_cache(maxsize=16)
def _ticks_of(timing: RunTiming) -> tuple[Floats, Bools]:
    """Times (s) of the ticks of a run, as the clock has them, and at which of them a controller is due."""
    at_s = np.arange(timing.n_ticks) * timing.tick_s.numerator / timing.tick_s.denominator
    due = np.zeros(timing.n_ticks, dtype=np.bool_)
    for every in timing.control_ticks:
        due[::every] = True
    return at_s, due


@njit(cache=True)
def _fill_measured(
    arrival_s: Floats,
    at_s: Floats,
    every: int,
    age_max_s: float,
    tick: Ints,
    before: Ints,
    shown_at: Ints,
    age_s: Floats,
    stale: Bools,
) -> None:
    """The arrays of `Measured`, of measurements made every so many ticks."""
    n = len(at_s)
    fill_newest(arrival_s, at_s, np.arange(n) // every + 1, tick)
    shown_at[:] = -1
    for k in range(n):
        tick[k] *= every
        if k == 0 or tick[k] != tick[k - 1]:
            before[k] = tick[k - 1] if k > 0 else -1
            shown_at[tick[k]] = k
        else:
            before[k] = before[k - 1]
        age_s[k] = at_s[k] - at_s[tick[k]]
        stale[k] = age_s[k] > age_max_s


@njit(cache=True)
def _fill_commanded(
    arrival_s: Floats, sent: Ints, at_s: Floats, due: Bools, silence_s: float, tick: Ints, acts: Bools
) -> None:
    """The arrays of `Commanded`, of set-points sent at the ticks `sent`: they act after the tick they are sent at."""
    n = len(at_s)
    fill_newest(arrival_s, at_s, np.searchsorted(sent, np.arange(n)), tick)
    held, last_s = -1, 0.0
    for k in range(n):
        if tick[k] > held:
            held = tick[k]
            last_s = max(last_s, arrival_s[held])
        tick[k] = sent[held] if held >= 0 else -1
        acts[k] = due[k] and at_s[k] - last_s > silence_s


def stale_voltage_pu(held_pu: Floats, before_pu: Floats, gap_s: float, age_s: float, signal: StaleSignal) -> Floats:
    """What is taken for voltages (pu) that are too old, of any shape: see `StaleSignal`.

    `held_pu` arrived last, `before_pu` before that and is `gap_s` older (0: there was none); `age_s` is the age.
    """
    if signal.rule == "bound":
        return held_pu - signal.bound_pu
    if signal.rule == "predict" and gap_s > 0.0:
        return held_pu + np.clip((held_pu - before_pu) / gap_s * age_s, -signal.bound_pu, signal.bound_pu)
    return held_pu
