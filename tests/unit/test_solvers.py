"""Solvers against something dumber: all tap combinations, all sizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from solvers.highs import LinearProgram, SparseProgram, solve_linear_program, solve_sparse_program
from solvers.largest_feasible import LargestFeasible, find_largest_feasible, search_largest_feasible
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


# --- the largest feasible size


def searched(accepted: set[int], n_max: int, **options: Any) -> tuple[LargestFeasible, list[int]]:
    asked: list[int] = []

    def judge(n: int) -> bool:
        assert 1 <= n <= n_max
        asked.append(n)
        return n in accepted

    return find_largest_feasible(judge, n_max, **options), asked


def searched_at_once(accepted: set[int], n_max: int, at_once: int, **options: Any) -> tuple[LargestFeasible, list[int]]:
    """The same search by a judge who answers several sizes in a round; how many it was asked in each."""
    search = search_largest_feasible(n_max, at_once=at_once, **options)
    rounds: list[int] = []
    try:
        asked = next(search)
        while True:
            assert asked == tuple(sorted(set(asked)))
            rounds.append(len(asked))
            asked = search.send({n: n in accepted for n in asked})
    except StopIteration as end:
        return end.value, rounds


@given(n_max=st.integers(1, 400), at_once=st.integers(1, 6), data=st.data())
def test_several_sizes_at_once_give_the_largest_that_was_accepted(
    n_max: int, at_once: int, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    found, rounds = searched_at_once(accepted, n_max, at_once, start=data.draw(st.none() | st.integers(1, n_max)))
    assert found.judged == {n: n in accepted for n in found.judged}
    assert found.n == max((n for n, yes in found.judged.items() if yes), default=0)
    assert found.n_rejected == min((n for n, yes in found.judged.items() if not yes and n > found.n), default=None)
    assert max(rounds) <= max(at_once, 3)


@given(n_max=st.integers(1, 400), at_once=st.integers(1, 4), growth=st.floats(1.02, 3.0), data=st.data())
def test_a_search_that_shrinks_from_its_guess_gives_the_largest_that_was_accepted(
    n_max: int, at_once: int, growth: float, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    start = data.draw(st.integers(1, n_max))
    found, _ = searched_at_once(accepted, n_max, at_once, start=start, growth=growth, shrink=True)
    assert found.n == max((n for n, yes in found.judged.items() if yes), default=0)
    assert found.n_rejected == min((n for n, yes in found.judged.items() if not yes and n > found.n), default=None)
    answer = data.draw(st.integers(0, n_max))
    monotone, _ = searched_at_once(set(range(answer + 1)), n_max, at_once, start=start, growth=growth, shrink=True)
    assert monotone.n == answer


@given(answer=st.integers(50, 5000), off=st.floats(0.9, 1.1), at_once=st.integers(1, 3))
def test_a_good_guess_saves_questions(answer: int, off: float, at_once: int) -> None:
    options: dict[str, Any] = {"resolution": 0.005}
    blind, _ = searched_at_once(set(range(answer + 1)), 100_000, at_once, start=1, **options)
    guess = round(off * answer)
    guided, _ = searched_at_once(
        set(range(answer + 1)), 100_000, at_once, start=guess, growth=1.15, shrink=True, **options
    )
    assert guided.n == pytest.approx(answer, rel=0.006, abs=1)
    assert len(guided.judged) < len(blind.judged)


@given(n_max=st.integers(1, 3000), share=st.floats(0, 1), at_once=st.integers(2, 6))
def test_a_monotone_judge_is_asked_in_fewer_rounds(n_max: int, share: float, at_once: int) -> None:
    answer = round(share * n_max)
    found, rounds = searched_at_once(set(range(answer + 1)), n_max, at_once, start=1)
    assert found.n == answer
    assert len(rounds) <= math.log2(n_max) / at_once + math.log(n_max, at_once + 1) + 6


@settings(max_examples=200)
@given(n_max=st.integers(1, 3000), share=st.floats(0, 1), start=st.none() | st.integers(-3, 4000))
def test_a_monotone_judge_gives_the_exact_answer_in_few_questions(n_max: int, share: float, start: int | None) -> None:
    answer = round(share * n_max)
    found, asked = searched(set(range(answer + 1)), n_max, start=start)
    assert found.n == answer
    assert found.monotone
    assert found.n_rejected == (None if answer == n_max else answer + 1)
    assert len(asked) == len(set(asked))
    assert len(asked) <= 2 * math.log2(n_max) + 8  # doubling, bisection, and the sizes tried above


@settings(max_examples=300)
@given(n_max=st.integers(1, 400), data=st.data())
def test_any_judge_gives_the_largest_size_that_was_accepted_and_reports_the_gaps(
    n_max: int, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    found, asked = searched(accepted, n_max, start=data.draw(st.none() | st.integers(1, n_max)))
    yes = [n for n in asked if n in accepted]
    no = [n for n in asked if n not in accepted]
    assert found.judged == {n: n in accepted for n in asked}
    assert found.n == max(yes, default=0)
    assert found.n_rejected == min((n for n in no if n > found.n), default=None)
    assert found.rejected_below == tuple(sorted(n for n in no if n < found.n))
    assert found.monotone == (not found.rejected_below)
    if found.n < n_max:
        assert found.n + 1 in asked


def test_a_gap_right_above_the_answer_is_jumped() -> None:
    # Accepted up to 100 and at 105: bisection judges 104, 102 and 101 and stops at 100; 5 % above it there is more.
    found, asked = searched({*range(1, 101), 105}, 1000, start=1)
    assert found.n == 105
    assert not found.monotone
    assert found.rejected_below == tuple(sorted(n for n in asked if 100 < n < 105))
    assert 101 in found.rejected_below


@given(n_min=st.integers(1, 30), answer=st.integers(0, 60), start=st.none() | st.integers(1, 60))
def test_sizes_below_the_smallest_are_never_judged(n_min: int, answer: int, start: int | None) -> None:
    found, asked = searched(set(range(answer + 1)), 60, start=start, n_min=n_min)
    assert min(asked) >= n_min
    assert found.n == (answer if answer >= n_min else 0)


def test_judges_that_always_or_never_accept() -> None:
    found, asked = searched(set(range(1, 1001)), 1000)
    assert (found.n, found.n_rejected, asked) == (1000, None, [1000])
    found, asked = searched(set(), 1000)
    assert (found.n, found.monotone) == (0, True)
    assert found.n_rejected == 1
    assert len(asked) <= 11


def test_a_resolution_saves_questions_and_keeps_its_promise() -> None:
    exact, asked = searched(set(range(7001)), 10000)
    coarse, fewer = searched(set(range(7001)), 10000, resolution=0.05)
    assert exact.n == 7000
    assert len(fewer) < len(asked)
    assert 7000 / 1.06 <= coarse.n <= 7000


def test_nothing_to_search_is_zero() -> None:
    found = find_largest_feasible(lambda n: n <= 0, 0)
    assert (found.n, found.monotone) == (0, True)


@given(n_max=st.integers(1, 3000), below=st.integers(1, 24), data=st.data())
def test_sizes_looked_at_below_an_answer_never_change_it(n_max: int, below: int, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, n_max), max_size=6)))
    accepted = {n for n in range(1, n_max + 1) if sum(edge < n for edge in edges) % 2 == 0}
    start = data.draw(st.integers(1, n_max))
    alone, _ = searched_at_once(accepted, n_max, 2, start=start)
    found, rounds = searched_at_once(accepted, n_max, 2, start=start, below=below)
    assert (found.n, found.n_rejected) == (alone.n, alone.n_rejected)
    assert found.judged == {n: n in accepted for n in found.judged}
    assert max(rounds) <= max(3, below)
    # Everything that was tried up to there holds, and right above it something does not.
    assert all(yes for n, yes in found.judged.items() if n <= found.held_up_to)
    if found.rejected_below:
        assert not found.judged[found.held_up_to + 1]
    else:
        assert found.held_up_to == found.n


# Where 20 kW steps break the band on circuits whose capacitor bank acts by itself: (from, to, answer), in kW.
ACTING_BANKS = (((120, 180), (420, 720), 3269), ((120, 180), (420, 1040), (1280, 1360), 3781))


@pytest.mark.parametrize("bank", ACTING_BANKS)
def test_gaps_far_below_the_answer_are_found_down_to_the_lowest(bank: tuple[Any, ...]) -> None:
    *gaps, answer = bank
    accepted = {n for n in range(1, answer + 1) if not any(low <= n <= high for low, high in gaps)}
    found, _ = searched_at_once(accepted, 9000, 2, start=1664, growth=1.6, resolution=0.005, below=24)
    assert found.n == pytest.approx(answer, rel=0.006)
    assert found.held_up_to == 119
    for low, high in gaps[:2]:
        assert any(low <= n <= high for n in found.rejected_below)
    assert len(found.judged) < 80


def test_a_monotone_judge_is_asked_once_more_for_what_lies_below() -> None:
    accepted = set(range(1001))
    alone, before = searched_at_once(accepted, 9000, 2, start=900)
    found, after = searched_at_once(accepted, 9000, 2, start=900, below=12)
    assert found.monotone
    assert found.held_up_to == found.n == alone.n == 1000
    assert len(after) == len(before) + 1
    assert 8 <= after[-1] <= 12
    # What is known already is not asked for again.
    grown, _ = searched_at_once(accepted, 9000, 2, start=1, growth=1.2, below=8)
    assert len(grown.judged) == len(searched_at_once(accepted, 9000, 2, start=1, growth=1.2)[0].judged)


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
