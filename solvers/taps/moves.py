"""Whole tap steps for many cases at once, by local search on a linear voltage model.

Sets       cases c, voltages i (bus-phases), regulators r
Data       lowest_ci, highest_ci   extreme voltages of a run of case c at its present taps (pu)
           slope_ir                voltage change per step of regulator r (pu)
           down_cr, up_cr          steps left in either direction
           v_min, v_max            band (pu)
Variables  n_cr whole steps
min  V_c(n, 0) + a V_c(n, room) + eps sum_r |n_cr|, with -down <= n <= up                                       (1)
V_c(n, g) = sum_i max(v_min + g - lowest - S n, 0) + w max(highest + S n - v_max + g, 0)                        (2)

The sum is over the depths of the extremes, so it is a stand-in for the integral violation (equation 3.1), not the
integral. A voltage that is too high usually stays so while one that is too low is met at the peak of demand only, hence
w > 1. The second term of (1) makes room between settings that keep the band. The search is a heuristic: it stops where
no step of one regulator and no pair of steps of two lowers (1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolverError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SWEEPS_MAX = 80
# Cases per block: keeps the arrays of a sweep within a few hundred MB.
_BLOCK = 32


@dataclass(frozen=True, eq=False)
class TapMoveProblem:
    """Data of the model above; shapes (case, voltage), (voltage, regulator), (case, regulator).

    `high_weight` is w, `room_pu` the width g of the inner band, `room_weight` a, `move_penalty_pu` eps.
    """

    lowest_pu: Floats
    highest_pu: Floats
    slope_pu_per_step: Floats
    steps_down: Ints
    steps_up: Ints
    v_min_pu: float
    v_max_pu: float
    high_weight: float = 5.0
    room_pu: float = 0.005
    room_weight: float = 0.1
    move_penalty_pu: float = 2e-4

    def __post_init__(self) -> None:
        n_cases, n_voltages = self.lowest_pu.shape
        n_regulators = self.slope_pu_per_step.shape[-1]
        if self.highest_pu.shape != (n_cases, n_voltages) or self.slope_pu_per_step.shape[:-1] != (n_voltages,):
            raise SolverError(
                f"voltages must have shape (case, voltage), slopes (voltage, regulator), got "
                f"{self.lowest_pu.shape}, {self.highest_pu.shape}, {self.slope_pu_per_step.shape}"
            )
        for steps in (self.steps_down, self.steps_up):
            if steps.shape != (n_cases, n_regulators):
                raise SolverError(f"steps must have shape ({n_cases}, {n_regulators}), got {steps.shape}")


def tap_costs(problem: TapMoveProblem, steps: Ints) -> Floats:
    """Objective (1) of every case for settings of its own, `steps` (case, setting, regulator); inf out of range.

    Shape (case, setting).
    """
    costs = np.empty(steps.shape[:2])
    for first in range(0, len(steps), _BLOCK):
        rows = slice(first, first + _BLOCK)
        move = steps[rows]
        shift = move @ problem.slope_pu_per_step.T
        below = problem.v_min_pu - problem.lowest_pu[rows, None, :] - shift
        above = problem.highest_pu[rows, None, :] + shift - problem.v_max_pu
        costs[rows] = _depth(problem, below, above, 0.0)
        costs[rows] += problem.room_weight * _depth(problem, below, above, problem.room_pu)
        costs[rows] += problem.move_penalty_pu * np.abs(move).sum(axis=-1)
    allowed = (steps >= -problem.steps_down[:, None]) & (steps <= problem.steps_up[:, None])
    return np.where(allowed.all(axis=-1), costs, np.inf)


def _depth(problem: TapMoveProblem, below: Floats, above: Floats, room_pu: float) -> Floats:
    """V of (2)."""
    low = np.maximum(below + room_pu, 0.0).sum(axis=-1)
    high = np.maximum(above + room_pu, 0.0).sum(axis=-1)
    total: Floats = low + problem.high_weight * high
    return total


def search_tap_steps(problem: TapMoveProblem) -> Ints:
    """Steps (case, regulator) at which no single or paired step is better (equation 7.3); what a case gets does not
    depend on others.

    Ties go to the move listed first.
    """
    n_cases, n_regulators = problem.steps_down.shape
    moves = _moves(n_regulators)
    best = np.zeros((n_cases, n_regulators), dtype=np.int64)
    cost = tap_costs(problem, best[:, None, :])[:, 0]
    open_cases = np.arange(n_cases)
    for _ in range(_SWEEPS_MAX):
        if not len(open_cases):
            break
        tried = best[open_cases, None, :] + moves
        costs = tap_costs(_of_cases(problem, open_cases), tried)
        chosen = costs.argmin(axis=1)
        found = costs[np.arange(len(open_cases)), chosen]
        better = found < cost[open_cases] - 1e-12
        open_cases = open_cases[better]
        best[open_cases] = tried[better, chosen[better]]
        cost[open_cases] = found[better]
    return best


def _moves(n_regulators: int) -> Ints:
    """One step of one regulator, and pairs of steps of two."""
    single = np.concatenate([np.eye(n_regulators, dtype=np.int64), -np.eye(n_regulators, dtype=np.int64)])
    pairs = [
        single[a] + single[b]
        for a in range(2 * n_regulators)
        for b in range(a + 1, 2 * n_regulators)
        if b - a != n_regulators
    ]
    return np.array([*single, *pairs], dtype=np.int64).reshape(-1, n_regulators)


def _of_cases(problem: TapMoveProblem, cases: Ints) -> TapMoveProblem:
    return TapMoveProblem(
        problem.lowest_pu[cases],
        problem.highest_pu[cases],
        problem.slope_pu_per_step,
        problem.steps_down[cases],
        problem.steps_up[cases],
        problem.v_min_pu,
        problem.v_max_pu,
        problem.high_weight,
        problem.room_pu,
        problem.room_weight,
        problem.move_penalty_pu,
    )


def choose_settings(costs: Floats, n_max: int, first: int = 0) -> list[int]:
    """Up to `n_max` columns of `costs` (case, setting), greedily, so that the sum over cases of their least is small.

    Begins with column `first`; ends early when no further column lowers the sum. Columns may hold inf, `first` not.
    """
    if costs.ndim != 2 or not 0 <= first < costs.shape[1]:
        raise SolverError(f"costs must have shape (case, setting) and hold column {first}, got {costs.shape}")
    chosen = [first]
    least = costs[:, first]
    while len(chosen) < n_max:
        sums = np.minimum(costs, least[:, None]).sum(axis=0)
        column = int(sums.argmin())
        if sums[column] >= least.sum() - 1e-12:
            break
        chosen.append(column)
        least = np.minimum(least, costs[:, column])
    return chosen
