"""Placements that cost the same: a plan's sizes at other buses, with its taps, simulated on its days.

Nothing in the cost (equation 8.1) but violations depends on a bus: a plan moved to other buses costs the same as long
as it keeps the limits with the same taps and curtailment. Placements that the question allows are looked at in a fixed
order, those with the fewest moves first, up to a stated number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase


def moved_plans(case: SitingCase, plan: SitingPlan) -> Iterator[tuple[int, SitingPlan]]:
    """(number of moves, plan) of all other placements of the same sizes, those with the fewest moves first.

    PV plants of the same size that are not curtailed and have no storage are interchangeable.
    """
    plants = np.flatnonzero(plan.pv_kw).tolist()
    start = (*plants, *plan.site_bus.tolist())
    choices = [range(case.pv.n)] * len(plants) + list(case.sites.candidates)
    kinds = _kinds(plan, plants)
    seen = {_key(start, kinds)}
    for n_moved in range(1, len(start) + 1):
        for which in combinations(range(len(start)), n_moved):
            for buses in product(*(choices[k] for k in which)):
                moved = list(start)
                for k, bus in zip(which, buses, strict=True):
                    moved[k] = bus
                key = _key(tuple(moved), kinds)
                if key not in seen and _is_allowed(case, plan.pv_kw[plants], moved):
                    seen.add(key)
                    yield n_moved, _at_buses(plan, plants, moved)


def _kinds(plan: SitingPlan, plants: list[int]) -> list[int]:
    """A number for every PV plant, the same for those that are interchangeable."""
    plain = [not (plan.curtailed_kw[j].any() or plan.storage_kw[j] > 0.0) for j in plants]
    sizes = [round(float(plan.pv_kw[j]), 3) for j in plants]
    return [
        next(i for i in range(k + 1) if i == k or (plain[i] and plain[k] and sizes[i] == sizes[k]))
        for k in range(len(plants))
    ]


def _key(buses: tuple[int, ...], kinds: list[int]) -> tuple[object, ...]:
    n = len(kinds)
    return tuple(sorted(zip(kinds, buses[:n], strict=True))), buses[n:]


def _is_allowed(case: SitingCase, pv_kw: NDArray[np.float64], moved: list[int]) -> bool:
    """No two plants or two sites at one bus, and the limits of every zone."""
    plants, sites = moved[: len(pv_kw)], moved[len(pv_kw) :]
    if len(set(plants)) < len(plants) or len(set(sites)) < len(sites):
        return False
    for zone in case.pv.zones:
        inside = [k for k, j in enumerate(plants) if j in zone.buses]
        if len(inside) > zone.count_max or pv_kw[inside].sum() > zone.total_max_kw * (1.0 + 1e-9):
            return False
    return True


def _at_buses(plan: SitingPlan, plants: list[int], moved: list[int]) -> SitingPlan:
    """The plan with its PV and sites at other buses, everything else as it is."""
    to = np.array(moved[: len(plants)], dtype=np.int64)

    def carried(values: NDArray[Any]) -> NDArray[Any]:
        found = np.zeros_like(values)
        found[to] = values[plants]
        return found

    return replace(
        plan,
        pv_kw=carried(plan.pv_kw),
        curtailed_kw=carried(plan.curtailed_kw),
        storage_kw=carried(plan.storage_kw),
        storage_kwh=carried(plan.storage_kwh),
        discharge_kw=carried(plan.discharge_kw),
        site_bus=np.array(moved[len(plants) :], dtype=np.int64),
    )
