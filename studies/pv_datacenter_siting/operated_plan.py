"""A plan whose regulators act by their own controls, from the program to the year.

1. The program with free taps, hindsight of every slot, gives a bound and where to begin. If it keeps no limits there
   is no plan: own controls do not keep what no taps do.
2. Set-points to begin with are found for that plan by simulation, and its year is simulated with them.
3. The program again, on days whose controls begin where the year left them: linearised around what the controls do, so
   that no tap is decided. Its plan goes through the year; the day and level of utilisation that break most join the
   days, until none breaks or as many have joined as may. What the year breaks on a day that is among them narrows the
   limits there.
4. Its sizes at other buses, and less PV, are simulated: the program knows no losses and no tap steps of the controls.
   For the one that is taken the best set-points are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from g2g_opt.batch.chains import SetPoint
from solvers.siting.problem import Placement, SitingPlan
from studies.pv_datacenter_siting.case import SitingCase, make_case
from studies.pv_datacenter_siting.days import STEPS_AN_HOUR, Day, with_day
from studies.pv_datacenter_siting.network import OwnOperation
from studies.pv_datacenter_siting.operated_year import OperatedYear, operate_year
from studies.pv_datacenter_siting.operation import find_set_points, first_set_points
from studies.pv_datacenter_siting.other_plans import Comparison, compare_plans
from studies.pv_datacenter_siting.proposal import TIGHTEN_PU, Narrowing, Proposal, ProposalReport, propose, with_plan
from studies.pv_datacenter_siting.storage_rule import StorageRule
from studies.pv_datacenter_siting.year_network import over_hours

Known = Sequence[tuple[int, int, int]]

# How often the program is solved again on the same days, with limits narrowed where the year breaks them.
_NARROWED_TURNS = 2


@dataclass(frozen=True, eq=False)
class OperatedProposal:
    """A plan with its set-points and its year, which it has even if its days refuse it.

    `bound` ($ a year) is that of the program with free taps, if it began with it: no operation costs less.
    `compared` are the other plans that it could have been, `n_broken_unseen` as in `FoundSetPoints`.
    """

    proposal: Proposal
    set_points: dict[str, SetPoint]
    year: OperatedYear
    bound: float | None
    compared: Comparison | None = None
    n_broken_unseen: int = 0

    @property
    def holds(self) -> bool:
        """Do its days and its year keep all limits, or pay for what they break, and have a solution?"""
        return self.proposal.holds and not is_refused(self.proposal.case, self.year)


def is_refused(case: SitingCase, year: OperatedYear) -> bool:
    """Does a year break what it may not: a limit, or where violations have a price a power flow without a solution?"""
    return bool(year.unsolved.any()) if case.question.violations == "priced" else year.n_hours_broken > 0


def propose_operated(
    case: SitingCase,
    start: SitingPlan,
    known: Known,
    bound: float | None,
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
    report: ProposalReport,
) -> OperatedProposal:
    """A plan for the days of `case`, begun at `start` with the rows that its program generated."""
    tried = [] if case.network.operated is None else [dict(case.network.operated.set_points)]
    set_points = first_set_points(case, start, tried)
    year = operate_year(case, start, set_points)
    if year.n_hours_broken:
        better = find_set_points(case, start, [set_points], year.hardest_days(), report)
        set_points = better.set_points
        year = operate_year(case, start, set_points, better.begins)
    return cheaper(
        on_its_days(case, start, known, set_points, year, bound, excluded, narrowed, report), excluded, report
    )


def on_its_days(
    case: SitingCase,
    start: SitingPlan,
    known: Known,
    set_points: dict[str, SetPoint],
    year: OperatedYear,
    bound: float | None,
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
    report: ProposalReport,
    rule: StorageRule | None = None,
) -> OperatedProposal:
    """Step 3: the program on the days of `case`, begun at `start` and its `year`, until its own year breaks no limit.

    Storage that is offered follows a `rule`.
    """
    question, days = case.question, list(case.days)
    n_days_first, plan = len(days), start
    n_more = question.days_added_max * (1 if len(question.levels) == 1 else 2)
    best: OperatedProposal | None = None
    narrowed, n_turns_left = list(narrowed), _NARROWED_TURNS
    while True:
        before = days
        days = _with_worst_day(case, days, year, n_days_first + n_more)
        if best is not None and days is before:
            # By how little its year breaks what its days keep is known here alone.
            by_year = _narrowed_by(year, days) if question.violations == "forbidden" else []
            if not n_turns_left or not by_year:
                break
            narrowed, n_turns_left = [*narrowed, *by_year], n_turns_left - 1
        operated = OwnOperation(set_points, year.begins(days))
        own = make_case(question, case.network.feeder, days, operated, rule)
        proposal = propose(own, report, start=bare_plan(plan, own), known=known, excluded=excluded, narrowed=narrowed)
        if best is not None:
            proposal = replace(proposal, before=best.proposal)
        plan, known = proposal.plan, proposal.best.solution.generated
        year = operate_year(own, plan, set_points, like=year)
        best = OperatedProposal(_begun_where(proposal, year), set_points, year, bound)
        if not year.n_hours_broken or not proposal.holds:
            break
        report(f"hours of the year that break a limit: {year.n_hours_broken:,}")
    return best


def cheaper(found: OperatedProposal, excluded: Sequence[Placement], report: ProposalReport) -> OperatedProposal:
    """Step 4: the plan or another one whose operation costs less and holds as well, with the best set-points found."""
    case, plan = found.proposal.case, found.proposal.plan
    if not found.holds:
        return found
    program_cost = found.proposal.best.cost.total
    compared = compare_plans(case, plan, program_cost, found.set_points, found.year, report)
    found, other = replace(found, compared=compared), compared.chosen
    if other.placement() in excluded:
        other = plan
    better = find_set_points(case, other, [found.set_points], found.year.hardest_days(), report)
    set_points = better.set_points
    year = operate_year(case, other, set_points, better.begins)
    if is_refused(case, year):
        if other is plan:
            return found
        set_points, year = found.set_points, operate_year(case, other, found.set_points, like=found.year)
    operated = replace(case, network=replace(case.network, operated=OwnOperation(set_points, year.begins(case.days))))
    proposal = with_plan(found.proposal, operated, other)
    if is_refused(case, year) or not proposal.holds:
        return found
    return replace(found, proposal=proposal, set_points=set_points, year=year, n_broken_unseen=better.n_broken_unseen)


def _with_worst_day(case: SitingCase, days: list[Day], year: OperatedYear, n_max: int) -> list[Day]:
    """The days and the one that breaks most in the year, unless it is among them or there are as many as may be."""
    if not year.n_hours_broken or len(days) >= n_max:
        return days
    day, utilisation = year.worst_day()
    if (day, utilisation) in {(one.index, one.utilisation) for one in days}:
        return days
    return with_day(days, case.question.hourly(), day, utilisation)


def _narrowed_by(year: OperatedYear, days: Sequence[Day]) -> list[Narrowing]:
    """Limits of days that the program knows, narrowed by as much as the hours of the year are outside.

    A day's quarter hours lie between the hours that the year has, which may see a little more.
    """
    known = {(day.index, day.utilisation) for day in days}
    return [
        Narrowing(
            year.network.names()[year.row[level, day, hour]],
            int(day),
            int(hour) * STEPS_AN_HOUR,
            STEPS_AN_HOUR,
            float(year.over[level, day, hour]) + TIGHTEN_PU,
        )
        for level, day, hour in zip(*np.nonzero(year.over > 0.0), strict=True)
        if (int(day), year.levels[level]) in known
    ]


def bare_plan(plan: SitingPlan, case: SitingCase) -> SitingPlan:
    """What a plan builds, for the points of a case whose controls decide the taps; no storage without a rule."""
    taps = np.zeros((0, len(case.calendar.slot_day)), dtype=np.int64)
    own = replace(over_hours(plan, case.network), tap_steps=taps)
    if case.stored is not None:
        return own
    none = np.zeros(case.pv.n)
    return replace(own, storage_kw=none, storage_kwh=none)


def _begun_where(proposal: Proposal, year: OperatedYear) -> Proposal:
    """The proposal with its days begun where its own year leaves the controls."""
    case = proposal.case
    operated = case.network.operated
    assert operated is not None
    network = replace(case.network, operated=replace(operated, begins=year.begins(case.days)))
    return replace(proposal, case=replace(case, network=network))
