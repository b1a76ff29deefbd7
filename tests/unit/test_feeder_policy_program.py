"""The program that trains a policy, against numbers by hand and against a search over a grid."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from solvers.outcome import SolverError, SolveStatus
from solvers.policy_training.feeder_policy import FeederPolicyProblem, solve_feeder_policy, violation_rows

# One bus-phase, one output: the voltage at level 1 is 0.95 - 0.01 z pu, a level is worth 0.04 pu, the loss is 1 - x.
Z = np.array([-1.0, 0.0, 1.0, 2.0])
PROBLEM = FeederPolicyProblem(
    context=Z[:, None],
    voltage_pu=(0.95 - 0.01 * Z)[:, None],
    slope_pu=np.full((4, 1, 1), -0.04),
    level=np.ones((4, 1)),
    loss_weight=np.ones((4, 1)),
    loss_offset=np.array([[1.0]]),
    loss_slope=np.array([[-1.0]]),
    v_min_pu=0.95,
    v_max_pu=1.05,
    penalty_per_pu=1000.0,
    coefficients_max=5.0,
)


def cost(p: FeederPolicyProblem, offset: float, gain: float) -> float:
    """What is minimised, written down again for one output."""
    x = offset + gain * p.context[:, 0]
    loss = np.maximum(p.loss_offset[:, 0] + p.loss_slope[:, 0] * x[:, None], 0.0).max(axis=1) @ p.loss_weight[:, 0]
    total = float(loss)
    for i, m in product(range(len(x)), range(p.voltage_pu.shape[1])):
        at = [p.voltage_pu[i, m] + p.slope_pu[i, m, 0] * (level - p.level[i, 0]) for level in (0.0, 1.0, x[i])]
        if min(at[:2]) < p.v_min_pu:
            total += p.penalty_per_pu * max(min(p.v_min_pu, max(at[:2])) - at[2], 0.0)
        if max(at[:2]) > p.v_max_pu:
            total += p.penalty_per_pu * max(at[2] - max(p.v_max_pu, min(at[:2])), 0.0)
    return total / len(x)


def test_by_hand() -> None:
    found = solve_feeder_policy(PROBLEM)
    # Level 1 at z = 0 is just at the limit, each unit of z costs a quarter of a level; at z = -1 nothing is short.
    assert found.offset == pytest.approx([1.0], abs=1e-5)
    assert found.gain == pytest.approx(np.array([[-0.25]]), abs=1e-5)
    assert found.loss == pytest.approx((0.25 + 0.5) / 4, abs=1e-5)
    assert found.violation_pu == pytest.approx(0.0, abs=1e-8)
    assert found.report.status is SolveStatus.OPTIMAL
    assert found.report.objective == pytest.approx(cost(PROBLEM, 1.0, -0.25), abs=1e-5)


def test_without_coefficients_it_is_the_best_constant() -> None:
    found = solve_feeder_policy(replace(PROBLEM, coefficients_max=0.0))
    assert found.gain == pytest.approx(np.zeros((1, 1)))
    # Safe at z = 2.
    assert found.offset == pytest.approx([0.5], abs=1e-5)


def test_a_bound_between_is_kept_and_used_up() -> None:
    found = solve_feeder_policy(replace(PROBLEM, coefficients_max=0.1))
    assert np.abs(found.gain).sum() == pytest.approx(0.1, abs=1e-6)


def test_nothing_is_gained_below_the_smallest_size() -> None:
    # At z = 2 even level 0 is 0.04 pu short of the limit: asking for -1 would seem to help.
    out_of_reach = replace(PROBLEM, voltage_pu=np.array([[0.99], [0.99], [0.99], [0.87]]), coefficients_max=0.0)
    rows = violation_rows(out_of_reach)
    assert rows.record.tolist() == [3]
    found = solve_feeder_policy(replace(out_of_reach, context=np.zeros((4, 1))))
    assert found.offset == pytest.approx([0.0], abs=1e-5)


def test_overvoltage_asks_for_more_power() -> None:
    high = replace(PROBLEM, voltage_pu=np.full((4, 1), 1.02), slope_pu=np.full((4, 1, 1), -0.04))
    found = solve_feeder_policy(replace(high, loss_offset=np.zeros((1, 1)), loss_slope=np.zeros((1, 1))))
    # 1.02 at level 1 means 1.06 at level 0; a quarter of a level keeps 1.05, and more power than that is not asked for.
    assert found.offset == pytest.approx([0.25], abs=1e-4)


def test_against_a_search_over_a_grid() -> None:
    rng = np.random.default_rng(11)
    z = rng.normal(size=(12, 1))
    p = FeederPolicyProblem(
        context=z,
        voltage_pu=0.96 - 0.02 * z + 0.01 * rng.normal(size=(12, 3)),
        slope_pu=-0.04 + 0.01 * rng.normal(size=(12, 3, 1)),
        level=rng.uniform(0.3, 0.9, size=(12, 1)),
        loss_weight=rng.uniform(0.5, 1.0, size=(12, 1)),
        loss_offset=np.array([[0.5], [1.5]]),
        loss_slope=np.array([[-0.5], [-2.5]]),
        v_min_pu=0.95,
        v_max_pu=0.99,
        penalty_per_pu=60.0,
        coefficients_max=3.0,
    )
    found = solve_feeder_policy(p)
    grid = [cost(p, a, b) for a in np.linspace(-1.0, 2.0, 61) for b in np.linspace(-2.0, 2.0, 61)]
    exact = cost(p, float(found.offset[0]), float(found.gain[0, 0]))
    assert exact <= min(grid) + 1e-5
    assert exact == pytest.approx(min(grid), rel=0.03)
    assert found.report.objective == pytest.approx(exact, abs=2e-5)


def test_two_outputs_share_what_voltage_needs_by_what_it_costs() -> None:
    p = replace(
        PROBLEM,
        slope_pu=np.full((4, 1, 2), -0.04),
        level=np.ones((4, 2)),
        loss_weight=np.tile([0.9, 0.1], (4, 1)),
        loss_offset=np.ones((1, 2)),
        loss_slope=-np.ones((1, 2)),
    )
    found = solve_feeder_policy(p)
    assert found.gain[0, 0] == pytest.approx(0.0, abs=1e-5)
    assert found.gain[1, 0] == pytest.approx(-0.25, abs=1e-5)


def test_shapes_are_checked() -> None:
    with pytest.raises(SolverError, match="slope_pu has shape"):
        replace(PROBLEM, slope_pu=np.zeros((4, 2, 1)))
    with pytest.raises(SolverError, match="not finite"):
        replace(PROBLEM, voltage_pu=np.full((4, 1), np.nan))
