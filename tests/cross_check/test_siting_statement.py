"""The Pyomo statement of siting as users run it: the plans of the matrices, by more than one solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_siting_program import CASES, small_problem

from solvers.outcome import NoPlanError, SolverError, SolveStatus
from solvers.pyomo_solvers import check_solver, installed_solvers
from solvers.siting.problem import SitingPlan, SitingProblem, excess
from solvers.siting.pyomo_solve import solve_siting_statement
from solvers.siting.search import solve_exactly, solve_siting

SOLVERS = ("highs", "scip")


def same_plan(one: SitingPlan, other: SitingPlan) -> bool:
    return (
        one.placement() == other.placement()
        and np.allclose(one.pv_kw, other.pv_kw, atol=0.01)
        and np.allclose(one.site_kw, other.site_kw, atol=0.01)
        and (one.storage_kw > 0.0).tolist() == (other.storage_kw > 0.0).tolist()
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("case", CASES)
def test_a_statement_gives_the_plan_and_the_cost_of_the_matrices(case: str, solver: str) -> None:
    problem = small_problem(2, **CASES[case])  # type: ignore[arg-type]
    own, stated = solve_exactly(problem), solve_siting_statement(problem, solver, mip_gap=1e-9)
    # A solver may leave a row by its own tolerance, and rows are worth money.
    tolerance = 5e-6 * abs(own.cost.total) + 0.05
    assert stated.report.status is SolveStatus.OPTIMAL
    assert stated.cost.total == stated.report.objective == pytest.approx(own.cost.total, abs=tolerance)
    assert stated.report.bound == pytest.approx(own.cost.total, abs=tolerance)
    assert stated.report.gap < 1e-6
    if problem.penalty is None:
        assert excess(stated.predicted, problem.rows.low, problem.rows.high).max() <= 2e-6
    # Rows come in as they are broken; whoever knows them needs no more.
    assert len(stated.generated) < stated.n_rows_all
    again = solve_siting_statement(problem, solver, mip_gap=1e-9, known=stated.generated)
    assert set(again.generated) == set(stated.generated)
    assert again.cost.total == pytest.approx(own.cost.total, abs=tolerance)


# Limits that bind leave one optimum; elsewhere sizes and buses may be exchanged at no cost.
ONE_OPTIMUM = {
    "priced": (2, {"band": 0.012}),
    "priced, storage": (3, {"band": 0.012, "storage": True}),
    "priced, free sizes": (4, {"band": 0.012, "free_sizes": True}),
    "forbidden": (3, {"penalty": None, "band": 0.027}),
    "priced, storage by a schedule": (3, {"band": 0.012, "scheduled": True}),
    "forbidden, storage by a schedule": (4, {"penalty": None, "band": 0.03, "scheduled": True}),
    "forbidden, storage": (2, {"penalty": None, "band": 0.027, "storage": True}),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("case", ONE_OPTIMUM)
def test_where_there_is_one_optimum_it_is_the_same_plan(case: str, solver: str) -> None:
    seed, asked = ONE_OPTIMUM[case]
    problem = small_problem(seed, **asked)  # type: ignore[arg-type]
    assert same_plan(solve_siting_statement(problem, solver, mip_gap=1e-9).plan, solve_exactly(problem).plan)


@pytest.mark.parametrize("solver", SOLVERS)
def test_excluded_placements_are_left_out(solver: str) -> None:
    problem = small_problem(5)
    tried = []
    for _ in range(3):
        own = solve_siting(problem, mip_gap=1e-6, excluded=tried)
        stated = solve_siting_statement(problem, solver, mip_gap=1e-9, excluded=tried)
        assert stated.plan.placement() not in tried
        assert own.report.bound - 0.05 <= stated.cost.total <= own.cost.total + 0.05
        tried.append(stated.plan.placement())


def test_limits_that_cannot_be_kept_give_the_plan_that_breaks_least() -> None:
    problem = small_problem(6, penalty=None, band=0.004)
    stated = solve_siting_statement(problem, "highs")
    assert stated.report.status is SolveStatus.INFEASIBLE
    over = [excess(one.predicted, problem.rows.low, problem.rows.high) for one in (stated, solve_siting(problem))]
    weighted = [float((one @ problem.calendar.hours).sum()) for one in over]
    assert 0.0 < weighted[0] <= 1.05 * weighted[1] + 1.0


def test_counts_that_leave_no_plan_are_said() -> None:
    problem = small_problem(1)
    everywhere = [((), (0, 1)), ((), (0, 2)), ((), (1, 2)), ((), (1, 1))]
    none = replace(problem, pv=replace(problem.pv, zones=(replace(problem.pv.zones[0], count_max=0),)))
    with pytest.raises(NoPlanError):
        solve_siting_statement(none, "highs", excluded=everywhere)


def test_without_time_there_is_still_a_plan() -> None:
    problem = small_problem(7)
    found = solve_siting_statement(problem, "highs", time_limit_s=1e-9)
    assert found.report.status is SolveStatus.TIME_LIMIT
    assert len(set(found.plan.site_bus.tolist())) == 2
    assert found.report.bound == -np.inf


@pytest.mark.parametrize("solver", SOLVERS)
def test_sites_alone_without_a_regulator_are_placed(solver: str) -> None:
    problem = small_problem(3, penalty=None, band=0.05)
    rows = problem.rows
    bare: SitingProblem = replace(
        problem,
        pv=replace(problem.pv, sun=problem.pv.sun, size_min_kw=np.zeros(0), size_max_kw=np.zeros(0), zones=()),
        taps=replace(problem.taps, low=np.zeros(0, dtype=np.int64), high=np.zeros(0, dtype=np.int64)),
        rows=replace(rows, pv=rows.pv[:, :0], tap=rows.tap[:, :0]),
    )
    found = solve_siting_statement(bare, solver)
    assert found.report.status is SolveStatus.OPTIMAL
    assert found.cost.total == pytest.approx(solve_exactly(bare).cost.total, abs=1e-6)


def test_a_solver_that_is_not_there_is_named_with_those_that_are() -> None:
    assert {"highs", "scip"} <= set(installed_solvers())
    with pytest.raises(SolverError, match=r"no interface for the solver 'nosuch'; it has .*highs"):
        check_solver("nosuch")
    missing = next(name for name in ("gurobi", "knitro") if name not in installed_solvers())
    with pytest.raises(SolverError, match=rf"{missing}' is not installed .*pip install.*installed are highs"):
        solve_siting_statement(small_problem(1), missing)
