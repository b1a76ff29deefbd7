"""Limited load profiles: cells of a year, the largest site of each, fleets that live by them, other limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import load_profile
from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.simulation import simulate
from studies.catalogue import make_question, question_toml
from studies.load_profile.cells import list_cells
from studies.load_profile.fleet import YearFleets
from studies.load_profile.study import LoadProfileStudy
from studies.load_profile.year import ProfileCalendar
from studies.shared.rejudging import conclude_under
from studies.shared.task import Row, gather

pytestmark = pytest.mark.xdist_group("load profile")  # one worker, so that its studies are run once

# Two days; the feeder is loaded heavily at 18:00 and lightly at 3:00.
LOAD = [0.6 + 0.3 * np.sin((hour - 9) * np.pi / 12) + 0.02 * day for day in range(2) for hour in range(24)]
SUN = [max(0.0, np.sin((hour - 6) * np.pi / 12)) for _ in range(2) for hour in range(24)]


def write_days(path: Path, load: list[float] = LOAD, begin: datetime = datetime(2024, 7, 1)) -> str:
    rows = [
        f"{(begin + k * timedelta(hours=1)).isoformat()},{share:.6f},{SUN[k % 48]:.6f}" for k, share in enumerate(load)
    ]
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_days(tmp_path_factory.mktemp("profile") / "days.csv")


run = cache(results_of)


def study_of(days: str) -> LoadProfileStudy:
    limits = Limits(
        voltage_max_pu=1.1,
        violation_time_share_max=0.0,
        loading_max_pu=None,
        rapid_voltage_change_max_pu=None,
        rapid_voltage_change_trip_max_pu=None,
        unbalance_negative_sequence_max=None,
        unbalance_nema_max=None,
    )
    return LoadProfileStudy(buses=("671",), profile=days, taps="study", limits=limits)


def cells(study: LoadProfileStudy) -> list[Row]:
    return gather(run(study), "cells")


def limited_load_profile(study: LoadProfileStudy, limits: Limits) -> list[Row]:
    tables = conclude_under(study, run(study), limits).tables
    return next(table for table in tables if table.name == "limited_load_profile").rows


def test_a_year_has_288_cells_that_cover_every_day() -> None:
    found = list_cells(load_profile("hudson_valley_2018"))
    assert len(found) == 288
    assert sum(cell.n_days for cell in found) == 8760
    rows = [first + k * step for cell in found for first, count, step in [cell.rows] for k in range(count)]
    assert sorted(rows) == list(range(8760))


def test_a_cell_hosts_what_the_public_door_accepts_and_not_the_next_size(days: str) -> None:
    study = study_of(days)
    models, feeder = study.load_models(), study.load_feeder()
    by_hour = {cell.hour: cell for cell in study.cells()}
    for row in cells(study)[3:21:6]:
        assert row["days"] == 2
        rejected = min(
            r["n_servers"]
            for r in gather(run(study), "judged")
            if r["hour"] == row["hour"] and not r["kept"] and r["n_servers"] > row["n_servers"]
        )
        assert rejected <= 1.01 * row["n_servers"] + 1
        plans = [study.plan(models, "671", n) for n in (row["n_servers"], rejected)]
        scenario = study.cell_scenario(by_hour[row["hour"]])
        for engine in ("batch", "opendss"):
            (kept,), (refused,) = simulate(plans, [scenario], feeder, study.limits, engine=engine)  # type: ignore[arg-type]
            assert kept.kept
            assert not refused.kept
        assert row["limit"] == "undervoltage"
        assert "Jul 02" in row["limit_where"]  # the second day is loaded more


def test_heavier_hours_take_less(days: str) -> None:
    rows = sorted(cells(study_of(days)), key=lambda row: int(row["hour"]))
    mw, load = np.array([row["power_mw"] for row in rows]), np.array(LOAD[24:])
    assert np.corrcoef(mw, load)[0, 1] < -0.99
    assert mw.max() > 1.1 * mw.min()


@pytest.mark.parametrize("taps", ["study", "own control"])
def test_what_is_reported_holds_hour_after_hour(days: str, taps: str) -> None:
    study = study_of(days)
    if taps == "own control":
        study = replace(study, taps="own control", limits=replace(study.limits, voltage_max_pu=1.05))
    allowed = {row["hour"]: row for row in cells(study)}
    profile = {row["hour"]: row for row in gather(run(study), "profile")}
    firm, flexible = gather(run(study), "fleets")
    assert len(profile) == 24
    for hour, row in profile.items():
        # Regulators that remember take something off; power is by whole replicas.
        assert row["power_mw"] <= 1.001 * allowed[hour]["power_mw"]
        assert study.limits.voltage_min_pu <= row["lowest_pu"]
        assert row["highest_pu"] <= study.limits.voltage_max_pu
    least_mw = min(row["power_mw"] for row in profile.values())
    assert 0.7 * least_mw < firm["power_mw"] < 1.01 * least_mw
    assert firm["curtailed_hours"] == 0
    # The public door, with the hours of the two days as they come.
    plan = study.plan(study.load_models(), "671", firm["n_servers"])
    in_order = replace(
        study.cell_scenario(study.cells()[0]), name="year", duration_s=48 * 3600, profile_rows=(0, 48, 1)
    )
    ((once,),) = simulate([plan], [in_order], study.load_feeder(), study.limits, engine="opendss")
    assert once.kept
    assert once.summary.throughput_tps == pytest.approx(firm["throughput_tps"], rel=1e-9)
    assert flexible["throughput_tps"] >= firm["throughput_tps"]
    assert flexible["n_gpus"] >= firm["n_gpus"]


def test_a_flexible_fleet_lowers_its_batch_sizes_in_the_few_tight_hours(tmp_path: Path) -> None:
    # Four days, of which one evening is tight.
    load = [0.95 if 17 <= k - 72 <= 18 else 0.5 for k in range(96)]
    study = study_of(write_days(tmp_path / "peaks.csv", load))
    firm, flexible = gather(run(study), "fleets")
    of_cells = {row["hour"]: row for row in gather(run(study), "fleet_cells") if row["operation"] == "flexible"}
    assert {hour for hour, row in of_cells.items() if row["batch_cap"] < 128} == {17, 18}
    assert flexible["curtailed_hours"] == 8
    assert flexible["n_gpus"] > 1.02 * firm["n_gpus"]
    assert flexible["tokens_of_firm"] > 1.0
    # Two hours of 24 at half of the batch size or less.
    assert 0.9 < flexible["throughput_share"] < 0.99
    # By brute force over sizes and caps nothing that the cells allow serves more tokens.
    chooser = YearFleets(study, study.load_feeder(), "671", study.cells(), [1] * 24, [1.0] * 24, print)
    allowed = np.array([row["power_mw"] for row in sorted(gather(run(study), "profile"), key=lambda r: r["hour"])])
    best = 0.0
    for n in range(firm["n_servers"], flexible["n_servers"] + 60):
        caps = [max((k for k in range(len(chooser.caps)) if n * chooser._mw[k] <= mw), default=None) for mw in allowed]
        if None not in caps:
            best = max(best, n * sum(chooser._tokens[k] for k in caps if k is not None) / 24)
    assert flexible["throughput_tps"] == pytest.approx(best, rel=0.01)  # drawn latencies


def test_the_conclusion_has_the_table_to_export_and_says_when_it_binds(days: str) -> None:
    study = study_of(days)
    conclusion = study.conclude(run(study))
    profile = next(table for table in conclusion.tables if table.name == "limited_load_profile")
    assert len(profile.rows) == 24
    firm = gather(run(study), "fleets")[0]["power_mw"]
    assert all(row["firm_mw"] == firm for row in profile.rows)
    assert f"Bus 671 can take {firm:.2f} MW in every hour" in conclusion.answer
    assert "Jul 15:00" in conclusion.answer  # the heaviest hour
    assert any("24 of 288" in note for note in conclusion.not_assessed)
    assert any("days of Jul" in note for note in conclusion.not_assessed)
    assert len(conclusion.envelopes) == 3


def test_before_anything_went_through_the_year_no_megawatts_are_reported(days: str) -> None:
    study = study_of(days)
    begun = [result for result in run(study) if result.task.kind == "cells"]
    conclusion = study.conclude(begun)
    profile = next(table for table in conclusion.tables if table.name == "limited_load_profile")
    assert all(row["allowed_mw"] is None and row["firm_mw"] is None for row in profile.rows)
    assert "No bus has a profile that went through all of the 48 hours of profile days yet" in conclusion.answer
    assert any("no MW are reported there" in words for words in conclusion.warnings)


def test_limits_that_no_simulated_size_keeps_leave_the_answer_open(days: str) -> None:
    study = study_of(days)
    conclusion = conclude_under(study, run(study), replace(study.limits, voltage_min_pu=1.02, voltage_max_pu=1.1))
    profile = next(table for table in conclusion.tables if table.name == "limited_load_profile")
    unknown = [row for row in profile.rows if row["allowed_mw"] is None]
    assert unknown
    assert all(row["lowest_pu"] is None for row in unknown)
    assert any("smaller ones may" in words for words in (conclusion.answer, *conclusion.warnings))
    assert "0.00 MW" not in conclusion.answer


def test_other_limits_are_judged_from_the_stored_sizes(days: str) -> None:
    study = study_of(days)
    own, tighter = (
        {row["hour"]: row for row in limited_load_profile(study, limits)}
        for limits in (study.limits, replace(study.limits, voltage_min_pu=0.96, voltage_max_pu=1.1))
    )
    for row in cells(study):
        assert own[row["hour"]]["searched_mw"] == row["power_mw"] == own[row["hour"]]["allowed_mw"]
        if tighter[row["hour"]]["allowed_mw"] is None:
            continue
        assert tighter[row["hour"]]["allowed_mw"] < row["power_mw"]
        n = tighter[row["hour"]]["searched_gpus"] // 8
        stored = {r["n_servers"]: r for r in gather(run(study), "judged") if r["hour"] == row["hour"]}
        assert stored[n]["lowest_pu"] >= 0.96
        assert all(r["lowest_pu"] < 0.96 for m, r in stored.items() if m > n and not r["failure"])


def test_regulators_settle_within_an_hour_by_their_own_controls(days: str) -> None:
    own = replace(study_of(days), taps="own control")
    task = next(task for task in own.tasks("cells", ()))
    (evening,) = [part for part in own.split(task) if part.content["hours"] == [15]]
    (row,) = own.run(evening, lambda share, words: None)["cells"]
    fixed = next(r for r in cells(study_of(days)) if r["hour"] == 15)
    assert row["n_servers"] > 0
    assert row["highest_pu"] <= 1.05 < fixed["highest_pu"] or row["power_mw"] != fixed["power_mw"]
    scenario = own.cell_scenario(next(c for c in own.cells() if c.hour == 15))
    plan = own.plan(own.load_models(), "671", row["n_servers"])
    ((once,),) = simulate([plan], [scenario], own.load_feeder(), own.limits)
    assert once.engine == "batch"
    assert once.kept


def test_questions_that_make_no_sense_are_refused(tmp_path: Path, days: str) -> None:
    for wrong in (Limits(), Limits(violation_time_share_max=0.0, violation_integral_max_pu_s=1.0)):
        with pytest.raises(InputError, match="in every hour"):
            LoadProfileStudy(profile=days, limits=wrong).check()
    with pytest.raises(InputError, match="known"):
        LoadProfileStudy(profile="nowhere").check()
    with pytest.raises(InputError, match="no such setting"):
        make_question("load-profile", {"bus": ["671"]})
    twice = write_days(tmp_path / "long.csv", [0.5] * (24 * 380))
    with pytest.raises(InputError, match="so that month 7 hour 0 comes twice; a load profile needs one year at most"):
        LoadProfileStudy(profile=twice).cells()
    assert 'study = "load-profile"' in question_toml(LoadProfileStudy())


def test_hours_whose_search_ended_at_its_cap_are_told_in_the_answer(days: str) -> None:
    study = replace(study_of(days), power_max_mw=0.2)
    conclusion = study.conclude(run(study))
    assert "In 24 of 24 hours of months the search ended at its cap of 0.2 MW" in conclusion.answer
    assert "more may fit there" in conclusion.answer
    table = next(found for found in conclusion.tables if found.name == "limited_load_profile")
    assert {row["limit"] for row in table.rows} == {"cap of the search"}
    assert all("0.2 MW at rated power (power_max_mw): more may fit" in row["limit_where"] for row in table.rows)
    assert "more may fit" not in study_of(days).conclude(run(study_of(days))).answer


def test_two_days_are_not_sold_as_a_year(days: str) -> None:
    study = study_of(days)
    conclusion = study.conclude(run(study))
    page = [conclusion.answer, *(table.title for table in conclusion.tables), *(m.title for m in conclusion.maps)]
    page += [envelope.title for envelope in conclusion.envelopes]
    assert "the year" not in " ".join(page)
    assert conclusion.answer.startswith("This is of the 48 hours of profile days: that is no year.")
    assert any("part of a year" in note and "2024-07-01 00:00" in note for note in conclusion.not_assessed)


def test_a_limit_that_is_told_of_the_whole_year_is_mended_where_most_is_drawn(days: str) -> None:
    """A trip's voltage change has no figure by the hour: every hour that draws more than it leaves is lowered."""
    study = study_of(days)
    study = replace(study, limits=replace(study.limits, rapid_voltage_change_trip_max_pu=0.03))
    found = study.cells()
    fleets = YearFleets(study, study.load_feeder(), "671", found, [230] * len(found), [1.4] * len(found), print)
    year = fleets.calendar.run(study.plan(study.load_models(), "671", 260), fleets.calendar.scenario())
    (broken,) = year.run.verdict.broken
    assert broken.criterion is Criterion.TRIP_VOLTAGE_CHANGE
    # All hours draw about the same, so that all of them are too much by what the heaviest is.
    assert year.over.max() == pytest.approx((1.0 - 1.0 / broken.used) / 6.0)
    assert year.over.min() > 0.0
    assert fleets.firm(np.full(len(found), 260 / 230)).year.holds


def test_a_profile_over_a_range_holds_at_lower_draws_or_says_what_breaks_there(days: str) -> None:
    study = study_of(days)
    ranged = replace(study, utilisation=(0.0, 1.0))
    assert ranged.lower_shares == (0.5, 0.0)
    profile = gather(run(study), "profile")
    assert gather(run(ranged), "profile") == profile
    assert "from 0 to 1 of its replicas" in ranged.conclude(run(ranged)).answer
    # Without the site the circuit is above a band that the site's draw of every hour pulls it into.
    calendar = ProfileCalendar(study, study.load_feeder(), study.cells())
    plan = study.plan(study.load_models(), "671", 100)
    idle = calendar.run(plan, calendar.scenario(np.zeros(24)))
    assert idle.steps is not None
    drawn, undrawn = max(row["highest_pu"] for row in profile), float(idle.steps.highest_pu.max())
    assert drawn < undrawn - 0.002
    # The search of every hour by itself would not begin there; what it found under the wider band is run.
    strict = replace(ranged, limits=replace(study.limits, voltage_max_pu=(drawn + undrawn) / 2))
    n_servers, mw = ([row[name] for row in cells(study)] for name in ("n_servers", "power_mw"))
    fleets = YearFleets(strict, study.load_feeder(), "671", study.cells(), n_servers, mw, lambda words: None)
    held = fleets.follow_profile()
    assert held.year is None
    assert held.note.startswith(("where no more than 0.5 of its replicas", "where no more than 0 of its replicas"))
    assert "overvoltage" in held.note
    assert "which the MW of its hours leave free" in held.note
    (row,) = (row for row in fleets.tables(held, ())["fleets"] if row["operation"] == "profile")
    assert row["note"] == held.note


def test_a_base_load_that_is_too_much_was_run_through_the_year(days: str) -> None:
    """A site whose base load alone breaks a limit: the run with no replica active says so, not the search's sums."""
    study = replace(study_of(days), base_kw_per_gpu=0.4)
    fleets = YearFleets(study, study.load_feeder(), "671", study.cells(), [200] * 24, [0.7] * 24, lambda words: None)
    held = fleets.follow_profile(2000)
    assert held.year is None
    assert "6.40 MW with no replica active" in held.note
    assert "breaks" in held.note or "has no answer" in held.note
    fits = fleets.follow_profile(200)
    assert fits.note == ""
    assert fits.year is not None


def test_a_range_has_two_ends(days: str) -> None:
    with pytest.raises(InputError, match="as in 0,1, got 1,0"):
        replace(study_of(days), utilisation=(1.0, 0.0)).check()
