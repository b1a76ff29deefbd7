"""Compiled tallies of a batch: what every step adds to its summaries; scenarios innermost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@kernel
def tally_voltages(
    step: int,
    voltage_pu: Floats,
    rows: Ints,
    lowest: Floats,
    lowest_step: NDArray[np.int32],
    highest: Floats,
    highest_step: NDArray[np.int32],
    low_edges: Floats,
    high_edges: Floats,
    below: Floats,
    above: Floats,
    steps_below: NDArray[np.int32],
    steps_above: NDArray[np.int32],
    system_low: Floats,
    system_high: Floats,
) -> None:
    """Extremes and their steps per monitored bus-phase, depths and steps outside every edge, and the system's two
    extremes.

    `below[k]` grows by the sum over bus-phases of how far they lie under `low_edges[k]` (pu), `steps_below[k]` counts
    for each of them the steps in which it does; `above[k]` and `steps_above[k]` likewise.
    """
    n = voltage_pu.shape[1]
    system_low[:] = np.inf
    system_high[:] = -np.inf
    top, bottom = low_edges.max(), high_edges.min()
    for i in range(len(rows)):
        row = rows[i]
        least, most = np.inf, -np.inf
        for s in range(n):
            v = voltage_pu[row, s]
            old = lowest[i, s]
            lowest[i, s] = v if v < old else old
            lowest_step[i, s] = step if v < old else lowest_step[i, s]
            old = highest[i, s]
            highest[i, s] = v if v > old else old
            highest_step[i, s] = step if v > old else highest_step[i, s]
            system_low[s] = v if v < system_low[s] else system_low[s]
            system_high[s] = v if v > system_high[s] else system_high[s]
            least = v if v < least else least
            most = v if v > most else most
        if least < top:
            for k in range(len(low_edges)):
                if least < low_edges[k]:
                    for s in range(n):
                        below[k, s] += max(low_edges[k] - voltage_pu[row, s], 0.0)
                        steps_below[k, i, s] += voltage_pu[row, s] < low_edges[k]
        if most > bottom:
            for k in range(len(high_edges)):
                if most > high_edges[k]:
                    for s in range(n):
                        above[k, s] += max(voltage_pu[row, s] - high_edges[k], 0.0)
                        steps_above[k, i, s] += voltage_pu[row, s] > high_edges[k]


@kernel
def tally_times(
    system_low: Floats, system_high: Floats, low_edges: Floats, high_edges: Floats, steps: NDArray[np.int32]
) -> None:
    """Count the step in `steps[low class, high class, scenario]`.

    A low class is how many (rising) low edges lie at or below the system's lowest voltage; a high class, how many high
    edges lie below its highest.
    """
    for s in range(len(system_low)):
        i = 0
        while i < len(low_edges) and low_edges[i] <= system_low[s]:
            i += 1
        j = 0
        while j < len(high_edges) and high_edges[j] < system_high[s]:
            j += 1
        steps[i, j, s] += 1


@kernel
def tally_loading(
    step: int,
    loading_pu: Floats,
    phase: Floats,
    highest: Floats,
    highest_step: NDArray[np.int32],
    highest_phase: NDArray[np.int32],
    edges: Floats,
    over: NDArray[np.int32],
    system_steps: NDArray[np.int32],
) -> None:
    """Highest loading of every branch, its step and phase, steps above edges, and the system's highest by class."""
    n_branches, n = highest.shape
    for s in range(n):
        worst = 0.0
        for b in range(n_branches):
            x = loading_pu[b, s]
            if x > highest[b, s]:
                highest[b, s] = x
                highest_step[b, s] = step
                highest_phase[b, s] = int(phase[b, s])
            worst = max(worst, x)
            if x > edges[0]:
                for k in range(len(edges)):
                    if x > edges[k]:
                        over[k, b, s] += 1
        k = 0
        while k < len(edges) and edges[k] < worst:
            k += 1
        system_steps[k, s] += 1


@kernel
def tally_service(
    batch: Ints,
    before: Ints,
    replicas: Ints,
    itl_s: Floats,
    deadline_s: Floats,
    tokens: Floats,
    samples: Ints,
    misses: Ints,
    switches: Ints,
) -> None:
    """Tokens/s, latency samples and misses, and changes of batch size, per row (equations, section 3); in place."""
    for r in range(len(batch)):
        if replicas[r] > 0 and np.isfinite(itl_s[r]):
            if itl_s[r] > 0.0:
                tokens[r] += batch[r] * replicas[r] / itl_s[r]
            samples[r] += 1
            if itl_s[r] > deadline_s[r]:
                misses[r] += 1
        if batch[r] != before[r]:
            switches[r] += 1
        before[r] = batch[r]


@kernel
def tally_curtailment(batch: Ints, nominal: Ints, replicas: Ints, row_fleet: Ints, below: Ints, steps: Ints) -> None:
    """Count, per fleet, the step if any of its models with active replicas runs below its nominal batch size.

    `below` is room for one mark per fleet.
    """
    below[:] = 0
    for r in range(len(batch)):
        if replicas[r] > 0 and batch[r] < nominal[r]:
            below[row_fleet[r]] = 1
    for fleet in range(len(steps)):
        steps[fleet] += below[fleet]


@kernel
def tally_own_loads(
    share: Floats, tolerance: float, steps: Ints, worst_missing: Floats, is_worse: NDArray[np.bool_]
) -> bool:
    """Count scenarios whose share of served power misses one by more than `tolerance`, and mark those in which it is
    the most so far; returns whether any is marked.
    """
    any_worse = False
    for s in range(len(share)):
        missing = abs(share[s] - 1.0)
        is_worse[s] = missing > tolerance and missing > worst_missing[s]
        if missing > tolerance:
            steps[s] += 1
        if is_worse[s]:
            worst_missing[s] = missing
            any_worse = True
    return any_worse
