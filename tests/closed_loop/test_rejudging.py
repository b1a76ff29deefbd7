"""Every study against every limit: stored results judged again are what a fresh judgement gives, or it is refused.

A fresh judgement is a simulation of the stored plan in the stored scenario under the new limits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs
from studies.connection_check.study import ConnectionCheckStudy
from studies.connection_queue.study import ConnectionQueueStudy
from studies.coordination_policy.study import CoordinationStudy
from studies.datacenter_location.study import LocationStudy
from studies.datacenter_location.trials import TrialRun
from studies.feeder_policy.study import FeederPolicyStudy
from studies.hosting_capacity.rows import CapacityRun
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.load_profile.rows import CellRun
from studies.load_profile.study import LoadProfileStudy
from studies.portfolio.study import PortfolioStudy
from studies.pv_datacenter_siting.study import SitingStudy
from studies.shared.rejudging import ALL_LIMITS, conclude_under, limits_of, under_limits
from studies.shared.site_choices import ServedModel, SiteChoice
from studies.shared.stored_bases import StoredBases
from studies.shared.stored_runs import RunRow
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("rejudging")  # one worker, so that its studies are run once

BRIEF = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=((10.0, 20.0, 0.4),), seed=2)
MODEL = (ServedModel("llama-3.1-70b", 400),)
# Judged by everything, so that every limit can be moved.
EVERYTHING = Limits(voltage_max_pu=1.08, loading_max_pu=1.0, overload_time_max_s=5.0, loading_emergency_max_pu=1.5)
OTHER: dict[str, Any] = {
    "voltage_min_pu": 0.96,
    "voltage_max_pu": 1.05,
    "violation_time_share_max": 0.4,
    "violation_integral_max_pu_s": 0.05,
    "loading_max_pu": 0.8,
    "overload_time_share_max": 0.3,
    "overload_time_max_s": 12.0,
    "loading_emergency_max_pu": 0.5,
    "latency_miss_share_max": 0.0,
    "throughput_share_min": 0.95,
    "unbalance_negative_sequence_max": 0.01,
    "unbalance_nema_max": 0.02,
    "unbalance_time_share_max": 0.5,
    "rapid_voltage_change_max_pu": 0.005,
    "rapid_voltage_change_trip_max_pu": 0.01,
    "voltage_after_trip_max_pu": 1.06,
    "base_rule": "no-worse",
    "voltage_worse_max_pu": 0.01,
    "loading_worse_max": 0.2,
    "time_worse_share_max": 0.5,
}
# Tolerances say nothing while limits have to hold.
_OF_NO_WORSE = ("voltage_worse_max_pu", "loading_worse_max", "time_worse_share_max")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two days of July with a peak in the evening."""
    path = tmp_path_factory.mktemp("profile") / "days.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["hour_beginning", "load_share", "generation_share"])
        for k in range(48):
            at = datetime(2018, 7, 1) + timedelta(hours=k)
            writer.writerow([at.strftime("%Y-%m-%dT%H:%M"), 1.0 if 17 <= at.hour <= 20 else 0.6, 0.0])
    return str(path)


def quiet(share: float, words: str) -> None:
    """Hears progress and does nothing."""


@cache
def hosting() -> tuple[Any, tuple[TaskResult, ...]]:
    study = HostingCapacityStudy(buses=("671",), taps="study", scenario=BRIEF, operations=("firm",), limits=EVERYTHING)
    return study, results_of(study)


@pytest.mark.parametrize("name", [name for name in OTHER if name not in ("base_rule", *_OF_NO_WORSE)])
def test_no_limit_is_kept_without_a_check_that_follows_it(name: str) -> None:
    """A field that no check reads would be offered, stored and moved, and judge nothing."""
    # A longest overload stands in the place of its share of the time.
    used = replace(EVERYTHING, overload_time_max_s=None) if name == "overload_time_share_max" else EVERYTHING
    other = replace(used, **{name: OTHER[name]})
    records = [run.read_summary() for run in gather_as(hosting()[1], "runs", CapacityRun) if run.failure_kind is None]
    assert any(judge(record, used).checks != judge(record, other).checks for record in records)


@cache
def location() -> tuple[Any, tuple[TaskResult, ...]]:
    sites = (SiteChoice("west", MODEL, candidates=("671", "675")), SiteChoice("east", MODEL, candidates=("680",)))
    study = LocationStudy(
        feeder="ieee13", sites=sites, policy=Policy(), taps="study", scenario=BRIEF, limits=EVERYTHING,
        finalists=1, finalist_dt_s=Fraction(1), refined=0,
    )  # fmt: skip
    return study, results_of(study)


@cache
def load_profile(profile: str) -> tuple[Any, tuple[TaskResult, ...]]:
    every_hour = replace(EVERYTHING, violation_time_share_max=0.0, overload_time_max_s=None)
    study = LoadProfileStudy(buses=("671",), profile=profile, taps="study", limits=every_hour)
    (month,) = study.tasks("cells", ())
    part = next(part for part in study.split(month) if part.content["hours"] == [18])
    return study, (TaskResult(part, study.run(part, quiet)),)


def others(limits: Limits) -> Iterator[tuple[str, Limits | None]]:
    """Every limit moved by itself; None where that makes no limits at all."""
    # Loadings are recorded as shares of ratings on one basis: see the refusal below.
    judged = {f.name for f in fields(Limits)} - {"rating_basis"}
    assert set(OTHER) == judged, "a new limit is judged here as well"
    for name, value in OTHER.items():
        # A time above the rating in seconds stands above a share of it.
        base = replace(limits, overload_time_max_s=None) if name == "overload_time_share_max" else limits
        if name in _OF_NO_WORSE:
            base = replace(base, base_rule="no-worse")
        yield name, replace(base, **{name: value})


def moved(name: str) -> set[str]:
    """What `others` moves together."""
    return {name, "base_rule"} if name in _OF_NO_WORSE else {name}


def fresh(study: Any, rows: list[RunRow], limits: Limits) -> list[Outcome]:
    """The stored plans in their scenarios, simulated and judged under other limits."""
    found: dict[int, Outcome] = {}
    for engine in ("batch", "opendss"):
        places = [k for k, row in enumerate(rows) if row.engine == engine]
        runs = [(rows[k].read_plan(), rows[k].read_scenario()) for k in places]
        done = simulate_runs(runs, study.load_feeder(), limits, engine=engine, with_base=True)  # type: ignore[arg-type]
        found.update(zip(places, done, strict=True))
    return [found[k] for k in range(len(rows))]


@pytest.mark.parametrize(("kind", "rows_of"), [("hosting", CapacityRun), ("location", TrialRun), ("profile", CellRun)])
def test_a_stored_run_judged_again_is_judged_as_a_fresh_one(kind: str, rows_of: type[RunRow], profile: str) -> None:
    study, results = {"hosting": hosting, "location": location}[kind]() if kind != "profile" else load_profile(profile)
    rows, bases = gather_as(results, "runs", rows_of), StoredBases(results)
    # The least and the heaviest loaded of them, one that failed, and what ran on OpenDSS.
    solved = sorted((row for row in rows if row.failure_kind is None), key=lambda row: float(row.loading_pu.max()))
    some = [solved[0], solved[-1], *[row for row in rows if row.failure_kind is not None][:1]]
    some += [row for row in solved if row.engine == "opendss"][:1]
    verdicts = set()
    for name, limits in others(limits_of(study)):
        for row, outcome in zip(some, fresh(study, some, limits), strict=True):
            again = row.outcome(limits, bases.of(row))
            assert again.verdict.kept == outcome.kept, name
            assert again.base is not None
            assert [c.name for c in again.checks] == [c.name for c in outcome.checks], name
            for one, other in zip(again.checks, outcome.checks, strict=True):
                assert one == other, name
            assert again.failure == outcome.failure
            verdicts.add(again.kept)
    assert verdicts == {True, False}


@pytest.mark.parametrize("kind", ["hosting", "location", "profile"])
def test_a_study_under_every_other_limit_concludes_from_its_runs_or_refuses_by_name(kind: str, profile: str) -> None:
    study, results = {"hosting": hosting, "location": location}[kind]() if kind != "profile" else load_profile(profile)
    refused = set()
    for name, limits in others(limits_of(study)):
        if name not in study.rejudges:
            with pytest.raises(InputError, match=name):
                conclude_under(study, results, limits)
            refused |= moved(name)
            continue
        conclusion = conclude_under(study, results, limits)
        assert "nothing was simulated" in conclusion.warnings[0]
        assert conclusion.answer
    assert refused == ALL_LIMITS - study.rejudges
    if kind != "profile":
        assert not refused


@pytest.mark.parametrize(
    "study",
    [SitingStudy(), FeederPolicyStudy(), CoordinationStudy(), ConnectionQueueStudy(), PortfolioStudy()],
    ids=lambda one: one.study,
)
def test_what_a_study_cannot_judge_again_is_refused_and_never_ignored(study: Any) -> None:
    if not hasattr(study, "limits"):
        with pytest.raises(InputError, match="has no limits to change"):
            conclude_under(study, (), Limits(voltage_min_pu=0.94))
        return
    moved = replace(study, limits=EVERYTHING)
    for name, limits in others(EVERYTHING):
        if name in study.rejudges:
            assert limits_of(under_limits(moved, limits)) == limits
        else:
            with pytest.raises(InputError, match=rf"cannot judge its stored results again by .*{name}"):
                under_limits(moved, limits)


@pytest.mark.parametrize(
    "study", [HostingCapacityStudy(), LocationStudy(), LoadProfileStudy(), SitingStudy(), ConnectionCheckStudy()]
)
def test_another_rating_basis_asks_for_new_runs(study: Any) -> None:
    with pytest.raises(
        InputError, match="shares of normal ratings; ask the question anew with --rating-basis nameplate"
    ):
        under_limits(study, replace(study.limits, rating_basis="nameplate"))
