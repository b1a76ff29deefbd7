"""What a line of a queue means: constant loads in fine steps, the least of a limited profile, growth, odd columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.connection_queue.granting import Grant, GrantedGrid
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.rows import QueueRow
from studies.connection_queue.study import ConnectionQueueStudy
from studies.shared.typed_rows import gather_as


def asked(folder: Path, text: str, **more: object) -> ConnectionQueueStudy:
    (folder / "requests.csv").write_text(text, encoding="utf-8")
    study = ConnectionQueueStudy(
        requests=str(folder / "requests.csv"),
        scenario=Scenario(duration_s=120, replica_ramps=((20.0, 60.0, 1.0),)),
        remedies=(),
        cures=0,
    )
    return replace(study, **more)  # type: ignore[arg-type]


def drawn_mw(study: ConnectionQueueQuestion, parts: int) -> float:
    """What a part of the first request draws with all replicas active (MW)."""
    site = study.site_of(study.read()[0], "671", parts)
    return replay_uncontrolled(site, study.full_draw(), Path(study.trace_dir)).power_peak_mw


@pytest.mark.parametrize("mw", [0.03, 0.5, 1.2])
def test_a_constant_load_can_be_granted_in_steps_of_a_hundredth(tmp_path: Path, mw: float) -> None:
    """Its grant stands on whole servers; what it is granted does not."""
    study = asked(tmp_path, f"bus,mw,date,load_shape\n671,{mw},2025-01-01,constant\n")
    whole = study.size_of(study.read()[0])
    for share in (1.0, 0.63, 0.3):
        n = round(share * whole)
        assert drawn_mw(study, n) == pytest.approx(mw * n / whole, rel=2e-3)
        assert n / whole == pytest.approx(share, abs=0.01)


def test_a_constant_load_of_less_than_its_smallest_servers_is_refused_as_a_fleet_is(tmp_path: Path) -> None:
    study = asked(tmp_path, "bus,mw,date,load_shape\n671,0.0001,2025-01-01,constant\n")
    with pytest.raises(InputError, match=r"request-1: 0.0001 MW are less than .* 8 GPUs"):
        study.check()


def test_a_load_that_grows_beyond_what_can_be_studied_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """By 2 % a year a load is ten times its own after ln 10 / ln 1.02 = 116.3 years."""
    lines = "bus,mw,date\n671,0.5,1999-01-01\n671,0.5,{}-01-01\n"
    asked(tmp_path, lines.format(2115), growth=0.02).check()
    with pytest.raises(InputError, match=r"grows 0.02 a year from 1999 to 2116"):
        asked(tmp_path, lines.format(2116), growth=0.02).check()
    with pytest.raises(InputError, match="grows 1 a year"):
        asked(tmp_path, lines.format(2000), growth=1.0, horizon_years=1_000_000).check()


def test_columns_that_are_left_aside_are_named_in_the_answer(tmp_path: Path) -> None:
    study = asked(tmp_path, "bus,mw,date,date of withdrawal,customer\n632,0.1,2025-01-01,2025-05-01,Acme\n")
    conclusion = study.conclude([])
    assert any("date of withdrawal, customer" in note for note in conclusion.not_assessed)


def test_what_opendss_refuses_by_the_runs_own_steps_is_not_said_to_fit(tmp_path: Path) -> None:
    """Between what a trip moves in steps of the search and of the run lies a limit that only the latter break."""
    study = asked(tmp_path, "bus,mw,date,load_shape\n675,1.0,2025-03-01,constant\n", levels=(1.0,))
    (request,), feeder = study.read(), study.load_feeder()
    grid = GrantedGrid(study, feeder, 2025)
    whole = grid.plan(0, (Grant(request, "firm", (study.size_of(request),)),))

    def moved_pu(scenario: Scenario, engine: Engine) -> float:
        (runs,) = simulate([whole], [scenario], feeder, study.limits, engine=engine)
        (found,) = (one.value for one in runs[0].checks if one.name == "voltage change at a trip")
        return found

    moving = study.scenarios("flexible", 1.0)
    searched = max(moved_pu(one, "batch") for one in (*map(study.coarse, moving), *study.rests(moving[0])))
    run = max(moved_pu(one, "opendss") for one in moving)
    assert searched < run
    strict = replace(study, limits=Limits(rapid_voltage_change_trip_max_pu=(searched + run) / 2))
    (row,) = gather_as(results_of(strict), "queue", QueueRow)
    assert (row.decision, row.engine) == ("refused", "opendss")
    assert 0.9 < row.largest_mw < 1.0
    fits = grid.plan(0, (Grant(request, "firm", (round(100 * row.largest_mw),)),))
    (runs,) = simulate([fits], moving, feeder, strict.limits, engine="opendss")
    assert all(one.kept for one in runs)


def test_the_least_share_of_a_limited_profile_is_no_less_than_asked_for(tmp_path: Path) -> None:
    study = asked(tmp_path, "bus,mw,date\n671,0.04,2025-03-01\n", limited_share_min=0.2)
    (request,) = study.read()
    grid = GrantedGrid(study, study.load_feeder(), 2025)
    assert study.size_of(request) % 5 != 0
    assert grid.least_size(request) / study.size_of(request) >= 0.2
