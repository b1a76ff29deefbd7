"""Other plans than the program's: its sizes at other buses, and less PV, by what their operation costs.

The program knows neither losses nor what the controls' tap steps cost, and to it most placements cost the same. Those
that it cannot tell apart are simulated under the controls over days that stand for the year, the best of them over the
year itself, and the cheapest that holds is the plan: least cost with tap steps and losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from g2g_opt.batch.operated_series import SetPoint
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.network import SitingNetwork
from studies.pv_datacenter_siting.operation import network_of_search, question_ends, worth_of
from studies.pv_datacenter_siting.ties import moved_plans
from studies.pv_datacenter_siting.year_network import network_over_days

# Shares of PV that are tried, and how many of all plans are taken through the year.
_SHARES = (0.75, 0.5, 0.25, 0.0)
_FINALISTS = 3
# A plan gives way to another that costs less by this share of a dollar, not to its own image.
_LESS_USD = 1.0


def cheapest_plan(
    case: SitingCase, plan: SitingPlan, set_points: Mapping[str, SetPoint], report: Callable[[str], None]
) -> SitingPlan:
    """The plan, or another that breaks limits no more and costs less over the year under the same set-points.

    Placements with the fewest moves are looked at, as many as the question lists ties.
    """
    moved = [other for _, other in islice(moved_plans(case, plan), case.question.n_ties)]
    network, n_days = network_of_search(case, plan)
    placed = _best(case, network, [plan, *moved], set_points, n_days)
    smaller = [*_smaller(case, plan), *(one for other in placed[:_FINALISTS] for one in _smaller(case, other))]
    finalists = _best(case, network, [*placed[:_FINALISTS], *smaller], set_points, n_days)[:_FINALISTS]
    candidates = [plan, *(one for one in finalists if one is not plan)]
    report(f"{len(moved) + len(smaller)} other plans simulated, {len(candidates) - 1} of them over the year")
    whole = network_over_days(case, None)
    worth = worth_of(case, whole, [(one, set_points) for one in candidates], None, case.question.levels)
    k = min(range(len(candidates)), key=lambda k: worth[k].rank)
    is_better = worth[k].over_pu_h < worth[0].over_pu_h or worth[k].cost < worth[0].cost - _LESS_USD
    return candidates[k] if is_better else plan


def _best(
    case: SitingCase,
    network: SitingNetwork,
    plans: list[SitingPlan],
    set_points: Mapping[str, SetPoint],
    n_days: int,
) -> list[SitingPlan]:
    """Plans, the best first."""
    worth = worth_of(case, network, [(one, set_points) for one in plans], n_days, question_ends(case))
    order = sorted(range(len(plans)), key=lambda k: worth[k].rank)
    return [plans[k] for k in order]


def _smaller(case: SitingCase, plan: SitingPlan) -> Iterator[SitingPlan]:
    """The plan with less PV; plants below the least size are not built."""
    if not plan.pv_kw.any():
        return
    for share in _SHARES:
        size = share * plan.pv_kw
        yield replace(plan, pv_kw=np.where(size >= case.pv.size_min_kw, size, 0.0))
