"""Solving day-ahead unit commitment with flexible datacenters: bounds, plan and prices of `problem`.

`solve_unit_commitment` searches the commitments with tangents for the quadratic cost (`search`), hands
what takes long there to the mixed-integer solver, puts more tangents where the best plan runs until the gap holds for
the true cost, and prices the plan with its commitment fixed.
"""

from __future__ import annotations

import time

import numpy as np

from solvers.highs import RepeatedLinearProgram, solve_sparse_program
from solvers.outcome import SolveReport, SolverError, SolveStatus
from solvers.unit_commitment.matrices import (
    Tangents,
    commitment_program,
    even_tangents,
    needs_decision,
    refine,
    undershoot,
)
from solvers.unit_commitment.problem import (
    CommitmentPlan,
    Floats,
    UnitCommitmentProblem,
    UnitCommitmentSolution,
    cost_of,
    injections,
)
from solvers.unit_commitment.search import CommitmentSearch, SearchEnd

# Rounds of search with finer tangents, and of the last dispatch; a share of the cost that is as good as none.
ROUNDS_MAX = 6
_EXACT = 1e-6
# So many linear programs of our own search, then the solver's; fewer where more than so many commitments hang together.
_PROGRAMS_MAX, _TOGETHER_MAX, _MANY = 200, 25, 200
NO_COMMITMENT = "no commitment meets the load and the limits"


def solve_unit_commitment(
    problem: UnitCommitmentProblem,
    *,
    mip_gap: float = 1e-3,
    time_limit_s: float = 60.0,
    threads: int = 1,
    seed: int = 0,
) -> UnitCommitmentSolution:
    """The cheapest plan found and what it costs (equation 9.9); within `mip_gap` of the best one if the status is
    optimal.

    Raises `SolverError` if no plan exists, or none was found in time.
    """
    began_s = time.perf_counter()
    deadline_s = began_s + time_limit_s
    tangents = even_tangents(problem, tangent_error_usd(problem, mip_gap))
    best, least, bound, solved = None, np.inf, -np.inf, 0
    programs_max = _TOGETHER_MAX if _many_decide_together(problem) else _PROGRAMS_MAX
    for _ in range(ROUNDS_MAX):
        program, columns = commitment_program(problem, tangents)
        search = CommitmentSearch(
            problem, program, columns, mip_gap=mip_gap, deadline_s=deadline_s, threads=threads, seed=seed
        )
        end = search.run([best.on[:, columns.decided]] if best is not None else [], programs_max)
        found, reached, solved = search.plan, search.bound, solved + search.solved
        left_s = deadline_s - time.perf_counter()
        if end is SearchEnd.LONG and left_s > 0.0:
            # Part of the gap stays for what tangents miss.
            x, report = solve_sparse_program(
                program, time_limit_s=left_s, mip_gap=0.9 * mip_gap, seed=seed, threads=threads, start=search.x
            )
            found = columns.plan(problem, x) if x is not None else found
            reached = max(reached, report.bound) if x is not None else reached
        bound = max(bound, reached)
        if found is not None and (its_cost := cost_of(problem, found).total) < least:
            best, least = found, its_cost
        if best is None or bound >= least * (1.0 - mip_gap) or time.perf_counter() > deadline_s:
            break
        for outputs in (*search.outputs_mw, best.output_mw):
            tangents = refine(tangents, outputs)
    if best is None:
        late = time.perf_counter() > deadline_s
        raise no_plan(f"no plan within {time_limit_s:.4g} s" if late else NO_COMMITMENT)
    return priced_solution(
        problem, best, bound, tangents, mip_gap=mip_gap, threads=threads, began_s=began_s, n_programs=solved
    )


def _many_decide_together(problem: UnitCommitmentProblem) -> bool:
    """Do hours on cost most of many units something, or last, whatever they give?"""
    units = problem.units
    lasts = np.maximum(units.min_up_h, units.min_down_h) > 1
    holds = (units.min_mw > 0.0) | (units.no_load_usd_per_h > 0.0) | lasts
    return bool(holds.mean() > 0.5 and problem.n_hours * needs_decision(problem).sum() > _MANY)


def relaxed_commitment_usd(problem: UnitCommitmentProblem, *, mip_gap: float = 1e-3, threads: int = 1) -> float:
    """What (1a) would cost if units could be on in part (0 <= u <= 1), to a hundredth of the gap, from below.

    Raises `SolverError` if there is no such plan.
    """
    tangents, cost = even_tangents(problem, tangent_error_usd(problem, mip_gap)), np.nan
    for _ in range(ROUNDS_MAX):
        program, columns = commitment_program(problem, tangents)
        found = RepeatedLinearProgram(program, threads=threads).solve()
        if found is None:
            raise no_plan(NO_COMMITMENT)
        cost = found.objective
        output = np.maximum(found.x[columns.p], 0.0)
        if undershoot(problem, tangents, output) <= 0.01 * mip_gap * abs(cost):
            break
        tangents = refine(tangents, output)
    return cost


def no_plan(reason: str) -> SolverError:
    """Why there is no solution, for whoever raises it."""
    return SolverError(f"unit commitment: {reason}")


def priced_solution(
    problem: UnitCommitmentProblem,
    best: CommitmentPlan,
    bound: float,
    tangents: Tangents,
    *,
    mip_gap: float,
    threads: int,
    began_s: float,
    n_programs: int,
) -> UnitCommitmentSolution:
    """The solution that a plan is, whoever found it: dispatched again with its commitment fixed, for its prices."""
    again, price, missed = _dispatch(
        problem, refine(tangents, best.output_mw), best, min(_EXACT, 0.1 * mip_gap), threads
    )
    # The tangents' optimum may cost more than what it replaces, by no more than they miss.
    plan = min((best, again), key=lambda one: cost_of(problem, one).total)
    cost = cost_of(problem, plan)
    bound = min(bound, cost.total)
    gap = (cost.total - bound) / max(abs(cost.total), 1e-9)
    status = SolveStatus.OPTIMAL if gap <= mip_gap * (1.0 + 1e-6) else SolveStatus.TIME_LIMIT
    centers = problem.datacenters
    charge = price[np.ix_(centers.window, centers.zone)] * plan.theta_mw[centers.window]
    report = SolveReport(status, cost.total, bound, gap, time.perf_counter() - began_s)
    flow = injections(problem, plan) @ problem.transfer_factors.T
    return UnitCommitmentSolution(plan, cost, flow, price, charge, missed, report, n_programs)


def tangent_error_usd(problem: UnitCommitmentProblem, mip_gap: float) -> float:
    """How much tangents may miss by, per unit and hour: together the gap, of the cost without ramps and lines."""
    units = problem.units
    order = np.argsort(units.cost_usd_per_mwh)
    wanted = (problem.load_mw - problem.renewable_mw).sum(axis=1) + problem.datacenters.base_mw.sum(axis=1)
    below = np.concatenate([[0.0], np.cumsum(units.max_mw[order])[:-1]])
    used = np.clip(wanted[:, None] - below, 0.0, units.max_mw[order])
    least = float((used @ units.cost_usd_per_mwh[order]).sum())
    return max(mip_gap * least / max(problem.n_hours * units.n, 1), 1e-3)


def _dispatch(
    problem: UnitCommitmentProblem, tangents: Tangents, plan: CommitmentPlan, exact: float, threads: int
) -> tuple[CommitmentPlan, Floats, float]:
    """The best dispatch of a plan's commitment, its prices (hour, zone), and what tangents still miss, in $."""
    total = cost_of(problem, plan).total
    for _ in range(ROUNDS_MAX):
        program, columns = commitment_program(problem, tangents)
        solver = RepeatedLinearProgram(program, threads=threads)
        on = plan.on[:, columns.decided].astype(float)
        solver.bound(columns.u.ravel(), on.ravel(), on.ravel())
        found = solver.solve()
        if found is None:
            raise SolverError("unit commitment: the plan's commitment cannot be dispatched again")
        price = found.row_dual[columns.zone_rows]
        plan = columns.plan(problem, found.x)
        missed = undershoot(problem, tangents, plan.output_mw)
        if missed <= exact * total:
            break
        tangents = refine(tangents, plan.output_mw)
    return plan, price, missed
