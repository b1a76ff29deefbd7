"""Location on a case small enough to try every placement alone, on OpenDSS, by the public door."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from g2g_opt.errors import InputError
from g2g_opt.evaluation import evaluate
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import ServiceTransformer
from studies.datacenter_location.ranking import best_rows
from studies.datacenter_location.study import LocationStudy
from studies.datacenter_location.trials import PlacementRow, TrialRun
from studies.report.plot_data import chart_data
from studies.shared.rejudging import conclude_under
from studies.shared.site_choices import ServedModel, SiteChoice
from studies.shared.stored_runs import RunRow
from studies.shared.task import Task, TaskResult, gather
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("location")  # one worker, so that its studies are run once

SHORT = Scenario("short", 120, replica_share_start=0.6, replica_ramps=((20.0, 60.0, 1.0),), seed=3)
WEST = SiteChoice("west", (ServedModel("llama-3.1-8b", 1600),), candidates=("671", "675", "632"))
EAST = SiteChoice("east", (ServedModel("llama-3.1-70b", 1200),), candidates=("680", "671"))
STUDY = LocationStudy(
    feeder="ieee13",
    sites=(WEST, EAST),
    taps="study",
    scenario=SHORT,
    finalists=3,
    finalist_dt_s=Fraction(1),
)


def quiet(share: float, words: str) -> None:
    assert 0.0 <= share <= 1.0
    assert words


def run_all(study: LocationStudy, *, split: bool = False) -> list[TaskResult]:
    """Every stage, one task after the other; with `split` the halves of each task, the last one first."""
    results: list[TaskResult] = []
    for stage in study.stages:
        tasks: list[Task] = []
        for task in study.tasks(stage, results):
            halves = study.split(task) if split else []
            tasks += halves[::-1] or [task]
        results += [TaskResult(task, study.run(task, quiet)) for task in tasks]
    return results


def alone(study: LocationStudy, buses: Sequence[str], engine: str, taps: Any = ()) -> Any:
    sites = tuple(study.site(choice, bus) for choice, bus in zip(study.choices(), buses, strict=True))
    plan = Plan(sites, taps=taps, policy=study.policy)
    (outcome,) = evaluate(plan, study.load_feeder(), [study.scenario], study.limits, engine=engine).outcomes
    return outcome


@pytest.fixture(scope="module")
def results() -> list[TaskResult]:
    STUDY.check()
    return run_all(STUDY)


@pytest.fixture(scope="module")
def optimised() -> list[TaskResult]:
    return run_all(replace(STUDY, taps="optimised", refined=3))


def test_by_default_the_circuits_own_controls_move_the_taps_on_both_engines() -> None:
    study = replace(STUDY, taps=LocationStudy().taps, sites=(WEST,), finalist_dt_s=SHORT.dt_s)
    found = run_all(study)
    assert {result.task.kind for result in found} == {"placements", "finalists"}
    rows = gather_as(found, "placements", PlacementRow)
    plans = [run.read_plan() for run in gather_as(found, "runs", TrialRun)]
    assert {(plan.tap_mode, plan.taps) for plan in plans} == {("own control", ())}
    batch = {row.placement: row for row in rows if row.stage == "placements"}
    finalists = [row for row in rows if row.stage == "finalists"]
    assert len(finalists) == 3
    for row in finalists:
        same = batch[row.placement]
        assert (same.engine, row.engine) == ("batch", "opendss")
        assert row.integral_violation_pu_s == pytest.approx(same.integral_violation_pu_s, rel=1e-3, abs=1e-3)


def test_the_ranking_is_that_of_every_placement_run_alone_on_opendss(results: list[TaskResult]) -> None:
    by_hand = {}
    for buses in STUDY.placements():
        figures = alone(STUDY, buses, "opendss")
        by_hand["/".join(buses)] = (
            round(figures.voltage.integral_violation_pu_s, 6),
            figures.voltage.violation_time_s,
            -round(figures.summary.throughput_tps, 3),
            -round(figures.verdict.worst_voltage.margin_pu, 5),
        )
    assert len(set(by_hand.values())) > 3
    conclusion = STUDY.conclude(results)
    finalists, everything = conclusion.tables[:2]
    order = sorted(by_hand, key=lambda name: (by_hand[name], name))
    assert [row["placement"] for row in everything.rows] == order
    assert [row["placement"] for row in finalists.rows] == order[:3]
    for row in everything.rows:
        assert row["integral_violation_pu_s"] == pytest.approx(by_hand[row["placement"]][0], abs=2e-4)
    for row in finalists.rows:
        assert row["engine"] == "opendss"
        assert round(row["integral_violation_pu_s"], 6) == by_hand[row["placement"]][0]
    assert f"west at bus {order[0].split('/')[0]}, east at bus {order[0].split('/')[1]}" in conclusion.answer
    (chart,) = (chart for chart in conclusion.charts if chart.title.startswith("Finalists"))
    by_engine = [(row["batch_integral_pu_s"], row["integral_violation_pu_s"]) for row in finalists.rows]
    assert list(zip(chart.lines[0].x, chart.lines[0].y, strict=True)) == by_engine
    for chart in conclusion.charts:  # a page can hold them
        json.dumps(chart_data(chart))
    assert set(conclusion.maps[0].marked) == set(order[0].split("/"))
    assert len(conclusion.envelopes) == 3
    assert not conclusion.failures


def test_what_taps_are_worth_and_what_was_predicted_are_drawn_placement_by_placement(
    optimised: list[TaskResult],
) -> None:
    rows = [row for row in gather_as(optimised, "placements", PlacementRow) if row.stage == "placements"]
    conclusion = replace(STUDY, taps="optimised").conclude(optimised)
    charts = {chart.title.partition(":")[0]: chart for chart in conclusion.charts}
    worth, predicted = charts["What taps are worth"].lines[0], charts["Predicted next to simulated"].lines[0]
    assert list(worth.x) == [row.coarse_study_integral_pu_s for row in rows]
    assert list(predicted.x) == [row.predicted_cost_pu for row in rows if row.predicted_cost_pu is not None]
    assert list(worth.y) == [row.integral_violation_pu_s for row in rows]
    json.dumps([chart_data(chart) for chart in charts.values()])


def test_stored_rows_are_those_of_a_run_alone(optimised: list[TaskResult]) -> None:
    runs = {(run["placement"], run["stage"]): run for run in gather(optimised, "runs")}
    rows = gather(optimised, "placements")
    assert {(row["placement"], row["stage"]) for row in rows} == set(runs)
    rows = [row for row in rows if row["stage"] != "finalists"]
    for row in rows[:2] + rows[-1:]:
        plan = TrialRun.from_row(runs[row["placement"], row["stage"]]).read_plan()
        figures = alone(STUDY, row["buses"], "batch", plan.taps)
        assert row["integral_violation_pu_s"] == figures.voltage.integral_violation_pu_s
        assert row["throughput_tps"] == figures.summary.throughput_tps


def test_results_do_not_depend_on_how_the_work_is_divided(optimised: list[TaskResult]) -> None:
    study = replace(STUDY, taps="optimised", refined=3)
    other = run_all(study, split=True)
    assert len(other) > len(optimised)

    def rows(found: list[TaskResult]) -> list[Any]:
        return sorted(gather(found, "placements"), key=lambda row: (row["stage"], row["placement"]))

    assert rows(other) == rows(optimised)
    assert study.conclude(other[::-1]).answer == study.conclude(optimised).answer


def test_taps_of_its_own_make_the_best_placement_no_worse(
    results: list[TaskResult], optimised: list[TaskResult]
) -> None:
    before, after = (
        best_rows(gather_as(found, "placements", PlacementRow), finalists=False) for found in (results, optimised)
    )
    assert after[0].integral_violation_pu_s < before[0].integral_violation_pu_s
    assert {row.placement for row in after} == {row.placement for row in before}
    assert any(row["stage"] == "refine" for row in gather(optimised, "placements"))


def test_other_limits_are_judged_without_simulating(results: list[TaskResult]) -> None:
    limits = Limits(voltage_min_pu=0.96, voltage_max_pu=1.05)
    conclusion = conclude_under(STUDY, results, limits)
    study = replace(STUDY, limits=limits, policy=Policy("none"))
    fixed = run_all(replace(STUDY, policy=Policy("none")))
    fresh = replace(study, finalists=1).conclude(run_all(study))
    again = conclude_under(replace(STUDY, policy=Policy("none")), fixed, limits)
    columns = ("placement", "integral_violation_pu_s", "violation_time_s", "margin_pu", "kept", "broken")
    assert [[row[c] for c in columns] for row in again.tables[1].rows] == [
        [row[c] for c in columns] for row in fresh.tables[1].rows
    ]
    stored = {row["placement"]: [row[c] for c in columns] for row in again.tables[0].rows}
    simulated = {row["placement"]: [row[c] for c in columns] for row in fresh.tables[0].rows}
    both = stored.keys() & simulated.keys()
    assert both
    assert {name: stored[name] for name in both} == {name: simulated[name] for name in both}
    assert [table.name for table in conclusion.tables] == ["finalists", "location"]
    assert any("nothing was simulated" in words for words in conclusion.warnings)
    with pytest.raises(InputError, match=r"kept: \[0.9, 0.92"):
        conclude_under(STUDY, results, Limits(voltage_min_pu=0.9551))


def test_a_placement_that_fails_is_a_row_with_its_reason_and_no_rank() -> None:
    huge = replace(EAST, models=(ServedModel("llama-3.1-70b", 40_000),))
    study = replace(STUDY, sites=(WEST, huge), scenario=replace(SHORT, duration_s=10, replica_ramps=()), finalists=1)
    found = run_all(study)
    conclusion = study.conclude(found)
    assert len(conclusion.failures) == len(study.placements()) == 5
    assert all(failure.reason for failure in conclusion.failures)
    assert conclusion.tables[0].rows == []
    assert "None of 5 placements" in conclusion.answer
    lost = [TaskResult(result.task, failed="worker died") for result in found]
    assert {failure.reason for failure in study.conclude(lost).failures} == {"worker died"}


# --- how sites are connected


def test_transformer_power_factor_and_connection_are_the_simulated_sites_own() -> None:
    one = (replace(WEST, candidates=("671",)), replace(EAST, candidates=("680",)))
    plain = replace(STUDY, sites=one, finalists=1)
    service = ServiceTransformer(kva=8000.0, z_percent=6.0, load_loss_percent=1.0)
    connected = replace(plain, service=service, power_factor=0.85, connection="delta")
    lowest = []
    for study in (plain, connected):
        study.check()
        results = run_all(study)
        (row,) = (r for r in gather(results, "placements") if r["stage"] == "placements")
        figures = alone(study, ("671", "680"), "opendss")
        assert row["integral_violation_pu_s"] == pytest.approx(figures.voltage.integral_violation_pu_s, abs=1e-3)
        lowest.append(figures.voltage.worst_vmin)
    sites = RunRow.from_row(gather(results, "runs")[0]).read_plan().sites
    assert {(site.power_factor, site.connection) for site in sites} == {(0.85, "delta")}
    assert sorted(study.load_feeder().service_buses) == ["671", "680"]
    # More kvar, and those of the transformer's reactance, come through the feeder.
    assert lowest[1] < lowest[0] - 1e-3
