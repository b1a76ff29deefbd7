"""Compiled tallies of power quality in a batch: unbalance, changes within a window, and states to come back to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.lanes import WIDTH
from g2g_opt.compiled.kernel import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

# A state is another one only if its figure is higher by more than rounding.
_HIGHER = 1.0 + 1e-9
# Every window that a jump lies in shows the same change, but for rounding: the first of them is told.
_LARGER = 1.0 + 1e-6


@kernel
def tally_unbalance(
    step: int,
    unbalance: Floats,
    highest: Floats,
    highest_step: Counts,
    edges: Floats,
    steps_over: Counts,
    system: Floats,
    is_higher: NDArray[np.bool_],
) -> bool:
    """Highest unbalance by (definition, bus, scenario), its step, and steps above edges [definition, edge, bus, ..].

    `system` (definition, scenario) is the highest of all buses so far; `is_higher` marks where this step raised it, and
    the answer is whether it did anywhere.
    """
    n_kinds, n_buses, n = highest.shape
    now = np.empty(n)
    any_higher = False
    for kind in range(n_kinds):
        now[:] = 0.0
        for b in range(n_buses):
            most, any_more = 0.0, False
            for s in range(n):
                u = unbalance[kind, b, s]
                most = u if u > most else most
                any_more |= u > highest[kind, b, s]
                now[s] = u if u > now[s] else now[s]
            if any_more:
                for s in range(n):
                    u = unbalance[kind, b, s]
                    if u > highest[kind, b, s]:
                        highest[kind, b, s], highest_step[kind, b, s] = u, step
            for k in range(len(edges)):
                if most <= edges[k]:
                    break
                for s in range(n):
                    steps_over[kind, k, b, s] += 1 if unbalance[kind, b, s] > edges[k] else 0
        for s in range(n):
            is_higher[kind, s] = now[s] > system[kind, s] * _HIGHER
            if is_higher[kind, s]:
                system[kind, s] = now[s]
                any_higher = True
    return any_higher


@kernel
def add_level(voltage_pu: Floats, rows: Ints, share: float, fresh: bool, level: Floats) -> None:
    """Add a step's share to the level (monitored node, scenario) of its second."""
    for i in range(len(rows)):
        for s in range(voltage_pu.shape[1]):
            level[i, s] = share * voltage_pu[rows[i], s] + (0.0 if fresh else level[i, s])


@kernel
def tally_changes(
    step: int, before: Floats, after: Floats, counts: NDArray[np.bool_], largest: Floats, largest_step: Counts
) -> None:
    """Largest change between two levels by (monitored node, scenario), and the step at which the later one begins."""
    n_rows, n = before.shape
    for i in range(n_rows):
        any_more = False
        for s in range(n):
            any_more |= abs(after[i, s] - before[i, s]) > largest[i, s] * _LARGER
        if any_more:
            for s in range(n):
                change = abs(after[i, s] - before[i, s])
                if counts[s] and change > largest[i, s] * _LARGER:
                    largest[i, s], largest_step[i, s] = change, step


@kernel
def keep_heaviest(
    step: int,
    total_w: Floats,
    slot: Ints,
    power: Floats,
    load_share: Floats,
    heaviest_w: Floats,
    kept_step: Ints,
    kept_power: Floats,
    kept_share: Floats,
) -> None:
    """Copy the powers of all ports (`power` (chunk, port and part, lane)) where a fleet draws more than ever before."""
    for f in range(len(total_w)):
        if total_w[f] > heaviest_w[f] * _HIGHER:
            heaviest_w[f], kept_step[f] = total_w[f], step
            c, lane = slot[f] // WIDTH, slot[f] % WIDTH
            for k in range(kept_share.shape[1]):
                kept_share[f, k] = load_share[c, k * WIDTH + lane]
            for k in range(power.shape[1]):
                kept_power[f, k] = power[c, k, lane]


@kernel
def keep_marked(
    step: int,
    marks: NDArray[np.bool_],
    power: Floats,
    load_share: Floats,
    kept_step: Ints,
    kept_power: Floats,
    kept_share: Floats,
) -> None:
    """Copy the powers of all ports of marked (definition, scenario) pairs."""
    for kind in range(marks.shape[0]):
        for s in range(marks.shape[1]):
            if marks[kind, s]:
                c, lane = s // WIDTH, s % WIDTH
                kept_step[kind, s] = step
                for k in range(kept_share.shape[2]):
                    kept_share[kind, s, k] = load_share[c, k * WIDTH + lane]
                for k in range(power.shape[1]):
                    kept_power[kind, s, k] = power[c, k, lane]
