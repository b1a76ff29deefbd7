"""Unit commitment: matrices against the Pyomo statement, the search against all commitments, and what plans promise."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solvers.highs import RepeatedLinearProgram, solve_file, solve_sparse_program
from solvers.outcome import SolverError, SolveStatus
from solvers.unit_commitment.matrices import commitment_program, even_tangents, needs_decision, undershoot
from solvers.unit_commitment.problem import (
    Bools,
    FlexibleDatacenters,
    UnitCommitmentProblem,
    UnitCommitmentSolution,
    Units,
    UnitsBefore,
    cost_of,
    hourly_cost_of,
    injections,
    starts_of,
)
from solvers.unit_commitment.pyomo_statement import unit_commitment_model
from solvers.unit_commitment.search import CommitmentSearch, SearchEnd
from solvers.unit_commitment.solve import relaxed_commitment_usd, solve_unit_commitment

# Four zones in a ring; datacenters in the first two; lines' reactances are all one.
LATENCY = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]])


def transfer_factors() -> np.ndarray:
    ends = [(0, 1), (1, 2), (2, 3), (3, 0)]
    incidence = np.zeros((4, 4))
    for line, (one, other) in enumerate(ends):
        incidence[line, one], incidence[line, other] = 1.0, -1.0
    factors = np.zeros((4, 4))
    factors[:, 1:] = incidence[:, 1:] @ np.linalg.inv((incidence.T @ incidence)[1:, 1:])
    return factors


def small_problem(
    seed: int,
    *,
    alpha: float | None = 0.3,
    hours: int = 6,
    window: tuple[int, ...] = (2, 3, 4),
    before: bool = False,
    times: bool = False,
    curved: bool = True,
    no_load: bool = False,
    limit_mw: float = 90.0,
) -> UnitCommitmentProblem:
    """Six units, two of which may start faster than they ramp; demand that rises and falls."""
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.5 * np.sin(np.linspace(0.0, 2.0 * np.pi, hours))
    cost = np.array([10.0, 20.0, 30.0, 35.0, 60.0, 90.0]) * rng.uniform(0.9, 1.1, 6)
    high = np.array([120.0, 80.0, 60.0, 60.0, 50.0, 80.0])
    low = np.array([30.0, 20.0, 0.0, 15.0, 0.0, 0.0])
    ramp = np.array([25.0, 30.0, np.inf, 20.0, 15.0, 20.0])
    units = Units(
        rng.integers(0, 4, 6),
        low,
        high,
        cost,
        1e-2 * cost if curved else np.zeros(6),
        rng.uniform(200.0, 1500.0, 6),
        ramp,
        ramp,
        np.array([50.0, 40.0, np.inf, 30.0, np.inf, 15.0]),
        np.array([45.0, np.inf, np.inf, 35.0, np.inf, 20.0]),
        np.array([3, 0, 0, 2, 1, 0]) if times else np.zeros(6, dtype=np.int64),
        np.array([2, 0, 1, 3, 0, 0]) if times else np.zeros(6, dtype=np.int64),
        np.array([300.0, 150.0, 0.0, 120.0, 40.0, 200.0]) if no_load else np.zeros(6),
    )
    demand = rng.uniform(5.0, 15.0, 3) * np.ones((hours, 1))
    base = np.column_stack([demand[:, 0], demand[:, 1] + demand[:, 2]])
    centers = FlexibleDatacenters(
        np.array([0, 1]), LATENCY, demand, base, demand[:, 2] * LATENCY[1, 2], np.array(window), alpha
    )
    on = np.array([True, False, True, False, True, False])
    return UnitCommitmentProblem(
        shape[:, None] * rng.uniform(15.0, 50.0, 4),
        rng.uniform(0.0, 6.0, (hours, 4)),
        units,
        transfer_factors(),
        np.full(4, limit_mw),
        1000.0,
        centers,
        UnitsBefore(on, np.where(on, 40.0, 0.0)) if before else None,
    )


CASES: dict[str, dict[str, object]] = {
    "no shifts": {"alpha": None},
    "no later than before": {"alpha": 0.0},
    "latency binds": {"alpha": 0.3, "limit_mw": 25.0},
    "far": {"alpha": 2.0, "limit_mw": 40.0},
    "state before": {"before": True, "alpha": 0.5},
    "minimum times": {"times": True, "alpha": 0.3},
    "minimum times, state before": {"times": True, "before": True, "alpha": None},
    "linear": {"curved": False, "alpha": 1.0},
    "all costs": {"times": True, "before": True, "no_load": True, "alpha": 0.3},
}


# --- the same problem, written twice


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_matrices_and_statement_have_the_same_optimum(case: str, seed: int, tmp_path: Path) -> None:
    problem = small_problem(seed, **CASES[case])  # type: ignore[arg-type]
    tangents = even_tangents(problem, 20.0, n_max=6)
    program, _ = commitment_program(problem, tangents)
    _, ours = solve_sparse_program(program, mip_gap=1e-9)
    path = tmp_path / "model.lp"
    unit_commitment_model(problem, tangents).write(str(path), io_options={"symbolic_solver_labels": False})
    stated = solve_file(path, mip_gap=1e-9)
    assert ours.status is stated.status is SolveStatus.OPTIMAL
    assert ours.objective == pytest.approx(stated.objective, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_search_finds_the_optimum_of_the_true_cost(case: str) -> None:
    problem = small_problem(2, **CASES[case])  # type: ignore[arg-type]
    found = solve_unit_commitment(problem, mip_gap=1e-6)
    assert found.report.status is SolveStatus.OPTIMAL
    assert found.report.bound <= found.report.objective
    tangents = even_tangents(problem, 1e-3, n_max=12)
    _, stated = solve_sparse_program(commitment_program(problem, tangents)[0], mip_gap=1e-9)
    assert stated.objective <= found.report.objective * (1.0 + 1e-7)
    # Tangents h apart miss at most quadratic h^2 / 4 an hour; the optimum of the true cost is no further off.
    bend = problem.units.quadratic_usd_per_mw2h
    missed = problem.n_hours * float((bend * (problem.units.max_mw / 12.0) ** 2 / 4.0).sum())
    assert found.report.objective <= stated.objective + missed + 2e-6 * stated.objective


def test_what_takes_long_is_left_to_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = small_problem(0, **CASES["latency binds"])  # type: ignore[arg-type]
    found = solve_unit_commitment(problem, mip_gap=1e-5)
    monkeypatch.setattr("solvers.unit_commitment.solve._PROGRAMS_MAX", 0)
    handed_over = solve_unit_commitment(problem, mip_gap=1e-5)
    assert handed_over.report.status is SolveStatus.OPTIMAL
    assert handed_over.n_programs < found.n_programs
    assert handed_over.report.objective == pytest.approx(found.report.objective, rel=2e-5)


@pytest.mark.parametrize("together", [False, True])
def test_many_units_that_decide_together_are_left_to_the_solver_sooner(
    together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no-load costs and shortest times a long search of our own is given up for the solver's, to the same cost."""
    monkeypatch.setattr("solvers.unit_commitment.solve._MANY", 0)
    problem = small_problem(3, alpha=1.0, times=together, no_load=together, limit_mw=45.0)
    asked: list[int] = []

    def run(search: CommitmentSearch, known: list[Bools], programs_max: int) -> SearchEnd:
        asked.append(programs_max)
        return SearchEnd.LONG

    right = solve_unit_commitment(problem, mip_gap=1e-4)
    monkeypatch.setattr("solvers.unit_commitment.solve.CommitmentSearch.run", run)
    found = solve_unit_commitment(problem, mip_gap=1e-4)
    assert asked[0] == (25 if together else 200)
    assert found.report.objective == pytest.approx(right.report.objective, rel=2e-4)


def test_a_repeated_program_follows_its_bounds_and_stops_at_the_cutoff() -> None:
    problem = small_problem(0)
    program, columns = commitment_program(problem, even_tangents(problem, 20.0))
    solver = RepeatedLinearProgram(program)
    relaxed = solver.solve()
    assert relaxed is not None
    everywhere = columns.u.ravel()
    for u in (np.ones(everywhere.size), np.zeros(everywhere.size)):
        solver.bound(everywhere, u, u)
        here = solver.solve()
        assert here is None or here.objective >= relaxed.objective
    solver.bound(everywhere, np.zeros(everywhere.size), np.ones(everywhere.size))
    assert solver.solve(cutoff=0.5 * relaxed.objective) is None
    again = solver.solve()
    assert again is not None
    assert again.objective == pytest.approx(relaxed.objective)


def test_units_that_are_on_in_part_cost_no_more_and_hours_sum_to_the_day() -> None:
    problem = small_problem(1, **CASES["all costs"])  # type: ignore[arg-type]
    found = solve_unit_commitment(problem, mip_gap=1e-5)
    assert found.cost.no_load == pytest.approx((found.plan.on @ problem.units.no_load_usd_per_h).sum())
    assert found.cost.no_load > 0.0
    assert hourly_cost_of(problem, found.plan).sum() == pytest.approx(found.cost.total)
    relaxed = relaxed_commitment_usd(problem, mip_gap=1e-5)
    assert 0.8 * found.report.objective < relaxed <= found.report.bound * (1.0 + 1e-9)


# --- something dumber


def test_no_commitment_is_cheaper_than_the_one_found() -> None:
    problem = small_problem(3, hours=3, window=(1, 2), alpha=0.5, before=True, curved=False)
    some = np.array([0, 1, 3])
    problem = replace(
        problem, units=Units(*(values[some] for values in vars(problem.units).values())), shed_cost=200.0,
        before=UnitsBefore(*(values[some] for values in vars(problem.before).values())),
    )  # fmt: skip
    program, columns = commitment_program(problem, even_tangents(problem, 1.0))
    solver = RepeatedLinearProgram(program)
    best = np.inf
    for bits in itertools.product((0.0, 1.0), repeat=columns.u.size):
        u = np.array(bits)
        solver.bound(columns.u.ravel(), u, u)
        dispatched = solver.solve()
        if dispatched is not None:
            best = min(best, dispatched.objective)
    assert len(columns.decided) == 3
    assert solve_unit_commitment(problem, mip_gap=1e-9).report.objective == pytest.approx(best, rel=1e-8)


# --- what a plan promises


@pytest.fixture(scope="module")
def solved() -> list[tuple[UnitCommitmentProblem, UnitCommitmentSolution]]:
    problems = [small_problem(seed, **case) for seed in (4, 5) for case in CASES.values()]  # type: ignore[arg-type]
    return [(problem, solve_unit_commitment(problem, mip_gap=1e-4)) for problem in problems]


Solved = list[tuple[UnitCommitmentProblem, UnitCommitmentSolution]]


@pytest.mark.xdist_group("unit_commitment_plans")
def test_power_is_balanced_and_lines_hold(solved: Solved) -> None:
    for problem, found in solved:
        net = injections(problem, found.plan)
        assert net.sum(axis=1) == pytest.approx(0.0, abs=1e-5)
        assert found.flow_mw == pytest.approx(net @ problem.transfer_factors.T, abs=1e-6)
        assert np.abs(found.flow_mw).max() <= problem.limit_mw[0] + 1e-5
        there = np.maximum(problem.load_mw, 0.0)
        np.add.at(there.T, problem.datacenters.zone, found.plan.theta_mw.T)
        assert (found.plan.shed_mw <= there + 1e-6).all()


@pytest.mark.xdist_group("unit_commitment_plans")
def test_units_keep_their_limits_and_times(solved: Solved) -> None:
    for problem, found in solved:
        units, on, p = problem.units, found.plan.on, found.plan.output_mw
        assert (p >= units.min_mw * on - 1e-6).all()
        assert (p <= units.max_mw * on + 1e-6).all()
        before = problem.before
        if before is not None:
            on, p = np.vstack([before.on[None], on]), np.vstack([before.output_mw[None], p])
        for t in range(1, len(on)):
            rise = np.where(on[t - 1], units.ramp_up_mw, units.startup_ramp_mw)
            fall = np.where(on[t], units.ramp_down_mw, units.shutdown_ramp_mw)
            assert (p[t] - p[t - 1] <= rise + 1e-5).all()
            assert (p[t - 1] - p[t] <= fall + 1e-5).all()
        decided = needs_decision(problem)
        for g in np.flatnonzero(decided):
            for was_on, least_h in ((True, units.min_up_h[g]), (False, units.min_down_h[g])):
                runs = [(value, len(list(run))) for value, run in itertools.groupby(on[:, g].tolist())]
                assert all(length >= least_h for value, length in runs[1:-1] if value == was_on)


@pytest.mark.xdist_group("unit_commitment_plans")
def test_work_is_conserved_and_no_later_than_allowed(solved: Solved) -> None:
    for problem, found in solved:
        centers, plan = problem.datacenters, found.plan
        outside = np.setdiff1d(np.arange(problem.n_hours), centers.flexible)
        assert np.array_equal(plan.theta_mw[outside], centers.base_mw[outside])
        if centers.alpha is None:
            continue
        window = centers.window
        assert plan.work_mw.min() >= -1e-7
        assert plan.work_mw.sum(axis=2) == pytest.approx(plan.theta_mw[window], abs=1e-6)
        assert plan.work_mw.sum(axis=(0, 1)) == pytest.approx(centers.demand_mw[window].sum(axis=0), abs=1e-6)
        assert plan.theta_mw[window].sum() == pytest.approx(centers.base_mw[window].sum(), abs=1e-6)
        latency = (plan.work_mw * centers.latency).sum(axis=(1, 2))
        assert (latency <= (1.0 + centers.alpha) * centers.base_latency[window] + 1e-6).all()


def test_latency_binds_where_it_is_said_to() -> None:
    problem = small_problem(0, **CASES["latency binds"])  # type: ignore[arg-type]
    costs = []
    for alpha in (None, 0.0, 0.3, 5.0):
        asked = replace(problem, datacenters=replace(problem.datacenters, alpha=alpha))
        costs.append(solve_unit_commitment(asked, mip_gap=1e-6).report.objective)
    assert costs == sorted(costs, reverse=True)
    assert costs[1] > costs[2] * 1.0001 > costs[3] * 1.0002


@pytest.mark.xdist_group("unit_commitment_plans")
def test_cost_is_the_sum_of_its_terms_and_tangents_are_below_it(solved: Solved) -> None:
    for problem, found in solved:
        assert found.report.objective == cost_of(problem, found.plan).total == found.cost.total
        assert found.report.bound <= found.report.objective <= found.report.bound / (1.0 - 1.01e-4)
        assert 0.0 <= found.tangent_usd <= 1e-5 * found.report.objective
        starts = starts_of(problem, found.plan.on)
        assert found.cost.startup == pytest.approx((starts * problem.units.startup_usd).sum())
        tangents = even_tangents(problem, 5.0)
        steps = [points[1] for points in tangents[0] if len(points)]
        bend = problem.units.quadratic_usd_per_mw2h
        if steps:
            assert undershoot(problem, tangents, found.plan.output_mw) <= problem.n_hours * 6 * 0.25 * max(
                bend * max(steps) ** 2
            )


def test_price_is_what_one_more_mwh_costs() -> None:
    problem = small_problem(6, alpha=0.5, limit_mw=30.0)
    found = solve_unit_commitment(problem, mip_gap=1e-7)
    for t, z in ((0, 1), (3, 2), (4, 0)):
        load = problem.load_mw.copy()
        load[t, z] += 1e-2
        more = solve_unit_commitment(replace(problem, load_mw=load), mip_gap=1e-7)
        assert np.array_equal(more.plan.on, found.plan.on)
        slope = (more.report.objective - found.report.objective) / 1e-2
        assert slope == pytest.approx(found.price_usd_per_mwh[t, z], rel=2e-2, abs=0.05)
    window = problem.datacenters.window
    charge = found.price_usd_per_mwh[window][:, problem.datacenters.zone] * found.plan.theta_mw[window]
    assert found.charge_usd == pytest.approx(charge)


def test_links_reach_every_change_that_sums_to_zero() -> None:
    """(7): A phi over all phi, space links within an hour and time links between adjacent hours."""
    n, hours = 5, 5
    at = np.arange(n * hours).reshape(hours, n)
    links = [(row[i], row[j]) for row in at for i in range(n) for j in range(i + 1, n)]
    links += [(at[t, i], at[t + 1, i]) for t in range(hours - 1) for i in range(n)]
    incidence = np.zeros((at.size, len(links)))
    for k, (one, other) in enumerate(links):
        incidence[one, k], incidence[other, k] = 1.0, -1.0
    assert len(links) == 70
    assert np.linalg.matrix_rank(incidence) == at.size - 1
    assert not incidence.sum(axis=0).any()


# --- what cannot be


def test_a_unit_that_gains_nothing_by_stopping_is_on() -> None:
    problem = small_problem(0)
    # Neither can the third: it has no ramp. The last may do less in a first or last hour than between two hours on.
    assert needs_decision(problem).tolist() == [True, True, False, True, True, False]
    assert solve_unit_commitment(problem).plan.on[:, [2, 5]].all()


def test_bad_input_is_said() -> None:
    problem = small_problem(0)
    units, centers = problem.units, problem.datacenters
    wrong = {
        "renewable_mw has the shape": {"renewable_mw": problem.renewable_mw[:-1]},
        "startup_usd has the shape": {"units": replace(units, startup_usd=units.startup_usd[:-1])},
        "base_latency has the shape": {"datacenters": replace(centers, base_latency=np.zeros(1))},
        "output_mw has the shape": {"before": UnitsBefore(np.ones(6, dtype=bool), np.zeros(5))},
        "zone does not exist": {"units": replace(units, zone=units.zone + 4)},
        "minimum output": {"units": replace(units, min_mw=units.max_mw + 1.0)},
        "ramp is below": {"units": replace(units, startup_ramp_mw=np.full(6, 5.0))},
        "ramp is negative": {"units": replace(units, ramp_up_mw=np.full(6, -1.0))},
        "window": {"datacenters": replace(centers, window=np.array([3, 2]))},
        "alpha": {"datacenters": replace(centers, alpha=-0.1)},
        "not finite": {"load_mw": problem.load_mw * np.nan},
    }
    for words, change in wrong.items():
        with pytest.raises(SolverError, match=words):
            replace(problem, **change)


def test_a_day_without_a_plan_is_said() -> None:
    problem = small_problem(0)
    # More than the zone uses or its lines carry away, and nothing curtails it.
    flooded = problem.renewable_mw + np.array([0.0, 0.0, 0.0, 500.0])
    with pytest.raises(SolverError, match="no commitment"):
        solve_unit_commitment(replace(problem, renewable_mw=flooded))
    with pytest.raises(SolverError, match="no plan within"):
        solve_unit_commitment(problem, time_limit_s=0.0)
