"""Other plans than the program's: its sizes at other buses, less PV and less storage, by what their operation costs.

The program knows neither losses nor what the controls' tap steps cost, and to it most placements cost the same. Those
that it cannot tell apart are simulated under the controls over days that stand for the year, the best of them over the
year itself. Of those that hold, least cost with losses and tap steps is the plan; where costs differ by less than the
gap that is asked for, a share of what the program minimises, most margin to the voltage limits decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from g2g_opt.batch.chains import SetPoint
from g2g_opt.errors import number_of
from solvers.siting.problem import Floats, SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.compared_days import N_HARDEST, ComparedDays, OperationWorth, ends_of, worth_of
from studies.pv_datacenter_siting.operated_year import OperatedYear
from studies.pv_datacenter_siting.ties import moved_plans

# Shares of PV, and of its storage, that are tried.
_SHARES, _STORAGE_SHARES = (0.75, 0.5, 0.25, 0.0), (0.75, 0.5, 0.25)
# How many plans are taken through the year besides the program's, and told of.
_FINALISTS = 3
# Costs ($) below which a difference is none.
_EQUAL_USD = 1.0


@dataclass(frozen=True, eq=False)
class ComparedPlan:
    """A plan with what its year comes to under the same set-points as others."""

    plan: SitingPlan
    worth: OperationWorth


@dataclass(frozen=True, eq=False)
class Comparison:
    """The plans that were taken through the year, the chosen one first, and how many were simulated on fewer days."""

    plans: tuple[ComparedPlan, ...]
    n_simulated: int

    @property
    def chosen(self) -> SitingPlan:
        """The plan."""
        return self.plans[0].plan


def compare_plans(
    case: SitingCase,
    plan: SitingPlan,
    program_cost: float,
    set_points: Mapping[str, SetPoint],
    of_plan: OperatedYear,
    report: Callable[[str], None],
) -> Comparison:
    """The plan and others that it could be; placements with the fewest moves, as many as the question lists ties.

    `program_cost` ($ a year) is the plan's in the program: without what the feeder loses whatever is built, of which
    no gap is a share. The hardest days of its year are looked at for their limits.
    """
    moved = [other for _, other in islice(moved_plans(case, plan), case.question.n_ties)]
    days = ComparedDays.of(case, plan, of_plan.hardest_days()[:N_HARDEST])
    placed = _ranked(case, days, [plan, *moved], set_points)
    smaller = [one for other in (plan, *placed[:_FINALISTS]) for one in _smaller(case, other)]
    ranked = _ranked(case, days, [*placed[:_FINALISTS], *smaller], set_points)
    candidates = [plan, *(one for one in _distinct(ranked) if one is not plan)][: _FINALISTS + 1]
    n_simulated = len(moved) + len(smaller)
    report(f"{number_of(n_simulated, 'other plan')} simulated, {len(candidates) - 1} of them over the year")
    year = ComparedDays.year(case)
    operated = [(one, set_points) for one in candidates]
    worth = worth_of(case, year, operated, ends_of(case), [of_plan.at_ends()] * len(candidates))
    compared = [ComparedPlan(one, of_one) for one, of_one in zip(candidates, worth, strict=True)]
    least = min(one.worth.rank for one in compared)
    within = max(case.question.mip_gap * abs(program_cost), _EQUAL_USD)
    alike = [one for one in compared if one.worth.over_pu_h <= least[0] and one.worth.cost <= least[1] + within]
    chosen = max(alike, key=lambda one: (round(one.worth.margin_pu, 6), one is compared[0]))
    others = sorted((one for one in compared if one is not chosen), key=lambda one: one.worth.rank)
    return Comparison((chosen, *others), n_simulated)


def _ranked(
    case: SitingCase, days: ComparedDays, plans: Sequence[SitingPlan], set_points: Mapping[str, SetPoint]
) -> list[SitingPlan]:
    """Plans, the best first."""
    worth = worth_of(case, days, [(one, set_points) for one in plans], ends_of(case))
    return [plans[k] for k in sorted(range(len(plans)), key=lambda k: worth[k].rank)]


def _smaller(case: SitingCase, plan: SitingPlan) -> Iterator[SitingPlan]:
    """The plan with less of all, and with less storage; plants below the least size are not built."""
    if not plan.pv_kw.any():
        return
    for share in _SHARES:
        size = share * plan.pv_kw
        kept = size >= case.pv.size_min_kw
        yield _with_storage(replace(plan, pv_kw=np.where(kept, size, 0.0)), np.where(kept, share, 0.0))
    if plan.storage_kw.any():
        for share in _STORAGE_SHARES:
            yield _with_storage(plan, np.full(len(plan.pv_kw), share))


def _with_storage(plan: SitingPlan, share: Floats) -> SitingPlan:
    """The plan with a share (bus,) of its storage."""
    return replace(
        plan,
        storage_kw=share * plan.storage_kw,
        storage_kwh=share * plan.storage_kwh,
        discharge_kw=share[:, None] * plan.discharge_kw,
    )


def _distinct(plans: Sequence[SitingPlan]) -> list[SitingPlan]:
    """Plans without those that build the same as one before."""
    seen: dict[tuple[bytes, ...], SitingPlan] = {}
    for plan in plans:
        built = (plan.pv_kw, plan.storage_kw, plan.site_bus, plan.site_kw)
        seen.setdefault(tuple(part.tobytes() for part in built), plan)
    return list(seen.values())
