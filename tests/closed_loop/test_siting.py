"""PV and datacenter siting: what is promised is simulated, on the batch engine and on OpenDSS."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from joint_siting import JOINT, SITES
from limits_left_out import NO_POWER_QUALITY
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.service_transformer import ServiceTransformer
from solvers.siting.problem import (
    PVChoices,
    SiteChoices,
    SitingCalendar,
    SitingPlan,
    SitingProblem,
    TapChoices,
    Zone,
    cost_of,
    empty_plan,
    excess,
    predict,
)
from solvers.siting.search import solve_exactly
from studies.catalogue import parse_question, question_json
from studies.pv_datacenter_siting.case import days_of, make_case
from studies.pv_datacenter_siting.network import SitingNetwork
from studies.pv_datacenter_siting.stored_plan import dump_plan, read_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.pv_datacenter_siting.windows import opendss_voltages
from studies.shared.rejudging import conclude_under
from studies.shared.task import gather

pytestmark = pytest.mark.xdist_group("siting")  # one worker, so that the study is run once
run = cache(results_of)


def random_plan(case: object, seed: int) -> SitingPlan:
    rng = np.random.default_rng(seed)
    pv, sites, taps = case.pv, case.sites, case.taps  # type: ignore[attr-defined]
    slots = len(case.calendar.slot_day)  # type: ignore[attr-defined]
    plan = empty_plan(
        pv.n,
        len(pv.sun),
        np.array([rng.choice(buses) for buses in sites.candidates]),
        sites.size_max_kw * rng.uniform(0.3, 1.0, sites.n),
        rng.integers(-6, 7, (taps.n, slots)),
    )
    size = np.where(rng.random(pv.n) < 0.5, rng.uniform(50.0, 600.0, pv.n), 0.0)
    return replace(plan, pv_kw=size, curtailed_kw=size[:, None] * pv.sun * rng.uniform(0.0, 0.4, (pv.n, len(pv.sun))))


# --- the network under a plan


@pytest.mark.parametrize("feeder", ["ieee13", "ieee34", "ieee123"])
def test_a_plan_has_the_voltages_of_opendss(feeder: str) -> None:
    study = SitingStudy(
        feeder=feeder, mode="pv" if feeder == "ieee34" else "joint", sites=SITES if feeder == "ieee13" else ()
    )
    case = make_case(study, study.load_feeder(), days_of(study)[:2])
    plan = random_plan(case, 1)
    simulated = case.network.simulate(plan)
    assert simulated.solved.all()
    voltages = simulated.g[: case.network.n_voltages]
    for point in (3, 50, 130):
        assert np.abs(opendss_voltages(case, plan, point) - voltages[:, point]).max() < 1e-6


def test_sites_are_connected_as_asked_for_behind_transformers_of_their_own() -> None:
    """The linear program's network and OpenDSS agree on them, and the transformers' loadings are among the rows."""
    service = ServiceTransformer(kva=900.0, group="Dd")
    study = SitingStudy(feeder="ieee13", mode="dc", sites=SITES, connection="delta", service=service)
    case = make_case(study, study.load_feeder(), days_of(study)[:1])
    plan = random_plan(case, 3)
    simulated = case.network.simulate(plan)
    voltages = simulated.g[: case.network.n_voltages]
    assert np.abs(opendss_voltages(case, plan, 40) - voltages[:, 40]).max() < 1e-6
    places = [case.network.names().index(f"transformer.g2g_service_{bus}") for bus in case.network.site_buses]
    loaded = [case.network.site_buses[b] for b in plan.site_bus]
    for place, bus in zip(places, case.network.site_buses, strict=True):
        assert (simulated.g[place, 40] > 0.1) == (bus in loaded)
    without = make_case(replace(study, service=None), replace(study, service=None).load_feeder(), case.days)
    assert np.abs(without.network.simulate(plan).g[: without.network.n_voltages] - voltages).max() > 1e-4
    with pytest.raises(InputError, match=r"connection: must be .*, got 'star'"):
        replace(study, connection="star").check()


def test_sites_have_the_power_factor_that_is_asked_for() -> None:
    lowest = []
    for power_factor in (0.95, 0.8):
        study = replace(JOINT, power_factor=power_factor)
        case = make_case(study, study.load_feeder(), days_of(study)[:1])
        plan = random_plan(case, 1)
        found = case.network.simulate(plan).g[: case.network.n_voltages, 50]
        assert np.abs(opendss_voltages(case, plan, 50) - found).max() < 1e-6
        lowest.append(found.min())
    assert lowest[1] < lowest[0] - 1e-3


def test_the_linear_rows_are_exact_at_their_plan_and_near_it_close_by() -> None:
    study = replace(JOINT, limits=replace(JOINT.limits, loading_max_pu=None))
    case = make_case(study, study.load_feeder(), days_of(study)[:1])
    plan = random_plan(case, 2)
    simulated = case.network.simulate(plan)
    rows = case.network.linearize(plan, simulated, np.zeros_like(simulated.g))
    problem = case.problem(rows)
    assert np.abs(predict(problem, plan) - simulated.g).max() < 1e-10
    moved = replace(plan, pv_kw=1.05 * plan.pv_kw, site_kw=0.97 * plan.site_kw, tap_steps=plan.tap_steps + 1)
    truth = case.network.simulate(moved).g
    step = np.abs(truth - simulated.g).max()
    assert np.abs(predict(problem, moved) - truth).max() < 0.05 * step


def test_loadings_are_rows_where_they_have_a_limit() -> None:
    assert JOINT.limits.loading_max_pu == 1.0
    case = make_case(JOINT, JOINT.load_feeder(), days_of(JOINT)[:1])
    network = case.network
    plan = random_plan(case, 3)
    simulated = network.simulate(plan)
    assert len(network.names()) == len(simulated.g) > network.n_voltages
    low, high = network.limit_rows()
    assert np.isneginf(low[network.n_voltages :]).all()
    assert (high[network.n_voltages :] == 1.0).all()
    problem = case.problem(network.linearize(plan, simulated, np.zeros_like(simulated.g)))
    assert np.abs(predict(problem, plan) - simulated.g).max() < 1e-9


# --- brute force


def test_the_best_placement_is_that_of_brute_force_over_nonlinear_simulations() -> None:
    """One site and one PV plant, every pair of buses, taps and PV size, simulated; violations have a price."""
    feeder = Feeder.load("ieee13")
    buses = ("632", "671", "675")
    load, sun = np.array([0.35, 0.9, 1.0]), np.array([0.9, 0.4, 0.0])
    hours = np.array([3000.0, 3760.0, 2000.0])
    choices = np.arange(-1, 2)
    one_slot = np.zeros(3, dtype=np.int64)
    network = SitingNetwork(feeder, Limits(loading_max_pu=None), buses, buses, load, sun, np.ones((1, 3)), one_slot)
    middle = network.start_steps()
    combos = np.array(list(product(choices, repeat=len(middle)))) + middle
    sizes = np.array([100.0, 800.0])
    site_kw, penalty, price, cost_kw = 2500.0, 40_000.0, 0.15, 150.0
    calendar = SitingCalendar(hours, one_slot, np.full(3, price), np.zeros(1, dtype=np.int64), np.full(1, 365.0))
    pv = PVChoices(sun, np.full(3, 100.0), np.full(3, 800.0), (Zone((0, 1, 2), 1, np.inf),), cost_kw)
    sites = SiteChoices(np.ones((1, 3)), np.full(1, site_kw), np.full(1, site_kw), ((0, 1, 2),))
    taps = TapChoices(middle - 1, middle + 1, 0.0)
    # All tap settings at once: a slot for each.
    n = len(combos)
    wide = replace(
        network,
        load_share=np.tile(load, n),
        sun=np.tile(sun, n),
        demand=np.ones((1, 3 * n)),
        slot=np.repeat(np.arange(n), 3),
    )
    low, high = wide.limit_rows()
    best: tuple[float, int, int, float] = (np.inf, 0, 0, 0.0)
    for site, plant, size in product(range(3), range(3), sizes):
        pv_kw = np.where(np.arange(3) == plant, size, 0.0)
        plan = replace(empty_plan(3, 3 * n, np.array([site]), np.array([site_kw]), combos.T), pv_kw=pv_kw)
        found = wide.simulate(plan)
        over = np.where(found.solved, excess(found.g, low, high), 1.0).sum(axis=0).reshape(n, 3)
        cost = penalty * (over @ hours).min() + cost_kw * size - price * size * (hours @ sun)
        best = min(best, (float(cost), site, plant, float(size)))
    plan = empty_plan(3, 3, np.array([1]), np.array([site_kw]), middle[:, None])
    for _ in range(4):
        simulated = network.simulate(plan)
        rows = network.linearize(plan, simulated, np.zeros_like(simulated.g))
        problem = SitingProblem(calendar, pv, sites, taps, rows, penalty)
        plan = solve_exactly(problem).plan
    truth = cost_of(problem, plan, excess(network.simulate(plan).g, low, high)).total
    # Sizes are free in the program and a grid in the brute force, so the program may only be better.
    assert truth <= best[0] + 0.005 * abs(best[0])
    assert plan.site_bus[0] == best[1]


# --- the study


def test_plans_hold_in_the_simulation_and_on_opendss() -> None:
    results = run(JOINT)
    plans = [row for row in gather(results, "plans") if not row["sweep"]]
    assert [row["plan"] for row in plans] == ["plan 1", "plan 2"]
    feeder = JOINT.load_feeder()
    placements = set()
    assert all(plan.held for plan in judged_plans(JOINT, results))
    for row in plans:
        assert row["predicted_cost"] == pytest.approx(row["cost"], rel=0.01)
        case, plan = read_plan(JOINT, feeder, row["json"])
        placements.add(plan.placement())
        found = case.network.simulate(plan)
        low, high = case.network.limit_rows()
        assert found.solved.all()
        assert excess(found.g, low, high).max() == 0.0
        assert (plan.pv_kw > 0).sum() <= 2
        assert plan.pv_kw.sum() <= 1000.0 + 1e-6
        for k, choice in enumerate(SITES):
            assert case.network.site_buses[plan.site_bus[k]] in choice.candidates
        assert dump_plan(case, plan) == row["json"]
    assert len(placements) == 2
    for window in gather(results, "windows"):
        assert window["difference_pu"] < 1e-6


def test_every_round_is_recorded_predicted_next_to_simulated() -> None:
    rounds = gather(run(JOINT), "rounds")
    assert {row["plan"] for row in rounds} >= {"plan 1", "plan 2", "pv-cost 100", "pv-cost 300"}
    for row in rounds:
        assert row["rows_generated"] < row["rows_all"]
        assert abs(row["predicted_lowest_pu"] - row["simulated_lowest_pu"]) < 0.05


def test_the_fleets_run_in_closed_loop_where_it_is_tightest() -> None:
    conclusion = JOINT.conclude(run(JOINT))
    windows = next(table for table in conclusion.tables if table.name == "windows").rows
    for row in windows:
        # A fleet's peak is what the plan counts with, so without control it stays within what was simulated.
        assert row["fleets_kept"]
        assert row["fleets_lowest_pu"] >= row["batch_lowest_pu"] - 2e-3
        assert row["loop_kept"] is not None


def test_dearer_pv_is_never_cheaper_and_never_more() -> None:
    swept = [row for row in gather(run(JOINT), "plans") if row["sweep"] == "pv-cost"]
    assert [row["value"] for row in swept] == [100.0, 300.0]
    assert swept[0]["cost"] < swept[1]["cost"]
    assert swept[0]["pv_kw"] > swept[1]["pv_kw"] == 0.0


def test_the_answer_reads_what_was_simulated() -> None:
    conclusion = JOINT.conclude(run(JOINT))
    best = next(row for row in gather(run(JOINT), "plans") if row["plan"] == "plan 1")
    assert best["pv"].split(",")[0] in conclusion.answer or not best["pv"]
    year = gather(run(JOINT), "year")[0]
    assert year["n_hours"] == 8760
    built = [row for row in gather(run(JOINT), "sizes") if row["plan"] == best["plan"]]
    at_largest = {row["bus"] for row in built if row["size_max_kw"] and row["size_kw"] >= row["size_max_kw"] * 0.999999}
    assert {row["size_max_kw"] for row in built if row["kind"] == "datacenter"} == {None}  # sizes that are not free
    assert all(bus in conclusion.answer.partition("At the largest size")[2] for bus in at_largest)
    assert at_largest or best["pv_kw"] >= 999.9
    assert ("(1,000 kW, pv_total_max_kw)" in conclusion.answer) == (best["pv_kw"] >= 999.999)
    assert "Over all 8,760 hours of the year no voltage and no loading breaks its limit" in conclusion.answer
    assert not gather(run(JOINT), "year_hours")
    assert "20 of 20 placements looked at (the first of them) cost the same" in conclusion.answer
    assert {chart.title for chart in conclusion.charts} >= {"Predicted and simulated extreme voltages", "Cost by parts"}


def test_other_limits_judge_plans_again_by_their_voltages() -> None:
    conclusion = conclude_under(JOINT, run(JOINT), replace(JOINT.limits, voltage_min_pu=0.99, voltage_max_pu=1.01))
    assert conclusion.answer.startswith("No plan")
    assert {failure.what for failure in conclusion.failures} >= {"plan 1", "plan 2"}


def test_a_question_survives_its_text() -> None:
    assert parse_question(question_json(JOINT)) == JOINT


def test_a_limit_that_cannot_hold_is_named_with_bus_and_hour() -> None:
    study = replace(
        JOINT,
        limits=replace(JOINT.limits, voltage_min_pu=1.005, voltage_max_pu=1.01),
        n_plans=1,
        sweeps=(),
        rounds_max=2,
        time_limit_s=20.0,
        year_check=False,
    )
    conclusion = study.conclude(run(study))
    assert conclusion.answer.startswith("No plan of PV and datacenters held")
    assert "days: overvoltage" in conclusion.answer or "days: undervoltage" in conclusion.answer
    assert any("cannot all be kept" in words for words in conclusion.warnings)


def test_a_second_is_enough_for_a_plan_with_its_gap() -> None:
    study = replace(JOINT, time_limit_s=0.05, n_plans=1, sweeps=(), year_check=False, n_windows=0)
    row = gather(run(study), "plans")[0]
    assert row["status"] in {"time limit", "optimal", "gap wider than asked"}
    assert row["n_rounds"] >= 1
    assert study.conclude(run(study)).answer


def test_free_sizes_grow_to_what_the_feeder_holds_in_closed_loop() -> None:
    """At the edge of the band the fleets' ripple breaks it within the hour: such a plan gives way to a smaller one."""
    study = replace(
        JOINT,
        mode="dc",
        # Of unbalance and rapid changes the program has no rows: they refuse every plan of this size for good. Ratings
        # would decide before the band does.
        limits=replace(JOINT.limits, loading_max_pu=None, **NO_POWER_QUALITY),
        site_scale_min=0.5,
        site_scale_max=8.0,
        n_plans=1,
        sweeps=(),
        n_windows=1,
        n_ties=0,
        year_check=False,
        mip_gap=0.02,
        refusals_max=3,
    )
    results = run(study)
    first, *others = judged_plans(study, results)
    assert not first.held
    assert "undervoltage" in first.refusals[0].words
    assert others[-1].held
    row = others[-1].row
    assert row.cost > first.row.cost  # what holds is worth less
    fixed = sum(study.site_kw(choice.site(choice.candidates[0], study.gpu)) for choice in SITES)
    assert row.site_kw > 1.5 * fixed
    assert row.lowest_pu is not None
    assert row.highest_pu is not None
    assert row.lowest_pu < 0.96 or row.highest_pu > 1.04
