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
from numpy.typing import NDArray

from g2g_opt.channel.transport import arrivals_s, first_at
from g2g_opt.communication import CONTROLLER, GRID, Channels, StaleSignal
from g2g_opt.compiled.kernel import kernel
from g2g_opt.coordinator import RunTiming
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Measured:
    """What controllers have of one source, arrays [tick].

    `tick` is the tick of the newest measurement that is there, and `shown_at` the tick at which the measurement made at
    a tick is first seen (-1: never). `at_s` are the times (s) of ticks.
    """

    tick: Counts
    shown_at: Counts
    at_s: Floats
    age_max_s: float

    @cached_property
    def before(self) -> Counts:
        """The tick of the measurement shown before the newest one (-1: there was none)."""
        changes = np.flatnonzero(np.diff(self.tick, prepend=-1))
        shown = np.concatenate([np.full(1, -1, dtype=np.int32), self.tick[changes]])
        return shown[np.searchsorted(changes, np.arange(len(self.tick)), side="right") - 1]

    @cached_property
    def age_s(self) -> Floats:
        """Age (s) of the newest measurement."""
        return self.at_s - self.at_s[self.tick]

    @cached_property
    def stale(self) -> Bools:
        """Whether it is older than it may be."""
        return self.age_s > self.age_max_s


@dataclass(frozen=True, eq=False)
class Commanded:
    """What one target has of the controllers, arrays [tick].

    `tick` is the tick whose set-points hold at a target's step (-1: none yet), `at_once` says that those sent at a tick
    are there at that tick already. `acts` marks the ticks at which a site that nobody reaches acts by itself.
    """

    tick: Counts
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
    at_s, due, all_due, due_s = _ticks_of(timing)
    n, key = len(at_s), (seed, scenario, "channel")

    def measured(source: str, topic: str, every: int, signal: StaleSignal) -> Measured:
        arrival_s = arrivals_s(channels.spec(source, CONTROLLER, topic), at_s[::every], *key, source, CONTROLLER, topic)
        arrival_s[:1] = at_s[:1]
        tick, shown_at = np.empty((2, n), dtype=np.int32)
        _fill_measured(arrival_s, at_s, every, tick, shown_at)
        return Measured(tick, shown_at, at_s, signal.age_max_s)

    voltage = measured(GRID, "voltage", timing.grid_ticks, channels.voltage)
    of_sites = tuple(
        measured(name, "site", every, channels.site) for name, every in zip(sites, timing.site_ticks, strict=True)
    )
    speaks = due & ~voltage.stale if channels.voltage.rule == "silence" else due

    def commanded(target: str, sends: Bools, reacts: bool) -> Commanded:
        sent, sent_s = (all_due, due_s) if sends is due else (found := np.flatnonzero(sends), at_s[found])
        arrival_s = arrivals_s(
            channels.spec(CONTROLLER, target, "command"), sent_s, *key, CONTROLLER, target, "command"
        )
        tick, (at_once, acts) = np.empty(n, dtype=np.int32), np.zeros((2, n), dtype=np.bool_)
        _fill_commanded(arrival_s, sent, at_s, due, fail_safe.silence_s if reacts else np.inf, tick, at_once, acts)
        return Commanded(tick, at_once, acts)

    reacts = fail_safe.rule != "hold"
    to_sites = tuple(
        commanded(name, speaks & ~own.stale if channels.site.rule == "silence" else speaks, reacts)
        for name, own in zip(sites, of_sites, strict=True)
    )
    return RunTables(timing, voltage, of_sites, to_sites, partial(commanded, GRID, speaks, False))


@lru_cache(maxsize=16)
def _ticks_of(timing: RunTiming) -> tuple[Floats, Bools, Ints, Floats]:
    """Times (s) of the ticks of a run, as the clock has them; at which of them a controller is due, by mark, place and
    time (s).
    """
    at_s = np.arange(timing.n_ticks) * timing.tick_s.numerator / timing.tick_s.denominator
    due = np.zeros(timing.n_ticks, dtype=np.bool_)
    for every in timing.control_ticks:
        due[::every] = True
    found = np.flatnonzero(due)
    return at_s, due, found, at_s[found]


@kernel
def _fill_measured(arrival_s: Floats, at_s: Floats, every: int, tick: Counts, shown_at: Counts) -> None:
    """The arrays of `Measured`, of measurements made every so many ticks."""
    n = len(at_s)
    tick[:] = -1
    shown_at[:] = -1
    for m in range(len(arrival_s)):
        k = first_at(at_s, arrival_s[m], m * every)
        if k < n:
            tick[k] = max(tick[k], m * every)
    held = -1
    for k in range(n):
        if tick[k] > held:
            held = tick[k]
            shown_at[held] = k
        tick[k] = held


@kernel
def _fill_commanded(
    arrival_s: Floats, sent: Ints, at_s: Floats, due: Bools, silence_s: float, tick: Counts, at_once: Bools, acts: Bools
) -> None:
    """The arrays of `Commanded`, of set-points sent at the ticks `sent`: they act after the tick they are sent at."""
    n = len(at_s)
    tick[:] = -1
    for m in range(len(sent)):
        at_once[sent[m]] = arrival_s[m] == at_s[sent[m]]
        k = first_at(at_s, arrival_s[m], sent[m] + 1)
        if k < n:
            tick[k] = max(tick[k], m)
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
