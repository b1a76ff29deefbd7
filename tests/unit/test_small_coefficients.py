"""A coefficient that is small for its unit counts as much as in another unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from solvers.highs import LinearProgram, RepeatedLinearProgram, SparseProgram, solve_linear_program
from solvers.outcome import SolverError, SolveStatus

SLOPE_PU_PER_KW, ROOM_PU, MOST_KW = 5e-7, 0.05, 1e6


def figures(unit_per_kw: float, bound: float = MOST_KW) -> dict[str, Any]:
    """The most power whose rise of voltage leaves the room: 100 MW, in any unit."""
    return {
        "cost": np.array([-1.0]),
        "matrix": np.array([[SLOPE_PU_PER_KW / unit_per_kw]]),
        "row_low": np.array([-np.inf]),
        "row_high": np.array([ROOM_PU]),
        "low": np.zeros(1),
        "high": np.array([bound * unit_per_kw]),
        "integer": np.zeros(1, bool),
    }


@pytest.mark.parametrize("bound", [MOST_KW, np.inf])
@pytest.mark.parametrize("unit_per_kw", [1.0, 1e3, 1e5], ids=["kW", "W", "cW"])
def test_a_slope_is_one_in_any_unit_of_power(unit_per_kw: float, bound: float) -> None:
    x, report = solve_linear_program(LinearProgram(**figures(unit_per_kw, bound)))
    assert x is not None
    assert report.status is SolveStatus.OPTIMAL
    assert x[0] / unit_per_kw == pytest.approx(ROOM_PU / SLOPE_PU_PER_KW)


def test_a_program_that_is_solved_again_and_again_keeps_its_slope() -> None:
    stated = figures(1e3)
    found = RepeatedLinearProgram(SparseProgram(**(stated | {"matrix": csr_matrix(stated["matrix"])}))).solve()
    assert found is not None
    assert found.x[0] / 1e3 == pytest.approx(ROOM_PU / SLOPE_PU_PER_KW)


def test_a_slope_that_highs_drops_in_any_case_is_refused() -> None:
    with pytest.raises(SolverError, match=r"moves a row by 0\.5 .* larger unit"):
        solve_linear_program(LinearProgram(**figures(1e6)))


def test_rounding_in_a_matrix_is_no_slope() -> None:
    matrix = np.array([[6.0, 4.0], [1.0, 2.0], [1e-17, 0.0]])
    program = LinearProgram(
        cost=np.array([-5.0, -4.0]),
        matrix=matrix,
        row_low=np.full(3, -np.inf),
        row_high=np.array([24.0, 6.0, 0.0]),
        low=np.zeros(2),
        high=np.full(2, 1e6),
        integer=np.zeros(2, bool),
    )
    x, _ = solve_linear_program(program)
    assert x is not None
    np.testing.assert_allclose(x, [3.0, 1.5], atol=1e-7)
