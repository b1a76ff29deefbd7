"""The Pyomo statement of unit commitment as users run it: cost, bound, plan and prices of the matrices."""

from __future__ import annotations

import numpy as np
import pytest
from test_unit_commitment import CASES, small_problem

from solvers.outcome import SolverError, SolveStatus
from solvers.unit_commitment.problem import cost_of, injections
from solvers.unit_commitment.pyomo_solve import solve_unit_commitment_statement
from solvers.unit_commitment.solve import solve_unit_commitment

GAP = 1e-5


@pytest.mark.parametrize(
    ("case", "solver"),
    [*((case, "highs") for case in CASES), ("far", "scip"), ("linear", "scip"), ("all costs", "scip")],
)
def test_a_statement_gives_what_the_matrices_give(case: str, solver: str) -> None:
    problem = small_problem(1, **CASES[case])  # type: ignore[arg-type]
    own = solve_unit_commitment(problem, mip_gap=GAP)
    stated = solve_unit_commitment_statement(problem, solver, mip_gap=GAP)
    assert stated.report.status is SolveStatus.OPTIMAL
    assert (
        stated.report.objective
        == cost_of(problem, stated.plan).total
        == pytest.approx(own.report.objective, rel=2.0 * GAP)
    )
    assert stated.report.bound <= min(own.report.objective, stated.report.objective) * (1.0 + 1e-9)
    assert stated.report.gap <= GAP * (1.0 + 1e-6)
    assert np.abs(injections(problem, stated.plan).sum(axis=1)).max() < 1e-4


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_outputs_and_prices_are_the_same_where_the_gap_leaves_one_plan(solver: str) -> None:
    """Whether a unit without a minimum output is on at 0 MW is a tie; what it gives is none."""
    problem = small_problem(0, alpha=0.3)
    own = solve_unit_commitment(problem, mip_gap=1e-6)
    stated = solve_unit_commitment_statement(problem, solver, mip_gap=1e-6)
    assert stated.plan.output_mw == pytest.approx(own.plan.output_mw, abs=0.5)
    assert stated.price_usd_per_mwh == pytest.approx(own.price_usd_per_mwh, abs=0.5)


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_a_day_without_a_plan_is_said(solver: str) -> None:
    problem = small_problem(0)
    problem.renewable_mw[:, 3] += 500.0
    with pytest.raises(SolverError, match="no commitment"):
        solve_unit_commitment_statement(problem, solver)
    with pytest.raises(SolverError, match="no plan within"):
        solve_unit_commitment_statement(small_problem(0), solver, time_limit_s=0.0)
