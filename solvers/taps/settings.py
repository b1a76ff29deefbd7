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

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, solve_linear_program
from solvers.outcome import SolveReport, SolverError

Floats = NDArray[np.float64]

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


@dataclass(frozen=True, eq=False)
class TapSolution:
    """Steps to move each regulator (whole, + up), the margin (pu, or share of a loading's limit) that the linear model
    promises, and the report.
    """

    steps: NDArray[np.int64]
    margin_pu: float
    report: SolveReport


def solve_taps(problem: TapProblem, *, time_limit_s: float = 10.0) -> TapSolution | None:
    """Best steps, or None if a limit of weight 0 cannot be kept at all (equation 7.2)."""
    n, r = problem.slope_pu_per_step.shape
    zeros, ones, b = np.zeros((n, r)), np.ones((n, 1)), len(problem.used)
    identity, none = np.eye(r), np.zeros((r, 1))
    # Columns: n_r, d_r, m.
    matrix = np.vstack(
        [
            np.hstack([problem.slope_pu_per_step, zeros, -problem.low_weight * ones]),  # (1)
            np.hstack([problem.slope_pu_per_step, zeros, problem.high_weight * ones]),  # (2)
            np.hstack([problem.used_slopes, np.zeros((b, r)), np.ones((b, 1))]),  # (4)
            np.hstack([-identity, identity, none]),
            np.hstack([identity, identity, none]),
        ]
    )
    row_low = np.concatenate([problem.v_min_pu - problem.lowest_pu, np.full(n + b, -np.inf), np.zeros(2 * r)])
    row_high = np.concatenate(
        [np.full(n, np.inf), problem.v_max_pu - problem.highest_pu, 1.0 - problem.used, np.full(2 * r, np.inf)]
    )
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
