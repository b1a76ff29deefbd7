"""What hindsight would make of a siting study: of a plan's taps, and of every placement with some tap settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from hindsight_taps import OUTSIDE, Feeding, Hours, best_of_settings
from numpy.typing import NDArray

from solvers.siting.problem import SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.compared_days import ends_of
from studies.pv_datacenter_siting.network import no_plan
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Volts by which set-points are moved for the other two settings.
_MOVED_V = 2.0


def hours_of(case: SitingCase, plan: SitingPlan, level: float) -> Hours:
    """The hours of a plan's year with its sites at a level of utilisation, whatever the taps."""
    network = network_over_days(case, None)
    low, high = network.limit_rows()

    def over(voltage: Floats, loading: Floats) -> Floats:
        rows = np.concatenate([voltage, loading]) if network.judges_loading else voltage
        return np.asarray(excess(rows, low[: len(rows)], high[: len(rows)]).max(axis=0))

    at_level = replace(network, demand=np.full_like(network.demand, level))
    units, kw = at_level._units(over_hours(plan, network))
    fed = Feeding(units, kw, network.load_share, case.hourly_price)
    return Hours(operation_of(network.feeder, case.question.limits.rating_basis), fed, over)


def settings_beforehand(case: SitingCase) -> Ints:
    """Three tap settings (setting, regulator), in steps from a ratio of 1, by a rule that knows no plan."""
    network, operation = (
        network_over_days(case, None),
        operation_of(case.network.feeder, case.question.limits.rating_basis),
    )
    nothing = no_plan(network, 1, case.sites)
    bare = over_hours(replace(nothing, site_kw=np.zeros_like(nothing.site_kw)), network)
    moved = [
        {name: replace(one, vreg_v=one.vreg_v + volts) for name, one in operation.set_points().items()}
        for volts in (-_MOVED_V, 0.0, _MOVED_V)
    ]
    series = network.operate([bare] * len(moved), moved, 24)
    return np.rint((np.median(series.taps_pu, axis=1) - 1.0) / operation.step_pu).astype(np.int64)


def built_cost(case: SitingCase, plan: SitingPlan, at: Ints) -> float:
    """$ of what is built over some hours: investment by their share of the year, less the energy of PV."""
    network, question = network_over_days(case, None), case.question
    share = len(at) / len(network.sun)
    earned = float(network.sun[at] @ case.hourly_price[at])
    worth = float(case.sites.value_per_kw * plan.site_kw.sum())
    return (question.pv_cost_per_kw * share - earned) * float(plan.pv_kw.sum()) - share * worth


def placements(case: SitingCase, plan: SitingPlan, sizes_kw: tuple[float, ...]) -> Iterator[SitingPlan]:
    """One PV plant of any of the sizes at any bus, or none, and the sites of a plan at any of their buses."""
    options: list[Floats] = [np.zeros(case.pv.n)]
    for j, size in product(range(case.pv.n), sizes_kw):
        options.append(np.where(np.arange(case.pv.n) == j, size, 0.0))
    for buses in product(*case.sites.candidates):
        if len(set(buses)) == len(buses):
            for pv_kw in options:
                yield replace(plan, pv_kw=pv_kw, site_bus=np.array(buses, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class BruteForce:
    """The best of all placements and sequences of tap settings: $ of its hours, and how many sequences that were."""

    cost: float
    plan: SitingPlan
    which: Ints
    n_placements: int


def brute_force(
    case: SitingCase, plan: SitingPlan, sizes_kw: tuple[float, ...], settings: Ints, at: Ints | None = None
) -> BruteForce:
    """Every placement with the best sequence of tap settings (setting, regulator) that keeps its limits at the level of
    utilisation whose money counts, and with another sequence at the other end.
    """
    at = np.arange(len(network_over_days(case, None).sun)) if at is None else at
    found = []
    for other in placements(case, plan, sizes_kw):
        (cost, which), *ends = (
            best_of_settings(hours_of(case, other, level), settings, case.question.switch_cost, at)
            for level in ends_of(case)
        )
        if any(at_end >= OUTSIDE for at_end, _ in ends):
            cost += OUTSIDE
        found.append((cost + built_cost(case, other, at), other, which))
    cost, best, which = min(found, key=lambda one: one[0])
    return BruteForce(cost, best, which, len(found))
