"""The siting program: its matrices against the Pyomo statement, a second solver, and its own promises."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from solvers.highs import solve_file
from solvers.outcome import SolverError, SolveStatus
from solvers.siting.matrices import SitingMatrices
from solvers.siting.problem import (
    LinearRows,
    PVChoices,
    SiteChoices,
    SitingCalendar,
    SitingPlan,
    SitingProblem,
    StorageChoices,
    StorageSchedule,
    TapChoices,
    Zone,
    cost_of,
    excess,
    predict,
)
from solvers.siting.pyomo_statement import siting_model
from solvers.siting.row_generation import SolveWatch, solve_with_rows
from solvers.siting.screening import implied_points
from solvers.siting.search import relax_taps, solve_exactly, solve_siting

N_ROWS, N_DAYS, SLOTS_A_DAY, STEPS_A_SLOT = 4, 2, 2, 3
N_POINTS = N_DAYS * SLOTS_A_DAY * STEPS_A_SLOT


# Charges over the second day's noon and gives in its evening, and into the morning before the first day's.
SCHEDULE = StorageSchedule(
    np.array([0.0, 0.0, 0.4, 1.0, 0.0, 0.0, 0.0, 0.0, 0.2, 1.0, 0.3, 0.0]),
    np.array([0.5, 0.0, 0.0, 0.0, 0.6, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9]),
    2.5,
    40.0,
    0.2,
)


def small_problem(
    seed: int,
    *,
    penalty: float | None = 5000.0,
    storage: bool = False,
    scheduled: bool = False,
    free_sizes: bool = False,
    band: float = 0.03,
) -> SitingProblem:
    """Two days of two slots, three PV buses, two sites at three buses, one regulator; voltages around 1 pu."""
    rng = np.random.default_rng(seed)
    slot = np.repeat(np.arange(N_DAYS * SLOTS_A_DAY), STEPS_A_SLOT)
    n_days = np.array([200.0, 165.0])
    slot_day = np.repeat(np.arange(N_DAYS), SLOTS_A_DAY)
    step_h = 24.0 / (SLOTS_A_DAY * STEPS_A_SLOT)
    sun = np.tile([0.0, 0.1, 0.5, 0.9, 0.6, 0.0], N_DAYS) * rng.uniform(0.6, 1.0, N_POINTS)
    size = np.array([300.0, 400.0])
    return SitingProblem(
        SitingCalendar(
            n_days[slot_day[slot]] * step_h, slot, rng.uniform(0.05, 0.2, N_POINTS), slot_day, n_days[slot_day]
        ),
        PVChoices(
            sun,
            np.full(3, 10.0),
            np.array([500.0, 400.0, 600.0]),
            (Zone((0, 1, 2), 2, 800.0), Zone((0, 1), 1, 450.0)),
            150.0,
        ),
        SiteChoices(
            np.full((2, N_POINTS), 1.0) - 0.2 * rng.random((2, N_POINTS)),
            size * (0.5 if free_sizes else 1.0),
            size * (1.5 if free_sizes else 1.0),
            ((0, 1), (1, 2)),
            80.0 if free_sizes else 0.0,
        ),
        TapChoices(np.array([-3]), np.array([3]), 10.0),
        LinearRows(
            1.0 + rng.uniform(-0.02, 0.02, (N_ROWS, N_POINTS)),
            rng.uniform(1e-5, 6e-5, (N_ROWS, 3, 1)) * np.ones((1, 1, N_POINTS)),
            -rng.uniform(1e-5, 6e-5, (N_ROWS, 3, 1)) * rng.uniform(0.95, 1.05, (1, 1, N_POINTS)),
            0.006 * rng.uniform(0.9, 1.1, (N_ROWS, 1, N_POINTS)),
            np.full((N_ROWS, N_POINTS), 1.0 - band),
            np.full((N_ROWS, N_POINTS), 1.0 + band),
        ),
        penalty,
        StorageChoices(np.full(3, 100.0), np.full(3, 300.0), 5.0, 8.0, 0.95, SCHEDULE if scheduled else None)
        if storage or scheduled
        else None,
    )


# SCIP's reader changes the locale of its process, so it gets one of its own.
_SCIP = """
import sys
import pyscipopt
model = pyscipopt.Model()
model.hideOutput()
model.readProblem(sys.argv[1])
model.setParam("limits/gap", 0.0)
model.optimize()
assert model.getStatus() == "optimal", model.getStatus()
print(repr(model.getObjVal()))
"""


def scip_objective(problem: SitingProblem, path: Path) -> float:
    siting_model(problem).write(str(path), io_options={"symbolic_solver_labels": False})
    done = subprocess.run(
        [sys.executable, "-c", _SCIP, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=True,
        timeout=120,
    )
    return float(done.stdout.split()[-1])


CASES = {
    "priced": {},
    "priced, tight": {"band": 0.012},
    "priced, storage": {"storage": True},
    "priced, storage by a schedule": {"scheduled": True, "band": 0.012},
    "priced, free sizes": {"free_sizes": True, "band": 0.02},
    "forbidden, storage by a schedule": {"penalty": None, "scheduled": True, "band": 0.035},
    "forbidden": {"penalty": None, "band": 0.035},
    "forbidden, free sizes": {"penalty": None, "free_sizes": True, "band": 0.035},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_matrices_pyomo_and_a_second_solver_agree(case: str, seed: int, tmp_path: Path) -> None:
    problem = small_problem(seed, **CASES[case])  # type: ignore[arg-type]
    path = tmp_path / "siting.lp"
    scip = scip_objective(problem, path)
    stated = solve_file(path, mip_gap=0.0)
    own = solve_exactly(problem)
    assert stated.objective == pytest.approx(scip, rel=1e-6)
    assert own.cost.total == pytest.approx(scip, rel=1e-6, abs=0.05)
    assert own.report.bound <= own.cost.total + 0.05


@pytest.mark.parametrize("case", CASES)
def test_search_by_parts_brackets_the_optimum(case: str) -> None:
    problem = small_problem(3, **CASES[case])  # type: ignore[arg-type]
    best = solve_exactly(problem).cost.total
    found = solve_siting(problem, mip_gap=1e-4)
    tolerance = 1e-5 * abs(best) + 0.05
    assert found.report.bound <= best + tolerance
    assert found.cost.total >= best - tolerance
    assert found.cost.total - found.report.bound == pytest.approx(
        found.report.gap * abs(found.cost.total), abs=tolerance
    )
    g = predict(problem, found.plan)
    assert np.abs(g - found.predicted).max() < 1e-12
    over = excess(g, problem.rows.low, problem.rows.high)
    assert cost_of(problem, found.plan, over).total == pytest.approx(found.cost.total, abs=1.0)
    if problem.penalty is None:
        assert over.max() <= 2e-6


def test_counts_totals_and_zones_are_kept() -> None:
    problem = replace(small_problem(4), pv=replace(small_problem(4).pv, cost_per_kw=1.0))
    plan = solve_siting(problem).plan
    assert (plan.pv_kw > 0).sum() == 2
    assert plan.pv_kw.sum() <= 800.0 + 1e-6
    assert plan.pv_kw[:2].sum() <= 450.0 + 1e-6
    assert (plan.pv_kw[:2] > 0).sum() <= 1
    assert len(set(plan.site_bus.tolist())) == 2


def test_excluded_placements_give_the_next_best_one() -> None:
    problem = small_problem(5)
    costs, placements = [], []
    for _ in range(4):
        found = solve_siting(problem, mip_gap=1e-6, excluded=placements)
        assert found.plan.placement() not in placements
        placements.append(found.plan.placement())
        costs.append(found.report.bound)
    assert all(later >= earlier - 0.05 for earlier, later in pairwise(costs))


def test_plans_cannot_be_told_apart_without_a_least_size() -> None:
    problem = small_problem(5)
    free = replace(problem, pv=replace(problem.pv, size_min_kw=np.zeros(3)))
    with pytest.raises(SolverError, match="least size"):
        solve_siting(free, excluded=[((0,), (0, 1))])


def test_limits_that_cannot_be_kept_give_the_plan_that_breaks_least() -> None:
    problem = small_problem(6, penalty=None, band=0.004)
    found = solve_siting(problem)
    assert found.report.status is SolveStatus.INFEASIBLE
    broken = excess(found.predicted, problem.rows.low, problem.rows.high).sum()
    assert broken > 0.0
    priced = solve_exactly(replace(problem, penalty=1e5))
    weights = problem.calendar.hours
    least = (excess(priced.predicted, problem.rows.low, problem.rows.high) @ weights).sum()
    assert (excess(found.predicted, problem.rows.low, problem.rows.high) @ weights).sum() <= 1.05 * least + 1.0


def test_without_time_there_is_still_a_plan() -> None:
    problem = small_problem(7)
    found = solve_siting(problem, time_limit_s=1e-9)
    assert found.report.status is SolveStatus.TIME_LIMIT
    assert len(set(found.plan.site_bus.tolist())) == 2
    assert found.report.bound <= solve_exactly(problem).cost.total + 0.05


def test_time_that_runs_out_while_sizes_are_settled_leaves_a_plan() -> None:
    problem = small_problem(1, penalty=None, band=0.035)
    best = solve_exactly(problem).plan
    # No row is there yet: the first sizes break some, rows and curtailment come in, and time is over.
    greedy = replace(best, pv_kw=np.where(best.pv_kw > 0.0, problem.pv.size_max_kw, 0.0))
    own = SitingMatrices(replace(problem, rows=replace(problem.rows, high=problem.rows.high - 0.02)))
    watch = SolveWatch(0.0, 1e-6, 1, 0, lambda seconds, cost, bound: None)
    found = solve_with_rows(own, True, 1e-6, watch, fixed=greedy)
    assert own.curtailed
    assert found.status is SolveStatus.TIME_LIMIT
    assert found.plan is not None
    assert np.isfinite(found.bound)


def test_shapes_that_do_not_fit_are_named() -> None:
    problem = small_problem(1)
    with pytest.raises(SolverError, match="sun has the shape"):
        replace(problem, pv=replace(problem.pv, sun=np.zeros(3)))
    storage = small_problem(1, scheduled=True).storage
    assert storage is not None
    with pytest.raises(SolverError, match="discharge has the shape"):
        replace(problem, storage=replace(storage, schedule=replace(SCHEDULE, discharge=np.zeros(3))))
    with pytest.raises(SolverError, match="share 1 candidate"):
        replace(problem, sites=replace(problem.sites, candidates=((0,), (0,))))


def test_storage_keeps_its_energy_and_gives_no_more_than_it_took() -> None:
    problem = small_problem(8, storage=True)
    dear = np.tile([0.01, 0.01, 0.01, 0.4, 0.4, 0.4], N_DAYS)
    problem = replace(problem, calendar=replace(problem.calendar, price_per_kwh=dear))
    plan = solve_siting(problem).plan
    built = np.flatnonzero(plan.storage_kw)
    assert len(built)
    for j in built:
        assert np.abs(plan.discharge_kw[j]).max() <= plan.storage_kw[j] + 1e-6
        for day in range(N_DAYS):
            of_day = plan.discharge_kw[j, day * 6 : day * 6 + 6] * problem.step_h[:6]
            taken, given_back = -of_day[of_day < 0].sum(), of_day[of_day > 0].sum()
            assert given_back <= 0.95**2 * taken + 1e-6
            assert taken * 0.95 <= plan.storage_kwh[j] + 1e-6
    assert (plan.storage_kw[plan.pv_kw == 0.0] == 0.0).all()


@pytest.mark.parametrize("seed", range(4))
def test_storage_by_a_schedule_does_what_it_says_and_costs_what_enumeration_finds(seed: int) -> None:
    """Every placement of PV, sizes of PV and storage by a linear program of its own; taps and sites stand still."""
    problem = small_problem(seed, penalty=None, scheduled=True, band=0.015)
    assert problem.storage is not None
    # In every other case it pays by what it frees alone.
    schedule = replace(SCHEDULE, value_per_kw=(40.0, 24.0)[seed % 2])
    held = replace(
        problem,
        storage=replace(problem.storage, schedule=schedule),
        rows=replace(problem.rows, low=np.full_like(problem.rows.low, 0.9)),
        sites=replace(problem.sites, candidates=((0,), (2,))),
        taps=replace(problem.taps, low=np.array([0]), high=np.array([0])),
        pv=replace(problem.pv, may_curtail=False),
    )
    found = solve_exactly(held)
    plan, rows, pv = found.plan, held.rows, held.pv
    assert np.allclose(plan.discharge_kw, plan.storage_kw[:, None] * SCHEDULE.share, atol=1e-9)
    assert (plan.storage_kw <= 0.2 * plan.pv_kw + 1e-6).all()
    assert np.allclose(plan.storage_kwh, 2.5 * plan.storage_kw, atol=1e-6)
    base = rows.constant + sum(
        rows.site[:, b] * (held.sites.size_max_kw[k] * held.sites.demand[k]) for k, b in ((0, 0), (1, 2))
    )
    worth = float((held.calendar.hours * held.calendar.price_per_kwh) @ pv.sun)
    costs = []
    for built in ((), (0,), (1,), (2,), (0, 2), (1, 2)):  # the first two are of a zone that takes one
        n = len(built)
        room = np.concatenate([(rows.high - base).ravel(), (base - rows.low).ravel()])
        if not n:
            costs += [0.0] if (room >= 0.0).all() else []
            continue
        slopes = np.concatenate([rows.pv[:, built] * pv.sun, rows.pv[:, built] * SCHEDULE.share], axis=1)
        a = np.concatenate([np.moveaxis(side * slopes, 1, 2).reshape(-1, 2 * n) for side in (1.0, -1.0)])
        totals = [[1.0] * n + [0.0] * n, [float(j in (0, 1)) for j in built] + [0.0] * n]
        bounds = [(10.0, pv.size_max_kw[j]) for j in built] + [(0.0, 100.0)] * n
        cost = [pv.cost_per_kw - worth] * n + [5.0 + 2.5 * 8.0 - schedule.value_per_kw] * n
        of_pv = np.hstack([-0.2 * np.eye(n), np.eye(n)])
        rest = np.concatenate([room, [800.0, 450.0], np.zeros(n)])
        best = linprog(cost, np.concatenate([a, totals, of_pv]), rest, bounds=bounds)
        costs += [best.fun] if best.status == 0 else []
    assert found.cost.total == pytest.approx(min(costs), rel=1e-5, abs=0.05)
    assert found.cost.storage_energy == pytest.approx(-schedule.value_per_kw * plan.storage_kw.sum())
    assert plan.storage_kw.any() or seed % 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_steps_that_are_screened_out_hold_whenever_the_others_do(seed: int, draw: int) -> None:
    problem = small_problem(seed, penalty=None, free_sizes=bool(seed % 2))
    # The first two steps of a slot alike in all but their level, so that there is something to screen.
    rows, first, second = problem.rows, np.arange(0, N_POINTS, 3), np.arange(1, N_POINTS, 3)
    for part in (rows.pv, rows.site, rows.tap):
        part[..., second] = part[..., first]
    rows.constant[:, second] = rows.constant[:, first] + 0.002
    problem.pv.sun[[0, 1, 6, 7]] = 0.0
    problem.sites.demand[:, second] = problem.sites.demand[:, first]
    skip = implied_points(problem)
    assert skip.any()
    rng = np.random.default_rng(draw)
    pv_kw = rng.uniform(0.0, 1.0, 3) * problem.pv.size_max_kw
    plan = SitingPlan(
        pv_kw,
        np.array([0, 2]),
        rng.uniform(problem.sites.size_min_kw, problem.sites.size_max_kw),
        rng.integers(-3, 4, (1, N_DAYS * SLOTS_A_DAY)),
        rng.uniform(0.0, 1.0, (3, N_POINTS)) * pv_kw[:, None] * problem.pv.sun,
        np.zeros(3),
        np.zeros(3),
        np.zeros((3, N_POINTS)),
    )
    g = predict(problem, plan)
    for k, over in enumerate((g - rows.high, rows.low - g)):
        for slot in range(N_DAYS * SLOTS_A_DAY):
            members = np.flatnonzero(problem.calendar.slot == slot)
            kept, left_out = members[~skip[k, members]], members[skip[k, members]]
            assert len(kept)
            if len(left_out):
                assert (over[:, left_out].max(axis=1) <= over[:, kept].max(axis=1) + 1e-12).all()


@pytest.mark.parametrize("penalty", [5000.0, None])
def test_taps_that_may_be_broken_bound_the_optimum(penalty: float | None) -> None:
    problem = small_problem(3, penalty=penalty)
    relaxed, exact = relax_taps(problem, mip_gap=1e-6), solve_exactly(problem)
    assert relaxed.report.status is SolveStatus.OPTIMAL
    assert relaxed.report.bound <= exact.report.objective + 1e-6 * abs(exact.report.objective)
    # And not by far: a tap step of 0.006 pu is all that it may break.
    assert relaxed.report.bound >= exact.report.objective - 0.2 * abs(exact.report.objective)
    assert relaxed.plan.pv_kw.shape == exact.plan.pv_kw.shape


def test_limits_that_no_taps_keep_have_no_bound_and_what_breaks_them_least() -> None:
    problem = small_problem(3, penalty=None, band=0.0005)
    relaxed = relax_taps(problem, mip_gap=1e-3)
    assert relaxed.report.status is SolveStatus.INFEASIBLE
    assert np.isnan(relaxed.report.bound)
    assert np.isnan(relaxed.report.gap)
    over = excess(predict(problem, relaxed.plan), problem.rows.low, problem.rows.high)
    assert over.max() > 0.0
    nothing = replace(relaxed.plan, tap_steps=np.full_like(relaxed.plan.tap_steps, problem.taps.low[0]))
    assert over.sum() < excess(predict(problem, nothing), problem.rows.low, problem.rows.high).sum()
