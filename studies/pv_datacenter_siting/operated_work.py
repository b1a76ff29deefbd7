"""A plan under its regulators' own controls as a task proposes it, with storage where it pays, and all its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from solvers.siting.problem import Placement, SitingPlan
from studies.pv_datacenter_siting.case import SitingCase, make_case
from studies.pv_datacenter_siting.corrections import CorrectionRequest
from studies.pv_datacenter_siting.foresight import foresee
from studies.pv_datacenter_siting.kept_rows import add_rows, keep_plan
from studies.pv_datacenter_siting.made_again import WeighedPlan, made_again
from studies.pv_datacenter_siting.operated_cost import OperatedCost, cost_of_year
from studies.pv_datacenter_siting.operated_plan import Known, OperatedProposal, propose_operated
from studies.pv_datacenter_siting.operated_rows import other_plan_rows, set_point_rows
from studies.pv_datacenter_siting.operated_year import YearRows, simulated_year
from studies.pv_datacenter_siting.proposal import Narrowing, Proposal, ProposalReport
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.records import PlanRecord
from studies.pv_datacenter_siting.rows import YearRow
from studies.pv_datacenter_siting.storage_offer import StorageOffer, offer_storage
from studies.pv_datacenter_siting.storage_rows import storage_rows
from studies.pv_datacenter_siting.trips import trip_rows
from studies.shared.run_processes import run_processes
from studies.shared.task import Row


@dataclass(frozen=True, eq=False)
class _Proposed:
    """A plan with its operation, or one that is refused for having none (`refused`); what storage would be worth."""

    found: OperatedProposal | None = None
    refused: Proposal | None = None
    offer: StorageOffer | None = None


def keep_operated(
    tables: dict[str, list[Row]],
    question: SitingQuestion,
    case: SitingCase,
    start: SitingPlan | None,
    known: Known,
    excluded: Sequence[Placement],
    asked: CorrectionRequest,
    number: int,
    report: ProposalReport,
) -> Proposal:
    """Propose a plan whose regulators act by their own controls, begun at `case` and, if there is one, at `start`; and
    add its rows and those of its year.

    One that breaks limits however taps move has no operation and no year.
    """
    beside = run_processes()
    if beside is not None:
        beside.start()  # the program with foresight hides how long that takes
    proposed, plan = _propose(question, case, start, known, excluded, asked.narrowed, report), f"plan {number}"
    if proposed.found is None:
        assert proposed.refused is not None
        keep_plan(tables, proposed.refused, plan, number, asked.turn)
        return proposed.refused
    found, proposal = proposed.found, proposed.found.proposal
    rows, cost = _cost(found, plan)
    keep_plan(tables, proposal, plan, number, asked.turn, operated=(found, cost))
    year, case = found.year, proposal.case
    of_days = (proposal.plan.pv_kw[:, None] * case.network.sun).sum(axis=0)
    energy = YearRow(
        plan,
        len(year.network.sun),
        float(proposal.plan.pv_kw.sum() * year.network.sun.sum()) / 1e3 * 8760.0 / len(year.network.sun),
        float(case.calendar.hours @ of_days) / 1e3,
    )
    add_rows(
        tables,
        {
            "year": [energy],
            "year_hours": year.broken_hours(plan),
            "operation": cost.rows,
            "held_out": cost.held_out,
            "trips": trip_rows(proposal.plan, year, rows, plan),
            "set_points": set_point_rows(case, found.set_points, plan),
            "others": other_plan_rows(case, found.compared, plan),
            "records": [PlanRecord.over_year(plan, year.network, rows.simulated)],
        },
    )
    offer = proposed.offer
    if offer is not None:
        other = offer.without if offer.pays else offer.with_it
        of_other = None if other is None else _cost(other.found, plan)[1]
        add_rows(tables, {"storage": storage_rows(offer, cost, of_other, plan)})
    return proposal


def _cost(found: OperatedProposal, plan: str) -> tuple[YearRows, OperatedCost]:
    case, built = found.proposal.case, found.proposal.plan
    rows = simulated_year(case, built, found.set_points, found.year)
    return rows, cost_of_year(case, built, found.year, rows, found.set_points, plan, found.n_broken_unseen)


def _propose(
    question: SitingQuestion,
    case: SitingCase,
    start: SitingPlan | None,
    known: Known,
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
    report: ProposalReport,
) -> _Proposed:
    """The plan without storage, as if none were offered, and the one with it where it is and pays."""
    feeder = case.network.feeder
    bare = make_case(replace(question, storage=None), feeder, case.days, case.network.operated)
    refused, bound = None, None
    # A plan that another one under its own controls begins at needs no foresight.
    afresh = start is None or case.network.operated is None
    if afresh:
        foresight = foresee(make_case(bare.question, feeder, case.days), excluded, report)
        refused, known = foresight.refused, ()
        start, bound = foresight.plan, foresight.bound
    if refused is not None and question.storage is None:
        return _Proposed(refused=refused)
    assert start is not None
    without = propose_operated(bare, start, known, bound, excluded, narrowed, report)
    without = made_again(without, excluded, narrowed, report)
    if question.storage is None:
        return _Proposed(without)
    offer = offer_storage(question, WeighedPlan.of(without), excluded, narrowed, report)
    if refused is not None and not offer.pays:
        return _Proposed(refused=refused)
    found = offer.taken
    if offer.pays and afresh:
        # The bound without storage is none for a plan with it. With foresight of dispatch as well (`--taps optimised`)
        # the program takes minutes.
        stored = found.proposal.case.stored
        free = make_case(question, feeder, case.days, None, None if stored is None else stored.rule)
        found = replace(found, bound=foresee(free, excluded, report).bound)
    return _Proposed(found, offer=offer)
