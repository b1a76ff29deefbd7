"""Whole tap steps that give every voltage, or every loading, as much room as possible.

Sets       regulators r, voltages i (bus-phases), loadings b
Data       lowest_i, highest_i   extreme voltages of a run at the present taps (pu)
           slope_ir              voltage change per step of regulator r (pu)
           down_r, up_r          steps left in either direction
           v_min, v_max          band (pu)
           used_b, used_slope_br share of its limit that a loading uses up, and its change per step
Variables  n_r whole steps, m margin (pu), free
max m - eps sum_r |n_r|, with |n_r| <= d_r
(1) lowest_i + sum_r slope_ir n_r >= v_min + low_weight m
(2) highest_i + sum_r slope_ir n_r <= v_max - high_weight m
(3) -down_r <= n_r <= up_r
(4) used_b + sum_r used_slope_br n_r <= 1 - m
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, solve_linear_program
from solvers.outcome import SolveReport, SolverError, SolveStatus
from solvers.taps.branching import best_whole, binding_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Within this a limit counts as kept, as it does in HiGHS.
_FEASIBLE = 1e-7
_MOVE_PENALTY_PU = 1e-6  # eps: breaks ties in favour of fewer moves, far below any margin that matters


@dataclass(frozen=True, eq=False)
class TapProblem:
    """Data of the model above. `high_weight` 1 shares the room between both limits; 0 takes all of it for the
    lower one and only keeps the upper limit. With `low_weight` 0 as well, the band is kept and the room is that of
    loadings (4), of which there need be none.
    """

    lowest_pu: Floats
    highest_pu: Floats
    slope_pu_per_step: Floats
    steps_down: NDArray[np.int64]
    steps_up: NDArray[np.int64]
    v_min_pu: float
    v_max_pu: float
    high_weight: float = 1.0
    low_weight: float = 1.0
    used: Floats = field(default_factory=lambda: np.zeros(0))
    used_slope_per_step: Floats | None = None

    def __post_init__(self) -> None:
        n, r = self.slope_pu_per_step.shape
        if self.lowest_pu.shape != (n,) or self.highest_pu.shape != (n,):
            raise SolverError(f"voltages must have shape ({n},), got {self.lowest_pu.shape}, {self.highest_pu.shape}")
        if self.steps_down.shape != (r,) or self.steps_up.shape != (r,):
            raise SolverError(f"steps must have shape ({r},), got {self.steps_down.shape}, {self.steps_up.shape}")
        if self.used_slopes.shape != (len(self.used), r):
            raise SolverError(f"loadings must have slopes ({len(self.used)}, {r}), got {self.used_slopes.shape}")

    @property
    def used_slopes(self) -> Floats:
        """Changes of the shares used per step, (loading, regulator); none without loadings."""
        n = self.slope_pu_per_step.shape[1]
        return np.zeros((0, n)) if self.used_slope_per_step is None else self.used_slope_per_step

    def objectives(self, steps: Floats) -> Floats:
        """What the model minimises, -m + eps sum |n|, of many choices of whole steps (choice, regulator); infinite
        where a limit of weight 0 is not kept.
        """
        return _objectives(self, steps, _Rows(*[np.ones(n, dtype=np.bool_) for n in self._n_rows]))

    @property
    def _n_rows(self) -> tuple[int, int, int]:
        return len(self.lowest_pu), len(self.highest_pu), len(self.used)


class _Rows(NamedTuple):
    """Which voltages and loadings have rows (1), (2) and (4) that count."""

    lows: Bools
    highs: Bools
    loads: Bools

    @staticmethod
    def that_bind(problem: TapProblem) -> _Rows:
        """Those that no others imply."""
        slope, used_slope = problem.slope_pu_per_step, problem.used_slopes
        box = -problem.steps_down.astype(float), problem.steps_up.astype(float)
        return _Rows(
            binding_rows(slope, problem.lowest_pu, *box),
            binding_rows(-slope, -problem.highest_pu, *box),
            binding_rows(-used_slope, -problem.used, *box),
        )


def _objectives(problem: TapProblem, steps: Floats, rows: _Rows) -> Floats:
    """As `TapProblem.objectives`, of some rows."""
    slope = problem.slope_pu_per_step
    room = [
        ((problem.lowest_pu - problem.v_min_pu), slope, rows.lows, problem.low_weight),
        ((problem.v_max_pu - problem.highest_pu), -slope, rows.highs, problem.high_weight),
        ((1.0 - problem.used), -problem.used_slopes, rows.loads, 1.0),
    ]
    margin = np.ones(len(steps))
    for at_rest, slopes, counted, weight in room:
        if not counted.any():
            continue
        least = (at_rest[counted][:, None] + slopes[counted] @ steps.T).min(axis=0)
        margin = np.minimum(margin, least / weight) if weight > 0.0 else np.where(least < -_FEASIBLE, -np.inf, margin)
    return np.asarray(_MOVE_PENALTY_PU * np.abs(steps).sum(axis=1) - margin)


@dataclass(frozen=True, eq=False)
class TapSolution:
    """Steps to move each regulator (whole, + up), the margin (pu, or share of a loading's limit) that the linear model
    promises, and the report.
    """

    steps: NDArray[np.int64]
    margin_pu: float
    report: SolveReport


def solve_taps(problem: TapProblem, *, margin_over: float = -np.inf, time_limit_s: float = 10.0) -> TapSolution | None:
    """Best steps (equation 7.2), or None if a limit of weight 0 cannot be kept at all, or no margin is above
    `margin_over`.
    """
    began_s = time.perf_counter()
    rows = _Rows.that_bind(problem)
    program = _program(problem, rows)
    # The penalty of the moves that there can be, besides.
    below = _MOVE_PENALTY_PU * float(np.maximum(problem.steps_down, problem.steps_up).sum()) - margin_over
    steps, is_told = best_whole(program, lambda steps: _objectives(problem, steps, rows), below)
    if not is_told:
        x, report = solve_linear_program(program, time_limit_s=time_limit_s)
        if x is None:
            return None
        found = TapSolution(np.rint(x[: len(problem.steps_up)]).astype(np.int64), float(x[-1]), report)
    elif steps is None:
        return None
    else:
        objective = float(problem.objectives(steps[None, :])[0])
        report = SolveReport(SolveStatus.OPTIMAL, objective, objective, 0.0, time.perf_counter() - began_s)
        margin = _MOVE_PENALTY_PU * float(np.abs(steps).sum()) - objective
        found = TapSolution(np.rint(steps).astype(np.int64), margin, report)
    return found if found.margin_pu > margin_over else None


def _program(problem: TapProblem, counted: _Rows) -> LinearProgram:
    """The model as a linear program, of some rows; columns n_r, d_r, m."""
    r = problem.slope_pu_per_step.shape[1]
    down, up = problem.steps_down.astype(float), problem.steps_up.astype(float)
    slope, used_slope, (lows, highs, loads) = problem.slope_pu_per_step, problem.used_slopes, counted
    identity, none = np.eye(r), np.zeros((r, 1))

    def rows(of: Floats, of_margin: float) -> Floats:
        return np.hstack([of, np.zeros((len(of), r)), np.full((len(of), 1), of_margin)])

    matrix = np.vstack(
        [
            rows(slope[lows], -problem.low_weight),  # (1)
            rows(slope[highs], problem.high_weight),  # (2)
            rows(used_slope[loads], 1.0),  # (4)
            np.hstack([-identity, identity, none]),
            np.hstack([identity, identity, none]),
        ]
    )
    n_low, n_high, n_loads = (int(kept.sum()) for kept in (lows, highs, loads))
    at_least, at_most = problem.v_min_pu - problem.lowest_pu[lows], problem.v_max_pu - problem.highest_pu[highs]
    return LinearProgram(
        cost=np.concatenate([np.zeros(r), np.full(r, _MOVE_PENALTY_PU), [-1.0]]),
        matrix=matrix,
        row_low=np.concatenate([at_least, np.full(n_high + n_loads, -np.inf), np.zeros(2 * r)]),
        row_high=np.concatenate([np.full(n_low, np.inf), at_most, 1.0 - problem.used[loads], np.full(2 * r, np.inf)]),
        low=np.concatenate([-down, np.zeros(r), [-1.0]]),
        high=np.concatenate([up, np.maximum(down, up), [1.0]]),
        integer=np.concatenate([np.ones(r), np.zeros(r + 1)]).astype(bool),
    )
