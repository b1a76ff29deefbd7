"""Tap steps for many cases at once: against all combinations where that is possible, and against its own promises."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.outcome import SolverError
from solvers.taps.moves import TapMoveProblem, choose_settings, search_tap_steps, tap_costs


@st.composite
def problems(draw: st.DrawFn, n_regulators: int | None = None) -> TapMoveProblem:
    r = n_regulators or draw(st.integers(1, 3))
    n, cases = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    middle, spread = rng.uniform(0.90, 1.10, (cases, n)), rng.uniform(0.0, 0.06, (cases, n))
    return TapMoveProblem(
        lowest_pu=middle - spread,
        highest_pu=middle + spread,
        slope_pu_per_step=rng.uniform(-0.001, 0.007, (n, r)),
        steps_down=rng.integers(0, 5, (cases, r)),
        steps_up=rng.integers(0, 5, (cases, r)),
        v_min_pu=0.95,
        v_max_pu=1.05,
    )


def every_setting(problem: TapMoveProblem, case: int) -> np.ndarray:
    ranges = [range(-d, u + 1) for d, u in zip(problem.steps_down[case], problem.steps_up[case], strict=True)]
    return np.array(list(itertools.product(*ranges)), dtype=np.int64)


def test_the_cost_by_hand() -> None:
    problem = TapMoveProblem(
        lowest_pu=np.array([[0.94, 1.00]]),
        highest_pu=np.array([[0.96, 1.047]]),
        slope_pu_per_step=np.array([[0.005], [0.005]]),
        steps_down=np.array([[1]]),
        steps_up=np.array([[2]]),
        v_min_pu=0.95,
        v_max_pu=1.05,
    )
    costs = tap_costs(problem, np.array([[[0], [1], [3]]]))
    # (2) at no room and at 0.005 pu of room, and the price of a step; three steps are out of range.
    stay = 0.01 + 0.1 * (0.015 + 5 * 0.002)
    up = (0.005 + 5 * 0.002) + 0.1 * (0.01 + 5 * 0.007) + 2e-4
    assert costs[0] == pytest.approx([stay, up, np.inf])


@settings(max_examples=60, deadline=None)
@given(problems(n_regulators=1))
def test_with_one_regulator_the_search_finds_the_best_of_all_settings(problem: TapMoveProblem) -> None:
    found = tap_costs(problem, search_tap_steps(problem)[:, None])[:, 0]
    for case in range(len(problem.lowest_pu)):
        every = np.broadcast_to(
            every_setting(problem, case), (len(problem.lowest_pu), *every_setting(problem, case).shape)
        )
        assert found[case] == pytest.approx(tap_costs(problem, every)[case].min(), abs=1e-11)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_search_keeps_the_ranges_and_never_ends_worse_than_it_began(problem: TapMoveProblem) -> None:
    steps = search_tap_steps(problem)
    assert (steps >= -problem.steps_down).all()
    assert (steps <= problem.steps_up).all()
    costs = tap_costs(problem, np.stack([steps, np.zeros_like(steps)], axis=1))
    assert (costs[:, 0] <= costs[:, 1]).all()


@settings(max_examples=30, deadline=None)
@given(problems())
def test_a_case_gets_the_same_alone(problem: TapMoveProblem) -> None:
    together = search_tap_steps(problem)
    for case in range(len(together)):
        of_case = {
            name: getattr(problem, name)[case : case + 1]
            for name in ("lowest_pu", "highest_pu", "steps_down", "steps_up")
        }
        assert (search_tap_steps(replace(problem, **of_case))[0] == together[case]).all()


def test_settings_are_chosen_greedily_until_none_helps() -> None:
    costs = np.array([[4.0, 1.0, 3.0, 9.0], [4.0, 9.0, 0.0, np.inf], [4.0, 9.0, 5.0, 4.0]])
    assert choose_settings(costs, 9) == [0, 2, 1]
    assert choose_settings(costs, 2) == [0, 2]
    assert choose_settings(costs, 1) == [0]


def test_shapes_are_checked() -> None:
    row, steps = np.ones((2, 3)), np.zeros((2, 1), dtype=np.int64)
    with pytest.raises(SolverError, match="slopes"):
        TapMoveProblem(row, row, np.ones((2, 1)), steps, steps, 0.95, 1.05)
    with pytest.raises(SolverError, match="steps must have shape"):
        TapMoveProblem(row, row, np.ones((3, 1)), steps[:1], steps, 0.95, 1.05)
    with pytest.raises(SolverError, match="column 4"):
        choose_settings(np.ones((2, 3)), 2, first=4)
