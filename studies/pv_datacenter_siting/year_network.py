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
    load, sun, dates = by_day(case.question.hourly())
    which = list(range(len(dates)) if days is None else days)
    network = case.network
    by_shape = {}
    if network.by_shape:
        year = own_year_of(network.feeder, case.question.hourly())
        by_shape = {
            shape: np.asarray(share).reshape(len(dates), 24)[which].ravel() for shape, share in year.load_share.items()
        }
    n = 24 * len(which)
    return replace(
        network.with_loadings(),
        load_share=load[which].ravel(),
        sun=sun[which].ravel(),
        by_shape=by_shape,
        demand=np.ones((len(network.demand), n)),
        slot=np.zeros(n, dtype=np.int64),
    )


def over_hours(plan: SitingPlan, network: SitingNetwork) -> SitingPlan:
    """What a plan builds, over other points: nothing curtailed, no storage, no taps decided."""
    bare = empty_plan(
        len(plan.pv_kw),
        len(network.sun),
        plan.site_bus,
        plan.site_kw,
        np.zeros((0, 1), dtype=np.int64),
    )
    return replace(bare, pv_kw=plan.pv_kw)


def price_of_hours(case: SitingCase) -> NDArray[np.float64]:
    """$/kWh in the hours of the year."""
    profile = case.question.hourly()
    if profile.price_per_kwh is not None:
        return np.array(profile.price_per_kwh)
    return np.full(len(profile.load_share), case.question.price_per_kwh)
