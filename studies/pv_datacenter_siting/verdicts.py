"""What `judge` says of every plan: its days, its year, its windows. A plan holds if all of them do.

The records that a plan was stored with are held against the limits, those of the question or others: nothing is
simulated anew, and nothing else decides. Where violations have a price, a broken limit is paid for and refuses nothing;
what was not simulated, has no solution, or costs something else than predicted does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from g2g_opt.clock import HOUR_S
from g2g_opt.failure import Moment
from g2g_opt.hourly_profile import load_profile
from g2g_opt.judge import Verdict, judge
from g2g_opt.limits import Limits
from g2g_opt.summary import Summary
from solvers.outcome import SolveStatus
from studies.pv_datacenter_siting.days import STEPS_A_DAY, clock_of
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.records import DAYS, STEP, STEP_S, YEAR, PlanRecord, WindowRun
from studies.pv_datacenter_siting.rows import NearestRow, PlanRow, WindowRow
from studies.pv_datacenter_siting.stored_plan import day_names, is_operated
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

# By how much (pu) the two engines may differ at a step.
_ENGINES_AGREE_PU = 1e-5


class Cause(StrEnum):
    """Why a plan is refused."""

    LIMIT = "limit broken"
    FAILURE = "no answer"
    COST = "cost not as predicted"
    NOT_SIMULATED = "not simulated"


@dataclass(frozen=True)
class Refusal:
    """Why a plan is refused: by its days, its year, or the hour of a window; the cause; words with place and time."""

    judged: str
    cause: Cause
    words: str


@dataclass(frozen=True, eq=False)
class JudgedWindow:
    """An hour of a plan with what was run of it, each record with its verdict.

    `at_step` is the nearest step on OpenDSS (None if it has no solution), `runs` are those of the fleets by policy,
    and `deciding` is what decides: the step, and the run with the plan's own policy.
    """

    row: WindowRow
    at_step: tuple[Summary, Verdict] | None
    runs: dict[str, tuple[Summary, Verdict]]
    deciding: tuple[tuple[Summary, Verdict], ...]


@dataclass(frozen=True, eq=False)
class JudgedPlan:
    """A plan with its windows and everything that was found against it."""

    row: PlanRow
    windows: tuple[JudgedWindow, ...]
    refusals: tuple[Refusal, ...]

    @property
    def held(self) -> bool:
        """Does it hold?"""
        return not self.refusals

    @property
    def days(self) -> list[str]:
        """The days that its program was made of."""
        return day_names(self.row.json)

    @property
    def is_operated(self) -> bool:
        """Do regulators act by their own controls?"""
        return is_operated(self.row.json)

    @property
    def refused_before(self) -> bool:
        """Is it refused by its days or its year, so that no window need be run?"""
        return any(refusal.judged in (DAYS, YEAR) for refusal in self.refusals)


@dataclass(frozen=True, eq=False)
class _Stored:
    """The rows of a study, read once."""

    question: SitingQuestion
    limits: Limits
    nearest: list[NearestRow]
    windows: list[WindowRow]
    records: list[PlanRecord]
    runs: list[WindowRun]

    @property
    def priced(self) -> bool:
        return self.question.violations == "priced"

    def record(self, plan: str, over: str, first: int = 0) -> Summary | None:
        key = plan, over, first
        return next((one.read_summary() for one in self.records if (one.plan, one.over, one.first) == key), None)


def judged_plans(question: SitingQuestion, results: Sequence[TaskResult]) -> list[JudgedPlan]:
    """All plans in the order in which they were proposed, held against the question's limits.

    Plans of sweeps are judged on their days alone. Raises `InputError` for limits at which a record kept no figures.
    """
    stored = _Stored(
        question,
        question.limits,
        gather_as(results, "nearest", NearestRow),
        gather_as(results, "windows", WindowRow),
        gather_as(results, "records", PlanRecord),
        gather_as(results, "runs", WindowRun),
    )
    return [_judged(stored, row) for row in gather_as(results, "plans", PlanRow)]


def judged_ties(results: Sequence[TaskResult], plan: str, limits: Limits) -> dict[str, Verdict]:
    """Verdicts on the days of placements that were looked at for ties with a plan, by their names."""
    records = gather_as(results, "records", PlanRecord)
    return {
        one.plan: judge(one.read_summary(), limits)
        for one in records
        if one.over == DAYS and one.plan.startswith(f"{plan}, ")
    }


def best_of(plans: Sequence[JudgedPlan]) -> JudgedPlan | None:
    """The cheapest of the question's own plans that hold; with foresight, of those on the days of the first of them.

    Costs on other days are of another year: there it counts that what was proposed first is the program's better one.
    Under regulators' own controls all costs are those of the very year.
    """
    held = [plan for plan in plans if plan.held and not plan.row.sweep]
    alike = [plan for plan in held if plan.is_operated or plan.days == held[0].days]
    return min(alike, key=lambda plan: (plan.row.cost, plan.row.number), default=None)


def _judged(stored: _Stored, row: PlanRow) -> JudgedPlan:
    names = day_names(row.json)

    def of_days(time_s: float) -> str:
        """Day and time of day of a time since the first of the days began."""
        step = int(time_s // STEP_S)
        return f"{names[step // STEPS_A_DAY]} {clock_of(step)}"

    refusals = _of_days(stored, row, of_days)
    if row.sweep or refusals:
        return JudgedPlan(row, (), tuple(refusals))
    refusals += _of_year(stored, row)
    # A plan that its year refuses gets no windows.
    n_wanted = 0 if refusals else sum(one.plan == row.plan for one in stored.nearest)
    windows = [_window(stored, one) for one in stored.windows if one.plan == row.plan]
    for window in windows:
        refusals += _of_window(stored, window, of_days)
    if len(windows) < n_wanted:
        words = f"{n_wanted - len(windows)} of its {n_wanted} windows have no result"
        refusals.append(Refusal("windows", Cause.NOT_SIMULATED, words))
    return JudgedPlan(row, tuple(windows), tuple(refusals))


def _of_days(stored: _Stored, row: PlanRow, moment: Moment) -> list[Refusal]:
    if row.status == SolveStatus.FAILED.value:
        return [Refusal(DAYS, Cause.FAILURE, "the solver failed")]
    record = stored.record(row.plan, DAYS)
    if record is None:
        return [Refusal(DAYS, Cause.NOT_SIMULATED, "its days were not simulated")]
    found = _of_verdict(DAYS, judge(record, stored.limits), moment, stored.priced)
    if not found and not row.cost_agrees:
        words = f"predicted {row.predicted_cost:,.0f}, simulated {row.cost:,.0f} $ a year"
        found.append(Refusal(DAYS, Cause.COST, words))
    return found


def _of_year(stored: _Stored, row: PlanRow) -> list[Refusal]:
    if not stored.question.year_check:
        return []
    record = stored.record(row.plan, YEAR)
    if record is None:
        return [Refusal(YEAR, Cause.NOT_SIMULATED, "its year was not simulated")]
    hours, levels = load_profile(stored.question.profile).hours, stored.question.levels

    def moment(time_s: float) -> str:
        # Levels of utilisation lie one behind the other.
        level, hour = divmod(int(time_s // HOUR_S), len(hours))
        words = hours[hour].strftime("%Y-%m-%d %H:%M")
        return words if len(levels) == 1 else f"{words}, sites at {100.0 * levels[level]:.3g} %"

    return _of_verdict(YEAR, judge(record, stored.limits), moment, stored.priced)


def _window(stored: _Stored, row: WindowRow) -> JudgedWindow:
    record = stored.record(row.plan, STEP, row.first)
    at_step = None if record is None else (record, judge(record, stored.limits))
    runs = {}
    for run in stored.runs:
        if (run.of_plan, run.first) == (row.plan, row.first):
            summary = run.read_summary()
            runs[run.policy] = summary, judge(summary, stored.limits)
    own = runs.get(stored.question.policy)
    return JudgedWindow(row, at_step, runs, tuple(one for one in (at_step, own) if one is not None))


def _of_window(stored: _Stored, window: JudgedWindow, of_days: Moment) -> list[Refusal]:
    row, found = window.row, []

    def in_hour(time_s: float) -> str:
        return f"{of_days(row.first * STEP_S)} and {time_s:g} s"

    if window.at_step is None:
        found.append(Refusal(row.when, Cause.FAILURE, row.reason))
    else:
        found += _of_verdict(row.when, window.at_step[1], lambda time_s: of_days(row.nearest * STEP_S), stored.priced)
    if row.difference_pu is not None and row.difference_pu > _ENGINES_AGREE_PU:
        found.append(Refusal(row.when, Cause.FAILURE, f"the engines differ by {row.difference_pu:.2g} pu"))
    own = window.runs.get(stored.question.policy)
    if own is not None:
        found += _of_verdict(row.when, own[1], in_hour, stored.priced)
    elif stored.question.places_sites:
        found.append(Refusal(row.when, Cause.NOT_SIMULATED, "its fleets were not run"))
    return found


def _of_verdict(judged: str, verdict: Verdict, moment: Moment, priced: bool) -> list[Refusal]:
    """What a verdict comes to; broken limits refuse nothing where they are `priced`."""
    if verdict.failure is not None:
        return [Refusal(judged, Cause.FAILURE, verdict.failure.in_words(moment))]
    return [] if priced else [Refusal(judged, Cause.LIMIT, check.in_words(moment)) for check in verdict.broken]
