"""What the tasks of a siting study do: propose plans and take them through the year, run a window, look for ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from g2g_opt.errors import PowerFlowError, number_of
from g2g_opt.feeder import Feeder
from g2g_opt.plan import Policy
from solvers.outcome import NoPlanError, SolveStatus
from solvers.siting.problem import Floats, Placement, SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase, days_of, make_case
from studies.pv_datacenter_siting.corrections import CorrectionRequest, NamedPlacement
from studies.pv_datacenter_siting.days import STEPS_A_DAY, Day, with_day
from studies.pv_datacenter_siting.kept_rows import add_rows, keep_plan, keep_year
from studies.pv_datacenter_siting.network import Simulated
from studies.pv_datacenter_siting.operated_plan import Known
from studies.pv_datacenter_siting.operated_work import keep_operated
from studies.pv_datacenter_siting.proposal import Narrowing, Proposal, ProposalReport, propose
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.records import PlanRecord, WindowRun
from studies.pv_datacenter_siting.rows import (
    NearestRow,
    TieRow,
    WindowRow,
)
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.ties import moved_plans
from studies.pv_datacenter_siting.windows import opendss_voltages, run_fleets
from studies.pv_datacenter_siting.year import PlanYear, check_year
from studies.shared.task import Progress, Row, Tables
from studies.shared.typed_rows import to_rows


@dataclass(frozen=True, eq=False)
class _Begin:
    """Where a proposal begins: the case, and a plan with the rows that its program generated, if there is one."""

    case: SitingCase
    start: SitingPlan | None = None
    known: Known = ()

    @staticmethod
    def after(proposal: Proposal) -> _Begin:
        return _Begin(proposal.case, proposal.plan, proposal.best.solution.generated)


def propose_plans(question: SitingQuestion, feeder: Feeder, asked: CorrectionRequest, report: ProposalReport) -> Tables:
    """Tables of the best plan that is not excluded and of further ones on other placements.

    There are fewer than asked for if no placement is left.
    """
    tables: dict[str, list[Row]] = {}
    begin = _Begin(*read_plan(question, feeder, asked.start)) if asked.start else _fresh(question, feeder)
    excluded = [_placement(begin.case, named) for named in asked.excluded]
    for number in range(asked.first_number, asked.first_number + asked.n_plans):
        try:
            if question.taps == "own control":
                proposal = keep_operated(
                    tables, question, begin.case, begin.start, begin.known, excluded, asked, number, report
                )
            else:
                proposal, year = _over_the_year(begin, excluded, asked.narrowed, report)
                keep_plan(tables, proposal, f"plan {number}", number, asked.turn)
                if year is not None:
                    keep_year(tables, proposal.case, year, f"plan {number}")
        except NoPlanError:
            if not excluded:
                raise
            break
        if proposal.best.solution.report.status is SolveStatus.INFEASIBLE:
            break  # other placements keep their limits even less
        excluded.append(proposal.plan.placement())
        begin = _Begin.after(proposal)
    return tables


def sweep_plans(
    question: SitingQuestion, feeder: Feeder, sweep: str, values: Sequence[float], report: ProposalReport
) -> Tables:
    """Tables of a plan for every value, each begun at the one before with its rows; judged on their days alone.

    Taps are those of foresight in each of them: what changes with a figure is the bound.
    """
    question = replace(question, taps="optimised")
    tables: dict[str, list[Row]] = {}
    days = days_of(question)
    before: Proposal | None = None
    for value in values:
        case = make_case(question.with_value(sweep, value), feeder, days)

        def say(words: str, value: float = value) -> None:
            report(f"{sweep} {value:g}, {words}")

        if before is None:
            before = propose(case, say)
        else:
            before = propose(case, say, start=before.plan, known=before.best.solution.generated)
        keep_plan(tables, before, f"{sweep} {value:g}", 0, 1, sweep, value)
    return tables


def _fresh(question: SitingQuestion, feeder: Feeder) -> _Begin:
    return _Begin(make_case(question, feeder, days_of(question)))


def _placement(case: SitingCase, named: NamedPlacement) -> Placement:
    network = case.network
    pv, sites = named
    return tuple(network.pv_buses.index(bus) for bus in pv), tuple(network.site_buses.index(bus) for bus in sites)


def _over_the_year(
    begin: _Begin, excluded: Sequence[Placement], narrowed: Sequence[Narrowing], report: ProposalReport
) -> tuple[Proposal, PlanYear | None]:
    """A plan and its year; days of the year on which it breaks a limit join those it begins with, as many as may.

    There is no year of a plan that its days refuse.
    """
    case, question = begin.case, begin.case.question
    proposal = propose(case, report, start=begin.start, known=begin.known, excluded=excluded, narrowed=narrowed)
    if not (proposal.holds and question.year_check):
        return proposal, None
    profile, n_days_first = question.hourly(), len(case.days)
    while True:
        year, days = check_year(proposal.case, proposal.plan), proposal.case.days
        broken = year.n_hours_broken + int(year.unsolved.sum())
        may_join = len(days) < n_days_first + question.days_added_max
        if not broken or not may_join or year.worst_day in {day.index for day in days}:
            return proposal, year
        report(f"{broken} hours of the year break a limit; {year.dates[year.worst_day]} joins the days")
        more = with_day(days, profile, year.worst_day)
        extended = propose(
            make_case(question, case.network.feeder, more),
            report,
            start=_with_another_day(proposal.plan, days, more[-1]),
            known=proposal.best.solution.generated,
            excluded=excluded,
            narrowed=narrowed,
        )
        if not extended.holds:
            return proposal, year  # the plan before is the one to judge: it keeps its days
        proposal = replace(extended, before=proposal)


def _with_another_day(plan: SitingPlan, days: Sequence[Day], added: Day) -> SitingPlan:
    """The plan with the taps of the likest day for one more day."""
    away = [np.abs(d.load_share - added.load_share).sum() + np.abs(d.sun - added.sun).sum() for d in days]
    n_slots = plan.tap_steps.shape[1] // len(days)
    k = int(np.argmin(away))
    taps = np.concatenate([plan.tap_steps, plan.tap_steps[:, k * n_slots : (k + 1) * n_slots]], axis=1)
    nothing = np.zeros((len(plan.pv_kw), STEPS_A_DAY))
    return replace(
        plan,
        tap_steps=taps,
        curtailed_kw=np.concatenate([plan.curtailed_kw, nothing], axis=1),
        discharge_kw=np.concatenate([plan.discharge_kw, nothing], axis=1),
    )


def run_window(question: SitingQuestion, feeder: Feeder, text: str, window: NearestRow, progress: Progress) -> Tables:
    """Tables of one hour of a stored plan: its nearest step on both engines, then the sites' fleets in closed loop."""
    case, built = read_plan(question, feeder, text)
    plan, when = window.plan, window.when
    progress(0.1, f"{plan}, {when} on OpenDSS")
    simulated = case.network.simulate(built)
    batch = simulated.g[: case.network.n_voltages, window.nearest]
    opendss, reason = None, ""
    try:
        opendss = opendss_voltages(case, built, window.nearest, simulated)
    except PowerFlowError as error:
        reason = str(error)
    row = WindowRow(
        **vars(window),
        day=case.days[window.first // STEPS_A_DAY].index,
        batch_lowest_pu=float(batch.min()),
        batch_highest_pu=float(batch.max()),
        opendss_lowest_pu=None if opendss is None else float(opendss.min()),
        opendss_highest_pu=None if opendss is None else float(opendss.max()),
        difference_pu=None if opendss is None else float(np.abs(opendss - batch).max()),
        reason=reason,
    )
    tables: dict[str, list[Row]] = {"windows": to_rows([row])}
    if opendss is not None:
        record = PlanRecord.at_step(plan, case.network, opendss, window.first)
        add_rows(tables, {"records": [record]})
    if not question.places_sites:
        return tables
    own = Policy(question.policy, margin_pu=question.policy_margin_pu, channels=question.channels)
    policies = (Policy(), own) if question.policy != "none" else (own,)
    for k, policy in enumerate(policies):
        progress(0.1 + 0.45 * k, f"{plan}, {when}, policy {policy.kind}")
        planned, scenario, run = run_fleets(case, built, window, policy, simulated)
        stored = WindowRun.of(planned, scenario, run, of_plan=plan, first=window.first, policy=policy.kind)
        add_rows(tables, {"runs": [stored]})
    return tables


def find_ties(
    question: SitingQuestion, feeder: Feeder, plan: str, text: str, first: int, n: int, progress: Progress
) -> Tables:
    """Tables of `n` other placements of a stored plan's sizes, from the `first` on in their order."""
    case, built = read_plan(question, feeder, text)
    network = case.network.with_loadings()
    low, high = network.limit_rows()

    def violation_cost(g: Floats) -> float:
        return case.violation_cost(excess(g, low, high))

    base = violation_cost(network.simulate(built).g)
    tables: dict[str, list[Row]] = {}
    others = list(islice(moved_plans(case, built), first, first + n))
    progress(0.0, f"{plan}, {number_of(len(others), 'placement')} of the same sizes")
    for k, ((n_moved, moved), simulated) in enumerate(
        zip(others, network.simulate_each([moved for _, moved in others]), strict=True)
    ):
        tie = TieRow(
            plan=plan,
            tie=f"{plan}, placement {first + k + 1}",
            pv=case.pv_words(moved),
            sites=case.site_words(moved),
            n_moved=n_moved,
            cost_more=violation_cost(simulated.g) - base if simulated.solved.all() else 0.0,
            margin_pu=_margin_pu(simulated, low, high, network.n_voltages),
        )
        add_rows(tables, {"ties": [tie], "records": [PlanRecord.over_days(tie.tie, network, simulated)]})
    return tables


def _margin_pu(simulated: Simulated, low: Floats, high: Floats, n_voltages: int) -> float | None:
    """The least distance (pu) of a voltage at any step to its limit; None if a step has no solution."""
    if not simulated.solved.all():
        return None
    g = simulated.g[:n_voltages]
    return float(np.minimum(g - low[:n_voltages], high[:n_voltages] - g).min())
