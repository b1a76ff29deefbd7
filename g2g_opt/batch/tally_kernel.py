"""Compiled tallies of a batch: what every step adds to its summaries, sixteen scenarios at a time.

A lane's figures are its own: where any lane of sixteen has something to add, the others add nothing.
"""

from __future__ import annotations

from typing import NamedTuple

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
    lower,
    mark_less,
    spread,
    spread_at,
    store,
)
from g2g_opt.compiled.program import DONE
from g2g_opt.compiled.records import Counts2, Counts3, Floats1, Floats2, Ints1, reader

Ints = NDArray[np.int64]


class VoltageTally(NamedTuple):
    """Extremes and their steps per monitored bus-phase, and depths and steps outside every edge.

    `rows` of `voltage_pu` (node, slot) are monitored. `below` (edge, slot) grows by the sum over bus-phases of how far
    they lie under an edge (pu), `steps_below` (edge, bus-phase, slot) counts the steps in which each does; above
    likewise. `steps` (low class, high class, slot): a low class is how many (rising) low edges lie at or below the
    lowest voltage of all, a high class how many high edges lie below the highest.
    """

    voltage_pu: Floats2
    rows: Ints1
    low_edges: Floats1
    high_edges: Floats1
    lowest: Floats2
    highest: Floats2
    lowest_step: Counts2
    highest_step: Counts2
    below: Floats2
    above: Floats2
    steps_below: Counts3
    steps_above: Counts3
    steps: Counts3
    least: Floats1  # (slot,), room
    most: Floats1


class LoadingTally(NamedTuple):
    """Highest loading of every branch, its step and phase, steps above edges, and the highest of all by class."""

    loading_pu: Floats2
    phase: Floats2
    highest: Floats2
    highest_step: Counts2
    highest_phase: Counts2
    edges: Floats1
    over: Counts3
    steps: Counts2
    worst: Floats1  # (slot,), room


class ServiceTally(NamedTuple):
    """Tokens/s, latency samples and misses, and changes of batch size per row; curtailed steps, power sums and peaks
    (W) per fleet (equations, section 3).

    `below` is room for one mark per fleet.
    """

    batch: Ints1
    replicas: Ints1
    before: Ints1
    nominal: Ints1
    itl_s: Floats1
    deadline_s: Floats1
    fleet: Ints1
    power_w: Floats2
    tokens: Floats1
    samples: Ints1
    misses: Ints1
    switches: Ints1
    below: Ints1
    curtailed: Ints1
    power_sum: Floats1
    power_peak: Floats1


class OwnLoadTally(NamedTuple):
    """Steps in which the circuit's own constant-power loads got another share of their power than one, by slot; which
    load got the least so far, or the most, its voltage (pu) and the step.

    `second_pu` is how far another solution may lie, `farthest_pu` the most of it.
    """

    share: Floats1
    load: Floats1
    own_pu: Floats1
    steps: Ints1
    worst_share: Floats1
    worst_load: Ints1
    worst_pu: Floats1
    worst_step: Ints1
    second_pu: Floats1
    farthest_pu: Floats1


class StepTally(NamedTuple):
    """All that a step is added to, and how many steps were.

    An own load may miss `own_tolerance` of its power (share) without being counted.
    """

    n_steps: Ints1
    own_tolerance: float
    voltages: VoltageTally
    loadings: LoadingTally
    service: ServiceTally
    own_loads: OwnLoadTally


_read_tally = reader(StepTally)


@inner
def _add_voltages(t: VoltageTally, step: int) -> None:
    v_pu, lowest, highest, least, most = t.voltage_pu, t.lowest, t.highest, t.least, t.most
    n_slots, n_rows, n_low, n_high = v_pu.shape[1], len(t.rows), len(t.low_edges), len(t.high_edges)
    # Low edges rise, so the last is the first to be left; of the high edges it is the first.
    zero, top, bottom = spread(0.0), spread_at(t.low_edges, n_low - 1), spread_at(t.high_edges, 0)
    for first in range(0, n_slots, WIDTH):
        store(least, first, spread(np.inf))
        store(most, first, spread(-np.inf))
    for i in range(n_rows):
        row = at(t.rows, i)
        for first in range(0, n_slots, WIDTH):
            own = i * n_slots + first
            v = load(v_pu, row * n_slots + first)
            store(least, first, lower(v, load(least, first)))
            store(most, first, higher(v, load(most, first)))
            low, high = load(lowest, own), load(highest, own)
            if any_less(v, low):
                mark_less(t.lowest_step, own, v, low, step)
                store(lowest, own, lower(v, low))
            if any_less(high, v):
                mark_less(t.highest_step, own, high, v, step)
                store(highest, own, higher(v, high))
            if any_less(v, top):
                for k in range(n_low - 1, -1, -1):
                    edge, place = spread_at(t.low_edges, k), k * n_slots + first
                    if not any_less(v, edge):
                        break
                    store(t.below, place, load(t.below, place) + higher(edge - v, zero))
                    count_less(t.steps_below, k * n_rows * n_slots + own, v, edge)
            if any_less(bottom, v):
                for k in range(n_high):
                    edge, place = spread_at(t.high_edges, k), k * n_slots + first
                    if not any_less(edge, v):
                        break
                    store(t.above, place, load(t.above, place) + higher(v - edge, zero))
                    count_less(t.steps_above, k * n_rows * n_slots + own, edge, v)
    for s in range(n_slots):
        i, j = 0, 0
        while i < n_low and t.low_edges[i] <= least[s]:
            i += 1
        while j < n_high and t.high_edges[j] < most[s]:
            j += 1
        t.steps[i, j, s] += 1


@inner
def _add_loadings(t: LoadingTally, step: int) -> None:
    now, highest, worst, n_edges = t.loading_pu, t.highest, t.worst, len(t.edges)
    n_branches, n_slots = now.shape
    least_edge = spread_at(t.edges, 0)
    for first in range(0, n_slots, WIDTH):
        store(worst, first, spread(0.0))
    for b in range(n_branches):
        for first in range(0, n_slots, WIDTH):
            own = b * n_slots + first
            x = load(now, own)
            store(worst, first, higher(x, load(worst, first)))
            if any_less(load(highest, own), x):
                for s in range(first, first + WIDTH):
                    if now[b, s] > highest[b, s]:
                        highest[b, s], t.highest_step[b, s] = now[b, s], step
                        t.highest_phase[b, s] = int(t.phase[b, s])
            if any_less(least_edge, x):
                for k in range(n_edges):
                    count_less(t.over, k * n_branches * n_slots + own, spread_at(t.edges, k), x)
    for s in range(n_slots):
        k = 0
        while k < n_edges and t.edges[k] < worst[s]:
            k += 1
        t.steps[k, s] += 1


@inner
def _add_service(t: ServiceTally) -> None:
    """A latency that is none (NaN: no replicas) is no sample."""
    for fleet in range(len(t.below)):
        t.below[fleet] = 0
        total = t.power_w[fleet, 0] + t.power_w[fleet, 1] + t.power_w[fleet, 2]
        t.power_sum[fleet] += total
        t.power_peak[fleet] = max(t.power_peak[fleet], total)
    for r in range(len(t.batch)):
        size, itl_s, n = t.batch[r], t.itl_s[r], t.replicas[r]
        if n > 0:
            if abs(itl_s) < np.inf:
                if itl_s > 0.0:
                    t.tokens[r] += size * n / itl_s
                t.samples[r] += 1
                if itl_s > t.deadline_s[r]:
                    t.misses[r] += 1
            if size < t.nominal[r]:
                t.below[t.fleet[r]] = 1
        if size != t.before[r]:
            t.switches[r] += 1
            t.before[r] = size
    for fleet in range(len(t.below)):
        t.curtailed[fleet] += t.below[fleet]


@inner
def _add_own_loads(t: OwnLoadTally, step: int, tolerance: float) -> None:
    for s in range(len(t.share)):
        if t.second_pu[s] > t.farthest_pu[s]:
            t.farthest_pu[s] = t.second_pu[s]
        missing = abs(t.share[s] - 1.0)
        if missing > tolerance:
            t.steps[s] += 1
            if missing > abs(t.worst_share[s] - 1.0):
                t.worst_share[s], t.worst_load[s] = t.share[s], int(t.load[s])
                t.worst_pu[s], t.worst_step[s] = t.own_pu[s], step


@kernel
def tally_step(address: int, step: int) -> int:
    """Add a step."""
    t = _read_tally(address)
    t.n_steps[0] += 1
    _add_voltages(t.voltages, step)
    if t.loadings.loading_pu.shape[0] > 0:
        _add_loadings(t.loadings, step)
    _add_service(t.service)
    _add_own_loads(t.own_loads, step, t.own_tolerance)
    return DONE
