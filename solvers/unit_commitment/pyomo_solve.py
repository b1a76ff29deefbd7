"""The Pyomo statement of unit commitment by any solver, with the results of `unit_commitment.solve`.

Tangents come in where the best plan runs, until the gap holds for the true cost; prices are those of its commitment.
"""

from __future__ import annotations

import time

import numpy as np
import pyomo.environ as pyo

from solvers.outcome import SolverError, SolveStatus
from solvers.pyomo_solvers import solve_model
from solvers.unit_commitment.matrices import even_tangents, refine
from solvers.unit_commitment.problem import (
    CommitmentPlan,
    Floats,
    UnitCommitmentProblem,
    UnitCommitmentSolution,
    cost_of,
)
from solvers.unit_commitment.pyomo_statement import unit_commitment_model
from solvers.unit_commitment.solve import NO_COMMITMENT, ROUNDS_MAX, no_plan, priced_solution, tangent_error_usd


def solve_unit_commitment_statement(
    problem: UnitCommitmentProblem,
    solver: str,
    *,
    mip_gap: float = 1e-3,
    time_limit_s: float = 60.0,
    threads: int = 1,
    seed: int = 0,
) -> UnitCommitmentSolution:
    """As `solve_unit_commitment`, by a solver of Pyomo (`pyomo_solvers.installed_solvers`); `n_programs` counts solves.

    Raises `SolverError` if no plan exists, none was found in time, or the solver is not there or fails.
    """
    began_s = time.perf_counter()
    deadline_s = began_s + time_limit_s
    tangents = even_tangents(problem, tangent_error_usd(problem, mip_gap))
    best, least, bound, solved = None, np.inf, -np.inf, 0
    for _ in range(ROUNDS_MAX):
        model = unit_commitment_model(problem, tangents)
        left_s = deadline_s - time.perf_counter()
        if left_s <= 0.0:
            break
        # Part of the gap stays for what tangents miss.
        report = solve_model(model, solver, time_limit_s=left_s, mip_gap=0.9 * mip_gap, threads=threads, seed=seed)
        solved += 1
        if report.status is SolveStatus.INFEASIBLE:
            raise no_plan(NO_COMMITMENT)
        if report.status not in (SolveStatus.OPTIMAL, SolveStatus.TIME_LIMIT):
            raise SolverError(f"{solver} gave no plan: its status is {report.status.value!r}")
        if np.isnan(report.objective):
            break
        found, bound = _plan(model, problem), max(bound, report.bound)
        if (its_cost := cost_of(problem, found).total) < least:
            best, least = found, its_cost
        if best is not None and bound >= least * (1.0 - mip_gap):
            break
        tangents = refine(tangents, found.output_mw)
    if best is None:
        raise no_plan(f"no plan within {time_limit_s:.4g} s")
    return priced_solution(
        problem, best, bound, tangents, mip_gap=mip_gap, threads=threads, began_s=began_s, n_programs=solved
    )


def _plan(m: pyo.ConcreteModel, problem: UnitCommitmentProblem) -> CommitmentPlan:
    """The decisions that a model holds."""
    centers, (hours, zones) = problem.datacenters, problem.load_mw.shape
    by_unit = (hours, problem.units.n)
    work = (len(centers.flexible), *centers.latency.shape)
    return CommitmentPlan(
        _values(m.u, by_unit) > 0.5,
        np.maximum(_values(m.p, by_unit), 0.0),
        np.maximum(_values(m.l, (hours, zones)), 0.0),
        _values(m.theta, (hours, len(centers.zone))),
        _values(m.W, work),
    )


def _values(variable: pyo.Var, shape: tuple[int, ...]) -> Floats:
    """Values of an indexed variable in the order of its index."""
    return np.array([one.value for one in variable.values()], dtype=np.float64).reshape(shape)
