"""A plan made again at the set-points that were found for it.

A plan is made at the set-points that are best for what foresight builds; the best for itself are found afterwards, and
may leave room for more than it builds. Where more may be built the program is solved again with them, its plan treated
as the first one was, and taken if its year costs less, until that gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solvers.siting.problem import Placement, SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.compared_days import ComparedDays, OperationWorth, ends_of, worth_of
from studies.pv_datacenter_siting.operated_plan import OperatedProposal, cheaper, on_its_days
from studies.pv_datacenter_siting.proposal import Narrowing, ProposalReport

# How often a plan is made again at the most.
_TURNS = 2
# Costs ($ a year) below which a difference is none, and a share of a size (kW) that is as good as all of it.
EQUAL_USD, _ALL = 1.0, 1.0 - 1e-6


@dataclass(frozen=True, eq=False)
class WeighedPlan:
    """A plan with its operation; `worth` is that of its year at the ends of the utilisation."""

    found: OperatedProposal
    worth: OperationWorth

    @staticmethod
    def of(found: OperatedProposal) -> WeighedPlan:
        """A plan with what its year is worth."""
        case, guesses = found.proposal.case, [found.year.at_ends()]
        weighed = [(found.proposal.plan, found.set_points)]
        return WeighedPlan(found, worth_of(case, ComparedDays.year(case), weighed, ends_of(case), guesses)[0])


def made_again(
    own: OperatedProposal, excluded: Sequence[Placement], narrowed: Sequence[Narrowing], report: ProposalReport
) -> OperatedProposal:
    """The plan, or what the program makes of it at its own set-points if that costs less."""
    best: WeighedPlan | None = None
    for _ in range(_TURNS):
        if not has_room(own.proposal.case, own.proposal.plan) or not own.set_points:
            break
        again = on_its_days(
            own.proposal.case,
            own.proposal.plan,
            own.proposal.best.solution.generated,
            own.set_points,
            own.year,
            own.bound,
            excluded,
            narrowed,
            report,
        )
        if _builds_alike(again.proposal.plan, own.proposal.plan):
            break
        best = best or WeighedPlan.of(own)
        other = WeighedPlan.of(cheaper(again, excluded, report))
        if not other.found.holds or (best.found.holds and other.worth.cost >= best.worth.cost - EQUAL_USD):
            break
        best, own = other, other.found
    return own


def has_room(case: SitingCase, plan: SitingPlan) -> bool:
    """May more PV be built than a plan does, or larger sites that are worth it?"""
    pv, sites = case.pv, case.sites
    free = plan.pv_kw < _ALL * pv.size_max_kw
    for zone in pv.zones:
        buses = list(zone.buses)
        built = plan.pv_kw[buses]
        if built.sum() >= _ALL * zone.total_max_kw:
            free[buses] = False
        elif (built > 0.0).sum() >= zone.count_max:
            free[buses] &= built > 0.0
    return bool(free.any()) or (sites.value_per_kw > 0.0 and bool((plan.site_kw < _ALL * sites.size_max_kw).any()))


def _builds_alike(one: SitingPlan, other: SitingPlan) -> bool:
    return one.placement() == other.placement() and bool(
        (abs(one.pv_kw - other.pv_kw) < 0.5).all() and (abs(one.site_kw - other.site_kw) < 0.5).all()
    )
