"""Whole tap steps that give every voltage as much room as possible.

Sets       regulators r, voltages i (bus-phases)
Data       lowest_i, highest_i   extreme voltages of a run at the present taps (pu)
           slope_ir              voltage change per step of regulator r (pu)
           down_r, up_r          steps left in either direction
           v_min, v_max          band (pu)
Variables  n_r whole steps, m margin (pu), free
max m - eps sum_r |n_r|, with |n_r| <= d_r
(1) lowest_i + sum_r slope_ir n_r >= v_min + m
(2) highest_i + sum_r slope_ir n_r <= v_max - high_weight m
(3) -down_r <= n_r <= up_r
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, solve_linear_program
from solvers.outcome import SolveReport, SolverError

Floats = NDArray[np.float64]

_MOVE_PENALTY_PU = 1e-6  # eps: breaks ties in favour of fewer moves, far below any margin that matters


@dataclass(frozen=True, eq=False)
class TapProblem:
    """Data of the model above. `high_weight` 1 shares the room between both limits; 0 takes all of it for the
    lower one and only keeps the upper limit.
    """

    lowest_pu: Floats
    highest_pu: Floats
    slope_pu_per_step: Floats
    steps_down: NDArray[np.int64]
    steps_up: NDArray[np.int64]
    v_min_pu: float
    v_max_pu: float
    high_weight: float = 1.0

    def __post_init__(self) -> None:
        n, r = self.slope_pu_per_step.shape
        if self.lowest_pu.shape != (n,) or self.highest_pu.shape != (n,):
            raise SolverError(f"voltages must have shape ({n},), got {self.lowest_pu.shape}, {self.highest_pu.shape}")
        if self.steps_down.shape != (r,) or self.steps_up.shape != (r,):
            raise SolverError(f"steps must have shape ({r},), got {self.steps_down.shape}, {self.steps_up.shape}")


@dataclass(frozen=True, eq=False)
class TapSolution:
    """Steps to move each regulator (whole, + up), the margin (pu) the linear model promises, and the report."""

    steps: NDArray[np.int64]
    margin_pu: float
    report: SolveReport


def solve_taps(problem: TapProblem, *, time_limit_s: float = 10.0) -> TapSolution | None:
    """Best steps, or None if the upper limit cannot be kept at all (only with `high_weight` 0) (equation 7.2)."""
    n, r = problem.slope_pu_per_step.shape
    zeros, ones = np.zeros((n, r)), np.ones((n, 1))
    identity, none = np.eye(r), np.zeros((r, 1))
    # Columns: n_r, d_r, m.
    matrix = np.vstack(
        [
            np.hstack([problem.slope_pu_per_step, zeros, -ones]),  # (1)
            np.hstack([problem.slope_pu_per_step, zeros, problem.high_weight * ones]),  # (2)
            np.hstack([-identity, identity, none]),
            np.hstack([identity, identity, none]),
        ]
    )
    row_low = np.concatenate([problem.v_min_pu - problem.lowest_pu, np.full(n, -np.inf), np.zeros(2 * r)])
    row_high = np.concatenate([np.full(n, np.inf), problem.v_max_pu - problem.highest_pu, np.full(2 * r, np.inf)])
    down, up = problem.steps_down.astype(float), problem.steps_up.astype(float)
    x, report = solve_linear_program(
        LinearProgram(
            cost=np.concatenate([np.zeros(r), np.full(r, _MOVE_PENALTY_PU), [-1.0]]),
            matrix=matrix,
            row_low=row_low,
            row_high=row_high,
            low=np.concatenate([-down, np.zeros(r), [-1.0]]),
            high=np.concatenate([up, np.maximum(down, up), [1.0]]),
            integer=np.concatenate([np.ones(r), np.zeros(r + 1)]).astype(bool),
        ),
        time_limit_s=time_limit_s,
    )
    if x is None:
        return None
    return TapSolution(np.rint(x[:r]).astype(np.int64), float(x[-1]), report)
