"""A hosting-capacity study as a question: tasks, stored rows, conclusions, and judging again under other limits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from bus_capacity import find_bus_capacity
from study_run import results_of

from g2g_opt.assembly import assemble
from g2g_opt.errors import InputError
from g2g_opt.evaluation import evaluate
from g2g_opt.feeder import Feeder
from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import sized_site
from studies.hosting_capacity.rows import CapacityRun
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.conclusion import Conclusion, ResultTable
from studies.shared.rejudging import conclude_under
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import gather_as

# One worker, so that each study is run once.
pytestmark = pytest.mark.xdist_group("hosting capacity study")

SHORT = Scenario("short", 120, replica_share_start=1.0, replica_ramps=((50.0, 70.0, 0.5),), seed=3)
# Thirty seconds, taps as they are: for what is about bookkeeping and not about taps.
BRIEF = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=(), seed=3)
# Voltages decide: what ratings do has tests of its own.
# Voltages decide: what ratings and changes at a trip do has tests of its own.
VOLTAGES = Limits(
    loading_max_pu=None,
    rapid_voltage_change_max_pu=None,
    rapid_voltage_change_trip_max_pu=None,
    unbalance_negative_sequence_max=None,
    unbalance_nema_max=None,
)
TWO_BUSES = HostingCapacityStudy(
    buses=("671", "675"), scenario=SHORT, limits=VOLTAGES, taps="optimised", objective="gpus", ladder=False
)
PAIRS = HostingCapacityStudy(
    buses=("671", "675", "632"),
    scenario=BRIEF,
    taps="study",
    n_sites=2,
    frontier_points=3,
    operations=("firm",),
    limits=VOLTAGES,
    ladder=False,
)
FULL = Scenario("full", 90, replica_share_start=1.0, replica_ramps=(), seed=3)
CURVE = HostingCapacityStudy(
    buses=("632",),
    scenario=FULL,
    taps="study",
    throughput_shares=(1.0, 0.8, 0.6, 0.5),
    limits=VOLTAGES,
    objective="gpus",
    ladder=False,
)


run = cache(results_of)


def table(conclusion: Conclusion, name: str) -> ResultTable:
    return next(found for found in conclusion.tables if found.name == name)


def capacities(results: tuple[TaskResult, ...]) -> dict[tuple[str, str], Row]:
    return {(row["bus"], row["operation"]): row for row in gather(results, "capacities")}


class TestTwoBuses:
    def test_two_buses_are_two_tasks_with_the_answers_of_searching_them_alone(self) -> None:
        results = run(TWO_BUSES)
        assert len(results) == 2
        found = capacities(results)
        for capacity in find_bus_capacity(TWO_BUSES, "675"):
            row = found["675", capacity.operation]
            assert row["n_servers"] == capacity.n_servers
            assert row["limit_where"] == capacity.stopped_by.place()

    def test_the_conclusion_says_what_was_stored(self) -> None:
        results = run(TWO_BUSES)
        conclusion = TWO_BUSES.conclude(results)
        best = capacities(results)["671", "firm"]
        assert f"671 hosts {best['power_peak_mw']:.2f} MW" in conclusion.answer
        firm, flexible = conclusion.maps
        assert firm.value_by_bus["671"] == best["power_peak_mw"]
        assert flexible.value_by_bus["671"] > firm.value_by_bus["671"]
        assert [row["bus"] for row in table(conclusion, "binding").rows] == ["671", "671", "675", "675"]
        assert any("line.692675" in words and "transformer.sub" in words for words in conclusion.warnings)
        assert len(conclusion.envelopes) == 4
        assert min(conclusion.envelopes[0].lowest_pu) > 0.9
        assert conclusion.envelopes[0].nodes[0].rsplit(".")[-1] in "ABC"

    def test_judged_again_under_its_own_limits_nothing_changes(self) -> None:
        results = run(TWO_BUSES)
        again = {
            (row["bus"], row["operation"]): row
            for row in table(conclude_under(TWO_BUSES, results, TWO_BUSES.limits), "capacities").rows
        }
        for key, row in capacities(results).items():
            assert again[key]["n_servers"] == row["n_servers"]
            assert again[key]["n_servers_rejected_above"] == row["n_servers_rejected_above"]
            assert again[key]["power_peak_mw"] == row["power_peak_mw"]

    def test_other_limits_give_the_largest_simulated_size_that_the_public_door_accepts(self) -> None:
        results = run(TWO_BUSES)
        limits = replace(VOLTAGES, voltage_min_pu=0.94)
        row = next(
            row
            for row in table(conclude_under(TWO_BUSES, results, limits), "capacities").rows
            if (row["bus"], row["operation"]) == ("671", "firm")
        )
        assert row["n_servers"] > capacities(results)["671", "firm"]["n_servers"]
        taps = tuple((name, float(ratio)) for name, ratio in (part.split("=") for part in row["taps"].split()))
        feeder, models = TWO_BUSES.load_feeder(), TWO_BUSES.load_models()
        for n, kept in ((row["n_servers"], True), (row["n_servers_rejected_above"], False)):
            site = sized_site("site", "671", models, n, TWO_BUSES.base_kw_per_gpu)
            assert evaluate(Plan((site,), taps), feeder, [SHORT], limits, engine="batch").accepted == kept

    def test_limits_beyond_every_simulated_size_are_said_to_be(self) -> None:
        loose = replace(VOLTAGES, voltage_min_pu=0.9, violation_time_share_max=1.0, throughput_share_min=0.0)
        conclusion = conclude_under(TWO_BUSES, run(TWO_BUSES), loose)
        assert any("at least what is stated" in words for words in conclusion.warnings)

    def test_limits_that_no_simulated_size_keeps_are_no_capacity_of_zero(self) -> None:
        # Hand: the customers alone take a quarter of the substation's 7,500 kVA.
        limits = replace(VOLTAGES, loading_emergency_max_pu=0.2)
        conclusion = conclude_under(TWO_BUSES, run(TWO_BUSES), limits)
        assert "has no answer by these limits, as the circuit breaks a limit without any site" in conclusion.answer
        assert all(not feeder_map.value_by_bus for feeder_map in conclusion.maps) or not conclusion.maps

    def test_a_limit_without_figures_is_refused_in_words(self) -> None:
        with pytest.raises(InputError, match=r"no voltage figures were kept at 0\.955"):
            conclude_under(TWO_BUSES, run(TWO_BUSES), replace(VOLTAGES, voltage_min_pu=0.955))

    def test_stored_runs_hold_every_round_and_the_check_on_opendss(self) -> None:
        rows = gather(run(TWO_BUSES), "runs")
        judged = gather(run(TWO_BUSES), "judged")
        assert sum(row["purpose"] == "search" for row in rows) == sum(row["rounds"] for row in judged)
        assert {row["engine"] for row in rows if row["purpose"] == "opendss"} == {"opendss"}
        assert len({tuple(row) for row in rows}) == 1, "every row has the same columns"

    def test_a_task_divides_into_buses_and_a_single_bus_does_not(self) -> None:
        whole = replace(TWO_BUSES, buses=("671", "675", "692", "680"))
        first, second = whole.tasks("capacities", ())
        parts = whole.split(first) + whole.split(second)
        assert sorted(part.content["site_sets"][0][0] for part in parts) == ["671", "675", "680", "692"]
        assert whole.split(parts[0]) == []

    def test_a_failed_task_is_a_failure_and_not_an_answer(self) -> None:
        good, bad = run(TWO_BUSES)
        conclusion = TWO_BUSES.conclude([good, TaskResult(bad.task, failed="out of memory")])
        assert [(failure.what, failure.reason) for failure in conclusion.failures] == [("bus 675", "out of memory")]
        assert "675" not in conclusion.answer
        assert "No bus has an answer" in TWO_BUSES.conclude([TaskResult(bad.task, failed="out of memory")]).answer


class TestPairs:
    def test_pairs_share_their_servers_and_single_buses_are_searched_for_the_frontier(self) -> None:
        found = capacities(tuple(r for r in run(PAIRS) if r.task.kind == "capacities"))
        assert {bus for bus, _ in found} == {"671+675", "671+632", "675+632", "671", "675", "632"}
        sizes = found["671+632", "firm"]["n_servers_by_site"]
        assert sizes[0] - sizes[1] in (0, 1)
        assert sum(sizes) == found["671+632", "firm"]["n_servers"]

    def test_every_point_of_a_frontier_is_kept_and_a_larger_second_site_is_not(self) -> None:
        feeder, models = PAIRS.load_feeder(), PAIRS.load_models()
        points = [row for row in gather(run(PAIRS), "capacities") if row["first_n_servers"] is not None]
        assert len(points) == 6
        for row in points[:3]:
            buses = row["bus"].split("+")
            for second, kept in ((row["n_servers"], True), (row["n_servers_rejected_above"], False)):
                sizes = (row["first_n_servers"], second)
                sites = tuple(
                    sized_site(f"site-{k + 1}", bus, models, n, PAIRS.base_kw_per_gpu)
                    for k, (bus, n) in enumerate(zip(buses, sizes, strict=True))
                    if n > 0
                )
                plan = Plan(sites, policy=Policy("none"))
                assert evaluate(plan, feeder, [BRIEF], PAIRS.limits).accepted == kept

    def test_a_frontier_falls_from_the_second_site_alone_and_is_shown(self) -> None:
        conclusion = PAIRS.conclude(run(PAIRS))
        rows = [row for row in table(conclusion, "frontier").rows if (row["first"], row["second"]) == ("671", "632")]
        assert rows[0]["first_gpus"] == 0
        assert rows[0]["second_gpus"] == 8 * capacities(run(PAIRS)[:2])["632", "firm"]["n_servers"]
        second = [row["second_gpus"] for row in rows]
        assert second == sorted(second, reverse=True)
        assert any("go together" in chart.title for chart in conclusion.charts)
        assert conclusion.maps[0].title.endswith("largest set with this bus")
        again = PAIRS.conclude(run(PAIRS), PAIRS.limits)
        assert list(table(again, "frontier").rows) == list(table(conclusion, "frontier").rows)

    def test_shares_make_ordered_pairs_of_their_sizes(self) -> None:
        study = replace(PAIRS, site_shares=(2.0, 1.0), frontier_points=0)
        assert len(study.resolve_sets(study.load_feeder())) == 6
        assert study.share_servers(10, 2) == (7, 3)
        named = replace(PAIRS, site_sets=(("675", "671"),), n_sites=1, frontier_points=0)
        assert named.resolve_sets(named.load_feeder()) == [("675", "671")]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"site_sets": (("671", "671"),)}, "different buses"),
            ({"site_shares": (1.0, 2.0, 3.0)}, "share for every site"),
            ({"n_sites": 3}, "pairs of sites"),
            ({"n_sites": 4, "frontier_points": 0}, "at least as many buses; there are 3"),
            ({"scenarios": 58}, "59 are needed"),
            ({"throughput_shares": (1.2,)}, "throughput_shares"),
            ({"operations": ()}, "operation"),
        ],
    )
    def test_a_question_that_cannot_be_is_refused_in_words(self, changes: dict[str, object], words: str) -> None:
        with pytest.raises(InputError, match=words):
            replace(PAIRS, **changes).check()  # type: ignore[arg-type]


class TestThroughputCurve:
    def test_capacity_never_rises_with_the_tokens_to_serve_and_keeps_each_floor(self) -> None:
        rows = [row for row in gather(run(CURVE), "capacities") if row["operation"] == "flexible"]
        rows.sort(key=lambda row: row["throughput_floor"])
        assert [row["throughput_floor"] for row in rows] == [0.5, 0.6, 0.8, 1.0]
        sizes = [row["n_servers"] for row in rows]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > sizes[-1]
        for row in rows:
            assert row["throughput_share"] >= row["throughput_floor"] - 5e-5

    def test_floors_share_what_was_simulated(self) -> None:
        rows, judged = gather(run(CURVE), "runs"), gather(run(CURVE), "judged")
        assert sum(row["purpose"] == "search" for row in rows) < 0.8 * sum(row["rounds"] for row in judged)

    def test_curtailed_time_is_that_of_a_trace_of_batch_sizes(self) -> None:
        runs = gather_as(run(CURVE), "runs", CapacityRun)
        found = [r for r in runs if (r.operation, r.purpose) == ("flexible", "search")]
        row = max(found, key=lambda r: r.read_summary().curtailed_time_s)
        parts = assemble(row.read_plan(), row.read_scenario(), CURVE.load_feeder(), CURVE.limits)
        parts.coordinator.run()
        record = parts.datacenters["site"].record
        below = ((record.batch_size < 128) & (record.replicas > 0)).any(axis=1)
        assert float(below.sum()) == row.read_summary().curtailed_time_s > 0

    def test_more_curtailment_hosts_more(self) -> None:
        conclusion = CURVE.conclude(run(CURVE))
        rows = table(conclusion, "curtailment_curve").rows
        assert rows[0]["curtailed_h"] == 0.0
        gpus = [row["n_gpus"] for row in rows]
        assert gpus == sorted(set(gpus))
        drawn = [chart.title for chart in conclusion.charts]
        assert drawn[1:] == [
            "MW against tokens: sizes that keep the limits",
            "Flexible capacity against lost tokens",
            "Capacity against curtailment",
            "Scenario: what the study takes as given",
        ]


def test_a_scenario_set_is_certified_on_fresh_draws_and_hosts_no_more_than_its_worst_scenario() -> None:
    study = HostingCapacityStudy(
        buses=("671",),
        scenario=BRIEF,
        taps="study",
        # With the study's taps a lightly loaded feeder is above 1.05 pu.
        limits=replace(VOLTAGES, voltage_max_pu=1.08),
        operations=("firm",),
        scenarios=8,
        scenario_share_min=0.7,
        confidence=0.9,
    )
    results = run(study)
    (row,) = gather(results, "capacities")
    assert (row["n_scenarios"], row["n_scenarios_kept"]) == (8, 8)
    assert row["scenario_share_lower_bound"] == pytest.approx(0.1 ** (1 / 8), abs=1e-5)
    draws = study.draw_scenarios("search")
    assert len({scenario.name for scenario in draws}) == 8
    assert draws == study.draw_scenarios("search")
    assert draws != study.draw_scenarios("certificate 1")
    certified = [r for r in gather(results, "runs") if r["purpose"] == "certificate"]
    (plan,) = {CapacityRun.from_row(r).read_plan() for r in certified if r["n_servers"] == row["n_servers"]}
    (runs,) = simulate([plan], draws, study.load_feeder(), study.limits)
    assert all(one.kept for one in runs)
    conclusion = study.conclude(results)
    assert "8 of 8 fresh scenarios" in conclusion.answer
    again = table(conclude_under(study, results, study.limits), "capacities").rows[0]
    assert again["n_servers"] == row["n_servers"]
    assert again["n_scenarios_kept"] == 8


@pytest.mark.parametrize(
    ("limits", "kept", "name"),
    [
        (Limits(rapid_voltage_change_trip_max_pu=None, loading_max_pu=1.0), False, "loading"),
        (Limits(rapid_voltage_change_trip_max_pu=None, loading_max_pu=1.0, overload_time_max_s=30.0), True, ""),
        (
            Limits(rapid_voltage_change_trip_max_pu=None, loading_max_pu=1.0, overload_time_max_s=20.0),
            False,
            "overload time (s)",
        ),
        (replace(VOLTAGES, loading_emergency_max_pu=1.0), True, ""),
        (
            Limits(
                rapid_voltage_change_trip_max_pu=None,
                loading_max_pu=1.0,
                overload_time_max_s=30.0,
                loading_emergency_max_pu=0.75,
            ),
            False,
            "emergency loading",
        ),
    ],
)
def test_normal_and_emergency_ratings_give_the_same_verdict_on_both_engines(
    limits: Limits, kept: bool, name: str
) -> None:
    # Above the substation's normal rating at full demand, for the first 22 of 60 s or so; emergency is 15/11 of it.
    study = HostingCapacityStudy(limits=limits)
    scenario = Scenario("heavy", 60, replica_share_start=1.0, replica_ramps=((20.0, 30.0, 0.3),), seed=3)
    site = sized_site("site", "671", study.load_models(), 500, study.base_kw_per_gpu)
    feeder = Feeder.load("ieee13")
    outcomes = [
        evaluate(Plan((site,)), feeder, [scenario], limits, engine=engine).outcomes[0]  # type: ignore[arg-type]
        for engine in ("batch", "opendss")
    ]
    for outcome in outcomes:
        thermal = [check for check in outcome.checks if "load" in check.name]
        assert all(check.kept for check in thermal) == kept, outcome.reasons
        broken = [check for check in thermal if not check.kept]
        assert [check.name for check in broken] == ([name] if name else [])
        assert all("transformer.sub.C at t=" in check.place() for check in broken)
    batch, opendss = outcomes
    assert [check.criterion for check in batch.checks] == [check.criterion for check in opendss.checks]
    for own, other in zip(batch.checks, opendss.checks, strict=True):
        # A rapid change is the difference of two voltages, each of which both engines know to 1e-6 pu.
        absolute = 1e-6 if own.criterion is Criterion.RAPID_VOLTAGE_CHANGE else 1e-9
        assert own.value == pytest.approx(other.value, rel=1e-5, abs=absolute), own.criterion


def test_an_outcome_read_back_is_the_one_that_was_stored() -> None:
    row = next(row for row in gather(run(PAIRS), "runs") if row["purpose"] == "search")
    assert CapacityRun.from_row(row).outcome(PAIRS.limits).scenario == "brief"


def test_a_search_that_ends_at_its_cap_says_so_in_the_answer_and_the_tables() -> None:
    # 0.2 MW at rated power, which the bus takes with ease: the cap ends the search, no limit does.
    loose = Limits(voltage_min_pu=0.9, voltage_max_pu=1.1)
    study = replace(TWO_BUSES, buses=("632",), scenario=BRIEF, taps="study", limits=loose, power_max_mw=0.2)
    results = run(study)
    rows = gather(results, "capacities")
    assert len(rows) == 2
    for row in rows:
        assert row["n_servers_rejected_above"] is None
        assert row["limit"] == "none within the search range"
        cap = f"the search ended at its cap of {row['n_servers']} servers (0.2 MW at rated power, power_max_mw)"
        assert cap in row["limit_where"]
    conclusion = study.conclude(results)
    assert conclusion.answer.count(": more may fit") == 2
    for name in ("capacities", "binding"):
        assert all("more may fit" in row["limit_where"] for row in table(conclusion, name).rows)
    # A search that a limit ended says nothing of a cap.
    assert "more may fit" not in TWO_BUSES.conclude(run(TWO_BUSES)).answer
