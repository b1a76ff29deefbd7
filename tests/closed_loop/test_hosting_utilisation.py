"""Hosting capacity over a range of utilisation: what holds at an hour's draw need not hold at less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from studies.hosting_capacity.capacity import Aim
from studies.hosting_capacity.rows import CapacityRow
from studies.hosting_capacity.search import SearchResult
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

AIM = Aim(("671",), "firm", 0.5)
# Taps are chosen knowing the run, whose replicas are never below 0.7 of the site's.
STUDY = HostingCapacityStudy(
    buses=("671",),
    operations=("firm",),
    taps="optimised",
    limits=Limits(rapid_voltage_change_max_pu=None, rapid_voltage_change_trip_max_pu=None),
    scenario=Scenario(duration_s=120, replica_ramps=((20.0, 60.0, 1.0),)),
)
RANGED = replace(STUDY, utilisation=(0.0, 1.0))
# Its run ends with 0.8 of the replicas active.
PART = replace(
    STUDY,
    scenario=replace(STUDY.scenario, replica_share_start=0.7, replica_ramps=((20.0, 60.0, 0.8),)),
    utilisation=(0.0, 1.0),
)


def found(study: HostingCapacityStudy) -> tuple[SearchResult, Plan]:
    (result,) = search_aims(replace(study, ladder=False), {AIM: None})
    return result, next(run.plan for run in result.runs if run.purpose == "opendss")


def shares_kept(plan: Plan) -> list[bool]:
    """Whether a plan holds on OpenDSS at rest, with none of its replicas active, a quarter, and so on up to all."""
    rests = [Scenario(f"rest {k}", duration_s=10, replica_share_start=k / 4, replica_ramps=()) for k in range(5)]
    (runs,) = simulate([plan], rests, STUDY.load_feeder(), STUDY.limits, engine="opendss")
    return [run.kept for run in runs]


def test_an_answer_for_the_run_alone_breaks_at_less_and_one_for_the_range_does_not() -> None:
    result, plan = found(STUDY)
    # Its taps hold up what the site pulls down: they are too high without it.
    assert shares_kept(plan) == [False, False, False, True, True]
    ranged, within = found(RANGED)
    assert shares_kept(within) == [True] * 5
    assert within.taps != plan.taps
    assert 0 < ranged.capacity.n_servers <= result.capacity.n_servers
    size = ranged.capacity.largest
    assert size is not None
    assert size.n_scenarios == 7
    # What is shown is the study's own run, in which all replicas are active, whichever scenario binds.
    assert size.summary.power_peak_mw == pytest.approx(result.capacity.largest.summary.power_peak_mw, rel=0.02)  # type: ignore[union-attr]
    on_opendss = {run.scenario.name for run in ranged.runs if run.purpose == "opendss"}
    assert len(on_opendss) == 7
    assert "at 0 of the replicas" in on_opendss


def test_the_report_shows_the_range_and_judges_its_runs_again() -> None:
    (task,) = PART.tasks("capacities", ())
    results = [TaskResult(task, PART.run(task, lambda share, words: None))]
    conclusion = PART.conclude(results)
    (chart,) = (one for one in conclusion.charts if one.title.startswith("Scenarios"))
    replicas = next(line for line in chart.lines if "replicas" in line.name)
    assert (min(replicas.low or [1.0]), max(replicas.y)) == (0.0, 1.0)
    # The run stops at a part of the replicas: the MW of the answer are those of all of them, which were drawn as well.
    (row,) = gather_as(results, "capacities", CapacityRow)
    assert row.power_peak_run_mw is not None
    assert row.power_peak_mw > 1.05 * row.power_peak_run_mw
    assert row.power_peak_opendss_mw == pytest.approx(row.power_peak_mw, rel=1e-6)
    assert row.power_peak_mw_by_site == (row.power_peak_mw,)
    assert f"hosts {row.power_peak_mw:.2f} MW at the most within its range" in conclusion.answer
    assert f"it draws up to {row.power_peak_run_mw:.2f} MW" in conclusion.answer
    again = PART.conclude(results, made_under=PART.limits)
    assert "within its range of utilisation" in again.answer
    assert again.tables[0].rows[0]["power_peak_mw"] == conclusion.tables[0].rows[0]["power_peak_mw"]
    assert any("--utilisation 0,1 covers all" in words for words in STUDY.conclude(results).not_assessed)


def test_a_range_has_two_ends_and_draws_have_shares_of_their_own() -> None:
    with pytest.raises(InputError, match=r"as in 0,1, got 0\.5,0\.5"):
        replace(STUDY, utilisation=(0.5, 0.5)).check_fields()
    with pytest.raises(InputError, match="scenarios or utilisation"):
        replace(RANGED, scenarios=59).check_fields()
