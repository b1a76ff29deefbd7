"""A siting program solved with its rows generated as they are broken, and the watch that is kept over a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvers.highs import SparseProgram, solve_sparse_program
from solvers.outcome import SolveReport, SolveStatus
from solvers.siting.matrices import SitingMatrices
from solvers.siting.problem import SitingPlan

Floats = NDArray[np.float64]

# Hears seconds, the best cost ($ a year) and its bound.
SolveProgress = Callable[[float, float, float], None]

_ROUNDS_MAX = 400
# Whole taps move voltages by half a step: rows so near to their limits (pu) are taken in before they are broken.
_NEAR_PU = 0.004
# The gap ($ a year) that is none, as HiGHS takes it.
_GAP_ABSOLUTE = 1e-6
_NO_SOLUTION = (SolveStatus.INFEASIBLE, SolveStatus.FAILED)


@dataclass(eq=False)
class SolveWatch:
    """Time, how HiGHS is to be run, and what it told."""

    limit_s: float
    mip_gap: float
    threads: int
    seed: int
    progress: SolveProgress
    began_s: float = field(default_factory=time.perf_counter)
    history: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time since it began (s)."""
        return time.perf_counter() - self.began_s

    @property
    def left_s(self) -> float:
        """Time that is left (s)."""
        return self.limit_s - self.seconds

    def note(self, cost: float, bound: float) -> None:
        """Keep, and tell, the cost of the best plan and a bound ($ a year)."""
        self.history.append((self.seconds, cost, bound))
        self.progress(self.seconds, cost, bound)


@dataclass(frozen=True, eq=False)
class Solved:
    """A solution of one program: the plan (None if there is none), a bound, the status."""

    plan: SitingPlan | None
    bound: float
    status: SolveStatus


@dataclass(frozen=True, eq=False)
class _Held:
    """The last linear program that was solved: its x and plan, its optimum ($ a year); optimal if no row is broken."""

    status: SolveStatus
    x: Floats | None = None
    plan: SitingPlan | None = None
    objective: float = -np.inf


def solve_with_rows(
    own: SitingMatrices,
    whole_taps: bool,
    mip_gap: float,
    watch: SolveWatch,
    *,
    fixed: SitingPlan | None = None,
    gap_absolute: float | None = None,
    tell: bool = False,
) -> Solved:
    """Solve, take in what is broken, until nothing is: first without wholeness, which is quick, then with it.

    What a whole solution breaks is taken in by linear programs with its whole numbers fixed. Others are looked for only
    if these then cost more than `mip_gap` (relative) or `gap_absolute` ($ a year) beyond the bound.
    """

    def solve(program: SparseProgram) -> tuple[Floats | None, SolveReport]:
        return solve_sparse_program(
            program,
            time_limit_s=max(0.1, watch.left_s),
            mip_gap=mip_gap,
            mip_gap_absolute=gap_absolute,
            threads=watch.threads,
            seed=watch.seed,
            progress=(lambda gap, cost, bound: watch.note(cost, bound)) if tell else None,
        )

    def hold(whole: Floats | None) -> _Held:
        """The linear program with whole numbers as in `whole` (or broken), with rows until none is broken."""
        held = _Held(SolveStatus.TIME_LIMIT)
        for _ in range(_ROUNDS_MAX):
            x, report = solve(own.program(whole_taps, fixed).linear(whole))
            if x is None or report.status is not SolveStatus.OPTIMAL:
                return replace(held, status=report.status)
            # What the rows that come in mean for x is not known: its plan is read before.
            held = _Held(SolveStatus.TIME_LIMIT, x, own.plan(x), report.objective)
            if own.generate(x, near_pu) == 0:
                return replace(held, status=SolveStatus.OPTIMAL)
            if watch.left_s <= 0.0:
                break
        return held

    near_pu = _NEAR_PU if whole_taps and fixed is None else 0.0
    held = hold(None)
    if held.status in _NO_SOLUTION:
        return Solved(None, np.inf, held.status)
    # Every such program leaves rows out, so its optimum is a bound for the whole.
    bound, holds = held.objective, held.status is SolveStatus.OPTIMAL
    if fixed is not None or (held.x is not None and holds and own.is_whole(held.x, whole_taps)):
        return Solved(held.plan, bound, held.status)
    plan: SitingPlan | None = None
    for _ in range(_ROUNDS_MAX if holds else 0):
        x, report = solve(own.program(whole_taps, fixed))
        if report.status in _NO_SOLUTION:
            return Solved(None, np.inf, report.status)
        if x is None:
            break
        plan, bound = own.plan(x), max(bound, report.bound)
        if report.status is not SolveStatus.OPTIMAL or watch.left_s <= 0.0:
            break
        if own.generate(x, near_pu) == 0:
            return Solved(plan, bound, SolveStatus.OPTIMAL)
        held = hold(x)
        if held.status is SolveStatus.OPTIMAL:
            plan = held.plan
            if held.objective - bound <= max(gap_absolute or _GAP_ABSOLUTE, mip_gap * abs(held.objective)):
                return Solved(plan, bound, SolveStatus.OPTIMAL)
    return Solved(plan, bound, SolveStatus.TIME_LIMIT)
