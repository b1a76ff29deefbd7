"""Limited load profiles: cells of a year, the largest site of each, fleets that live by them, other limits."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.simulate import simulate
from studies.catalogue import make_question, question_toml
from studies.load_profile.cells import list_cells
from studies.load_profile.study import LoadProfileStudy
from studies.task import Row, TaskResult, gather

# Two days; the feeder is loaded heavily at 18:00 and lightly at 3:00.
LOAD = [0.6 + 0.3 * np.sin((hour - 9) * np.pi / 12) + 0.02 * day for day in range(2) for hour in range(24)]
SUN = [max(0.0, np.sin((hour - 6) * np.pi / 12)) for _ in range(2) for hour in range(24)]


def write_days(path: Path, load: list[float] = LOAD, begin: datetime = datetime(2024, 7, 1)) -> str:  # noqa: B008
    rows = [
        f"{(begin + k * timedelta(hours=1)).isoformat()},{share:.6f},{SUN[k % 48]:.6f}" for k, share in enumerate(load)
    ]
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_days(tmp_path_factory.mktemp("profile") / "days.csv")


@cache
def run(study: LoadProfileStudy) -> tuple[TaskResult, ...]:
    results: list[TaskResult] = []
    for stage in study.stages:
        tasks = study.tasks(stage, tuple(results))
        results += [TaskResult(task, study.run(task, lambda share, words: None)) for task in tasks]
    return tuple(results)


def study_of(days: str) -> LoadProfileStudy:
    limits = Limits(voltage_max_pu=1.1, violation_time_share_max=0.0)
    return LoadProfileStudy(buses=("671",), profile=days, taps="study", limits=limits)


def cells(study: LoadProfileStudy) -> list[Row]:
    return gather(run(study), "cells")


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
        scenario = by_hour[row["hour"]].scenario(days, study.seed)
        for engine in ("batch", "opendss"):
            (kept,), (refused,) = simulate(plans, [scenario], feeder, study.limits, engine=engine)  # type: ignore[arg-type]
            assert kept.outcome.kept
            assert not refused.outcome.kept
        assert row["limit"] == "undervoltage"
        assert "Jul 02" in row["limit_where"]  # the second day is loaded more


def test_heavier_hours_take_less(days: str) -> None:
    rows = sorted(cells(study_of(days)), key=lambda row: int(row["hour"]))
    mw, load = np.array([row["power_mw"] for row in rows]), np.array(LOAD[24:])
    assert np.corrcoef(mw, load)[0, 1] < -0.99
    assert mw.max() > 1.1 * mw.min()


def test_the_firm_fleet_fits_the_tightest_hour_and_the_flexible_one_lives_by_the_profile(days: str) -> None:
    study = study_of(days)
    allowed = {row["hour"]: row for row in cells(study)}
    firm, flexible = gather(run(study), "fleets")
    assert firm["n_servers"] == min(row["n_servers"] for row in allowed.values())
    assert firm["curtailed_hours"] == 0
    assert flexible["n_gpus"] > 1.05 * firm["n_gpus"]
    assert study.limits.throughput_share_min <= flexible["throughput_share"] < 1.0
    of_cells = [row for row in gather(run(study), "fleet_cells") if row["operation"] == "flexible"]
    assert len(of_cells) == 24
    assert flexible["curtailed_hours"] == 2 * sum(row["batch_cap"] < 128 for row in of_cells) > 0
    for row in of_cells:
        assert row["power_mw"] <= 1.001 * allowed[row["hour"]]["power_peak_mw"]
        assert study.limits.voltage_min_pu <= row["lowest_pu"] == pytest.approx(row["lowest_batch_engine_pu"], abs=1e-5)
        if row["batch_cap"] < 128:
            assert flexible["n_servers"] > allowed[row["hour"]]["n_servers"]
    # A fleet a little larger would not fit the tightest hour even at its smallest batch size, or serves too little.
    least = min(of_cells, key=lambda row: float(allowed[row["hour"]]["power_mw"]))
    assert least["power_mw"] > 0.97 * allowed[least["hour"]]["power_mw"] or flexible["throughput_share"] < 0.51


def test_the_conclusion_has_the_table_to_export_and_says_when_it_binds(days: str) -> None:
    study = study_of(days)
    conclusion = study.conclude(run(study))
    profile = next(table for table in conclusion.tables if table.name == "limited_load_profile")
    assert len(profile.rows) == 24
    firm = gather(run(study), "fleets")[0]["power_mw"]
    assert all(row["firm_mw"] == firm <= row["allowed_mw"] * 1.0005 for row in profile.rows)
    assert f"Bus 671 can take {firm:.2f} MW in every hour" in conclusion.answer
    assert "Jul 15:00" in conclusion.answer  # the heaviest hour
    assert any("24 of 288" in note for note in conclusion.not_assessed)
    assert len(conclusion.envelopes) == 2


def test_other_limits_are_judged_from_the_stored_sizes(days: str) -> None:
    study = study_of(days)
    own, tighter = (
        {
            row["hour"]: row
            for row in next(
                t for t in study.conclude(run(study), limits).tables if t.name == "limited_load_profile"
            ).rows
        }  # fmt: skip
        for limits in (study.limits, Limits(voltage_min_pu=0.96, voltage_max_pu=1.1))
    )
    for row in cells(study):
        assert own[row["hour"]]["allowed_mw"] == row["power_mw"]
        assert tighter[row["hour"]]["allowed_mw"] < row["power_mw"]
        n = tighter[row["hour"]]["allowed_gpus"] // 8
        stored = {r["n_servers"]: r for r in gather(run(study), "judged") if r["hour"] == row["hour"]}
        assert stored[n]["lowest_pu"] >= 0.96
        assert all(r["lowest_pu"] < 0.96 for m, r in stored.items() if m > n and not r["failure"])


def test_regulators_settle_within_an_hour_by_their_own_controls(days: str) -> None:
    own = LoadProfileStudy(buses=("671",), profile=days)
    task = next(task for task in own.tasks("cells", ()))
    (evening,) = [part for part in own.split(task) if part.content["hours"] == [15]]
    (row,) = own.run(evening, lambda share, words: None)["cells"]
    fixed = next(r for r in cells(study_of(days)) if r["hour"] == 15)
    assert row["n_servers"] > 0
    assert row["highest_pu"] <= 1.05 < fixed["highest_pu"] or row["power_mw"] != fixed["power_mw"]
    scenario = next(c for c in own.cells() if c.hour == 15).scenario(days, own.seed)
    plan = own.plan(own.load_models(), "671", row["n_servers"])
    ((once,),) = simulate([plan], [scenario], own.load_feeder(), own.limits)
    assert once.outcome.engine == "opendss"
    assert once.outcome.kept


def test_questions_that_make_no_sense_are_refused(tmp_path: Path, days: str) -> None:
    for wrong in (Limits(), Limits(violation_time_share_max=0.0, violation_integral_max_pu_s=1.0)):
        with pytest.raises(InputError, match="in every hour"):
            LoadProfileStudy(profile=days, limits=wrong).check()
    with pytest.raises(InputError, match="known"):
        LoadProfileStudy(profile="nowhere").check()
    with pytest.raises(InputError, match="no such setting"):
        make_question("load-profile", {"bus": ["671"]})
    twice = write_days(tmp_path / "long.csv", [0.5] * (24 * 380))
    with pytest.raises(InputError, match="comes back to month 7 hour 0 after a break"):
        LoadProfileStudy(profile=twice).cells()
    assert 'study = "load-profile"' in question_toml(LoadProfileStudy())
