"""The Pyomo statement of siting by any solver, with the results of `siting.search`: plan, cost, bound, gap, status.

Rows (4) come in where a solution breaks them, as in the matrices; everything else is the statement's own. Taps are
whole from the start, so that the bound is one for the program as it is stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from solvers.outcome import NoPlanError, SolveReport, SolverError, SolveStatus
from solvers.pyomo_solvers import solve_model
from solvers.siting.matrices import NOTHING_KW, ROW_TOLERANCE, ProgramRow
from solvers.siting.problem import (
    Placement,
    SitingPlan,
    SitingProblem,
    SitingSolution,
    cost_of,
    excess,
    predict,
)
from solvers.siting.pyomo_statement import siting_model
from solvers.siting.row_generation import SolveProgress, SolveWatch
from solvers.siting.search import check_excluded, count_rows, first_plan, relative_gap
from solvers.siting.taps_by_day import FORBIDDEN_PENALTY

Floats = NDArray[np.float64]

_ROUNDS_MAX = 200
# Broken rows of a point that come in together, the worst ones.
_ROWS_A_POINT = 6


@dataclass(frozen=True, eq=False)
class _Found:
    """What rounds of solving came to: plan (None if there is none), bound, status, rows that were written."""

    plan: SitingPlan | None
    bound: float
    status: SolveStatus
    at: tuple[tuple[int, int], ...]


def solve_siting_statement(
    problem: SitingProblem,
    solver: str,
    *,
    mip_gap: float = 1e-3,
    time_limit_s: float = 600.0,
    threads: int = 1,
    seed: int = 0,
    progress: SolveProgress = lambda seconds, cost, bound: None,
    known: Sequence[ProgramRow] = (),
    excluded: Sequence[Placement] = (),
) -> SitingSolution:
    """As `solve_siting`, by a solver of Pyomo (`pyomo_solvers.installed_solvers`).

    Raises `NoPlanError` if counts, budgets and exclusions leave no plan at all, `SolverError` if the solver is not
    there or fails.
    """
    check_excluded(problem, excluded)
    watch = SolveWatch(time_limit_s, mip_gap, threads, seed, progress)
    rows = tuple(dict.fromkeys((i, p) for i, p, _ in known))
    found = _solve(problem, solver, watch, rows, excluded)
    outside = found.status is SolveStatus.INFEASIBLE
    if outside:
        if problem.penalty is not None:
            raise NoPlanError("counts and budgets leave no plan")
        # The plan that breaks least says what stands in the way.
        found = _solve(replace(problem, penalty=FORBIDDEN_PENALTY), solver, watch, found.at, excluded)
        if found.status is SolveStatus.INFEASIBLE:
            raise NoPlanError("counts and budgets leave no plan")
    plan = found.plan if found.plan is not None else first_plan(problem)
    g = predict(problem, plan)
    over = excess(g, problem.rows.low, problem.rows.high)
    over[over <= 2.0 * ROW_TOLERANCE] = 0.0
    cost = cost_of(problem, plan, over)
    if outside:
        report = SolveReport(SolveStatus.INFEASIBLE, cost.total, float("nan"), float("nan"), watch.seconds)
    else:
        # A solver's tolerances may let a bound pass the cost of its own plan.
        bound = min(found.bound, cost.total) if found.status is SolveStatus.OPTIMAL else found.bound
        report = SolveReport(found.status, cost.total, bound, relative_gap(cost.total, bound), watch.seconds)
        watch.note(cost.total, bound)
    limits = problem.rows
    written = (
        (((i, p, -1), limits.low[i, p]) for i, p in found.at),
        (((i, p, 1), limits.high[i, p]) for i, p in found.at),
    )
    generated = tuple(row for side in written for row, limit in side if np.isfinite(limit))
    return SitingSolution(plan, cost, g, report, generated, count_rows(problem), tuple(watch.history))


def _solve(
    problem: SitingProblem,
    solver: str,
    watch: SolveWatch,
    known: Sequence[tuple[int, int]],
    excluded: Sequence[Placement],
) -> _Found:
    """Solve, write the rows that are broken, until none is."""
    at, plan, bound = dict.fromkeys(known), None, -np.inf
    for _ in range(_ROUNDS_MAX):
        model = siting_model(problem, at, excluded)
        if watch.left_s <= 0.0:
            break
        report = solve_model(
            model, solver, time_limit_s=watch.left_s, mip_gap=watch.mip_gap, threads=watch.threads, seed=watch.seed
        )
        if report.status is SolveStatus.INFEASIBLE:
            return _Found(None, np.inf, report.status, tuple(at))
        if report.status not in (SolveStatus.OPTIMAL, SolveStatus.TIME_LIMIT):
            raise SolverError(f"{solver} gave no plan: its status is {report.status.value!r}")
        if np.isnan(report.objective):
            break
        # Rows that are not written cost nothing: the bound of the part is one for the whole.
        plan, bound = _plan(model, problem), max(bound, report.bound)
        broken = _broken(problem, plan)
        new = [pair for pair in broken if pair not in at]
        if report.status is SolveStatus.OPTIMAL and not new:
            return _Found(plan, bound, report.status, tuple(at))
        at.update(dict.fromkeys(new))
        if report.status is SolveStatus.TIME_LIMIT:
            break
    return _Found(plan, bound, SolveStatus.TIME_LIMIT, tuple(at))


def _broken(problem: SitingProblem, plan: SitingPlan) -> list[tuple[int, int]]:
    """The worst (row, point) of every point that are outside their limits."""
    over = excess(predict(problem, plan), problem.rows.low, problem.rows.high)
    worst = np.argsort(-over, axis=0)[:_ROWS_A_POINT]
    points = np.broadcast_to(np.arange(problem.n_points), worst.shape)
    outside = over[worst, points] > ROW_TOLERANCE
    return list(zip(worst[outside].tolist(), points[outside].tolist(), strict=True))


def _plan(m: pyo.ConcreteModel, problem: SitingProblem) -> SitingPlan:
    """The decisions that a model holds; whole numbers are rounded, sizes of what is not built are 0."""
    pv, sites = problem.pv, problem.sites
    by_point = (pv.n, problem.n_points)
    built = _values(m.x, (pv.n,)) > 0.5
    size = np.where(built, np.clip(_values(m.S, (pv.n,)), 0.0, pv.size_max_kw), 0.0)
    size[size < NOTHING_KW] = 0.0
    bus, kw = np.zeros(sites.n, dtype=np.int64), np.zeros(sites.n)
    for k, candidates in enumerate(sites.candidates):
        bus[k] = max(candidates, key=lambda b: pyo.value(m.y[k, b]))
        kw[k] = np.clip(pyo.value(m.z[k, int(bus[k])]), sites.size_min_kw[k], sites.size_max_kw[k])
    taps = np.rint(_values(m.t, (problem.taps.n, len(problem.calendar.slot_day)))).astype(np.int64)
    curtailed = np.clip(_values(m.c, by_point), 0.0, size[:, None] * pv.sun)
    power, energy, discharge = np.zeros(pv.n), np.zeros(pv.n), np.zeros(by_point)
    if problem.storage is not None:
        power = _values(m.P, (pv.n,))
        keep = (size > 0.0) & (power > NOTHING_KW)
        power, energy = np.where(keep, power, 0.0), np.where(keep, _values(m.E, (pv.n,)), 0.0)
        discharge = np.where(keep[:, None], _values(m.b, by_point) - _values(m.a, by_point), 0.0)
    return SitingPlan(size, bus, kw, taps, curtailed, power, energy, discharge)


def _values(variable: pyo.Var, shape: tuple[int, ...]) -> Floats:
    """Values of an indexed variable in the order of its index; 0 where the solver was not asked."""
    found = np.array([one.value if one.value is not None else 0.0 for one in variable.values()], dtype=np.float64)
    return found.reshape(shape)
