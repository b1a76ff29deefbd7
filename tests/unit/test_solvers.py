"""Solvers against something dumber: all tap combinations, all sizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from solvers.highs import LinearProgram, SparseProgram, solve_linear_program, solve_sparse_program
from solvers.outcome import SolverError, SolveStatus
from solvers.taps.settings import TapProblem, solve_taps

# --- taps


@st.composite
def tap_problems(draw: st.DrawFn, high_weight: float = 1.0) -> TapProblem:
    r, n = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    middle = rng.uniform(0.90, 1.10, n)
    spread = rng.uniform(0.0, 0.06, n)
    return TapProblem(
        lowest_pu=middle - spread,
        highest_pu=middle + spread,
        slope_pu_per_step=rng.uniform(-0.001, 0.007, (n, r)),
        steps_down=rng.integers(0, 4, r),
        steps_up=rng.integers(0, 4, r),
        v_min_pu=0.95,
        v_max_pu=1.05,
        high_weight=high_weight,
    )


def margin_of(problem: TapProblem, steps: np.ndarray) -> float:
    """Largest m that (1) and (2) leave at these steps; -inf if the upper limit cannot be kept."""
    moved = problem.slope_pu_per_step @ steps
    low = float((problem.lowest_pu + moved - problem.v_min_pu).min())
    room = float((problem.v_max_pu - problem.highest_pu - moved).min())
    if problem.high_weight == 0.0:
        return low if room >= -1e-9 else -math.inf
    return min(low, room / problem.high_weight)


def best_by_trying_all(problem: TapProblem) -> float:
    """Best objective m - 1e-6 sum |n_r| over every combination."""
    ranges = [range(-d, u + 1) for d, u in zip(problem.steps_down.tolist(), problem.steps_up.tolist(), strict=True)]
    return max(
        margin_of(problem, np.array(steps)) - 1e-6 * sum(map(abs, steps)) for steps in itertools.product(*ranges)
    )


@settings(max_examples=60, deadline=None)
@given(tap_problems())
def test_taps_are_the_best_of_all_combinations(problem: TapProblem) -> None:
    solution = solve_taps(problem)
    assert solution is not None
    assert solution.report.status is SolveStatus.OPTIMAL
    assert (-problem.steps_down <= solution.steps).all()
    assert (solution.steps <= problem.steps_up).all()
    assert solution.margin_pu == pytest.approx(margin_of(problem, solution.steps), abs=1e-6)
    objective = margin_of(problem, solution.steps) - 1e-6 * int(np.abs(solution.steps).sum())
    assert objective == pytest.approx(best_by_trying_all(problem), abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(tap_problems(high_weight=0.0))
def test_taps_that_serve_the_lower_limit_keep_the_upper_one_or_there_are_none(problem: TapProblem) -> None:
    best = best_by_trying_all(problem)
    solution = solve_taps(problem)
    if best == -math.inf:
        assert solution is None
    else:
        assert solution is not None
        objective = margin_of(problem, solution.steps) - 1e-6 * int(np.abs(solution.steps).sum())
        assert objective == pytest.approx(best, abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(tap_problems(high_weight=0.0), st.integers(1, 4), st.integers(0, 10**6))
def test_taps_load_the_circuit_least_among_those_inside_the_band(problem: TapProblem, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    used, slopes = rng.uniform(0.2, 1.2, n), rng.uniform(-0.02, 0.01, (n, len(problem.steps_up)))
    problem = replace(problem, low_weight=0.0, used=used, used_slope_per_step=slopes)
    ranges = [range(-d, u + 1) for d, u in zip(problem.steps_down.tolist(), problem.steps_up.tolist(), strict=True)]
    found = []
    for steps in itertools.product(*ranges):
        moved = problem.slope_pu_per_step @ steps
        inside = (problem.lowest_pu + moved).min() >= 0.95 - 1e-9 and (problem.highest_pu + moved).max() <= 1.05 + 1e-9
        if inside:
            found.append((1.0 - (used + slopes @ steps).max()) - 1e-6 * sum(map(abs, steps)))
    solution = solve_taps(problem)
    if not found:
        assert solution is None
    else:
        assert solution is not None
        assert solution.margin_pu - 1e-6 * np.abs(solution.steps).sum() == pytest.approx(max(found), abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(tap_problems(), st.floats(-0.05, 0.05))
def test_a_margin_that_is_not_reached_has_no_taps(problem: TapProblem, margin: float) -> None:
    best, solution = solve_taps(problem), solve_taps(problem, margin_over=margin)
    assert best is not None
    assert (solution is not None) == (best.margin_pu > margin)
    if solution is not None:
        assert solution.steps.tolist() == best.steps.tolist()


@pytest.mark.parametrize("tried_max", [0, 10])
def test_a_box_that_is_too_large_to_be_tried_is_branched(tried_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    middle, spread = rng.uniform(0.93, 1.03, 12), rng.uniform(0.01, 0.05, 12)
    steps = np.full(4, 16)
    slopes = rng.uniform(-0.001, 0.007, (12, 4))
    problem = TapProblem(middle - spread, middle + spread, slopes, steps, steps, 0.95, 1.05)
    tried = solve_taps(problem)
    monkeypatch.setattr("solvers.taps.branching._TRIED_MAX", tried_max)
    branched = solve_taps(problem)
    assert tried is not None
    assert branched is not None
    assert branched.steps.tolist() == tried.steps.tolist()


def test_ties_are_broken_by_fewer_moves() -> None:
    # A second regulator that moves nothing stays where it is, and so does one that could only balance the other.
    problem = TapProblem(
        np.array([0.94]), np.array([0.98]), np.array([[0.01, 0.0, -0.01]]), np.full(3, 5), np.full(3, 5), 0.95, 1.05
    )
    solution = solve_taps(problem)
    assert solution is not None
    assert np.abs(solution.steps).sum() == 4
    assert solution.steps[1] == 0
    assert solution.margin_pu == pytest.approx(0.03)


def test_tap_problems_of_unequal_shapes_are_refused() -> None:
    with pytest.raises(SolverError, match=r"voltages must have shape \(2,\)"):
        TapProblem(np.ones(1), np.ones(2), np.ones((2, 1)), np.ones(1, int), np.ones(1, int), 0.95, 1.05)
    with pytest.raises(SolverError, match=r"steps must have shape \(1,\)"):
        TapProblem(np.ones(2), np.ones(2), np.ones((2, 1)), np.ones(2, int), np.ones(1, int), 0.95, 1.05)


# --- linear programs


def program(**changes: object) -> LinearProgram:
    """max 5 x + 4 y, 6 x + 4 y <= 24, x + 2 y <= 6: 21 at (3, 1.5); whole numbers: 20 at (4, 0)."""
    figures = {
        "cost": np.array([-5.0, -4.0]),
        "matrix": np.array([[6.0, 4.0], [1.0, 2.0]]),
        "row_low": np.full(2, -np.inf),
        "row_high": np.array([24.0, 6.0]),
        "low": np.zeros(2),
        "high": np.full(2, np.inf),
        "integer": np.zeros(2, bool),
    }
    return LinearProgram(**(figures | changes))  # type: ignore[arg-type]


def test_a_textbook_program_and_its_whole_number_form() -> None:
    x, report = solve_linear_program(program())
    assert x is not None
    np.testing.assert_allclose(x, [3.0, 1.5], atol=1e-7)
    assert report.objective == pytest.approx(-21.0)
    assert report.status is SolveStatus.OPTIMAL
    x, report = solve_linear_program(program(integer=np.ones(2, bool)))
    assert x is not None
    np.testing.assert_allclose(x, [4.0, 0.0], atol=1e-7)
    assert (report.objective, report.gap) == (pytest.approx(-20.0), pytest.approx(0.0, abs=1e-6))


def test_programs_without_an_answer_say_why() -> None:
    x, report = solve_linear_program(program(row_low=np.array([30.0, -np.inf])))
    assert x is None
    assert report.status is SolveStatus.INFEASIBLE
    assert math.isnan(report.objective)
    _, report = solve_linear_program(program(matrix=np.array([[-1.0, 0.0], [0.0, -1.0]])))
    assert report.status is SolveStatus.UNBOUNDED
    with pytest.raises(SolverError, match="row_high has shape"):
        program(row_high=np.ones(3))


# --- HiGHS


def test_a_mixed_integer_solve_tells_its_cost_and_bound_on_the_way(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    n, m = 60, 25
    weights = rng.integers(5, 60, (m, n)).astype(np.float64)
    program = SparseProgram(
        -rng.integers(10, 70, n).astype(np.float64),
        csr_matrix(weights),
        np.full(m, -np.inf),
        weights.sum(axis=1) / 3.0,
        np.zeros(n),
        np.ones(n),
        np.ones(n, dtype=np.bool_),
    )
    told: list[tuple[float, float, float]] = []
    x, report = solve_sparse_program(
        program, time_limit_s=5.0, progress=lambda gap, cost, bound: told.append((gap, cost, bound))
    )
    assert x is not None
    assert told
    assert capfd.readouterr().out == ""
    costs = [cost for _, cost, _ in told]
    assert costs == sorted(costs, reverse=True)
    assert all(bound <= cost + 1e-6 for _, cost, bound in told)
    assert report.objective <= costs[-1] + 1e-6
    assert (weights @ x <= program.row_high + 1e-6).all()


# --- what HiGHS is asked with


SPARSE = SparseProgram(
    np.array([1.0]),
    csr_matrix(np.array([[1.0]])),
    np.array([2.5]),
    np.array([5.0]),
    np.array([0.0]),
    np.array([9.0]),
    np.array([True]),
)


@pytest.mark.parametrize("asked", [{"time_limit_s": math.nan}, {"mip_gap": math.nan}, {"mip_gap": -1.0}])
def test_a_limit_that_highs_would_not_keep_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(SolverError, match=r"must be numbers|does not take mip_rel_gap"):
        solve_sparse_program(SPARSE, **asked)


def test_seeds_beyond_those_of_highs_and_times_that_are_over_end_in_an_answer() -> None:
    _, report = solve_sparse_program(SPARSE, seed=2**63 - 1)
    assert report.status is SolveStatus.OPTIMAL
    assert solve_sparse_program(SPARSE, time_limit_s=-1.0)[1].status in (SolveStatus.TIME_LIMIT, SolveStatus.OPTIMAL)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [([], [], SolveStatus.OPTIMAL), ([-1.0], [0.0], SolveStatus.OPTIMAL), ([0.5], [1.0], SolveStatus.INFEASIBLE)],
)
def test_a_program_without_variables_is_optimal_where_its_rows_hold(
    low: list[float], high: list[float], status: SolveStatus
) -> None:
    none = np.zeros(0)
    matrix = csr_matrix((len(low), 0))
    x, report = solve_sparse_program(
        SparseProgram(none, matrix, np.array(low), np.array(high), none, none, np.zeros(0, dtype=np.bool_))
    )
    assert report.status is status
    assert (x is not None) == (status is SolveStatus.OPTIMAL)
