"""A siting plan that its days, its year or a window refuses gives way to another, and the report says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.summary import Summary
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting import work
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.corrections import CorrectionRequest
from studies.pv_datacenter_siting.network import Simulated
from studies.pv_datacenter_siting.rows import NearestRow, PlanRow, WindowRow
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.verdicts import Cause, judged_plans
from studies.shared.conclusion import Conclusion
from studies.shared.rejudging import conclude_under
from studies.shared.site_choices import ServedModel, SiteChoice
from studies.shared.task import Row, Task, TaskResult, gather
from studies.shared.typed_rows import gather_as

SITE = SiteChoice("west", (ServedModel("Llama-3.1-70B-Instruct", n_gpus=320),), candidates=("632", "671", "680"))
SMALL = SitingStudy(
    taps="optimised",
    feeder="ieee13",
    mode="dc",
    sites=(SITE,),
    days="typical",
    n_typical_days=1,
    year_check=False,
    n_windows=1,
    refusals_max=2,
    n_ties=0,
    policy="none",
)

_RUNS: dict[int, tuple[Plan, Scenario, Outcome]] = {}
# Makes another outcome of what a window's fleets came to.
Change = Callable[[SitingCase, Plan, Outcome], Outcome]


run = results_of


def changed_fleets(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Let windows come to something else than they do."""
    truly = work.run_fleets

    def run_fleets(
        case: SitingCase, plan: SitingPlan, window: NearestRow, policy: Policy, simulated: Simulated
    ) -> tuple[Plan, Scenario, Outcome]:
        # Another placement in the same hour is let come to what the first one did: its power flows are not the point.
        if window.first not in _RUNS:
            _RUNS[window.first] = truly(case, plan, window, policy, simulated)
        planned, scenario, outcome = _RUNS[window.first]
        (site,) = planned.sites
        moved = replace(planned, sites=(replace(site, bus=case.network.site_buses[plan.site_bus[0]]),))
        return moved, scenario, change(case, moved, outcome)

    monkeypatch.setattr(work, "run_fleets", run_fleets)


def table(conclusion: Conclusion, name: str) -> list[Row]:
    return [dict(row) for found in conclusion.tables if found.name == name for row in found.rows]


def plans_tasks(results: list[TaskResult]) -> list[Task]:
    return [result.task for result in results if result.task.kind == "plans"]


def not_converged(outcome: Outcome) -> Outcome:
    failure = Failure(FailureKind.NOT_CONVERGED, time_s=60.0)
    summary = Summary.without_figures(failure, outcome.summary.dt_s)
    return replace(outcome, summary=summary, verdict=judge(summary, Limits()))


def late(outcome: Outcome) -> Outcome:
    (site,) = outcome.summary.sites
    summary = replace(outcome.summary, sites=(replace(site, latency_misses=site.latency_samples // 10),))
    return replace(outcome, summary=summary, verdict=judge(summary, Limits()))


@pytest.mark.parametrize(
    ("worse", "cause", "words"),
    [
        (not_converged, Cause.FAILURE, "the power flow did not converge"),
        (late, Cause.LIMIT, "latency misses 0.1 (limit 0.05)"),
    ],
)
def test_a_window_that_fails_or_serves_too_little_refuses_its_placement(
    monkeypatch: pytest.MonkeyPatch, worse: Callable[[Outcome], Outcome], cause: Cause, words: str
) -> None:
    buses: list[str] = []

    def change(case: SitingCase, plan: Plan, outcome: Outcome) -> Outcome:
        buses.append(plan.sites[0].bus)
        return worse(outcome) if plan.sites[0].bus == buses[0] else outcome

    changed_fleets(monkeypatch, change)
    results = run(SMALL)
    first, second = judged_plans(SMALL, results)
    assert [refusal.cause for refusal in first.refusals] == [cause]
    assert words in first.refusals[0].words
    assert second.held
    assert buses[1] != buses[0]
    asked = CorrectionRequest.of_content(plans_tasks(results)[1].content)
    assert asked.excluded == (((), (buses[0],)),)
    assert asked.narrowed == ()
    conclusion = SMALL.conclude(results)
    assert f"west at {buses[1]}" in conclusion.answer
    assert "1 other plan was refused" in conclusion.answer
    (refused,) = table(conclusion, "refused")
    assert (refused["turn"], refused["plan"], refused["cause"]) == (1, "plan 1", cause.value)
    assert refused["judged"] == gather_as(results, "windows", WindowRow)[0].when
    assert conclusion.failures == ()  # another plan holds


def test_a_window_outside_the_band_narrows_that_hour_and_then_another_placement_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first plan at a bus is corrected where it broke; the second one there is refused for good."""
    buses: list[str] = []

    def change(case: SitingCase, plan: Plan, outcome: Outcome) -> Outcome:
        buses.append(plan.sites[0].bus)
        if plan.sites[0].bus != buses[0]:
            return outcome
        lowest = outcome.summary.lowest_pu.copy()
        lowest[3] = 0.94
        summary = replace(outcome.summary, lowest_pu=lowest)
        return replace(outcome, summary=summary, verdict=judge(summary, case.question.limits))

    changed_fleets(monkeypatch, change)
    results = run(SMALL)
    plans = judged_plans(SMALL, results)
    assert [refusal.cause for refusal in plans[0].refusals] == [Cause.LIMIT]
    assert "undervoltage 0.94" in plans[0].refusals[0].words
    asked = CorrectionRequest.of_content(plans_tasks(results)[1].content)
    assert asked.excluded == ()
    window = gather_as(results, "windows", WindowRow)[0]
    (narrowed,) = asked.narrowed
    assert (narrowed.day, narrowed.first, narrowed.n_steps) == (window.day, window.first % 96, 4)
    assert narrowed.by_pu == pytest.approx(0.01, abs=1e-4)
    if buses[1] == buses[0]:
        assert CorrectionRequest.of_content(plans_tasks(results)[2].content).excluded == (((), (buses[0],)),)
    assert plans[-1].held
    assert plans[-1].row.sites.startswith(f"west at {buses[-1]}")
    assert buses[-1] != buses[0]


def test_no_plan_holds_if_every_window_refuses_and_all_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    changed_fleets(monkeypatch, lambda case, plan, outcome: not_converged(outcome))
    study = replace(SMALL, refusals_max=6)
    results = run(study)
    conclusion = study.conclude(results)
    assert conclusion.answer.startswith("No plan of datacenters held when simulated")
    assert "3 were proposed and refused, in 3 turns" in conclusion.answer
    refused = table(conclusion, "refused")
    assert [row["turn"] for row in refused] == [1, 2, 3]
    assert {row["sites"].split(":")[0] for row in refused} == {"west at 632", "west at 671", "west at 680"}
    assert len(conclusion.failures) == 3  # there is no fourth placement


def test_a_window_that_was_not_run_is_no_window_that_held(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        replace_tables(result, windows=[], runs=[]) if result.task.kind == "windows" else result
        for result in run(SMALL)
    ]
    (plan, *_) = judged_plans(SMALL, results)
    assert [refusal.cause for refusal in plan.refusals] == [Cause.NOT_SIMULATED]
    assert SMALL.conclude(results).answer.startswith("No plan")


def replace_tables(result: TaskResult, **tables: list[Row]) -> TaskResult:
    return TaskResult(result.task, {**result.tables, **tables})


def test_hours_of_the_year_that_break_a_limit_refuse_a_plan_and_narrow_its_days() -> None:
    """The five days leave out a sunny spring day of little load; where none may join, the plan is refused for it."""
    study = replace(
        SMALL,
        mode="pv",
        sites=(),
        pv_buses=("675",),
        pv_size_max_kw=800.0,
        pv_total_max_kw=None,
        days="five",
        year_check=True,
        days_added_max=0,
        n_windows=0,
        refusals_max=1,
    )
    results = run(study)
    plans = judged_plans(study, results)
    assert [plan.refusals[0].judged for plan in plans] == ["year", "year"]
    assert "at 2018-04-22 13:00" in plans[0].refusals[0].words
    asked = CorrectionRequest.of_content(plans_tasks(results)[1].content)
    hours = [row for row in gather(results, "year_hours") if row["plan"] == "plan 1"]
    assert {(one.row, one.first // 4) for one in asked.narrowed} == {(row["where"], row["hour"]) for row in hours}
    assert max(one.by_pu for one in asked.narrowed) == pytest.approx(max(row["over_pu"] for row in hours), abs=1e-4)
    conclusion = study.conclude(results)
    assert conclusion.answer.startswith("No plan of PV held when simulated: year: overvoltage")
    assert {row["cause"] for row in table(conclusion, "refused")} == {"limit broken"}


# --- judged again


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"loading_max_pu": 0.01}, "loading"),
        ({"loading_emergency_max_pu": 0.01}, "emergency loading"),
        ({"voltage_min_pu": 1.03}, "undervoltage"),
        ({"voltage_max_pu": 1.0}, "overvoltage"),
        ({"latency_miss_share_max": 0.0}, ""),
        ({"throughput_share_min": 1.0}, ""),
        ({"loading_max_pu": 9.0}, ""),
    ],
)
def test_a_plan_is_judged_again_by_every_limit_that_it_keeps_at_every_step(
    limits: dict[str, float], words: str
) -> None:
    results = stored()
    again = replace(SMALL.limits, **limits)
    conclusion = conclude_under(SMALL, results, again)
    if words:
        assert conclusion.answer.startswith("No plan of datacenters held")
        assert words in conclusion.answer
    else:
        assert conclusion.answer.startswith("Build west at")


@pytest.mark.parametrize(
    "limits",
    [
        {"violation_integral_max_pu_s": 1.0},
        {"violation_time_share_max": 0.01},
        {"loading_max_pu": 1.0, "overload_time_max_s": 60.0},
    ],
)
def test_times_outside_limits_are_not_those_of_representative_days(limits: dict[str, float]) -> None:
    with pytest.raises(InputError, match="cannot judge its stored results again by"):
        conclude_under(SMALL, stored(), replace(SMALL.limits, **limits))


_STORED: list[TaskResult] = []


def stored() -> list[TaskResult]:
    if not _STORED:
        _STORED.extend(run(SMALL))
    return _STORED


def test_costs_of_priced_violations_are_not_judged_by_another_band() -> None:
    priced = replace(SMALL, violations="priced", n_windows=0)
    results = run(priced)
    conclusion = priced.conclude(results)
    assert "Violations have a price here" in conclusion.answer
    with pytest.raises(InputError, match="cannot judge its stored results again by voltage_min_pu"):
        conclude_under(priced, results, replace(SMALL.limits, voltage_min_pu=0.9))


def test_what_is_stored_of_plans_is_read_as_it_was() -> None:
    rows = gather(stored(), "plans")
    assert [row.to_row() for row in gather_as(stored(), "plans", PlanRow)] == rows
    assert np.isfinite(rows[0]["cost"])
