"""Whole coordination studies at small size: what they save, what is refused, and that nothing of the future is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from coordination_runs import PEAK, do, run, shown

from g2g_opt.transmission.policy import ContextualPolicy, CoordinationFeature
from g2g_opt.transmission.policy_controller import published_names
from g2g_opt.transmission.system import PeakRecords, load_peak_records
from g2g_opt.transmission.zonal_grid import ShedRule
from studies.coordination_policy import peak_hour, training
from studies.coordination_policy.closed_loop import run_loop, train_loop_policy
from studies.coordination_policy.draws import study_draw
from studies.coordination_policy.hours import load_hours, make_features
from studies.coordination_policy.setting import draw_records, make_setting
from studies.coordination_policy.study import CoordinationStudy
from studies.shared.task import TaskResult, gather

# Studies are run once for all tests that look at them.
pytestmark = pytest.mark.xdist_group("coordination")
WEEK = CoordinationStudy(kind="closed-loop", q=(60,), first_date="2019-06-24", last_date="2019-06-30")
LOOPS = {
    "loads": replace(WEEK, features="loads", shed_rule="sheds no more"),
    "expected": replace(WEEK, features="expected", response="shrink", eps=(10_000.0,)),
    "published": replace(WEEK, response="project", eps=(100.0,)),
}


# ---------------------------------------------------------------- peak hours


def test_peak_hour_savings_lie_between_none_and_ideal() -> None:
    rows = {(row["policy"], row["tie"]): row for row in gather(run(PEAK), "savings")}
    trained = {("base regression", 0), ("contextual", 0), ("contextual", 1)}
    assert set(rows) == {("none", None), ("ideal", None), *trained}
    assert rows["none", None]["saving_share"] == 0.0
    for name in trained:
        assert 0.0 < rows[name]["saving_share"] < rows["ideal", None]["saving_share"]
        assert rows[name]["saving_low"] <= rows[name]["saving_share"] <= rows[name]["saving_high"]
        assert rows[name]["n_test"] == 546 - 30
    own, best = ({row["policy"]: row for row in shown(PEAK, "savings")}[name] for name in ("contextual", "ideal"))
    assert own["captured_pct"] == pytest.approx(100.0 * own["saving_pct"] / best["saving_pct"])


def test_a_stored_peak_hour_policy_is_the_one_that_was_judged() -> None:
    """Refused shares and costs once more, from the policy's text, record by record."""
    (stored,) = gather(run(PEAK), "policies")
    row = next(row for row in gather(run(PEAK), "savings") if row["policy"] == "contextual")
    policy = ContextualPolicy.from_json(stored["json"])
    setting, records = make_setting("physical", 0.2, 0.25), load_peak_records("physical")
    train = np.sort(np.random.default_rng(256).choice(546, 30, replace=False))
    test = np.setdiff1d(np.arange(546), train)
    base = setting.dispatched(records.load_mw, records.injected_mw, setting.base_mw)
    seen = np.hstack([records.load_mw, base.price_usd_per_mwh, records.injected_mw, base.flow_mw])
    names = published_names(setting.system.zones, setting.system.line_names)
    asked = policy.shifts_mw({f"{name}@0h": seen[:, k] for k, name in enumerate(names)})
    excess = setting.network.limits.excess(setting.base_mw + asked)
    # Trained to be accepted in all of its records, and no larger than allowed.
    assert excess[train].max() < 1e-3
    assert 0.5 * np.abs(policy.matrix).sum() <= 10.0 * (1.0 + 1e-6)
    refused = excess[test] > 1e-3
    assert row["refused_share"] == pytest.approx(refused.mean(), abs=2e-3)
    done = np.where(refused[:, None], 0.0, asked[test])
    cost = setting.dispatched(records.load_mw[test], records.injected_mw[test], setting.base_mw + done).cost_usd
    assert row["cost"] == pytest.approx(cost.mean(), rel=1e-5)
    trained = setting.dispatched(records.load_mw[train], records.injected_mw[train], setting.base_mw + asked[train])
    assert row["training_cost"] == pytest.approx(trained.cost_usd.mean(), rel=1e-5)


def few_records(n: int) -> PeakRecords:
    records = load_peak_records("physical")
    return PeakRecords(records.dates[:n], records.load_mw[:n], records.injected_mw[:n])


def test_an_uncertified_policy_is_neither_used_nor_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    certified = training.train_policy

    def train(*arguments: Any, **options: Any) -> Any:
        found = certified(*arguments, **options)
        return replace(found, certified=False, matrix=np.full_like(found.matrix, np.nan))

    monkeypatch.setattr(peak_hour, "load_peak_records", lambda settings: few_records(40))
    monkeypatch.setattr(training, "train_policy", train)
    study = replace(PEAK, q=(10,), n_ties=0)
    (task,) = study.tasks("runs", ())
    result = do(study, task)
    assert not result.rows("policies")
    conclusion = study.conclude((result,))
    assert conclusion.answer == "No policy was trained with a certificate."
    assert [failure.what.split(",")[0] for failure in conclusion.failures] == ["contextual"]
    assert "contextual" not in {row["policy"] for row in conclusion.tables[0].rows}


def test_a_record_without_a_dispatch_is_a_reason_and_in_no_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    made = peak_hour.make_case(PEAK, 0.2, 0.25)
    unsolved = np.arange(len(made.records.dates)) == 7
    cost = np.where(unsolved, np.nan, made.base.cost_usd)
    case = replace(made, base=replace(made.base, solved=~unsolved, cost_usd=cost))
    tables = study_draw(replace(PEAK, q=(10,), n_ties=0), case, 10, 0, lambda *_: None)
    assert [row["date"] for row in tables["lost"]] == [made.records.dates[7]]
    none = next(row for row in tables["savings"] if row["policy"] == "none")
    drawn = draw_records(PEAK.seed, 0, len(unsolved), 10)
    assert none["n_test"] == len(unsolved) - len(drawn) - (7 not in drawn)
    assert np.isfinite(none["cost"])


@pytest.mark.parametrize("response", ["shrink", "project"])
def test_adjusted_shifts_are_within_what_datacenters_accept(response: str) -> None:
    setting = make_setting("physical", 0.2, 0.25)
    rng = np.random.default_rng(3)
    asked = rng.normal(size=(200, 5)) * 10.0 ** rng.uniform(-2.0, 3.5, (200, 1))
    asked -= asked.mean(axis=1, keepdims=True)
    done = peak_hour.respond(setting, response, asked)
    limits = setting.network.limits
    inside = limits.excess(setting.base_mw + asked) <= 1e-6
    assert 20 < inside.sum() < 180
    assert limits.excess(setting.base_mw + done).max() < 1e-3
    assert done[inside] == pytest.approx(asked[inside], abs=1e-3)
    assert done.sum(axis=1) == pytest.approx(0.0, abs=1e-3)
    rejected = peak_hour.respond(setting, "reject", asked)
    assert rejected[~inside & (limits.excess(setting.base_mw + asked) > 1e-3)] == pytest.approx(0.0)


# ---------------------------------------------------------------- closed loop


@pytest.mark.parametrize("name", LOOPS)
def test_a_week_in_closed_loop_costs_between_none_and_ideal(name: str) -> None:
    study = LOOPS[name]
    (bound,), (loop,) = gather(run(study), "bounds"), gather(run(study), "loops")
    base, ideal, own = (np.asarray(x) for x in (bound["base_cost"], bound["ideal_cost"], loop["cost"]))
    assert len(base) == len(ideal) == len(own) == 168
    assert bound["dates"] == [f"2019-06-{day}" for day in range(24, 31)]
    # In every single hour, not only on average.
    assert (own >= ideal * (1.0 - 1e-6)).all()
    assert own.sum() < base.sum()
    # Nothing was sent before the first hour.
    assert own[0] == pytest.approx(base[0], rel=1e-9)
    assert loop["latency_excess_mw"] == 0.0
    assert loop["waiting_hours"] == 0
    (row,) = shown(study, "runs")
    assert row["saving_pct"] == pytest.approx(100.0 * (1.0 - own.sum() / base.sum()))
    assert row["captured_pct"] == pytest.approx(100.0 * (base.sum() - own.sum()) / (base.sum() - ideal.sum()))
    worst = shown(study, "worst_days")
    assert sum(day["missed_usd"] for day in worst) == pytest.approx(own.sum() - ideal.sum())


@pytest.mark.parametrize("name", LOOPS)
def test_a_stored_closed_loop_policy_reads_the_past_and_runs_the_same_again(name: str) -> None:
    study = replace(LOOPS[name], first_date="2019-06-24", last_date="2019-06-25")
    (stored,), (loop,) = gather(run(LOOPS[name]), "policies"), gather(run(LOOPS[name]), "loops")
    policy = ContextualPolicy.from_json(stored["json"])
    assert min(figure.lag_h for figure in policy.figures) == 1
    assert policy.trained["until"] == "2019-06-24T00"
    setting = make_setting("physical", 0.2, 0.25)
    again = run_loop(study, setting, load_hours(study, setting), policy)
    assert again.cost_usd == pytest.approx(np.asarray(loop["cost"])[:48], rel=1e-6)


def test_hours_that_are_run_have_no_part_in_training_and_later_ones_none_in_acting() -> None:
    study = replace(LOOPS["expected"], last_date="2019-06-24", q=(30,))
    setting = make_setting("physical", 0.2, 0.25)
    hours = load_hours(study, setting)
    policy, _ = train_loop_policy(study, setting, hours, 30, 0, 10_000.0)
    load_mw = hours.load_mw.copy()
    load_mw[hours.first :] *= 1.1
    other, _ = train_loop_policy(study, setting, replace(hours, load_mw=load_mw), 30, 0, 10_000.0)
    assert np.array_equal(policy.matrix, other.matrix)
    assert policy.features == other.features
    late_mw = hours.load_mw.copy()
    late_mw[hours.first + 12 :] *= 0.8
    first = run_loop(study, setting, hours, policy)
    second = run_loop(study, setting, replace(hours, load_mw=late_mw), policy)
    assert np.array_equal(first.theta_mw[:13], second.theta_mw[:13])
    assert np.abs(first.theta_mw[13] - second.theta_mw[13]).max() > 1.0


@pytest.mark.parametrize("features", ["published", "loads", "expected"])
def test_features_are_figures_of_earlier_hours_at_their_lags(features: str) -> None:
    """Around the hour that clocks skip, where an hour's label could be taken for its place."""
    study = replace(WEEK, features=features)
    setting = make_setting("physical", 0.2, 0.25)
    hours = load_hours(study, setting)
    change = int(np.searchsorted(hours.series.hour_begins, np.datetime64("2018-03-11T00")))
    train = np.arange(change, change + 30)
    chosen, values = make_features(study, setting, hours, train)
    load = hours.load_mw
    west = load[train - 1, 0]
    if features == "expected":
        west = west + load[train - 24, 0] - load[train - 25, 0]
        renewable = hours.injected_mw[train - 1].sum(axis=1)
        net = (load[train - 1] + load[train - 24] - load[train - 25]).sum(axis=1) - renewable
        bends = [(feature, k) for k, feature in enumerate(chosen) if feature.above is not None]
        assert len(bends) == 6
        for feature, k in bends:
            assert values[:, k] == pytest.approx(np.maximum(net - float(feature.above or 0.0), 0.0))
    assert values[:, 0] == pytest.approx(west)
    for k, feature in enumerate(chosen):
        if feature.name == "flow.West-Genese@1h":
            found = setting.dispatched(load[train - 1], hours.injected_mw[train - 1], setting.base_mw)
            assert values[:, k] == pytest.approx(found.flow_mw[:, 0], rel=1e-6)


def test_results_are_the_same_whatever_ran_before() -> None:
    study = replace(WEEK, features="loads", q=(20,), n_draws=2, first_date="2019-06-30")
    tasks = [task for stage in study.stages for task in study.tasks(stage, ())]
    assert len({task.key("", "") for task in tasks}) == 3
    forward = [do(study, task) for task in tasks]
    backward = [do(study, task) for task in reversed(tasks)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert plain(one) == plain(other)
    again = replace(study, n_draws=1, alphas=(0.25, 0.5))
    alone = again.tasks("runs", ())[0]
    assert plain(do(again, alone)) == plain(forward[1])


def plain(result: TaskResult) -> str:
    """All figures but times, to the last digit."""
    rows = {
        name: [{k: v for k, v in row.items() if k != "training_s"} for row in result.rows(name)]
        for name in result.tables
    }
    return json.dumps(rows, default=lambda array: np.asarray(array).tolist(), sort_keys=True)


def test_a_closed_loop_whose_bounds_failed_concludes_in_words() -> None:
    bounds, loops = run(LOOPS["loads"])
    lost = TaskResult(bounds.task, failed="raised: PowerFlowError: step 3")
    conclusion = LOOPS["loads"].conclude((lost, loops))
    assert conclusion.answer == "No policy ran."
    assert conclusion.failures[0].reason == "raised: PowerFlowError: step 3"


def test_an_hour_without_an_ideal_dispatch_is_in_no_mean() -> None:
    bounds, loops = run(LOOPS["loads"])
    (bound,) = bounds.rows("bounds")
    ideal = np.asarray(bound["ideal_cost"]).copy()
    ideal[5] = np.nan
    broken = TaskResult(bounds.task, {"bounds": [{**bound, "ideal_cost": ideal, "unsolved_hours": 1}]})
    conclusion = LOOPS["loads"].conclude((broken, loops))
    (row,), (whole,) = conclusion.tables[0].rows, shown(LOOPS["loads"], "runs")
    assert row["captured_pct"] == pytest.approx(whole["captured_pct"], abs=2.0)
    assert row["saving_pct"] == whole["saving_pct"]
    assert "nan" not in conclusion.answer
    assert any("1 hour" in words for words in conclusion.warnings)


def test_trainings_with_another_bound_are_told_apart() -> None:
    bounds, loops = run(LOOPS["loads"])
    (row,), (bound,) = loops.rows("loops"), bounds.rows("bounds")
    both = TaskResult(loops.task, {"loops": [row, {**row, "eps": 1.0, "cost": bound["base_cost"]}]})
    conclusion = LOOPS["loads"].conclude((bounds, both))
    first, second = conclusion.answer.splitlines()
    assert {chart.title.split("eps ")[1] for chart in conclusion.charts} == {"10, 60 hours", "1, 60 hours"}
    days = [day for day in conclusion.tables[2].rows if day["eps"] == 1.0]
    assert days
    assert [day["saving_usd"] for day in days] == pytest.approx([0.0] * len(days), abs=1e-6)
    assert "(eps 10, 60 hours)" in first
    assert "(eps 1, 60 hours)" in second
    assert "captured 0.0 %" in second
    assert "captured 0.0 %" not in first


def test_a_bound_without_a_certified_policy_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    certified = training.train_policy

    def train(*arguments: Any, **options: Any) -> Any:
        found = certified(*arguments, **options)
        return replace(found, certified=arguments[5] != 1.0)

    monkeypatch.setattr(training, "train_policy", train)
    study = replace(LOOPS["loads"], eps=(1.0, 10.0))
    (bounds,) = (do(study, task) for task in study.tasks("bounds", ()))
    (loops,) = (do(study, task) for task in study.tasks("runs", (bounds,)))
    conclusion = study.conclude((bounds, loops))
    assert [row["eps"] for row in loops.rows("loops")] == [10.0]
    assert [failure.what for failure in conclusion.failures] == ["alpha 0.25, q 60, draw 1, eps 1"]


def test_where_nothing_can_be_saved_no_share_of_it_is_told() -> None:
    bounds, loops = run(LOOPS["loads"])
    (bound,) = bounds.rows("bounds")
    nothing = TaskResult(bounds.task, {"bounds": [{**bound, "ideal_cost": bound["base_cost"]}]})
    conclusion = LOOPS["loads"].conclude((nothing, loops))
    assert conclusion.tables[0].rows[0]["captured_pct"] is None
    assert conclusion.answer.endswith("ideal coordination saves nothing in 168 hours.")


# ---------------------------------------------------------------- the real system against batches

TWO_DAYS = CoordinationStudy(
    kind="closed-loop", settings="published", response="shrink", first_date="2018-07-02", last_date="2018-07-03"
)


@pytest.mark.parametrize("rule", ["sheds nothing", "sheds no more"])
def test_with_a_policy_the_loop_is_its_own_emulation_hour_for_hour(rule: ShedRule) -> None:
    """Load read an hour and a day late alone: then all hours can be emulated at once, straight from (9.3) and (24)."""
    study = replace(TWO_DAYS, shed_rule=rule)
    setting = make_setting("published", 0.2, 0.25)
    hours = load_hours(study, setting)
    rng = np.random.default_rng(0)
    lags = (("N.Y.C.", 1), ("Capitl", 24), ("West", 25))
    slopes = rng.normal(size=(5, 4)) * [50.0, 0.1, 0.1, 0.1]
    # Moved the other way, work ends up where load is shed.
    matrix = (1.0 if rule == "sheds nothing" else -1.0) * (slopes - slopes.mean(axis=0))
    names = [f"load.{zone}" for zone, _ in lags]
    features = tuple(CoordinationFeature.of(name, "MW", lag) for name, (_, lag) in zip(names, lags, strict=True))
    run = run_loop(study, setting, hours, ContextualPolicy(setting.system.datacenters, features, matrix))
    at = np.arange(hours.first, hours.last)
    read = [hours.load_mw[at - lag, setting.system.zones.index(zone)] for zone, lag in lags]
    asked = np.column_stack([np.ones(48), *read]) @ matrix.T
    asked[0] = 0.0
    # The largest share in steps of a thousandth that (9.3) accepts, found by trying.
    shares = np.linspace(0.0, 1.0, 1001)
    excess = setting.network.limits.excess(setting.base_mw + shares[:, None, None] * asked)
    share = np.where(excess <= 1e-6, shares[:, None], 0.0).max(axis=0)
    done = run.theta_mw - setting.base_mw
    kept = run.accepted
    assert np.abs(done[kept] - share[kept, None] * asked[kept]).max() <= 1e-3 * np.abs(asked).max() + 1e-6
    assert done[~kept] == pytest.approx(0.0, abs=1e-9)
    assert 0 < (share < 1.0).sum() == run.asked_outside
    # Rule (24) and costs, in batches.
    load, injected = hours.load_mw[at], hours.injected_mw[at]
    shifted = setting.base_mw + setting.network.limits.shrink(setting.base_mw, asked)[:, None] * asked
    with_shift = setting.dispatched(load, injected, shifted)
    without = setting.dispatched(load, injected, setting.base_mw)
    shed, base_shed = with_shift.shed_mw.sum(axis=1), without.shed_mw.sum(axis=1)
    allowed = base_shed if rule == "sheds no more" else np.zeros(48)
    accepted = (shed <= allowed + 0.01) | (asked == 0.0).all(axis=1)
    assert kept.tolist() == accepted.tolist()
    assert not accepted.all()
    assert run.cost_usd == pytest.approx(np.where(accepted, with_shift.cost_usd, without.cost_usd), rel=1e-6)
