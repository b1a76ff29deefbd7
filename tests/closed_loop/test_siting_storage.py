"""Storage beside PV by a rule that knows no future: the same in program, days, year, money, and what is handed over."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from operated_siting import STUDY
from replay_of_plans import cost_of_plan, replay, rows_of, storage_by_rule
from study_run import results_of

from g2g_opt.evaluation import evaluate
from g2g_opt.hourly_profile import load_profile
from g2g_opt.plan import Plan, PVUnit
from g2g_opt.scenario import Scenario
from solvers.siting.problem import SitingPlan, excess, predict
from studies.pv_datacenter_siting.case import SitingCase, make_case
from studies.pv_datacenter_siting.days import STEPS_AN_HOUR
from studies.pv_datacenter_siting.hand_over import hand_over_texts
from studies.pv_datacenter_siting.offered import Storage
from studies.pv_datacenter_siting.operated_year import operate_year, simulated_year
from studies.pv_datacenter_siting.operation_rows import OperationRow
from studies.pv_datacenter_siting.other_plans import _smaller
from studies.pv_datacenter_siting.rows import BuiltSizeRow, PlanRow
from studies.pv_datacenter_siting.storage_rows import WITH_STORAGE, WITHOUT_STORAGE, StorageRow, storage_words
from studies.pv_datacenter_siting.storage_rule import StorageRule, run_rule
from studies.pv_datacenter_siting.stored_plan import dump_plan, read_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.trips import TripRow
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.pv_datacenter_siting.windows import opendss_voltages
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours
from studies.shared.task import TaskResult, gather
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("operated siting")  # one worker, so that its studies are run once

OFFER = Storage(200.0, 800.0)


@dataclass(frozen=True, eq=False)
class _Run:
    """A study that was run, with its best plan."""

    study: SitingStudy
    results: tuple[TaskResult, ...]

    @property
    def best(self) -> PlanRow:
        (plan,) = [one for one in judged_plans(self.study, self.results) if one.held]
        return plan.row

    @property
    def storage(self) -> dict[str, StorageRow]:
        rows = gather_as(self.results, "storage", StorageRow)
        return {row.what: row for row in rows if row.plan == self.best.plan}

    @property
    def built(self) -> tuple[SitingCase, SitingPlan]:
        return read_plan(self.study, self.study.load_feeder(), self.best.json)


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory) -> _Run:
    """Energy is dear from 17:00 to 21:00; one PV plant and a site that draws anything up to its size."""
    path = tmp_path_factory.mktemp("prices") / "priced.csv"
    profile = load_profile(STUDY.profile)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["hour_beginning", "load_share", "generation_share", "price_per_kwh"])
        for at, load, sun in zip(profile.hours, profile.load_share, profile.generation_share, strict=True):
            writer.writerow([at.isoformat(), load, sun, 0.32 if 17 <= at.hour < 21 else 0.12])
    study = replace(STUDY, profile=str(path), pv_cost_per_kw=150.0, storage=OFFER)
    return _Run(study, results_of(study))


@pytest.fixture(scope="module")
def idle() -> _Run:
    """Energy costs the same at all hours, so that storage loses what its efficiency takes, and what it costs."""
    study = replace(STUDY, mode="pv", sites=(), storage=replace(OFFER, charge_above=0.3, discharge_from_h=18))
    return _Run(study, results_of(study))


def test_storage_that_pays_is_told_beside_the_plan_without_it(paying: _Run) -> None:
    with_it, without = paying.storage[WITH_STORAGE], paying.storage[WITHOUT_STORAGE]
    assert (with_it.taken, without.taken) == (True, False)
    assert with_it.holds
    assert without.holds
    assert with_it.cost == pytest.approx(paying.best.cost, rel=1e-12)
    assert with_it.cost < without.cost - 1000.0
    assert with_it.cost_held_out < without.cost_held_out
    assert (without.storage_kw, without.cost_storage_energy, without.charge_above) == (0.0, 0.0, None)
    assert with_it.n_rules == 9
    answer = paying.study.conclude(paying.results).answer
    assert (
        f"{with_it.storage_kw:,.0f} kW, {with_it.storage_kwh:,.0f} kWh of storage earns {-with_it.cost:,.0f} $"
        in answer
    )
    assert f"the best without costs {without.cost:,.0f} $" in answer
    assert paying.best.foresight_loss is not None
    assert paying.best.foresight_loss >= -1e-6  # its bound has the same rule
    assert "Storage pays (9 rules tried" in answer
    assert StorageRule(with_it.charge_above or 0.0, with_it.discharge_from_h or 0).in_words() in answer
    (size,) = [row for row in gather_as(paying.results, "sizes", BuiltSizeRow) if row.storage_kw]
    assert (size.storage_kw, size.storage_kwh) == (with_it.storage_kw, with_it.storage_kwh)
    tables = {table.name for table in paying.study.conclude(paying.results).tables}
    assert "storage" in tables


def test_the_money_of_storage_is_that_of_its_hours(paying: _Run) -> None:
    case, plan = paying.built
    row, profile = paying.best, load_profile(paying.study.profile)
    assert case.stored is not None
    assert profile.price_per_kwh is not None
    year = run_rule(case.stored.rule, np.array(profile.generation_share), 4.0, OFFER.efficiency)
    kw = plan.storage_kw.sum()
    earned = float((np.array(profile.price_per_kwh) * (year.discharge - year.charge)).sum()) * kw
    assert row.cost_storage_energy == pytest.approx(-earned, rel=1e-12)
    assert row.cost_storage_investment == pytest.approx((20.0 + 4.0 * 25.0) * kw, rel=1e-12)
    assert row.cost == pytest.approx(sum(row.cost_parts.values()))
    assert (plan.storage_kwh == 4.0 * plan.storage_kw).all()
    # Nothing is ever charged from the grid.
    network = network_over_days(case, None)
    assert over_hours(plan, network).injected_kw(network.sun).min() >= -1e-9


def test_days_windows_and_year_inject_the_same(paying: _Run) -> None:
    case, plan = paying.built
    assert dump_plan(case, plan) == paying.best.json
    assert case.stored is not None
    j = int(np.flatnonzero(plan.storage_kw)[0])
    for k, day in enumerate(case.days):
        of_year = case.stored.share[24 * day.index : 24 * day.index + 24]
        of_day = plan.discharge_kw[j].reshape(-1, 24, STEPS_AN_HOUR)[k]
        assert np.allclose(of_day, plan.storage_kw[j] * of_year[:, None], rtol=1e-9)
    # Linear rows are exact at the plan, which holds on its days; OpenDSS agrees where storage acts.
    simulated = case.network.simulate(plan)
    assert excess(simulated.g, *case.network.limit_rows()).max() == 0.0
    rows = case.network.linearize(plan, simulated, np.zeros_like(simulated.g))
    assert np.abs(predict(case.problem(rows), plan) - simulated.g).max() < 1e-9
    for point in (int(plan.discharge_kw[j].argmin()), int(plan.discharge_kw[j].argmax())):
        assert plan.discharge_kw[j, point] != 0.0
        again = opendss_voltages(case, plan, point, simulated)
        assert np.abs(again - simulated.g[: case.network.n_voltages, point]).max() < 1e-6
    for window in gather(paying.results, "windows"):
        assert window["difference_pu"] < 1e-6


def test_storage_beside_pv_injects_all_through_a_run() -> None:
    """At night PV gives nothing: storage that gives is a fixed injection, and one that charges a load."""
    feeder = STUDY.load_feeder()
    scenario = Scenario("night", replica_ramps=(), profile=STUDY.profile, profile_rows=(2, 1, 1), duration_s=60)
    noon = replace(scenario, name="noon", profile_rows=(12 + 24 * 180, 1, 1))
    sun = float(load_profile(STUDY.profile).generation_share[12 + 24 * 180])
    found = []
    for of, unit in (
        (scenario, PVUnit("675", 500.0)),
        (scenario, PVUnit("675", 500.0, storage_kw=200.0)),
        (scenario, PVUnit("675", 500.0, storage_kw=-200.0)),
        (noon, PVUnit("675", 500.0, storage_kw=-200.0)),
        (noon, PVUnit("675", 500.0 - 200.0 / sun)),
    ):
        (outcome,) = evaluate(Plan((), pv=(unit,)), feeder, [of], STUDY.limits, engine="opendss").outcomes
        assert outcome.summary is not None
        found.append(outcome.summary.highest_pu)
    nothing, gives, charges, together, less = found
    assert (gives > nothing).all()
    assert (charges < nothing).all()
    assert np.abs(together - less).max() < 1e-9


def test_an_independent_script_comes_to_the_same_year(paying: _Run, tmp_path: Path) -> None:
    """The whole year at full, dollar by dollar, and two weeks of it at other levels of utilisation."""
    operation = [row for row in gather_as(paying.results, "operation", OperationRow) if row.plan == paying.best.plan]
    for name, text in hand_over_texts(paying.study, paying.best, operation).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder = tmp_path / "plan"
    case, plan = paying.built
    assert case.network.operated is not None
    assert case.stored is not None
    (column,) = [name for name in rows_of(folder / "year.csv")[0] if name.startswith("storage_")]
    assert storage_by_rule(folder) == pytest.approx([float(hour[column]) for hour in rows_of(folder / "year.csv")])
    full, without = replay(folder, 1.0), replay(folder, 0.0, with_plan=False)
    assert full.hours_outside == 0
    assert full.tap_steps == operation[0].tap_steps
    drawn = -float(case.stored.share.sum() * plan.storage_kw.sum())
    assert drawn > 0.0
    assert full.storage_kwh == pytest.approx(drawn, rel=1e-9)
    assert cost_of_plan(folder, full, without) == pytest.approx(paying.best.cost, abs=1.0)
    set_points, n_hours = case.network.operated.set_points, 24 * 14
    year = operate_year(case, plan, set_points)
    rows = simulated_year(case, plan, set_points, year).simulated.g
    for level in (0.5, 0.0):
        one, k = replay(folder, level, n_hours=n_hours), year.levels.index(level)
        assert one.tap_steps == year.steps[k, :n_hours].sum()
        assert one.losses_kwh == pytest.approx(year.series.losses_kw[k, :n_hours].sum(), rel=1e-6)
        voltages = rows[: year.network.n_voltages, k * 8760 : k * 8760 + n_hours]
        assert one.lowest_pu == pytest.approx(voltages.min(), abs=1e-6)
        assert one.highest_pu == pytest.approx(voltages.max(), abs=1e-6)


def test_a_plant_trips_with_its_storage(paying: _Run) -> None:
    case, plan = paying.built
    network = network_over_days(case, None)
    injected = over_hours(plan, network).injected_kw(network.sun)
    (trip,) = [one for one in gather_as(paying.results, "trips", TripRow) if one.what.startswith("PV and storage at")]
    j = network.pv_buses.index(trip.what.rpartition(" ")[2])
    dates = [at.date().isoformat() for at in load_profile(paying.study.profile).hours]
    assert trip.kw == pytest.approx(injected[j, dates.index(trip.date) + trip.hour], abs=1e-6)


def test_storage_that_does_not_pay_is_left_out_with_both_figures(idle: _Run) -> None:
    with_it, without = idle.storage[WITH_STORAGE], idle.storage[WITHOUT_STORAGE]
    assert (with_it.taken, without.taken) == (False, True)
    assert idle.best.storage_kw == 0.0
    assert with_it.storage_kw > 0.0
    assert (with_it.charge_above, with_it.discharge_from_h, with_it.n_rules) == (0.3, 18, 1)
    assert with_it.cost_storage_energy > 0.0
    assert with_it.cost > without.cost
    answer = idle.study.conclude(idle.results).answer
    assert "Storage does not pay (1 rule tried" in answer
    assert f"of storage earns {-with_it.cost:,.0f} $ a year, the best without earns {-without.cost:,.0f} $" in answer
    # It is no worse than the plan that has no offer.
    alone = replace(idle.study, storage=None)
    (held,) = [one for one in judged_plans(alone, results_of(alone)) if one.held]
    assert idle.best.cost <= held.row.cost + 1e-6
    assert not storage_words(alone, [])


def test_less_of_a_plan_has_no_storage_where_there_is_no_plant(paying: _Run) -> None:
    case, plan = paying.built
    rule = StorageRule(0.2, 17)
    assert case.network.operated is not None
    own = make_case(paying.study, case.network.feeder, case.days, case.network.operated, rule)
    for one in _smaller(own, plan):
        assert not one.storage_kw[one.pv_kw == 0.0].any()
        assert not one.discharge_kw[one.storage_kw == 0.0].any()
        assert (one.storage_kw <= rule.share_max * one.pv_kw + 1e-6).all()
    assert any(
        one.storage_kw.sum() < plan.storage_kw.sum() and one.pv_kw.sum() == plan.pv_kw.sum()
        for one in _smaller(own, plan)
    )
