"""Storage offered beside the PV of a plan, and what it is worth: the best plan with it against the best without.

One figure on its way: `--storage 300,1200` is the question's `Storage`; a `StorageRule` and the year's sun make a
`StorageYear` of it, what a kW does in each hour; the `SitingCase` takes its hours on the program's days
(`StorageSchedule`, so that the program decides kW alone) and the network those of its points, so that days, year,
windows and trips inject PV and storage together. The year's hours price it, rows and answer tell it, and `plan/` hands
its series over.

The plan without storage has been made again at its own set-points (`made_again`): what these give is not the worth of
storage.

1. With each rule the program is solved again at the plan without storage and on its days: PV may grow by what storage
   makes room for. The best by its cost go through the year as every plan does, as long as a rule's promise is less than
   what the one before has kept.
2. The program knows neither losses nor tap steps: the plan without storage with some of what is offered beside its
   plants is simulated by each rule on days of the year, and ranked with the plans of the program.
3. The best that holds is treated as the plan without storage was: other placements, less of it, the best set-points.
4. What it found of set-points and sizes is tried without storage as well: only what is left is the worth of storage.

Rules and sizes are chosen by the money of every other week, as everything is (`compared_days`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from g2g_opt.batch.chains import SetPoint
from solvers.outcome import NoPlanError
from solvers.siting.problem import Placement, SitingPlan
from studies.pv_datacenter_siting.case import SitingCase, make_case
from studies.pv_datacenter_siting.compared_days import N_HARDEST, ComparedDays, OperationWorth, ends_of, worth_of
from studies.pv_datacenter_siting.made_again import EQUAL_USD, WeighedPlan
from studies.pv_datacenter_siting.network import OwnOperation
from studies.pv_datacenter_siting.operated_plan import OperatedProposal, bare_plan, cheaper, on_its_days
from studies.pv_datacenter_siting.operated_year import operate_year
from studies.pv_datacenter_siting.proposal import Narrowing, Proposal, ProposalReport, propose, with_plan
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.storage_rule import StorageRule, rules_asked

# Shares of what is offered that are put beside the plants of the plan without storage.
_SHARES = (1.0, 0.5, 0.25)
# Plans of the program, and of all of them, that are taken through the year at most.
_PROGRAMS, _FINALISTS = 3, 3
# Shares of the power of storage by which the PV beside it is made smaller, for a plan without it.
_ROOM_SHARES = (0.0, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class StorageOffer:
    """Both plans, `n_rules` tried and `n_simulated` plans on days of the year; `with_it` is None if there was none."""

    with_it: WeighedPlan | None
    without: WeighedPlan
    n_rules: int
    n_simulated: int

    @property
    def pays(self) -> bool:
        """Is the plan with storage the one to take: does it hold alone, or cost less by the weeks that choose?"""
        if self.with_it is None or not self.with_it.found.holds:
            return False
        return not self.without.found.holds or self.with_it.worth.cost < self.without.worth.cost - EQUAL_USD

    @property
    def taken(self) -> OperatedProposal:
        """The plan to take."""
        return self.with_it.found if self.with_it is not None and self.pays else self.without.found


def offer_storage(
    question: SitingQuestion,
    own: WeighedPlan,
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
    report: ProposalReport,
) -> StorageOffer:
    """The best plan with the storage of a question beside its `own` plan, which is without it.

    Raises `InputError` as `make_case` does.
    """
    asked = question.storage
    assert asked is not None
    rules = rules_asked(asked.charge_above, asked.discharge_from_h)
    without = own.found
    promised = _promised(question, without, rules, excluded, narrowed)
    n_building = sum(bool(one.plan.storage_kw.any()) for one in promised.values())
    report(f"storage by {len(rules)} rules: the program builds some by {n_building} of them")
    programs = _programs(question, without, promised, excluded, narrowed, report)
    candidates, n_simulated = _ranked(question, without, promised, programs, report)
    with_it: WeighedPlan | None = None
    for one in candidates[:_FINALISTS]:
        better = cheaper(one, excluded, report)
        with_it = WeighedPlan.of(better)
        if with_it.found.holds:
            break
    if with_it is not None:
        own = _without_it(own, with_it, excluded)
    return StorageOffer(with_it, own, len(rules), n_simulated)


def _promised(
    question: SitingQuestion,
    without: OperatedProposal,
    rules: Sequence[StorageRule],
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
) -> dict[StorageRule, Proposal]:
    """What the program builds by each rule, on the days of the plan without storage."""
    base = without.proposal
    network = base.case.network
    found: dict[StorageRule, Proposal] = {}
    for rule in rules:
        case = make_case(question, network.feeder, base.case.days, network.operated, rule)
        try:
            found[rule] = propose(
                case,
                lambda words: None,
                start=bare_plan(base.plan, case),
                known=base.best.solution.generated,
                excluded=excluded,
                narrowed=narrowed,
            )
        except NoPlanError:
            continue
    return found


def _programs(
    question: SitingQuestion,
    without: OperatedProposal,
    promised: Mapping[StorageRule, Proposal],
    excluded: Sequence[Placement],
    narrowed: Sequence[Narrowing],
    report: ProposalReport,
) -> list[OperatedProposal]:
    """The program's plans with storage, by the rules that promise most, that hold over their years."""
    base = without.proposal
    building = [(rule, found) for rule, found in promised.items() if found.plan.storage_kw.any()]
    building.sort(key=lambda one: (not one[1].holds, one[1].best.cost.total))
    kept: list[OperatedProposal] = []
    for rule, found in building[:_PROGRAMS]:
        if kept and found.best.cost.total >= min(one.proposal.best.cost.total for one in kept):
            break
        own = on_its_days(
            replace(base.case, question=question),
            found.plan,
            found.best.solution.generated,
            without.set_points,
            without.year,
            without.bound,
            excluded,
            narrowed,
            report,
            rule,
        )
        if own.holds and own.proposal.plan.storage_kw.any():
            kept.append(own)
    return kept


def _ranked(
    question: SitingQuestion,
    without: OperatedProposal,
    promised: Mapping[StorageRule, Proposal],
    programs: Sequence[OperatedProposal],
    report: ProposalReport,
) -> tuple[list[OperatedProposal], int]:
    """Plans of the program, and the one without storage with some of the offer, the best on days of the year first.

    Those that are not of the program have no year yet where they are among the first, and no other chance.
    """
    base, asked = without.proposal, question.storage
    assert asked is not None
    hardest = without.year.hardest_days()[:N_HARDEST]
    found: list[tuple[OperationWorth, OperatedProposal | tuple[Proposal, SitingPlan]]] = []

    def worths(case: SitingCase, plans: Sequence[SitingPlan]) -> list[OperationWorth]:
        days = ComparedDays.of(case, base.plan, hardest)
        return worth_of(case, days, [(one, without.set_points) for one in plans], ends_of(case))

    for one in programs:
        found += [(worth, one) for worth in worths(one.proposal.case, [one.proposal.plan])]
    if base.plan.pv_kw.any():
        for rule, proposal in promised.items():
            case = proposal.case
            power = np.minimum(asked.power_max_kw, rule.share_max * base.plan.pv_kw)
            beside = [
                replace(base.plan, storage_kw=share * power, storage_kwh=share * power * asked.duration_h)
                for share in _SHARES
            ]
            found += [
                (worth, (proposal, bare_plan(plan, case)))
                for worth, plan in zip(worths(case, beside), beside, strict=True)
            ]
    report(f"{len(found)} plans with storage simulated on days of the year")
    found.sort(key=lambda one: one[0].rank)
    ranked = [
        one if isinstance(one, OperatedProposal) else _taken_with(without, *one, without.set_points)
        for _, one in found[:_FINALISTS]
    ]
    return ranked, len(found)


def _taken_with(
    found: OperatedProposal, program: Proposal, plan: SitingPlan, set_points: dict[str, SetPoint]
) -> OperatedProposal:
    """Another plan than a program's, on its days, with its own year."""
    case = program.case
    year = operate_year(case, plan, set_points, like=found.year)
    operated = OwnOperation(set_points, year.begins(case.days))
    own = replace(case, network=replace(case.network, operated=operated))
    proposal = with_plan(program, own, plan)
    return replace(found, proposal=proposal, set_points=set_points, year=year, compared=None)


def _without_it(own: WeighedPlan, with_it: WeighedPlan, excluded: Sequence[Placement]) -> WeighedPlan:
    """The plan without storage, or a better one by set-points or sizes that were found with storage.

    A kW of storage makes room for a kW of PV at most, so that PV less the kW of storage beside it is among the sizes.
    """
    case, built = own.found.proposal.case, with_it.found.proposal.plan
    points = with_it.found.set_points
    others = [(own.found.proposal.plan, points)]
    if built.placement() not in excluded:
        for share in _ROOM_SHARES:
            size = np.maximum(built.pv_kw - share * built.storage_kw, case.pv.size_min_kw)
            sized = replace(bare_plan(built, case), pv_kw=np.where(built.pv_kw > 0.0, size, 0.0))
            others.append((sized, points))
    worth = worth_of(case, ComparedDays.year(case), others, ends_of(case), [with_it.found.year.at_ends()] * len(others))
    for of_one, (plan, set_points) in sorted(zip(worth, others, strict=True), key=lambda one: one[0].rank):
        if of_one.rank >= (own.worth.rank if own.found.holds else (np.inf, np.inf)):
            break
        better = WeighedPlan(_taken_with(own.found, own.found.proposal, plan, set_points), of_one)
        if better.found.holds:
            return better
    return own
