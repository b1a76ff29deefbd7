"""Coordination's programs against the published single-level form, the statement, linear programs and hand figures."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pyomo.environ as pyo
import pytest
from coordination_cases import small_case
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kkt_statement import ideal_kkt_model, training_kkt_model
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from scipy.sparse import csc_matrix
from sklearn.linear_model import lars_path

from g2g_opt.transmission.system import SETTINGS, Settings, load_peak_records
from solvers.dispatch.projection import project_shifts
from solvers.dispatch.solve import solve_dispatch, solve_ideal_coordination
from solvers.dispatch.task_allocation import ShiftLimits, allocate_tasks, least_latency, shift_limits
from solvers.outcome import SolverError, SolveStatus
from solvers.policy_training.base_regression import train_base_regression
from solvers.policy_training.cvxpy_statement import TaskNetwork, solve_ideal_statement, solve_training_statement
from solvers.policy_training.training import train_policy
from solvers.quadratic.program import QuadraticProgram, certify, solve_quadratic_program
from studies.coordination_policy.setting import make_setting

Floats = NDArray[np.float64]

# Squares cost the second solver five times as much.
N_CASES, N_POLICIES = {"linear": 36, "quadratic": 20}, {"linear": 12, "quadratic": 8}

# SCIP's reader changes the locale of its process, so it gets one of its own: one for many programs.
_SCIP = """
import sys
import pyscipopt
for path in sys.argv[1:]:
    model = pyscipopt.Model()
    model.hideOutput()
    model.readProblem(path)
    model.setParam("limits/gap", 0.0)
    model.optimize()
    assert model.getStatus() == "optimal", (path, model.getStatus())
    print(repr(model.getObjVal()))
"""


def scip_objectives(models: list[pyo.ConcreteModel], folder: Path) -> Floats:
    paths = [folder / f"{k}.lp" for k in range(len(models))]
    for model, path in zip(models, paths, strict=True):
        model.write(str(path), io_options={"symbolic_solver_labels": False})
        # SCIP takes "x ^ 2" for two figures.
        path.write_text(path.read_text(encoding="utf-8").replace(" ^ 2", "^2"), encoding="utf-8")
    command, env = [sys.executable, "-c", _SCIP, *map(str, paths)], {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array([float(line) for line in done.stdout.split()])


@pytest.mark.parametrize("kind", N_CASES)
def test_single_level_form_and_matrices_agree(kind: str, tmp_path: Path) -> None:
    cases = [small_case(seed, curved=kind == "quadratic") for seed in range(N_CASES[kind])]
    ideal = [solve_ideal_coordination(c.system, c.load_mw, c.injected_mw, c.network()) for c in cases]
    own = [float(found.cost_usd.sum()) for found in ideal]
    wide = [solve_ideal_coordination(c.system, c.load_mw, c.injected_mw, c.network(3.0)).cost_usd.sum() for c in cases]
    n_binding = sum(cost < own_cost * (1.0 - 1e-4) for cost, own_cost in zip(wide, own, strict=True))
    assert n_binding >= len(cases) // 2, "the latency bound must matter in many of them"
    assert sum(found.shed_mw.sum() > 1.0 for found in ideal) >= 2
    models = [ideal_kkt_model(c.system, c.tasks, c.load_mw, c.injected_mw) for c in cases]
    trained = [c for c in cases if len(c.load_mw) > 1][: N_POLICIES[kind]]
    assert len(trained) == N_POLICIES[kind]
    moved = 0
    for c in trained:
        for free in (False, True):
            policy = train_policy(
                c.system, c.load_mw, c.injected_mw, c.network(), c.features, c.eps, free_intercept=free
            )
            assert policy.certified
            moved += np.abs(policy.matrix).sum() > 0.5
            own.append(policy.cost_usd)
            statement = (c.system, c.tasks, c.load_mw, c.injected_mw, c.features, c.eps)
            models.append(training_kkt_model(*statement, free_intercept=free))
    assert moved >= len(trained)
    np.testing.assert_allclose(own, scip_objectives(models, tmp_path), rtol=1e-6)


def test_conditions_single_out_the_followers_best_answer(tmp_path: Path) -> None:
    """With loads given, even a leader that wants latency gets the least there is; without (27f) it gets more."""
    bound, free, least = [], [], []
    for c in [small_case(seed, curved=False) for seed in range(1, 13)]:
        ideal = solve_ideal_coordination(c.system, c.load_mw, c.injected_mw, c.network())
        theta = 0.5 * (ideal.theta_mw + c.tasks.base_mw)
        least.append(float(least_latency(c.tasks.latency, theta, c.tasks.demand_mw).sum()))
        least[-1] -= len(theta) * float((c.tasks.latency * c.tasks.allocation_mw).sum())
        for models, kept in ((bound, True), (free, False)):
            m = ideal_kkt_model(c.system, c.tasks, c.load_mw, c.injected_mw)
            for (r, i), value in np.ndenumerate(theta):
                m.theta[r, i].setlb(value - 1e-4)
                m.theta[r, i].setub(value + 1e-4)
            m.cost.deactivate()
            m.most = pyo.Objective(expr=sum(m.loss[r] for r in m.records), sense=pyo.maximize)
            if not kept:
                m.eq_27f.deactivate()
            models.append(m)
    found = scip_objectives(bound + free, tmp_path)
    np.testing.assert_allclose(found[:12], least, atol=1e-2)
    assert (found[12:] > found[:12] + 1.0).sum() >= 6


@pytest.mark.parametrize("seed", range(100, 108))
def test_statement_and_matrices_agree_on_random_cases(seed: int) -> None:
    c = small_case(seed, curved=seed % 2 == 0)
    stated = solve_ideal_statement(c.system, c.tasks, c.load_mw, c.injected_mw)
    own = solve_ideal_coordination(c.system, c.load_mw, c.injected_mw, c.network())
    assert own.cost_usd.sum() == pytest.approx(stated.cost_usd, rel=1e-6)
    by_freedom = []
    for free in (False, True):
        grid, data = (c.system, c.tasks), (c.load_mw, c.injected_mw)
        trained = train_policy(c.system, *data, c.network(), c.features, c.eps, free_intercept=free)
        mean = solve_training_statement(*grid, *data, c.features, c.eps, free_intercept=free)
        assert trained.cost_usd == pytest.approx(mean.cost_usd, rel=1e-6)
        by_freedom.append(mean.cost_usd)
    assert by_freedom[1] <= by_freedom[0] * (1.0 + 1e-7)


@pytest.mark.parametrize("kind", SETTINGS)
def test_statement_and_matrices_agree_on_market_data(kind: Settings) -> None:
    setting, records = make_setting(kind, 0.2, 0.25), load_peak_records(kind)
    at = np.linspace(5, 540, 8).astype(np.int64)
    load, injected = records.load_mw[at], records.injected_mw[at]
    network, latency = setting.network, setting.system.latency
    tasks = TaskNetwork(network.zone, latency, setting.demand_mw, setting.allocation_mw, setting.alpha)
    stated = solve_ideal_statement(setting.dispatch, tasks, load, injected)
    own = setting.ideal(load, injected)
    assert own.cost_usd.sum() == pytest.approx(stated.cost_usd, rel=1e-6)
    base = setting.dispatched(load, injected, setting.base_mw)
    features = np.hstack([load, base.price_usd_per_mwh, injected, base.flow_mw])
    costs = []
    for eps in (0.01, 0.1, 10.0):
        trained = train_policy(setting.dispatch, load, injected, network, features, eps)
        mean = solve_training_statement(setting.dispatch, tasks, load, injected, features, eps)
        costs.append(mean.cost_usd)
        assert trained.certified
        assert trained.cost_usd == pytest.approx(mean.cost_usd, rel=1e-6)
        assert np.abs(mean.beta).sum() <= eps * (1.0 + 1e-5)
        # Half of |B|_1 never exceeds |beta|_1 of links that give the same B (9.8).
        assert 0.5 * np.abs(tasks.incidence @ mean.beta).sum() <= np.abs(mean.beta).sum() + 1e-9
    assert base.cost_usd.mean() > costs[0] > costs[1] > costs[2] >= own.cost_usd.mean() * (1.0 - 1e-6)


@pytest.mark.parametrize("kind", SETTINGS)
def test_price_lies_between_the_costs_of_more_and_of_less_load(kind: Settings) -> None:
    setting, records = make_setting(kind, 0.2, 0.25), load_peak_records(kind)
    step_mw, zones = 5.0, np.eye(11)
    smooth = 0
    for k in (7, 180, 400):
        load = setting.system.with_datacenters(records.load_mw[k], setting.base_mw)
        loads = np.vstack([load[None], load + step_mw * zones, load - step_mw * zones])
        found = solve_dispatch(setting.dispatch, loads, np.tile(records.injected_mw[k], (23, 1)))
        assert found.solved.all()
        up = (found.cost_usd[1:12] - found.cost_usd[0]) / step_mw
        down = (found.cost_usd[0] - found.cost_usd[12:]) / step_mw
        price = found.price_usd_per_mwh[0]
        assert ((down - 0.02 <= price) & (price <= up + 0.02)).all()
        smooth += int((up - down < 0.1).sum())
    assert smooth >= 20, "prices must be pinned down somewhere"


@pytest.mark.parametrize("kind", SETTINGS)
def test_dispatch_without_squares_is_a_linear_program(kind: Settings) -> None:
    setting, records = make_setting(kind, 0.2, 0.25), load_peak_records(kind)
    system = replace(setting.dispatch, quadratic_usd_per_mw2h=np.zeros(setting.dispatch.n_generators))
    at = np.array([3, 200, 210, 450])
    load = setting.system.with_datacenters(records.load_mw[at], setting.base_mw)
    own = solve_dispatch(system, load, records.injected_mw[at])
    at_zone = np.hstack([system.at_zone.T, np.eye(11)])
    rows = system.transfer_factors @ at_zone
    cost = np.concatenate([system.cost_usd_per_mwh, np.full(11, system.shed_usd_per_mwh)])
    for k, (d, injected) in enumerate(zip(load, records.injected_mw[at], strict=True)):
        flow = system.transfer_factors @ (injected - d)
        bounds = [*zip(system.power_min_mw, system.power_max_mw, strict=True), *((0.0, x) for x in d)]
        room = np.concatenate([system.lines.flow_max_mw - flow, flow - system.lines.flow_min_mw])
        found = linprog(cost, np.vstack([rows, -rows]), room, at_zone.sum(axis=0)[None], [(d - injected).sum()], bounds)
        assert own.cost_usd[k] == pytest.approx(found.fun, rel=1e-6)


def test_tasks_go_to_the_nearest_and_are_spread_where_equally_near() -> None:
    latency = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    found = allocate_tasks(latency, np.array([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(found, [[10.0, 10.0, 0.0], [0.0, 10.0, 30.0]], atol=1e-3)
    even = allocate_tasks(np.ones((3, 2)), np.array([3.0, 600.0]))
    np.testing.assert_allclose(even, [[1.0, 200.0]] * 3, rtol=1e-4)


def nearest_by_active_set(asked_mw: Floats, limits: ShiftLimits) -> Floats:
    """The nearest accepted loads as a least distance (Lawson and Hanson, 1974, chapter 23): finite, to a rounding.

    An interior point stops short of it where loads without shifts are all that is accepted.
    """
    n, total = len(asked_mw), limits.total_mw
    # Loads of the same sum, and the nearest of them without other limits.
    along = np.linalg.svd(np.ones((1, n)))[2][1:].T
    free = np.full(n, total / n) + along @ (along.T @ asked_mw)
    rows = np.vstack([-limits.rows, np.eye(n)])
    least = np.append(-limits.bound, np.zeros(n)) - 1e-12 * total
    stacked = np.vstack([(rows @ along).T, (least - rows @ free) / total])
    one = np.eye(n)[-1]
    left = stacked @ nnls(stacked, one)[0] - one
    return np.asarray(free - along @ (left[:-1] / left[-1]) * total)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.5, 2.0]))
@example(69, 0.1)
@example(404, 0.0)
@example(289, 0.1)
@settings(max_examples=40)
def test_projection_is_the_nearest_and_shrinking_keeps_the_most(seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    latency, demand = rng.uniform(0.0, 5.0, (n, m)), rng.uniform(10.0, 60.0, m)
    allocation = allocate_tasks(latency, demand)
    base = allocation.sum(axis=1)
    limits = shift_limits(latency, demand, float((latency * allocation).sum()), alpha)
    shift = rng.normal(0.0, 40.0, (3, n))
    shift -= shift.mean(axis=1, keepdims=True)
    nearest = project_shifts(base + shift, limits)
    for asked, got in zip(base + shift, nearest, strict=True):
        np.testing.assert_allclose(got, nearest_by_active_set(asked, limits), atol=5e-4)
        assert limits.excess(got) <= 1e-4
    np.testing.assert_allclose(project_shifts(base[None], limits), base[None], atol=1e-4)
    share = limits.shrink(base, shift)
    kept = base + share[:, None] * shift
    assert (limits.excess(kept) <= limits.excess(base) + 1e-6).all()
    further = base + (share[:, None] + 1e-3) * shift
    assert (limits.excess(further)[share < 1.0] > limits.excess(kept)[share < 1.0]).all()


def test_rounding_of_an_idle_datacenter_does_not_stop_a_shift() -> None:
    limits = ShiftLimits(np.zeros((0, 3)), np.zeros(0), 10.0)
    assert limits.shrink(np.array([5.0, 5.0, 0.0]), np.array([2.0, -2.0, -1e-14])) == 1.0


def program(cost: list[float], low: float, high: float, row_high: float) -> QuadraticProgram:
    n = len(cost)
    none = csc_matrix((0, n))
    one_row = csc_matrix(np.ones((1, n)))
    ends = (np.array([-np.inf]), np.array([row_high]), np.full(n, low), np.full(n, high))
    return QuadraticProgram(csc_matrix(np.eye(n)), np.array(cost), none, np.zeros(0), one_row, *ends)


def test_only_the_optimum_with_its_multipliers_is_certified() -> None:
    # min x'x/2 - 2 x1 - 2 x2, x1 + x2 <= 2, 0 <= x <= 5: x = (1, 1) with a multiplier of 1.
    p, x, none, one, zero = program([-2.0, -2.0], 0.0, 5.0, 2.0), np.ones(2), np.zeros(0), np.ones(1), np.zeros(2)
    assert certify(p, x, none, one, zero).holds
    assert not certify(p, x + np.array([1e-4, -2e-4]), none, one, zero).holds
    assert not certify(p, x + 1e-3, none, one, zero).holds
    assert not certify(p, x, none, 1.001 * one, zero).holds
    assert not certify(p, x, none, -one, zero).holds
    assert not certify(p, x, none, one, np.array([0.01, 0.0])).holds
    assert not certify(p, x * np.nan, none, one, zero).holds
    assert not certify(p, x, none, one, zero * np.nan).holds


def test_a_multiplier_that_presses_against_nothing_certifies_nothing() -> None:
    p = program([1.0], -np.inf, np.inf, 5.0)  # min x^2 / 2 + x: x = -1, not 0
    assert not certify(p, np.zeros(1), np.zeros(0), np.zeros(1), -np.ones(1)).holds
    assert not certify(p, np.zeros(1), np.zeros(0), -np.ones(1), np.zeros(1)).holds
    assert solve_quadratic_program(p).x == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["low", "high", "row_high", "cost"])
def test_a_program_with_a_nan_is_refused(name: str) -> None:
    sound = program([1.0, 2.0], 0.0, 1.0, 1.5)
    with pytest.raises(SolverError, match=f"{name} has values"):
        replace(sound, **{name: np.full_like(getattr(sound, name), np.nan)})


def test_an_infeasible_program_is_failed() -> None:
    found = solve_quadratic_program(program([1.0, 1.0], 2.0, 5.0, 3.0))
    assert found.status is SolveStatus.FAILED
    case = small_case(4, curved=True)
    must = case.system.power_max_mw
    lines = case.system.lines
    open_lines = replace(lines, flow_min_mw=lines.flow_min_mw - 1e4, flow_max_mw=lines.flow_max_mw + 1e4)
    wide = replace(case.system, power_min_mw=must, lines=open_lines)
    load = np.full((2, wide.n_zones), must.sum() / wide.n_zones) * [[0.5], [1.0]]
    dispatch = solve_dispatch(wide, load, 0.0 * load)
    assert dispatch.solved.tolist() == [False, True]
    assert np.isnan(dispatch.cost_usd[0])


def test_base_regression_without_a_bound_is_least_squares_along_links() -> None:
    rng = np.random.default_rng(1)
    x, shift = rng.normal(size=(20, 3)), rng.normal(0.0, 20.0, (20, 4))
    shift -= shift.mean(axis=1, keepdims=True)
    links = (shift[:, :, None] - shift[:, None, :])[:, *np.triu_indices(4, 1)] / 4.0
    of_features = np.hstack([np.ones((20, 1)), x])
    missed = links - of_features @ np.linalg.lstsq(of_features, links)[0]
    own = train_base_regression(x, shift, 1e4)
    assert own.certified
    assert own.cost_usd == pytest.approx((missed**2).sum() / 20.0, rel=1e-6)


def test_base_regression_is_the_lasso_path_of_scikit_learn_where_links_leave_no_choice() -> None:
    """Two datacenters share one link: |beta|_1 is half of |B|_1 whatever beta, so the program in B relaxes nothing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 6))
    along = x @ np.array([3.0, 0.0, -2.0, 0.5, 0.0, 1.0]) + rng.normal(0.0, 0.5, 40)
    shift = np.column_stack([along, -along])
    of_features = np.hstack([np.ones((40, 1)), x])
    _, _, path = lars_path(of_features, along, method="lasso")
    bounds = np.abs(path).sum(axis=0)
    for eps in (0.5, 2.0, 4.0, 6.0):
        beta = np.array([np.interp(eps, bounds, row) for row in path])
        missed = ((along - of_features @ beta) ** 2).mean()
        own = train_base_regression(x, shift, eps)
        assert own.certified
        assert own.cost_usd == pytest.approx(missed, rel=1e-6)
        assert own.matrix[0] == pytest.approx(beta, abs=1e-4)
        assert own.matrix[1] == pytest.approx(-beta, abs=1e-4)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_constant_feature_moves_nothing_whatever_the_tie(scaled: bool) -> None:
    case = small_case(4, curved=True)
    rounding = 1e-9 * np.arange(len(case.features))[:, None]
    features = np.hstack([100.0 * case.features, 500.0 + rounding])
    direction = np.random.default_rng(4).normal(size=(case.network().n, 4))
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), features, case.eps)
    policy = train_policy(*arguments, tie_direction=direction, scale=features.std(axis=0) if scaled else None)
    asked = case.tasks.base_mw + np.hstack([np.ones((len(features), 1)), features]) @ policy.matrix.T
    assert (policy.matrix[:, -1] == 0.0).all()
    assert case.network().limits.excess(asked).max() <= 1e-3


def test_bad_input_is_named() -> None:
    c = small_case(4, curved=True)
    network, grid = c.network(), (c.system, c.load_mw, c.injected_mw)
    latency, demand = c.tasks.latency, c.tasks.demand_mw
    bad = {
        "alpha": [lambda alpha=alpha: shift_limits(latency, demand, 1.0, alpha) for alpha in (-0.1, np.nan)],
        "latency": [
            lambda: shift_limits(latency * np.nan, demand, 1.0, 0.1),
            lambda: shift_limits(latency, demand, np.nan, 0.1),
            lambda: TaskNetwork(c.tasks.zone, latency[:, 1:], demand, c.tasks.allocation_mw, 0.1),
        ],
        "demand": [lambda d=d: allocate_tasks(latency, d) for d in (-demand, demand[1:], demand * np.nan)],
        "eps": [lambda eps=eps: train_policy(*grid, network, c.features, eps) for eps in (-1.0, np.nan)],
        "records": [
            lambda: train_policy(*grid, network, c.features[1:], 1.0),
            lambda: train_policy(*grid, network, c.features[:0], 1.0),
            lambda: train_base_regression(c.features, np.zeros((1, 2)), 1.0),
        ],
        "features": [lambda: train_policy(*grid, network, c.features * np.nan, 1.0)],
        "scale": [lambda: train_policy(*grid, network, c.features, 1.0, scale=np.zeros(2))],
        "load_mw": [
            lambda: solve_dispatch(c.system, c.load_mw[:, 1:], c.injected_mw),
            lambda: solve_dispatch(c.system, c.load_mw * np.nan, c.injected_mw),
        ],
        "injected_mw": [lambda: solve_ideal_coordination(c.system, c.load_mw, c.injected_mw[:, 1:], network)],
        "theta_mw": [lambda: project_shifts(np.full((1, network.n), np.nan), network.limits)],
    }
    for name, calls in bad.items():
        for call in calls:
            with pytest.raises(SolverError, match=name):
                call()


@pytest.mark.parametrize("eps", [0.3, 3.0, 1e4])
def test_base_regression_of_few_records_is_that_of_squares(eps: float) -> None:
    """With fewer records than features, against the same program stated by cvxpy; a free fit misses nothing."""
    rng = np.random.default_rng(3)
    x, shift = rng.normal(size=(6, 9)), rng.normal(0.0, 20.0, (6, 4))
    shift -= shift.mean(axis=1, keepdims=True)
    own = train_base_regression(x, shift, eps)
    assert own.certified
    matrix = cp.Variable((4, 10))
    miss = np.hstack([np.ones((6, 1)), x]) @ matrix.T - shift
    bounds = [cp.sum(cp.abs(matrix)) <= 2.0 * eps, cp.sum(matrix, axis=0) == 0.0]
    stated = cp.Problem(cp.Minimize(cp.sum_squares(miss) / (6 * 4)), bounds)
    stated.solve(solver=cp.CLARABEL)
    assert own.cost_usd == pytest.approx(stated.value, rel=1e-5, abs=1e-5)
    of_policy = ((own.shifts_mw(x) - shift) ** 2).sum() / (6 * 4)
    assert own.cost_usd == pytest.approx(of_policy, rel=1e-5, abs=1e-4)
