"""Connection checks: yes and no are those of single runs, remedies are simulated, a limited profile holds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.evaluation import evaluate
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.connection_check.feeder_paths import FeederPaths
from studies.connection_check.question import ConnectionCheckQuestion
from studies.connection_check.remedy_costs import UnitCosts
from studies.connection_check.rows import LimitedYearRow, RemedyRow, RequestRow
from studies.connection_check.study import ConnectionCheckStudy
from studies.load_profile.rows import FleetCellRow
from studies.shared.rejudging import conclude_under
from studies.shared.typed_rows import gather_as

# Two minutes on the 13-bus feeder, where a trip's voltage change binds at 671 at about 1.4 MW.
ASKED = ConnectionCheckStudy(
    bus="671",
    mw=1.6,
    year=None,
    remedies=(),
    scenario=Scenario(duration_s=120, replica_ramps=((20.0, 40.0, 1.0),)),
    limits=Limits(rapid_voltage_change_max_pu=None),
)


run = cache(results_of)


def firm(study: ConnectionCheckStudy) -> RequestRow:
    return gather_as(run(study), "requests", RequestRow)[0]


@pytest.mark.parametrize("mw", [0.9, 1.6])
def test_yes_and_no_are_those_of_single_runs_of_that_size(mw: float) -> None:
    study = replace(ASKED, mw=mw)
    row, models, feeder = firm(study), study.load_models(), study.load_feeder()
    plan = Plan((study.site("site", "671", models, row.n_servers),), tap_mode="own control")
    for engine in ("batch", "opendss"):
        found = evaluate(plan, feeder, study.scenarios("firm"), study.limits, engine=engine)  # type: ignore[arg-type]
        assert found.accepted == row.kept == (mw < 1.2)
    assert mw <= study.full_draw_mw(row.n_servers, models) < mw + study.full_draw_mw(1, models)


def test_the_margin_ends_at_a_size_that_is_refused() -> None:
    row, study = firm(ASKED), ASKED
    assert (row.limit_used or 0.0) > 1.0
    assert row.margin_mw == pytest.approx((row.largest_mw or 0.0) - 1.6)
    sizes = (row.largest_n_servers, int(1.05 * row.largest_n_servers))
    accepted = [
        evaluate(
            Plan((study.site("site", "671", study.load_models(), n),), tap_mode="own control"),
            study.load_feeder(),
            study.scenarios("firm"),
            study.limits,
        ).accepted
        for n in sizes
    ]
    assert accepted == [True, False]


def test_the_nearest_limit_of_a_yes_is_one_that_the_site_moves_and_the_circuits_own_is_told_apart() -> None:
    study = replace(ASKED, mw=0.9)
    row = firm(study)
    assert row.kept
    assert (row.limit, row.next_limit) == ("voltage change at a trip",) * 2
    assert (row.limit_used_before, round(row.limit_used or 0.0, 1)) == (0.0, 0.6)
    # A branch of the circuit is loaded about as much by its own customers, and that is told of the circuit.
    assert (row.base_limit, round(row.base_limit_used or 0.0, 1)) == ("loading", 0.6)
    answer = study.conclude(run(study)).answer
    assert "bring nearest is voltage change at a trip" in answer
    assert f"without them the circuit is nearest to loading, {100 * (row.base_limit_used or 0.0):.0f} %" in answer


def test_a_load_level_is_that_of_the_limited_profile_too() -> None:
    scenario = replace(ASKED.scenario, own_load_share=0.7, standing_power=False)
    hours = replace(ASKED, year="hudson_valley_2018", scenario=scenario).profile_question().scenario
    assert (hours.own_load_share, hours.standing_power) == (0.7, False)


def test_a_request_is_judged_again_under_other_limits_as_a_fresh_one_is() -> None:
    strict = replace(ASKED.limits, rapid_voltage_change_trip_max_pu=0.012)
    again = conclude_under(replace(ASKED, mw=0.9), run(replace(ASKED, mw=0.9)), strict)
    fresh = firm(replace(ASKED, mw=0.9, limits=strict))
    (shown, _) = again.tables[0].rows
    assert (shown["answer"], fresh.kept) == ("no", False)
    assert (shown["limit"], shown["limit_where"], shown["limit_used"]) == (
        fresh.limit, fresh.limit_where, pytest.approx(fresh.limit_used)
    )  # fmt: skip
    assert "remedies and the limited profile" in {one.what for one in again.failures}
    # And the other way: what was refused is let in by the batch engine, and it is said that OpenDSS did not run it.
    lax = replace(ASKED.limits, rapid_voltage_change_trip_max_pu=0.06, voltage_max_pu=1.1, voltage_min_pu=0.9)
    (shown, _) = conclude_under(ASKED, run(ASKED), lax).tables[0].rows
    assert shown["answer"] == "yes"
    assert "OpenDSS ran only" in shown["note"]


def test_what_holds_in_motion_and_not_at_rest_is_refused() -> None:
    """Half of the replicas are passed through in seconds on the way, and a site may stay there for ever."""
    study = replace(ASKED, mw=1.0, limits=Limits(voltage_max_pu=1.045, violation_time_share_max=1.0))
    assert firm(study).kept
    strict = replace(study, limits=replace(study.limits, violation_time_share_max=0.5))
    assert [row["kept"] for row in run(strict)[0].rows("limits") if row["scenario"] == "at 0 of the replicas"]


def test_every_remedy_is_simulated_and_one_that_cures_does_so_by_itself() -> None:
    study = replace(ASKED, remedies=("set-points", "capacitor", "other bus", "rebalanced phases"), nearby=4)
    rows = gather_as(run(study), "remedies", RemedyRow)
    cured = [row for row in rows if row.cures]
    assert [(row.kind, row.engine) for row in cured] == [("other bus", "opendss")]
    bus = cured[0].words.split()[1].rstrip(",")
    assert firm(replace(study, bus=bus, remedies=())).kept
    # Of a kind that cannot: the one that is nearest, with what binds, from the cheapest on.
    banks = [row for row in rows if row.kind == "capacitor"]
    assert len(banks) > 3
    assert [row.annual_usd for row in banks] == sorted(row.annual_usd or 0.0 for row in banks)
    assert all(row.limit and row.limit_used and row.limit_used > 1.0 for row in banks)
    conclusion = study.conclude(run(study))
    (ways,) = (table for table in conclusion.tables if table.name == "ways")
    assert [way["answer"] for way in ways.rows][:2] == ["yes", "no"]
    assert f"other bus, {cured[0].words}" in conclusion.answer


def test_an_edit_of_the_circuit_that_cures_is_handed_over_as_commands() -> None:
    """On the 123-bus feeder a line is overloaded: new conductors carry more."""
    study = replace(ASKED, feeder="ieee123", bus="60", mw=1.2, remedies=("conductor",))
    conclusion = study.conclude(run(study))
    text = conclusion.texts["remedies/conductor.dss"]
    (cured,) = (row for row in gather_as(run(study), "remedies", RemedyRow) if row.cures)
    feeder = study.load_feeder().extended([line for line in text.splitlines() if not line.startswith("!")])
    plan = Plan((study.site("site", "60", study.load_models(), firm(study).n_servers),), tap_mode="own control")
    assert evaluate(plan, feeder, study.scenarios("firm"), study.limits).accepted
    assert 0.0 < (cured.annual_usd or 0.0) < (cured.capital_usd or 0.0)


def test_a_limited_profile_holds_and_says_what_is_not_drawn(tmp_path: Path) -> None:
    hours = [f"2024-07-01T{hour:02d}:00,{0.6 + 0.5 * (hour == 18)},0.0" for hour in range(24)]
    (tmp_path / "day.csv").write_text("\n".join(["hour_beginning,load_share,generation_share", *hours]))
    limits = Limits(rapid_voltage_change_trip_max_pu=None, rapid_voltage_change_max_pu=None)
    study = replace(ASKED, mw=2.8, limits=limits, year=str(tmp_path / "day.csv"))
    (year,) = gather_as(run(study), "limited_years", LimitedYearRow)
    profile = gather_as(run(study), "profile", FleetCellRow)
    assert len(profile) == 24
    limited = [row.hour for row in profile if row.power_mw < 0.99 * max(one.power_mw for one in profile)]
    assert limited == [18]
    assert year.hours_limited == 1
    lost = sum(max(one.power_mw for one in profile) - row.power_mw for row in profile)
    assert year.energy_lost_mwh == pytest.approx(lost, abs=0.05)
    assert min(row.lowest_pu for row in profile) >= 0.95


def test_investments_are_annualised() -> None:
    costs = UnitCosts.load("bundled")
    found = costs.of((("capacitor bank", 1.0), ("capacitor kvar", 300.0)), 0.07)
    assert found.capital_usd == 8000 + 300 * 12
    assert found.annual_usd == pytest.approx(300 + 11600 * 0.07 / (1 - 1.07**-25))
    assert found.parts[1] == "300 kvar of capacitor kvar at 12 $ (our planning figure: cans and switches)"


def test_every_bundled_unit_cost_says_where_it_comes_from_and_a_table_of_ones_own_need_not(tmp_path: Path) -> None:
    costs = UnitCosts.load("bundled")
    assert all(unit.basis.startswith("our planning figure: ") for unit in costs.items)
    (tmp_path / "mine.csv").write_text(
        "item,unit,capital_usd,annual_usd,lifetime_years\nset-point visit,regulator,900,0,10\n"
    )
    mine = UnitCosts.load(str(tmp_path / "mine.csv")).of((("set-point visit", 3.0),), 0.07)
    assert mine.parts == ("3 regulator of set-point visit at 900 $",)
    with pytest.raises(InputError, match="no item 'moved load'"):
        UnitCosts.load(str(tmp_path / "mine.csv")).check(["moved load"])


def test_ways_through_a_feeder_follow_its_lines() -> None:
    paths = FeederPaths(ASKED.load_feeder())
    assert [branch.name for branch in paths.from_source("671")][-3:] == ["650632", "632670", "670671"]
    far = paths.distances_km("671")
    assert far["670"] == pytest.approx(1333 * 0.0003048)
    assert far["692"] < 0.01


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bus": ""}, "say where"),
        ({"bus": "nowhere"}, "nowhere"),
        ({"mw": 1e-4}, "less than the smallest site"),
        ({"utilisation": (0.8, 0.2)}, "least share below"),
        ({"costs": "missing.csv"}, "missing.csv"),
    ],
)
def test_a_question_that_cannot_be_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        replace(ASKED, **changed).check()  # type: ignore[arg-type]


def test_the_default_question_asks_for_a_bus() -> None:
    assert ConnectionCheckQuestion().remedies
    with pytest.raises(InputError, match="--bus"):
        ConnectionCheckStudy().check()
