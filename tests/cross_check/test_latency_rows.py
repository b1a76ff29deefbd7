"""Rows of latency: least latency against the transport problem, and rows that are stated when loads break them."""

from __future__ import annotations

import numpy as np
import pytest
from coordination_cases import small_case
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from solvers.dispatch import solve as dispatch_solve
from solvers.dispatch import task_allocation
from solvers.dispatch.projection import project_shifts
from solvers.dispatch.solve import solve_ideal_coordination
from solvers.dispatch.task_allocation import allocate_tasks, dual_vertices, least_latency, shift_limits
from solvers.dispatch.transport import TransportProblem
from solvers.policy_training.training import train_policy
from solvers.quadratic.program import QuadraticProgram, QuadraticSolution, solve_quadratic_program
from studies.coordination_policy.setting import make_setting

Floats = NDArray[np.float64]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Floats, Floats]:
    """Latency, demand and loads of the same sum; whole and real tables, users without work, idle datacenters."""
    n, m = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = draw(st.booleans())
    latency = rng.uniform(0.0, 3.0, (n, m)).round(0 if whole else 15)
    demand = rng.uniform(0.1, 1.0, m) * (rng.random(m) < 0.8)
    share = rng.dirichlet(np.full(n, 0.5))
    return latency, demand, share * demand.sum()


def transport_latency(latency: Floats, theta: Floats, demand: Floats) -> float:
    n, m = latency.shape
    sums = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    found = linprog(latency.ravel(), A_eq=sums, b_eq=np.concatenate([theta, demand]))
    assert found.status == 0
    return float(found.fun)


@given(tables())
@settings(max_examples=150)
def test_least_latency_is_the_transport_problem(table: tuple[Floats, Floats, Floats]) -> None:
    latency, demand, theta = table
    own = float(least_latency(latency, theta, demand))
    assert own == pytest.approx(transport_latency(latency, theta, demand), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("alpha", "n_facets"), [(0.25, 138), (1.0, 71), (2.0, 25)])
def test_facets_of_the_bundled_latency(alpha: float, n_facets: int) -> None:
    setting = make_setting("physical", 0.2, alpha)
    limits = setting.network.limits
    assert len(dual_vertices(setting.system.latency)[0]) == 165
    kept = np.ones(len(limits.rows), dtype=np.bool_)
    for k, row in enumerate(limits.rows):
        kept[k] = False
        most = linprog(-row, limits.rows[kept], limits.bound[kept], np.ones((1, 5)), [limits.total_mw])
        kept[k] = -most.fun > limits.bound[k] + 1e-6
    assert kept.sum() == n_facets


@given(tables())
@settings(max_examples=60, deadline=None)
def test_the_row_that_binds_at_loads_gives_their_latency(table: tuple[Floats, Floats, Floats]) -> None:
    latency, demand, theta = table
    problem = TransportProblem(latency, demand)
    # Also of users that differ only in how far everything is away: one profile stands for them.
    own = problem.prices(np.vstack([theta, theta]))
    least = float((own[1] * theta).sum()) - float(problem.bound(own[1:], 0.0)[0])
    assert least == pytest.approx(float(least_latency(latency, theta, demand)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(24))
def test_rows_of_latency_that_are_stated_when_they_are_broken_give_the_same(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = small_case(seed, curved=seed % 2 == 0)
    whole = case.network()
    monkeypatch.setattr(task_allocation, "_STATED_MAX", 0)
    some = case.network()
    assert whole.limits.transport is None
    assert some.limits.transport is not None
    arguments = case.system, case.load_mw, case.injected_mw
    all_rows, own = (solve_ideal_coordination(*arguments, network) for network in (whole, some))
    assert (own.solved == all_rows.solved).all()
    assert own.cost_usd == pytest.approx(all_rows.cost_usd, rel=1e-6, nan_ok=True)
    assert own.network is not None
    assert (whole.limits.excess(own.theta_mw[own.solved]) <= 1e-3).all()
    trained = [train_policy(*arguments, network, case.features, case.eps) for network in (whole, some)]
    assert trained[1].certified == trained[0].certified
    assert trained[1].cost_usd == pytest.approx(trained[0].cost_usd, rel=1e-6, nan_ok=True)
    rng = np.random.default_rng(seed)
    shift = rng.normal(0.0, 30.0, (20, whole.n))
    shift -= shift.mean(axis=1, keepdims=True)
    loads = whole.base_mw + shift
    assert ((some.limits.excess(loads) <= 1e-3) == (whole.limits.excess(loads) <= 1e-3)).all()
    assert some.limits.shrink(whole.base_mw, shift) == pytest.approx(
        whole.limits.shrink(whole.base_mw, shift), abs=1e-4
    )
    assert project_shifts(loads, some.limits) == pytest.approx(project_shifts(loads, whole.limits), abs=2e-2)


def test_records_that_break_no_new_row_are_not_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_allocation, "_STATED_MAX", 0)
    case = small_case(7, curved=True)
    rng = np.random.default_rng(0)
    load = case.load_mw[:1] * rng.uniform(0.5, 1.1, (40, 1)) * rng.uniform(0.8, 1.2, (40, case.system.n_zones))
    injected = np.zeros_like(load)
    sizes: list[int] = []

    def counted(program: QuadraticProgram) -> QuadraticSolution:
        sizes.append(len(program.cost))
        return solve_quadratic_program(program)

    monkeypatch.setattr(dispatch_solve, "solve_quadratic_program", counted)
    own = solve_ideal_coordination(case.system, load, injected, case.network())
    assert len(sizes) > 1
    assert max(sizes[1:]) < sizes[0]
    monkeypatch.setattr(task_allocation, "_STATED_MAX", 10**6)
    whole = case.network()
    right = solve_ideal_coordination(case.system, load, injected, whole)
    assert own.cost_usd == pytest.approx(right.cost_usd, rel=1e-6)
    assert own.solved.all()
    assert all(certificate.holds for certificate in own.certificates)
    assert (whole.limits.excess(own.theta_mw) <= 1e-3).all()


def test_many_datacenters_state_few_rows_and_keep_every_latency() -> None:
    """Twelve datacenters and forty users on a line: of very many vertices, those that loads break are stated."""
    rng = np.random.default_rng(5)
    places, users = np.linspace(0, 39, 12).round(), np.arange(40)
    latency = np.abs(places[:, None] - users)
    demand = rng.uniform(1.0, 5.0, 40)
    allocation = allocate_tasks(latency, demand)
    limits = shift_limits(latency, demand, float((latency * allocation).sum()), 0.25)
    asked = rng.dirichlet(np.full(12, 2.0), 12) * demand.sum()
    nearest = project_shifts(asked, limits)
    least = [transport_latency(latency, theta, demand) for theta in nearest]
    most = 1.25 * float((latency * allocation).sum())
    assert max(least) <= most + 1e-2
    assert (limits.excess(asked) > 1.0).any()
    assert (limits.excess(nearest) <= 1e-3).all()
    known = shift_limits(latency, demand, float((latency * allocation).sum()), 0.1, limits)
    assert len(known.rows) == len(limits.rows)
    assert known.bound == pytest.approx(limits.bound - 0.15 * float((latency * allocation).sum()))
