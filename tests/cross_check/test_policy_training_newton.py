"""Contextual training by its structure: a Newton step against the dense system, an optimum against another solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coordination_cases import Case, small_case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from g2g_opt.transmission.system import SETTINGS, Settings
from solvers.dispatch import blocks as dispatch_forms
from solvers.dispatch.blocks import dispatch_blocks
from solvers.policy_training import training as policy_training
from solvers.policy_training.base_regression import train_base_regression
from solvers.policy_training.batch_ldl import BatchLdl
from solvers.policy_training.newton import TrainingNewton
from solvers.policy_training.policy_step import PolicyStep, PolicyTerms, _root
from solvers.policy_training.training import train_policy
from solvers.quadratic.interior_point import InteriorPoint, NewtonProgram, _refined
from solvers.quadratic.program import solve_quadratic_program
from studies.coordination_policy.peak_hour import fit_contextual, make_case
from studies.coordination_policy.question import CoordinationQuestion

Floats = NDArray[np.float64]

BY_STRUCTURE = "interior point by structure"


def awkward_case(seed: int) -> Case:
    """As `small_case`, with a generator that must run, one that cannot move, and a zone that generates by itself."""
    case = small_case(seed, curved=seed % 2 == 0)
    low, high = case.system.power_min_mw.copy(), case.system.power_max_mw.copy()
    low[0], low[1], high[1] = 0.1 * high[0], 20.0, 20.0
    load, injected = case.load_mw.copy(), case.injected_mw.copy()
    free = np.setdiff1d(np.arange(case.system.n_zones), case.tasks.zone)
    load[:, free[:1]], injected[:, free[:1]] = -5.0, 0.0
    return replace(
        case, system=replace(case.system, power_min_mw=low, power_max_mw=high), load_mw=load, injected_mw=injected
    )


@pytest.fixture(params=["by transfer factors", "by angles"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by angles":
        monkeypatch.setattr(dispatch_forms, "ZONES_BY_FACTORS", 0)
        monkeypatch.setattr(policy_training, "_in_general_s", lambda terms: np.inf)
    return str(request.param)


def newton_program(case: Case) -> TrainingNewton:
    network, rng = case.network(), np.random.default_rng(0)
    x = np.hstack([np.ones((len(case.features), 1)), case.features])
    shape = (2, network.n, x.shape[1])
    terms = PolicyTerms(x, rng.uniform(0.1, 2.0, shape), 1.0, rng.uniform(0.0, 1e-3, shape), rng.normal(size=shape))
    blocks = dispatch_blocks(case.system, case.load_mw, case.injected_mw, network, keep_sum=False)
    return TrainingNewton(blocks, case.system, network, network.base_mw / blocks.power_mw, terms)


@given(st.integers(0, 2**20), st.floats(0.0, 6.0))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_newton_step_solves_the_dense_system(form: str, seed: int, decades: float) -> None:
    program, rng = newton_program(awkward_case(seed)), np.random.default_rng(seed)
    n, n_equal = len(program.cost), len(program.equal_to)
    rows = np.column_stack([program.rows(e) for e in np.eye(n)])
    equal = np.column_stack([program.equal(e) for e in np.eye(n)])
    z, y = rng.normal(size=len(rows)), rng.normal(size=n_equal)
    np.testing.assert_allclose(program.rows_adjoint(z), rows.T @ z, atol=1e-12)
    np.testing.assert_allclose(program.equal_adjoint(y), equal.T @ y, atol=1e-12)
    weight = 10.0 ** rng.uniform(-decades, decades, len(rows))
    curvature = program.curvature + 1e-6
    dense = np.block(
        [[np.diag(curvature) + rows.T @ (weight[:, None] * rows), equal.T], [equal, np.zeros((n_equal, n_equal))]]
    )
    a, b = rng.normal(size=n), rng.normal(size=n_equal)
    if form == "by transfer factors":
        step = np.concatenate(program.newton(curvature, weight)(a, b))
    else:
        # Pivots in an order that is fixed cost digits, which refinement brings back as long as some are left.
        step = np.concatenate(_refined(program, curvature, weight)(a, b))
    # Of many digits that weights of twelve decades cost, the iteration needs a few: it refines the rest.
    left = dense @ step - np.append(a, b)
    assert np.abs(left).max() <= 10.0 ** (decades - 10.0) * max(1.0, np.abs(step).max())


@pytest.mark.parametrize("seed", range(40))
def test_optimum_is_that_of_a_general_solver(seed: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = awkward_case(seed) if seed % 2 else small_case(seed, curved=seed % 4 == 0)
    direction = np.random.default_rng(seed).normal(size=(case.network().n, 3)) if seed % 3 == 0 else None
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    own = train_policy(*arguments, tie_direction=direction)
    monkeypatch.setattr(policy_training, "solve_quadratic_program", lambda program, _: solve_quadratic_program(program))
    other = train_policy(*arguments, tie_direction=direction)
    assert own.solver == BY_STRUCTURE
    assert other.solver != BY_STRUCTURE
    # Without a direction the least move makes the policy itself unique, where records tell its features apart.
    assert own.certified == other.certified
    assert own.certified
    assert own.cost_usd == pytest.approx(other.cost_usd, rel=1e-6)


def test_phase_shifters_and_free_lines_are_trained_by_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shift in a line and a line without a limit, one of negative reactance: as by transfer factors."""
    case = small_case(6, curved=True)
    lines = case.system.lines
    low, high = lines.flow_min_mw.copy(), lines.flow_max_mw.copy()
    low[0], high[0] = -np.inf, np.inf
    reactance = lines.reactance.copy()
    reactance[1] *= -0.2
    shift = np.where(np.arange(len(lines)) == 2, 3.0 * reactance, 0.0)
    lines = replace(lines, reactance=reactance, shift=shift, flow_min_mw=low, flow_max_mw=high)
    case = replace(case, system=replace(case.system, lines=lines))
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    by_factors = train_policy(*arguments)
    monkeypatch.setattr(dispatch_forms, "ZONES_BY_FACTORS", 0)
    monkeypatch.setattr(policy_training, "_in_general_s", lambda terms: np.inf)
    by_angles = train_policy(*arguments)
    assert by_factors.solver == by_angles.solver == BY_STRUCTURE
    assert by_angles.certified
    assert by_angles.cost_usd == pytest.approx(by_factors.cost_usd, rel=1e-6)
    np.testing.assert_allclose(by_angles.matrix, by_factors.matrix, atol=1e-2)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("eps", [0.0, 0.1, 1e4])
def test_market_data_needs_no_general_solver(kind: Settings, eps: float) -> None:
    case = make_case(CoordinationQuestion(settings=kind), 0.35, 0.25)
    policy = fit_contextual(CoordinationQuestion(settings=kind), case, np.arange(0, 546, 9), eps, 0.0)
    assert policy.solver == BY_STRUCTURE
    assert policy.certificate.holds
    assert 0.5 * np.abs(policy.matrix).sum() <= eps * (1.0 + 1e-6) + 1e-6


@pytest.mark.parametrize("seed", [1, 3, 7, 13])
def test_a_program_without_a_feasible_point_is_not_certified(seed: int) -> None:
    case = awkward_case(seed)
    must_run = np.full_like(case.system.power_max_mw, case.load_mw.max() * case.system.n_zones)
    system = replace(case.system, power_min_mw=must_run, power_max_mw=must_run)
    policy = train_policy(system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    assert not policy.certified


def test_a_scale_is_the_same_as_dividing_features_first() -> None:
    case = small_case(4, curved=True)
    rng = np.random.default_rng(4)
    features = np.column_stack([0.3 * rng.normal(size=len(case.features)), 1e6 * rng.normal(size=len(case.features))])
    arguments = (case.system, case.load_mw, case.injected_mw, case.network())
    scale = features.std(axis=0)
    scaled = train_policy(*arguments, features, 3.0, scale=scale)
    divided = train_policy(*arguments, features / scale, 3.0)
    assert scaled.cost_usd == pytest.approx(divided.cost_usd, rel=1e-6)
    np.testing.assert_allclose(scaled.matrix[:, 1:] * scale, divided.matrix[:, 1:], atol=1e-2)


def test_cost_is_that_of_dispatch_and_the_same_for_every_tie() -> None:
    case = make_case(CoordinationQuestion(settings="published"), 0.2, 0.25)
    train = np.arange(0, 546, 7)
    loads = case.records.load_mw[train], case.records.injected_mw[train]
    costs = []
    for direction in (None, *np.random.default_rng(0).normal(size=(2, 5, 46))):
        policy = fit_contextual(CoordinationQuestion(settings="published"), case, train, 10.0, 0.0, direction)
        theta = case.setting.base_mw + policy.shifts_mw(case.features[train])
        costs.append(policy.cost_usd)
        dispatched = case.setting.dispatched(*loads, np.maximum(theta, 0.0)).cost_usd.mean()
        assert policy.cost_usd == pytest.approx(dispatched, rel=1e-6)
    assert max(costs) == pytest.approx(min(costs), rel=1e-6)


def test_records_that_do_not_fit_in_memory_go_to_a_general_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small_case(4, curved=True)
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    right = train_policy(*arguments)
    monkeypatch.setattr(policy_training, "MEMORY_MAX_BYTES", 1000.0)
    other = train_policy(*arguments)
    assert (right.solver, other.solver != BY_STRUCTURE) == (BY_STRUCTURE, True)
    assert other.cost_usd == pytest.approx(right.cost_usd, rel=1e-6)


def test_a_wrong_answer_by_structure_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small_case(4, curved=True)
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    right = train_policy(*arguments)

    def stopped(program: NewtonProgram, *_: object, **__: object) -> InteriorPoint:
        sides = np.full((2, len(program.low)), np.nan)
        return InteriorPoint(
            program.start(), np.zeros_like(program.equal_to), np.zeros_like(program.low), 0, sides, sides
        )

    monkeypatch.setattr("solvers.policy_training.newton.solve_interior_point", stopped)
    other = train_policy(*arguments)
    assert other.solver != BY_STRUCTURE
    assert other.cost_usd == pytest.approx(right.cost_usd, rel=1e-6)


@pytest.mark.parametrize("n_centers", [1, 2, 3])
@pytest.mark.parametrize(
    ("n_records", "n_features", "same"), [(30, 4, False), (6, 9, False), (30, 4, True), (6, 9, True)]
)
def test_a_policy_step_solves_the_dense_system(n_records: int, n_features: int, same: bool, n_centers: int) -> None:
    """By entries and by datacenters: what is eliminated solves the system that is stated."""
    rng = np.random.default_rng(n_records + same)
    x = rng.normal(size=(n_records, n_features))
    roots = rng.normal(size=(n_records, n_centers, n_centers))
    told = roots @ np.swapaxes(roots, 1, 2)
    if same:
        told = np.tile(2.5 * np.eye(n_centers), (n_records, 1, 1))
    shape = (2, n_centers, n_features)
    curved, size, of_size = 10.0 ** rng.uniform(-3, 3, shape), rng.uniform(0.1, 2.0, shape), 7.0
    a, asked, sums = rng.normal(size=shape), rng.normal(size=shape[1:]), rng.normal(size=n_features)
    parts, price = PolicyStep(x, told, curved, size, of_size, same=same).solve(a, asked, sums)
    matrix = parts[0] - parts[1]
    pressed = np.einsum("qcd,dg,qg,qf->cf", told, matrix, x, x) + asked + price
    left = curved * parts + of_size * size * (size * parts).sum() + np.stack([pressed, -pressed]) - a
    assert np.abs(left).max() <= 1e-8 * np.abs(parts).max() * curved.max()
    np.testing.assert_allclose(matrix.sum(axis=0), sums, atol=1e-9)


def test_a_root_that_rounding_denies_is_that_of_a_system_hardly_larger() -> None:
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(30, 4))
    system = wide @ wide.T / np.outer(*[np.sqrt((wide**2).sum(axis=1))] * 2)
    system -= 1e-14 * np.eye(30)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(system)
    root, lower = _root(system.copy())
    assert lower
    np.testing.assert_allclose(np.tril(root) @ np.tril(root).T, system, atol=1e-10)
    with pytest.raises(np.linalg.LinAlgError):
        _root(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_who_watches_a_training_hears_of_steps_that_come_nearer() -> None:
    case = small_case(4, curved=True)
    heard: list[tuple[int, float]] = []
    policy = train_policy(
        case.system,
        case.load_mw,
        case.injected_mw,
        case.network(),
        case.features,
        case.eps,
        watch=lambda step, miss: heard.append((step, miss)),
    )
    assert policy.solver == BY_STRUCTURE
    assert heard[0][0] == 0
    assert len(heard) > 5
    assert min(miss for _, miss in heard) <= 1e-6 < heard[0][1]


def test_factors_of_many_matrices_are_those_of_each() -> None:
    rng, n = np.random.default_rng(2), 9
    pattern = np.abs(rng.normal(size=(n, n))) > 1.3
    pattern |= pattern.T
    sign = np.where(np.arange(n) < 5, 1.0, -1.0)
    values = np.where(pattern, rng.normal(size=(4, n, n)), 0.0)
    # Quasi-definite: of either sign, and coupled anyhow.
    values = values + np.swapaxes(values, 1, 2)
    same = sign[:, None] == sign
    values = np.where(same, 0.05 * values, values)
    values[:, range(n), range(n)] = sign * rng.uniform(1.0, 3.0, (4, n))
    row, column = np.nonzero(pattern | np.eye(n, dtype=np.bool_))
    ldl = BatchLdl(row, column, sign)
    summed = np.zeros((ldl.n_entries, 4))
    np.add.at(summed, ldl.entry, values[:, row, column].T[ldl.kept])
    right = rng.normal(size=(n, 2, 4))
    found = ldl.factor(summed).solve(right)
    for k in range(4):
        np.testing.assert_allclose(values[k] @ found[:, :, k], right[:, :, k], atol=1e-9)


def test_a_training_begins_where_another_of_other_ties_began() -> None:
    case = small_case(4, curved=True)
    direction = np.random.default_rng(1).normal(size=(case.network().n, 3))
    arguments = (case.system, case.load_mw, case.injected_mw, case.network(), case.features, case.eps)
    first = train_policy(*arguments)
    again = train_policy(*arguments, tie_direction=direction, begin=first.begin)
    cold = train_policy(*arguments, tie_direction=direction)
    assert again.certified
    assert again.cost_usd == pytest.approx(cold.cost_usd, rel=1e-6)
    np.testing.assert_allclose(again.matrix, cold.matrix, atol=1e-2)


def test_base_regression_on_shifts_of_nothing_moves_nothing() -> None:
    """Features of few directions and nothing to be learnt: certified by structure, without a general solver."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 12)) * 10.0 ** rng.uniform(0.0, 3.0, 12)
    policy = train_base_regression(features, 1e-9 * rng.normal(size=(60, 6)), 10.0)
    assert policy.solver == BY_STRUCTURE
    assert policy.certified
    assert np.abs(policy.shifts_mw(features)).max() <= 1e-2
