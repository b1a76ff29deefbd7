"""How the siting program is solved: where first, then the taps of every day, then how much (see `siting`).

The master decides everything with taps that may be broken numbers: its bound is one for the whole program. With what it
builds fixed, days have nothing in common, so the whole taps of each are a small program of its own. With these taps
fixed too, all sizes and the curtailment are a linear program. The plan that comes out has a cost; its distance to the
master's bound is the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from solvers.highs import solve_sparse_program
from solvers.outcome import NoPlanError, SolveReport, SolverError, SolveStatus
from solvers.siting.matrices import ROW_TOLERANCE, ProgramRow, SitingMatrices
from solvers.siting.problem import (
    CostParts,
    Placement,
    SitingPlan,
    SitingProblem,
    SitingSolution,
    cost_of,
    empty_plan,
    excess,
    predict,
)
from solvers.siting.row_generation import Solved, SolveProgress, SolveWatch, solve_with_rows
from solvers.siting.screening import implied_points
from solvers.siting.taps_by_day import FORBIDDEN_PENALTY, choose_whole_taps

Floats = NDArray[np.float64]

# Plans that are completed at most, after the first, to close the gap.
_ATTEMPTS_MAX = 6
# Shares of the master's site sizes for which whole taps are looked for, where sizes are free.
_SITE_SHARES = (1.0, 0.99, 0.98, 0.96, 0.93, 0.9, 0.85)
# Limits that whole taps break are narrowed by so many times what they are outside.
_NARROW_BY = 2.0
# Share of the gap asked for that the master may take up.
_MASTER_SHARE = 0.3
# The gap at which the plan that breaks least is good enough: it says what stands in the way.
_RELAXED_GAP = 0.05


def solve_siting(
    problem: SitingProblem,
    *,
    mip_gap: float = 1e-3,
    time_limit_s: float = 600.0,
    threads: int = 1,
    seed: int = 0,
    progress: SolveProgress = lambda seconds, cost, bound: None,
    known: Sequence[ProgramRow] = (),
    excluded: Sequence[Placement] = (),
) -> SitingSolution:
    """The best plan found, with a bound on what any plan costs; every row of equation 8.2 is kept or paid for.

    `known` rows of an earlier, similar problem save rounds of row generation. `excluded` placements are left out; they
    ask for a least PV size above 0. What is proved less well than `mip_gap` asks for has the status GAP_LEFT. At the
    time limit it is the best plan so far, with its gap; if none was found, one that builds no PV. If violations are
    forbidden but none can be avoided, it is the plan with the least, with the status INFEASIBLE.

    Raises `NoPlanError` if counts, budgets and exclusions leave no plan at all.
    """
    watch = SolveWatch(time_limit_s, mip_gap, threads, seed, progress)
    master, found = _solve_master(problem, known, excluded, watch)
    if found.status is SolveStatus.INFEASIBLE:
        return _least_broken(problem, master, excluded, watch)
    skip = master.skip
    bound, generated = found.bound, dict(master.generated)
    best = _complete(problem, found, master, generated, watch)
    candidate, tried, narrowed = best, [*excluded, best.plan.placement()], problem
    for _ in range(_ATTEMPTS_MAX):
        if (best.broken == 0.0 and best.cost.total - bound <= mip_gap * abs(best.cost.total)) or watch.left_s <= 0.0:
            break
        if best.broken == 0.0 and _free_sizes(problem):
            break  # whole taps cost every placement some size
        if best.broken > 0.0:
            # Broken taps held the limits, whole ones do not: keep away from the limits that they break.
            narrowed = _narrow(narrowed, _NARROW_BY * candidate.over)
        elif not (problem.pv.size_min_kw > 0.0).all():
            break
        # Or whole taps cost this placement something: another may do without.
        shut_out = excluded if best.broken > 0.0 else tried
        other = SitingMatrices(narrowed, tuple(generated), shut_out, skip)
        found = solve_with_rows(other, False, mip_gap * _MASTER_SHARE, watch)
        if found.plan is None or (best.broken == 0.0 and found.bound >= best.cost.total):
            break
        candidate = _complete(problem, found, other, generated, watch)
        tried.append(candidate.plan.placement())
        best = min(best, candidate, key=lambda c: (c.broken, c.cost.total))
    gap = relative_gap(best.cost.total, bound)
    watch.note(best.cost.total, bound)
    status = SolveStatus.GAP_LEFT if best.status is SolveStatus.OPTIMAL and gap > mip_gap else best.status
    return SitingSolution(
        plan=best.plan,
        cost=best.cost,
        predicted=best.predicted,
        report=SolveReport(status, best.cost.total, bound, gap, watch.seconds),
        generated=tuple(generated),
        n_rows_all=count_rows(problem),
        history=tuple(watch.history),
    )


def relax_taps(
    problem: SitingProblem,
    *,
    mip_gap: float = 1e-3,
    time_limit_s: float = 600.0,
    threads: int = 1,
    seed: int = 0,
    known: Sequence[ProgramRow] = (),
    excluded: Sequence[Placement] = (),
) -> SitingSolution:
    """The program with taps that may be broken numbers, which no tap changer can hold: a bound on what any plan costs.

    Its plan, with these taps rounded, is where a search may begin: its rows are not looked at again. If limits cannot
    all be kept (INFEASIBLE) it is what breaks least of those that were looked at until that was known.
    """
    watch = SolveWatch(time_limit_s, mip_gap, threads, seed, lambda seconds, cost, bound: None)
    master, found = _solve_master(problem, known, excluded, watch)
    plan, status, bound = found.plan, found.status, found.bound
    if status is SolveStatus.INFEASIBLE:
        plan, bound = _kept_best(problem, master, excluded, watch), float("nan")
    if plan is None:
        plan = first_plan(problem)
    g = predict(problem, plan)
    cost = cost_of(problem, plan, excess(g, problem.rows.low, problem.rows.high))
    gap = float("nan") if status is SolveStatus.INFEASIBLE else relative_gap(cost.total, bound)
    report = SolveReport(status, cost.total, bound, gap, watch.seconds)
    return SitingSolution(plan, cost, g, report, tuple(master.generated), count_rows(problem), tuple(watch.history))


def _kept_best(
    problem: SitingProblem, master: SitingMatrices, excluded: Sequence[Placement], watch: SolveWatch
) -> SitingPlan | None:
    """What breaks least of the limits that cannot all be kept, as far as they were generated; None if time ran out."""
    priced = replace(problem, penalty=FORBIDDEN_PENALTY)
    own = SitingMatrices(priced, tuple(master.generated), excluded, master.skip)
    x, _ = solve_sparse_program(
        own.program(whole_taps=False),
        time_limit_s=max(watch.left_s, 1.0),
        mip_gap=max(watch.mip_gap, _RELAXED_GAP),
        threads=watch.threads,
        seed=watch.seed,
    )
    return None if x is None else own.plan(x)


def _solve_master(
    problem: SitingProblem, known: Sequence[ProgramRow], excluded: Sequence[Placement], watch: SolveWatch
) -> tuple[SitingMatrices, Solved]:
    """Everything decided, with taps that may be broken; `NoPlanError` if counts and budgets alone leave no plan."""
    check_excluded(problem, excluded)
    master = SitingMatrices(problem, known, excluded, implied_points(problem))
    # No gap is taken from HiGHS: its incumbents have broken taps.
    found = solve_with_rows(master, False, watch.mip_gap * _MASTER_SHARE, watch, tell=True)
    if found.status is SolveStatus.INFEASIBLE and problem.penalty is not None:
        raise NoPlanError("counts and budgets leave no plan")
    return master, found


def _least_broken(
    problem: SitingProblem, master: SitingMatrices, excluded: Sequence[Placement], watch: SolveWatch
) -> SitingSolution:
    """The plan that breaks forbidden limits least, where none keeps them: it has no bound and no gap."""
    allowed = solve_siting(
        replace(problem, penalty=FORBIDDEN_PENALTY),
        mip_gap=max(watch.mip_gap, _RELAXED_GAP),
        time_limit_s=max(watch.left_s, 1.0),
        threads=watch.threads,
        seed=watch.seed,
        progress=watch.progress,
        known=tuple(master.generated),
        excluded=excluded,
    )
    over = excess(allowed.predicted, problem.rows.low, problem.rows.high)
    cost = cost_of(problem, allowed.plan, over)
    report = SolveReport(SolveStatus.INFEASIBLE, cost.total, float("nan"), float("nan"), watch.seconds)
    return replace(allowed, cost=cost, report=report)


def solve_exactly(
    problem: SitingProblem, *, mip_gap: float = 1e-9, time_limit_s: float = 600.0, seed: int = 0
) -> SitingSolution:
    """The optimum of the program in one piece, taps whole from the start: for small problems.

    Raises `SolverError` if there is none.
    """
    watch = SolveWatch(time_limit_s, mip_gap, 1, seed, lambda seconds, cost, bound: None)
    own = SitingMatrices(problem, (), (), implied_points(problem))
    found = solve_with_rows(own, True, mip_gap, watch)
    if found.plan is None:
        raise SolverError(f"the siting program is {found.status.value}")
    g = predict(problem, found.plan)
    cost = cost_of(problem, found.plan, excess(g, problem.rows.low, problem.rows.high))
    gap = relative_gap(cost.total, found.bound)
    watch.note(cost.total, found.bound)
    return SitingSolution(
        found.plan,
        cost,
        g,
        SolveReport(found.status, cost.total, found.bound, gap, watch.seconds),
        tuple(own.generated),
        count_rows(problem),
        tuple(watch.history),
    )


def check_excluded(problem: SitingProblem, excluded: Sequence[Placement]) -> None:
    """Raise `SolverError` if placements are to be left out that cannot be told apart."""
    if excluded and not (problem.pv.size_min_kw > 0.0).all():
        raise SolverError("placements can be told apart only if PV that is built has a least size above 0")


def relative_gap(cost: float, bound: float) -> float:
    """Distance of cost and bound, relative to the cost, or to the bound if nothing is earned or spent."""
    scale = abs(cost) if abs(cost) > 1e-6 * abs(bound) else abs(bound)
    return max(0.0, cost - bound) / max(scale, 1e-9)


def count_rows(problem: SitingProblem) -> int:
    """Rows (4) that there are, generated or not."""
    return int(np.isfinite(problem.rows.low).sum() + np.isfinite(problem.rows.high).sum())


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A plan with whole taps: cost, G predicted and how far that is outside (row, point), status of what made it.

    `broken` is the sum of what is outside where violations are forbidden.
    """

    plan: SitingPlan
    cost: CostParts
    predicted: Floats
    over: Floats
    broken: float
    status: SolveStatus


def _complete(
    problem: SitingProblem, found: Solved, master: SitingMatrices, generated: dict[ProgramRow, None], watch: SolveWatch
) -> _Candidate:
    """What the master found, with whole taps and then the best sizes for them; `generated` takes in new rows."""
    plan = found.plan if found.plan is not None else first_plan(problem)
    generated |= master.generated
    shares = _SITE_SHARES if problem.penalty is None and _free_sizes(problem) else _SITE_SHARES[:1]
    for share in shares:
        # At the edge of what broken taps can hold whole ones fail: step back until they do not.
        less = replace(plan, site_kw=np.maximum(share * plan.site_kw, problem.sites.size_min_kw))
        may_fail = share != shares[-1]
        tapped, of_days, holds = choose_whole_taps(problem, less, tuple(generated), watch, may_fail)
        if not holds and may_fail:
            continue
        sized = SitingMatrices(problem, tuple(generated), (), master.skip)
        polished = solve_with_rows(sized, True, watch.mip_gap, watch, fixed=tapped)
        generated |= sized.generated
        if polished.plan is not None or watch.left_s <= 0.0:
            break
    plan = tapped if polished.plan is None else polished.plan
    g = predict(problem, plan)
    over = excess(g, problem.rows.low, problem.rows.high)
    over[over <= 2.0 * ROW_TOLERANCE] = 0.0
    broken = float(over.sum()) if problem.penalty is None else 0.0
    status = found.status if of_days is SolveStatus.OPTIMAL else of_days
    return _Candidate(plan, cost_of(problem, plan, over), g, over, broken, status)


def _narrow(problem: SitingProblem, over: Floats) -> SitingProblem:
    """The problem with the limits of rows that are outside narrowed by as much, on the side where they are."""
    rows = problem.rows
    return replace(problem, rows=replace(rows, low=rows.low + over, high=rows.high - over))


def first_plan(problem: SitingProblem) -> SitingPlan:
    """What is given where none was found in time: no PV, every site at its smallest at some bus, taps as they stand."""
    sites, taps = problem.sites, problem.taps
    far = np.full((sites.n, problem.rows.site.shape[1]), 1.0)
    for k, b in sites.pairs:
        far[k, b] = 0.0
    _, bus = linear_sum_assignment(far)
    start = np.clip(0 if taps.start is None else taps.start, taps.low, taps.high)
    steps = np.repeat(start[:, None], len(problem.calendar.slot_day), axis=1)
    return empty_plan(problem.pv.n, problem.n_points, bus.astype(np.int64), sites.size_min_kw, steps)


def _free_sizes(problem: SitingProblem) -> bool:
    return bool((problem.sites.size_max_kw > problem.sites.size_min_kw).any())
