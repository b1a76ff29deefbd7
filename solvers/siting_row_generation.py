"""A siting program solved with its rows generated as they are broken, and the watch that is kept over a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from solvers.highs import solve_sparse_program
from solvers.outcome import SolveStatus
from solvers.siting import SitingPlan
from solvers.siting_matrices import Mode, SitingMatrices

# Hears seconds, the best cost ($ a year) and its bound.
Progress = Callable[[float, float, float], None]

_ROUNDS_MAX = 400
# Whole taps move voltages by half a step: rows so near to their limits (pu) are taken in before they are broken.
_NEAR_PU = 0.004


@dataclass(eq=False)
class Watch:
    """Time, how HiGHS is to be run, and what it told."""

    limit_s: float
    mip_gap: float
    threads: int
    seed: int
    progress: Progress
    began_s: float = field(default_factory=time.perf_counter)
    history: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began_s

    @property
    def left_s(self) -> float:
        return self.limit_s - self.seconds

    def note(self, cost: float, bound: float) -> None:
        self.history.append((self.seconds, cost, bound))
        self.progress(self.seconds, cost, bound)


@dataclass(frozen=True, eq=False)
class Solved:
    """A solution of one program: the plan (None if there is none), a bound, the status."""

    plan: SitingPlan | None
    bound: float
    status: SolveStatus


def solve_with_rows(
    own: SitingMatrices,
    whole_taps: bool,
    mip_gap: float,
    watch: Watch,
    *,
    fixed: SitingPlan | None = None,
    gap_absolute: float | None = None,
    tell: bool = False,
) -> Solved:
    """Solve, take in what is broken, until nothing is: first without wholeness, which is quick, then with it."""
    bound, plan = -np.inf, None
    relaxed = fixed is None
    for _ in range(_ROUNDS_MAX):
        x, report = solve_sparse_program(
            own.program(Mode(whole_taps, relaxed, fixed)),
            time_limit_s=max(0.1, watch.left_s),
            mip_gap=mip_gap,
            mip_gap_absolute=gap_absolute,
            threads=watch.threads,
            seed=watch.seed,
            progress=(lambda gap, cost, bound: watch.note(cost, bound)) if tell and not relaxed else None,
        )
        if report.status in (SolveStatus.INFEASIBLE, SolveStatus.FAILED):
            return Solved(None, np.inf, report.status)
        if report.status is SolveStatus.OPTIMAL or (x is not None and not relaxed and fixed is None):
            # Every such program leaves rows out, so its bound is one for the whole.
            bound = max(bound, report.bound)
        if x is None:
            return Solved(plan, bound, SolveStatus.TIME_LIMIT)
        if not relaxed:
            plan = own.plan(x)
        n_new = own.generate(x, _NEAR_PU if whole_taps and fixed is None else 0.0)
        if report.status is not SolveStatus.OPTIMAL or watch.left_s <= 0.0:
            return Solved(plan, bound, SolveStatus.TIME_LIMIT)
        if n_new == 0:
            if not relaxed:
                return Solved(plan, bound, report.status)
            relaxed = False
    return Solved(plan, bound, SolveStatus.TIME_LIMIT)
