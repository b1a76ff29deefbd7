"""The feeder of a siting study over hours of the year, one after the other, or some days of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.studied_year import own_year_of
from solvers.siting.problem import SitingPlan, empty_plan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import by_day
from studies.pv_datacenter_siting.network import SitingNetwork


def network_over_days(case: SitingCase, days: Sequence[int] | None) -> SitingNetwork:
    """The network with the hours of some days of the year as its points, or of all of them."""
    load, sun, _ = by_day(case.question.hourly())
    network, n = case.network, load.size
    year = own_year_of(network.feeder, case.question.hourly()) if network.by_shape else None
    whole = replace(
        network.with_loadings(),
        load_share=load.ravel(),
        sun=sun.ravel(),
        by_shape={} if year is None else {shape: np.asarray(share) for shape, share in year.load_share.items()},
        by_unit={} if year is None else {unit: np.asarray(share) for unit, share in year.unit_share.items()},
        demand=np.ones((len(network.demand), n)),
        slot=np.zeros(n, dtype=np.int64),
        storage_share=None if case.stored is None else case.stored.share,
    )
    return whole if days is None else at_hours(whole, (24 * np.array(days)[:, None] + np.arange(24)).ravel())


def at_hours(network: SitingNetwork, hours: NDArray[np.int64]) -> SitingNetwork:
    """The network with some of its hours as its points."""
    return replace(
        network,
        load_share=network.load_share[hours],
        sun=network.sun[hours],
        by_shape={shape: share[hours] for shape, share in network.by_shape.items()},
        by_unit={unit: share[hours] for unit, share in network.by_unit.items()},
        demand=network.demand[:, hours],
        slot=network.slot[hours],
        storage_share=None if network.storage_share is None else network.storage_share[hours],
    )


def over_hours(plan: SitingPlan, network: SitingNetwork) -> SitingPlan:
    """What a plan builds, over other points: nothing curtailed, storage by its rule, no taps decided."""
    bare = empty_plan(
        len(plan.pv_kw),
        len(network.sun),
        plan.site_bus,
        plan.site_kw,
        np.zeros((0, 1), dtype=np.int64),
    )
    return replace(
        bare,
        pv_kw=plan.pv_kw,
        storage_kw=plan.storage_kw,
        storage_kwh=plan.storage_kwh,
        discharge_kw=network.storage_kw(plan),
    )
