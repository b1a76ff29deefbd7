"""Compiled tallies of power quality in a batch: unbalance, changes within a window, and states to come back to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import (
    WIDTH,
    any_less,
    at,
    count_less,
    higher,
    load,
    magnitude,
    mark_less,
    spread,
    spread_at,
    store,
    where_less,
)
from g2g_opt.compiled.program import DONE, IN_PYTHON
from g2g_opt.compiled.records import Bools1, Counts2, Counts3, Counts4, Floats1, Floats2, Floats3, Ints1, Ints2, reader

Ints = NDArray[np.int64]

# A state is another one only if its figure is higher by more than rounding.
_HIGHER = 1.0 + 1e-9
# Every window that a jump lies in shows the same change, but for rounding: the first of them is told.
_LARGER = 1.0 + 1e-6


class Powers(NamedTuple):
    """Powers of all ports (chunk, port x part x lane) and shares of the circuit's loads (chunk, shape x lane) now."""

    power: Floats2
    load_share: Floats2


class UnbalanceTally(NamedTuple):
    """Highest unbalance by (definition, bus, slot), its step, and steps above edges (definition, edge, bus, slot).

    `unbalance` (definition x bus, slot) is that of the step. `system` (definition, slot) is the highest of all buses so
    far; where a step raises it, the powers of all ports are kept with the step.
    """

    unbalance: Floats2
    highest: Floats3
    highest_step: Counts3
    edges: Floats1
    steps_over: Counts4
    system: Floats2
    kept_step: Ints2
    kept_power: Floats3
    kept_share: Floats3
    now: Floats1  # (slot,), room


class ChangeTally(NamedTuple):
    """Levels (place in the ring, monitored bus-phase, slot) of the seconds, the largest change between two of them, and
    the step at which the later one begins.

    A change counts if neither a tap moved nor something was `broken` off since the earlier level began, by slot.
    """

    voltage_pu: Floats2
    rows: Ints1
    levels: Floats3
    largest: Floats2
    largest_step: Counts2
    broken: Ints1
    taps_moved_at: Ints1
    n_per_level: int
    n_apart: int
    beyond: Floats1  # (slot,), room


class HeaviestTally(NamedTuple):
    """The step at which each fleet drew the most so far (W), and the powers of all ports then."""

    power_w: Floats2
    slot: Ints1
    heaviest_w: Floats1
    kept_step: Ints1
    kept_power: Floats2
    kept_share: Floats2


class QualityTally(NamedTuple):
    """All that a step is added to, and how many steps were; slots from `n_used` on only fill lanes.

    Where `is_held` (step,) is set, Python has something to say first.
    """

    n_steps: Ints1
    n_used: int
    is_held: Bools1
    powers: Powers
    unbalance: UnbalanceTally
    changes: ChangeTally
    heaviest: HeaviestTally


_read_tally = reader(QualityTally)


@inner
def _keep(now: Powers, slot: int, power: Any, share: Any) -> None:
    """Copy a slot's powers and shares."""
    c, lane = slot // WIDTH, slot % WIDTH
    for k in range(len(share)):
        share[k] = now.load_share[c, k * WIDTH + lane]
    for k in range(len(power)):
        power[k] = now.power[c, k * WIDTH + lane]


@inner
def _add_unbalance(t: UnbalanceTally, powers: Powers, step: int, n_slots_used: int) -> None:
    n_kinds, n_buses, n_slots = t.highest.shape
    n_edges, now = len(t.edges), t.now
    for kind in range(n_kinds):
        for first in range(0, n_slots, WIDTH):
            store(now, first, spread(0.0))
        for b in range(n_buses):
            for first in range(0, n_slots, WIDTH):
                place = (kind * n_buses + b) * n_slots + first
                u = load(t.unbalance, place)
                store(now, first, higher(u, load(now, first)))
                highest = load(t.highest, place)
                if any_less(highest, u):
                    mark_less(t.highest_step, place, highest, u, step)
                    store(t.highest, place, higher(u, highest))
                for k in range(n_edges):
                    edge = spread_at(t.edges, k)
                    if not any_less(edge, u):
                        break
                    count_less(t.steps_over, ((kind * n_edges + k) * n_buses + b) * n_slots + first, edge, u)
        for s in range(n_slots_used):
            if now[s] > t.system[kind, s] * _HIGHER:
                t.system[kind, s], t.kept_step[kind, s] = now[s], step
                _keep(powers, s, t.kept_power[kind, s], t.kept_share[kind, s])


@inner
def _add_level(t: ChangeTally, step: int) -> None:
    """Add a step's share to the level of its second; the second over, compare it with the one a window before."""
    n_rows, n_slots = t.largest.shape
    number, place = step // t.n_per_level, step % t.n_per_level
    earlier = number - t.n_apart
    now, share = t.levels[number % (t.n_apart + 1)], spread(1.0 / t.n_per_level)
    compares = place == t.n_per_level - 1 and earlier >= 0
    before = t.levels[max(earlier, 0) % (t.n_apart + 1)]
    larger = spread(_LARGER)
    for s in range(n_slots):
        # Infinite in the slots whose changes do not count.
        moved_at = max(t.broken[s], t.taps_moved_at[s])
        t.beyond[s] = 0.0 if moved_at <= earlier * t.n_per_level else np.inf
    for i in range(n_rows):
        row = at(t.rows, i) * n_slots
        for first in range(0, n_slots, WIDTH):
            own = i * n_slots + first
            level = share * load(t.voltage_pu, row + first)
            if place > 0:
                level = level + load(now, own)
            store(now, own, level)
            if not compares:
                continue
            change = magnitude(level - load(before, own))
            told = load(t.largest, own)
            least = told * larger + load(t.beyond, first)
            if any_less(least, change):
                mark_less(t.largest_step, own, least, change, number * t.n_per_level)
                store(t.largest, own, where_less(least, change, change, told))


@inner
def _add_heaviest(t: HeaviestTally, now: Powers, step: int) -> None:
    for f in range(len(t.slot)):
        total = t.power_w[f, 0] + t.power_w[f, 1] + t.power_w[f, 2]
        if total > t.heaviest_w[f] * _HIGHER:
            t.heaviest_w[f], t.kept_step[f] = total, step
            _keep(now, t.slot[f], t.kept_power[f], t.kept_share[f])


@kernel
def tally_quality(address: int, step: int) -> int:
    """Add a step."""
    t = _read_tally(address)
    if step < len(t.is_held) and t.is_held[step]:
        return IN_PYTHON
    t.n_steps[0] += 1
    _add_unbalance(t.unbalance, t.powers, step, t.n_used)
    _add_heaviest(t.heaviest, t.powers, step)
    if len(t.changes.levels) > 0:
        _add_level(t.changes, step)
    return DONE
