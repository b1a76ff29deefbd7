"""A siting plan whose regulators act by their own controls: one operation in the program, the year and the money.

What is handed over is run again by a script that knows nothing of ours (`replay_of_plans`).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from operated_siting import STUDY, best, run
from replay_of_plans import cost_of_plan, replay
from study_run import results_of

from g2g_opt.batch.chains import SetPoint
from g2g_opt.batch.own_controls import Standing
from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import load_profile
from solvers.siting.problem import Zone, excess, predict
from studies.pv_datacenter_siting.case import year_value_per_kw
from studies.pv_datacenter_siting.compared_days import ComparedDays, worth_of
from studies.pv_datacenter_siting.hand_over import hand_over_texts
from studies.pv_datacenter_siting.made_again import has_room
from studies.pv_datacenter_siting.offered import Storage
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.operated_year import operate_year, simulated_year
from studies.pv_datacenter_siting.operation import MOVES, banks, begun, neighbours, nudged, uniform
from studies.pv_datacenter_siting.operation_rows import AS_IT_IS, CHOSEN_BY, HELD_OUT, HeldOutRow, OperationRow
from studies.pv_datacenter_siting.operation_words import step_cost_words, unbalance_warning
from studies.pv_datacenter_siting.stored_plan import dump_plan, read_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.shared.task import gather
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("operated siting")  # one worker, so that its studies are run once
CIRCUIT = Path(__file__).resolve().parents[1] / "circuits" / "unbalanced.dss"
UNBALANCED = SitingStudy(feeder=str(CIRCUIT), mode="pv", days="typical", n_typical_days=2, n_windows=0)


def operation() -> list[OperationRow]:
    return [row for row in gather_as(run(STUDY), "operation", OperationRow) if row.plan == best().plan]


def test_the_plan_holds_over_the_year_at_every_level_of_utilisation() -> None:
    years = [row for row in operation() if row.what == "the plan"]
    assert [row.utilisation for row in years] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert all(row.n_hours_outside == 0 for row in years)
    assert not [row for row in gather(run(STUDY), "year_hours") if row["plan"] == best().plan]
    answer = STUDY.conclude(run(STUDY)).answer
    levels = "with sites at 100 %, 75 %, 50 %, 25 %, 0 %"
    assert f"Over all 8,760 hours of the year no voltage and no loading breaks its limit {levels}" in answer


def test_the_money_is_that_of_the_simulated_year() -> None:
    """By hand from the year's tap steps, losses and sun."""
    row, (plan, *_) = best(), operation()
    base = next(one for one in operation() if one.what == AS_IT_IS)
    sun = np.array(load_profile(STUDY.profile).generation_share)
    assert row.cost_pv_energy == pytest.approx(-STUDY.price_per_kwh * row.pv_kw * sun.sum(), rel=1e-9)
    assert row.cost_pv_investment == pytest.approx(STUDY.pv_cost_per_kw * row.pv_kw)
    assert row.cost_switching == pytest.approx(STUDY.switch_cost * (plan.tap_steps - base.tap_steps))
    assert row.cost_losses == pytest.approx(1e3 * STUDY.price_per_kwh * (plan.losses_mwh - base.losses_mwh))
    assert row.cost == pytest.approx(sum(row.cost_parts.values()))
    assert plan.tap_steps > 0
    assert row.foresight_bound is not None
    assert row.foresight_loss is not None
    assert row.foresight_loss >= -1e-6  # it is a bound
    built = row.cost_pv_energy + row.cost_pv_investment
    assert row.foresight_loss == pytest.approx(built + plan.tap_cost - row.foresight_bound, abs=1e-6)


def test_an_independent_script_comes_to_the_same(tmp_path: Path) -> None:
    """The first days of the year, at levels of utilisation that were simulated, and one that was not."""
    for name, text in hand_over_texts(STUDY, best(), operation()).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder, n_hours = tmp_path / "plan", 24 * 8
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    assert case.network.operated is not None
    set_points = case.network.operated.set_points
    year = operate_year(case, plan, set_points)
    rows = simulated_year(case, plan, set_points, year).simulated.g
    for level in (1.0, 0.5, 0.0):
        one = replay(folder, level, n_hours=n_hours)
        k = year.levels.index(level)
        assert one.hours_outside == 0
        assert one.tap_steps == year.steps[k, :n_hours].sum()
        # Flows are solved to 1e-9, and the losses under nothing but the feeder's own load are a small difference.
        assert one.losses_kwh == pytest.approx(year.series.losses_kw[k, :n_hours].sum(), rel=2e-6)
        voltages = rows[: year.network.n_voltages, k * 8760 : k * 8760 + n_hours]
        assert one.lowest_pu == pytest.approx(voltages.min(), abs=1e-6)
        assert one.highest_pu == pytest.approx(voltages.max(), abs=1e-6)
    assert replay(folder, 0.9, n_hours=n_hours).hours_outside == 0
    # Half of PV that the plan does not have would not go unnoticed.
    without = replay(folder, 0.0, with_plan=False, n_hours=n_hours)
    said = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    full = replay(folder, 1.0, n_hours=n_hours)
    sun = np.array(load_profile(STUDY.profile).generation_share)[:n_hours].sum()
    assert full.pv_kwh == pytest.approx(best().pv_kw * sun, rel=1e-9)
    money = STUDY.price_per_kwh * (full.losses_kwh - without.losses_kwh - full.pv_kwh)
    money += said["unit_costs"]["tap_step"] * (full.tap_steps - without.tap_steps) + 200.0 * best().pv_kw
    assert cost_of_plan(folder, full, without) == pytest.approx(money)


def test_the_days_of_the_program_are_under_the_same_controls() -> None:
    feeder = STUDY.load_feeder()
    case, plan = read_plan(STUDY, feeder, best().json)
    assert dump_plan(case, plan) == best().json
    network = case.network
    assert network.operated is not None
    assert not network.regulators
    simulated = network.simulate(plan)
    assert excess(simulated.g, *network.limit_rows()).max() == 0.0
    assert simulated.taps_pu is not None
    # Linear rows are exact at the plan, with the taps where the controls are, none of them decided.
    rows = network.linearize(plan, simulated, np.zeros_like(simulated.g))
    assert rows.tap.shape[1] == 0
    assert np.abs(predict(case.problem(rows), plan) - simulated.g).max() < 1e-9
    # Several plans at once are what each is alone.
    other = replace(plan, pv_kw=plan.pv_kw[::-1].copy())
    both = network.simulate_each([other, plan])
    assert np.abs(both[1].g - simulated.g).max() < 1e-7
    assert np.abs(both[0].g - network.simulate(other).g).max() < 1e-7
    for window in gather(run(STUDY), "windows"):
        assert window["difference_pu"] < 1e-6


def test_banks_whose_times_are_infinite_are_stored() -> None:
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    operated = case.network.operated
    assert operated is not None
    begins = (Standing((1.0, 1.0125, 0.9875), (0.0,) * 6, (math.inf, 1.0)),) * len(case.days)
    changed = replace(case, network=replace(case.network, operated=replace(operated, begins=begins)))
    read, _ = read_plan(STUDY, STUDY.load_feeder(), dump_plan(changed, plan))
    assert read.network.operated is not None
    assert read.network.operated.begins == begins
    assert read.network.operated.set_points == operated.set_points


def test_weeks_held_out_chose_nothing_and_are_told_beside_those_that_did() -> None:
    chosen, held = gather_as(run(STUDY), "held_out", HeldOutRow)
    plan, base = operation()[0], next(one for one in operation() if one.what == AS_IT_IS)
    assert (chosen.weeks, held.weeks) == (CHOSEN_BY, HELD_OUT)
    assert chosen.n_hours + held.n_hours == 8760
    assert abs(chosen.n_hours - held.n_hours) == 24  # 53 weeks, the last of a day
    assert (chosen.n_hours_outside, held.n_hours_outside) == (0, 0)
    for of_chosen, of_held, whole in (
        (chosen.cost, held.cost, plan),
        (chosen.cost_as_it_is, held.cost_as_it_is, base),
    ):
        mean = (chosen.n_hours * of_chosen + held.n_hours * of_held) / 8760.0
        assert mean == pytest.approx(whole.tap_cost + whole.losses_cost, rel=1e-9)
    assert held.saved == pytest.approx(held.cost_as_it_is - held.cost)
    answer = STUDY.conclude(run(STUDY)).answer
    assert f"{-held.saved:,.0f} $ in the weeks between, which chose nothing" in answer
    # What is chosen by is blind to the other weeks.
    case, built = read_plan(STUDY, STUDY.load_feeder(), best().json)
    year = ComparedDays.year(case)
    assert not (year.weights * year.held_out).any()
    assert year.weights.sum() == pytest.approx(8760.0)
    assert year.held_out.sum() == pytest.approx(8760.0)
    counted = ComparedDays.of(case, built)
    for k, day in enumerate(counted.days):
        assert day // 7 % 2 == 0 or not counted.weights[24 * k : 24 * k + 24].any()


def test_unbalance_of_the_year_is_told_beside_that_of_the_feeder_as_it_is() -> None:
    plan, base = operation()[0], next(one for one in operation() if one.what == AS_IT_IS)
    assert 0.0 < base.unbalance < 0.05
    assert plan.unbalance != base.unbalance
    assert not unbalance_warning(STUDY, operation())
    often = [replace(plan, n_hours_unbalanced=700, unbalance=0.031), replace(base, n_hours_unbalanced=20)]
    words = unbalance_warning(STUDY, often)
    assert "above 2 %, with sites at 100 %, in 700 hours of the year, 20 on the feeder as it is" in words


def test_limits_that_not_even_foresight_keeps_end_the_study_with_what_binds() -> None:
    """The head of the 13-bus feeder has no room for a site four times as large."""
    question = replace(STUDY, site_scale_min=4.0, site_scale_max=4.0)
    results = run(question)
    assert not gather(results, "operation")  # no year of what cannot be
    (plan,) = judged_plans(question, results)
    assert plan.row.status == "infeasible"
    answer = question.conclude(results)
    assert answer.answer.startswith("No plan of PV and datacenters keeps the limits, however the regulators stand: ")
    assert "overload" in answer.answer or "undervoltage" in answer.answer
    assert any("limits cannot all be kept" in words for words in answer.warnings)


def test_what_else_was_simulated_costs_more_or_has_less_margin() -> None:
    others = [row for row in gather(run(STUDY), "others") if row["plan"] == best().plan]
    taken, *rest = others
    assert taken["taken"]
    assert rest
    assert not any(row["taken"] for row in rest)
    # Within the gap the one with the most margin is taken, so that another may cost as much less.
    within = max(STUDY.mip_gap * abs(best().cost), 500.0)
    for row in rest:
        assert row["over_pu_h"] > 0.0 or row["cost_more"] > -within


def test_what_a_feeder_loses_whatever_is_built_widens_no_gap() -> None:
    """Its losses cost seven times what the plan earns: a gap of 20 % is a fifth of the second."""
    study = replace(UNBALANCED, mip_gap=0.2)
    results = results_of(study)
    (plan,), others = judged_plans(study, results), gather(results, "others")
    lost = next(row.losses_cost for row in gather_as(results, "operation", OperationRow))
    earned = -plan.row.cost
    assert lost > 7.0 * earned > 0.0
    assert [row["taken"] for row in others] == [True, False, False, False]
    assert all(row["over_pu_h"] > 0.0 or row["cost_more"] > -0.25 * earned for row in others)


def test_the_gap_of_a_plan_that_was_chosen_among_others_is_its_own() -> None:
    """Within a gap of 50 % a plan with more margin is taken, at another cost than the program's."""
    study = replace(UNBALANCED, mip_gap=0.5)
    results = results_of(study)
    (plan,) = judged_plans(study, results)
    row = plan.row
    assert row.predicted_cost > row.bound
    assert row.gap == pytest.approx((row.predicted_cost - row.bound) / abs(row.predicted_cost))
    assert row.status == ("optimal" if row.gap <= study.mip_gap else "gap wider than asked")


def test_set_points_that_are_tried() -> None:
    own = operation_of(STUDY.load_feeder(), "normal").set_points()
    assert len(banks(own)) == 1
    tried = uniform(own)
    assert own in tried
    assert {one["creg1a"].band_v for one in tried} == {2.0, 4.0, 8.0}
    assert any(not one["creg1a"].r_v for one in tried)
    a = own["creg1a"]
    moved = nudged(own, own, ("creg1a",), -1.0, 1.0, -0.25)
    assert moved["creg1a"] == SetPoint(a.vreg_v - 1.0, a.band_v + 1.0, 0.75 * a.r_v, 0.75 * a.x_v)
    assert moved["creg1b"] == own["creg1b"]
    # Compensation never changes its sign, and a band never vanishes.
    assert nudged(own, own, ("creg1a",), 0.0, -9.0, -1.5)["creg1a"] == SetPoint(a.vreg_v, 1.0, 0.0, 0.0)
    assert len(neighbours(own, own, ("creg1a",), 1.0, 0.5)) == 26
    alone = {"creg1a": replace(a, r_v=0.0, x_v=0.0)}
    assert len(neighbours(alone, alone, ("creg1a",), 1.0, 0.5)) == 8


def test_phases_of_a_bank_are_set_unlike_only_where_that_saves_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    assert case.network.operated is not None
    chosen = case.network.operated.set_points
    # On this feeder it does: the plan has them unlike, as the best with them alike costs more.
    assert len(banks(chosen)) > 1
    search = begun(case, plan, (), ())
    assert search is not None
    search.refine(MOVES)
    (alike,), n_alike = search.best(1), search.n_tried
    of_alike = search.worth(alike)
    assert len(banks(alike)) == 1
    monkeypatch.setattr("studies.pv_datacenter_siting.operation._WORTH_UNLIKE", 1.0)
    search.refine_singly()
    assert search.n_tried > n_alike
    assert search.best(1) == [alike]
    monkeypatch.undo()
    search.refine_singly()
    (unlike,) = search.best(1)
    assert len(banks(unlike)) > 1
    assert search.worth(unlike).over_pu_h == of_alike.over_pu_h
    assert search.worth(unlike).cost < 0.99 * of_alike.cost
    assert {name: one.band_v for name, one in unlike.items()} == {name: one.band_v for name, one in alike.items()}


def test_a_plan_is_made_again_at_the_set_points_that_were_found_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap PV, limited by voltage: 112,000 $ a year more by set-points that leave room for 16 % more of it."""
    question = replace(
        STUDY, mode="pv", sites=(), pv_buses=("633", "692"), pv_count=2, pv_cost_per_kw=80.0, pv_size_max_kw=3000.0,
        pv_total_max_kw=None, n_ties=1,
    )  # fmt: skip

    def proposed() -> Any:
        (task,) = question.tasks("plans", [])
        return question.run(task, lambda share, words: None)["plans"][-1]

    again = proposed()
    monkeypatch.setattr("studies.pv_datacenter_siting.operated_work.made_again", lambda own, *rest: own)
    once = proposed()
    assert again["over_max_pu"] == 0.0
    assert again["pv_kw"] > 1.1 * once["pv_kw"]
    assert again["cost"] < once["cost"] - 100_000.0


def test_what_may_build_more() -> None:
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    full = np.where(plan.pv_kw > 0.0, case.pv.size_max_kw, 0.0)
    assert full.any()
    assert not has_room(case, replace(plan, pv_kw=full))
    assert has_room(case, replace(plan, pv_kw=0.9 * full))
    assert has_room(case, replace(plan, pv_kw=0.0 * full))
    capped = replace(case, pv=replace(case.pv, zones=(Zone((0, 1), 2, float(0.9 * full.sum())),)))
    assert not has_room(capped, replace(plan, pv_kw=0.9 * full))
    assert has_room(replace(case, pv=replace(case.pv, zones=(Zone((0, 1), 2, 1e9),))), replace(plan, pv_kw=full))


def test_days_that_set_points_are_compared_on_come_to_their_year() -> None:
    """Every day of its own is the year; the days that stand for it come near, and know the day that breaks most."""
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    assert case.network.operated is not None
    set_points = case.network.operated.set_points
    year, days = ComparedDays.year(case), ComparedDays.of(case, plan, also=(7,))
    assert 7 in days.days
    assert days.weights.sum() == pytest.approx(8760.0)
    assert not days.weights[24 * days.days.index(7) : 24 * days.days.index(7) + 24].any()
    (of_year,), (of_days,) = (worth_of(case, one, [(plan, set_points)], STUDY.levels) for one in (year, days))
    built = (STUDY.pv_cost_per_kw - year_value_per_kw(STUDY)) * plan.pv_kw.sum()
    weeks = gather_as(run(STUDY), "held_out", HeldOutRow)
    for found, of_weeks in zip((of_year.cost, of_year.cost_held_out), weeks, strict=True):
        assert found == pytest.approx(built + of_weeks.cost, rel=1e-7)
    assert of_days.cost - built == pytest.approx(of_year.cost - built, rel=0.05)
    assert (of_year.over_pu_h, of_year.broken) == (0.0, ())
    # Known ends of days give the same year.
    again = operate_year(case, plan, set_points, of_year.begins)
    assert (again.steps == operate_year(case, plan, set_points).steps).all()
    # Set-points that cannot hold break the year on days that the others learn of.
    high = {name: replace(one, vreg_v=one.vreg_v + 8.0) for name, one in set_points.items()}
    (broken,) = worth_of(case, days, [(plan, high)], STUDY.levels)
    assert broken.over_pu_h > 0.0
    assert set(broken.broken) <= set(days.days)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"utilisation": (0.6, 0.4)}, "utilisation range"),
        ({"utilisation": (0.0, 0.0)}, "utilisation range"),
        ({"year_check": False}, "--taps optimised"),
        ({"storage": Storage(1.0, 1.0, charge_above=0.5), "taps": "optimised"}, "follows no rule"),
        ({"storage": Storage(1.0, 1.0), "mode": "dc"}, "stands beside PV"),
    ],
)
def test_what_an_operation_cannot_be_asked(changed: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(STUDY, **changed).check()  # type: ignore[arg-type]


def test_the_cost_of_a_tap_step_at_which_building_ends_to_pay_is_told() -> None:
    """31,000 $ of PV and 13,000 $ of losses saved, by 4,400 tap steps more than with nothing built: 10 $ each."""
    question, (plan, *_) = replace(STUDY, mode="pv", sites=()), operation()
    row = replace(best(), pv_kw=2000.0, cost_pv_investment=400_000.0, cost_pv_energy=-431_000.0)
    plan = replace(plan, tap_steps=5_000, losses_cost=59_000.0)
    alone = replace(plan, tap_steps=600, losses_cost=72_000.0)
    assert "up to 10.00 $ a step" in step_cost_words(question, row, plan, alone)
    assert not step_cost_words(question, row, alone, plan)
    assert not step_cost_words(STUDY, row, plan, alone)  # its sites have to stand somewhere
