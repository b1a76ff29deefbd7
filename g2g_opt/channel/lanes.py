"""What has arrived at every tick of a run, on every lane: tables that both engines look up.

A run begins with an exchange that reaches everyone, as when a node joins: the first measurement of every source is
known at once. From then on, sources send at every step of theirs, and controllers send their set-points at every tick
at which one of them is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.transport import arrivals_s, newest_at
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
    to_grid: Commanded


@lru_cache(maxsize=256)
def run_tables(channels: Channels, seed: int, scenario: str, sites: tuple[str, ...], timing: RunTiming) -> RunTables:
    """The lanes of a run of `sites` (names) in a scenario; all draws are keyed by seed, scenario and lane.

    Raises `InputError` for a lane of nobody, or if a site would take the time between two commands for silence.
    """
    channels.check_names(sites)
    if channels.fail_safe.rule != "hold" and timing.control_ticks:
        period_s = float(min(timing.control_ticks) * timing.tick_s)
        if channels.fail_safe.silence_s <= period_s:
            raise InputError(
                f"silence_s={channels.fail_safe.silence_s:g} s is no longer than the {period_s:g} s between commands"
            )
    at_s = _times_s(timing.tick_s, np.arange(timing.n_ticks))
    key = (seed, scenario)

    def measured(source: str, topic: str, every: int, signal: StaleSignal) -> Measured:
        sent = np.arange(0, timing.n_ticks, every)
        arrival_s = arrivals_s(
            channels.spec(source, CONTROLLER, topic), at_s[sent], *key, "channel", source, CONTROLLER, topic
        )
        arrival_s[:1] = at_s[:1]
        held = newest_at(arrival_s, at_s, np.arange(timing.n_ticks) // every + 1)
        tick = sent[held] if len(sent) else held
        shown_at = np.full(timing.n_ticks, -1)
        fresh = np.flatnonzero(np.diff(tick, prepend=-1))
        shown_at[tick[fresh]] = fresh
        count = np.searchsorted(fresh, np.arange(timing.n_ticks), side="right")
        before = np.where(count > 1, tick[fresh[np.maximum(count - 2, 0)]], -1)
        age_s = at_s - at_s[tick]
        return Measured(tick, before, shown_at, age_s, age_s > signal.age_max_s)

    voltage = measured(GRID, "voltage", timing.grid_ticks, channels.voltage)
    of_sites = tuple(
        measured(name, "site", every, channels.site) for name, every in zip(sites, timing.site_ticks, strict=True)
    )
    due = np.zeros(timing.n_ticks, dtype=np.bool_)
    for every in timing.control_ticks:
        due[::every] = True
    speaks = due & ~(voltage.stale if channels.voltage.rule == "silence" else np.zeros_like(due))

    def commanded(target: str, sends: Bools, reacts: bool) -> Commanded:
        sent = np.flatnonzero(sends)
        arrival_s = arrivals_s(
            channels.spec(CONTROLLER, target, "command"), at_s[sent], *key, "channel", CONTROLLER, target, "command"
        )
        held = newest_at(arrival_s, at_s, np.searchsorted(sent, np.arange(timing.n_ticks), side="left"))
        tick = np.where(held >= 0, sent[held] if len(sent) else held, -1)
        at_once = np.zeros(timing.n_ticks, dtype=np.bool_)
        at_once[sent] = arrival_s == at_s[sent]
        acts = np.zeros(timing.n_ticks, dtype=np.bool_)
        if reacts and due.any():
            heard = np.flatnonzero(np.diff(tick, prepend=-1))
            last_s = np.zeros(timing.n_ticks)
            last_s[heard] = arrival_s[held[heard]]
            last_s = np.maximum.accumulate(last_s)
            acts = due & (at_s - last_s > channels.fail_safe.silence_s)
        return Commanded(tick, at_once, acts)

    reacts = channels.fail_safe.rule != "hold"
    to_sites = tuple(
        commanded(name, speaks & ~(own.stale if channels.site.rule == "silence" else np.zeros_like(due)), reacts)
        for name, own in zip(sites, of_sites, strict=True)
    )
    return RunTables(timing, voltage, of_sites, to_sites, commanded(GRID, speaks, False))


def _times_s(tick_s: Fraction, ticks: Ints) -> Floats:
    """Times (s) of ticks, as the clock has them."""
    times: Floats = ticks * tick_s.numerator / tick_s.denominator
    return times


def stale_voltage_pu(held_pu: Floats, before_pu: Floats, gap_s: float, age_s: float, signal: StaleSignal) -> Floats:
    """What is taken for voltages (pu) that are too old, of any shape: see `StaleSignal`.

    `held_pu` arrived last, `before_pu` before that and is `gap_s` older (0: there was none); `age_s` is the age.
    """
    if signal.rule == "bound":
        return held_pu - signal.bound_pu
    if signal.rule == "predict" and gap_s > 0.0:
        return held_pu + np.clip((held_pu - before_pu) / gap_s * age_s, -signal.bound_pu, signal.bound_pu)
    return held_pu
