"""A plan with foresight of taps through all hours of the year: what the representative days left out. It is a bound.

In every tap slot of the year the taps are those that the plan sets at this time on one of its days: the ones that break
the limits least (ties: those of the day that is most like it). Curtailment and storage follow that day too: a curtailed
share of the sun stays one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.studied_year import own_year_of
from solvers.siting.problem import SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import STEPS_A_DAY, STEPS_AN_HOUR, by_day
from studies.pv_datacenter_siting.network import Simulated, SitingNetwork
from studies.shared.typed_rows import TypedRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BrokenHour(TypedRow):
    """An hour of the year that breaks a limit or has no solution, and the day whose taps it had.

    `over_pu` is how far `where` is outside its limit; `taps_of_day` is that day's place in the profile. Sites drew
    `utilisation` of their size.
    """

    plan: str
    date: str
    hour: int
    utilisation: float
    taps_of: str
    taps_of_day: int
    where: str
    over_pu: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class PlanYear:
    """Hours of the year under a plan: what was simulated, rows with loadings (row, hour), and whose taps (day, slot).

    `over` is how far outside the limits (pu) and `row` the worst row, both (day, hour); `over` is 0 where an hour has
    no solution. `pv_mwh` is the energy over the year, and `pv_mwh_by_days` what the representative days say it is.
    """

    dates: tuple[str, ...]
    schedule: Ints
    simulated: Simulated
    over: Floats
    row: Ints
    pv_mwh: float
    pv_mwh_by_days: float

    @property
    def unsolved(self) -> NDArray[np.bool_]:
        """Hours (day, hour) without a solution."""
        return np.asarray(~self.simulated.solved.reshape(self.over.shape))

    @property
    def n_hours_broken(self) -> int:
        """Hours with a limit broken."""
        return int((self.over > 0.0).sum())

    @property
    def worst_day(self) -> int:
        """The day with the most outside; one without a solution counts most."""
        return int((self.over + self.unsolved).sum(axis=1).argmax())


def check_year(case: SitingCase, plan: SitingPlan) -> PlanYear:
    """All hours of the profile."""
    load, sun, dates = by_day(case.question.hourly())
    slot_h, n_days = case.question.slot_h, len(dates)
    likeness = np.array([_away(case, k, load, sun) for k in range(len(case.days))])
    least = np.full((n_days, 24 // slot_h), np.inf)
    schedule = np.zeros((n_days, 24 // slot_h), dtype=np.int64)
    g, solved, over, sold = np.empty(0), np.empty(0, dtype=np.bool_), np.empty(0), np.empty(0)
    for k in range(len(case.days)):
        network, hourly = _hourly(case, plan, k, load, sun)
        found = network.simulate(hourly)
        outside = np.where(found.solved, excess(found.g, *network.limit_rows()), np.inf)
        injected = hourly.injected_kw(network.sun).sum(axis=0)
        if k == 0:
            g, solved, over, sold = found.g, found.solved, outside, injected
        total = outside.max(axis=0).reshape(n_days, -1, slot_h).sum(axis=2)
        alike = likeness[k][:, None] < likeness[schedule, np.arange(n_days)[:, None]]
        better = (total < least) | ((total == least) & alike)
        hours = np.repeat(better, slot_h, axis=1).ravel()
        g[:, hours], over[:, hours] = found.g[:, hours], outside[:, hours]
        solved[hours], sold[hours] = found.solved[hours], injected[hours]
        least, schedule = np.where(better, total, least), np.where(better, k, schedule)
    return PlanYear(
        tuple(dates),
        schedule,
        Simulated(g, solved),
        np.where(solved, over.max(axis=0), 0.0).reshape(n_days, 24),
        over.argmax(axis=0).reshape(n_days, 24),
        float(sold.sum()) / 1e3 * 365.0 / len(dates),
        float(case.calendar.hours @ plan.injected_kw(case.network.sun).sum(axis=0)) / 1e3,
    )


def _away(case: SitingCase, k: int, load: Floats, sun: Floats) -> Floats:
    """How unlike the k-th of the plan's days every day of the year is."""
    index = case.days[k].index
    return np.asarray(np.abs(load - load[index]).sum(axis=1) + np.abs(sun - sun[index]).sum(axis=1))


def _hourly(case: SitingCase, plan: SitingPlan, k: int, load: Floats, sun: Floats) -> tuple[SitingNetwork, SitingPlan]:
    """All hours of the year under the k-th day's taps, curtailed shares, and storage."""
    n_days = len(load)
    n_slots = 24 // case.question.slot_h
    hours = _hours_of_day(k)
    first = k * n_slots
    within = np.tile(np.arange(24) // case.question.slot_h, n_days)
    available = plan.pv_kw[:, None] * case.network.sun[hours]
    share = np.divide(plan.curtailed_kw[:, hours], available, out=np.zeros_like(available), where=available > 1e-9)
    share = share.reshape(len(plan.pv_kw), 24, STEPS_AN_HOUR).max(axis=2, initial=0.0)
    discharge = plan.discharge_kw[:, hours].reshape(len(plan.pv_kw), 24, STEPS_AN_HOUR).mean(axis=2)
    flat_sun = sun.ravel()
    own = own_year_of(case.network.feeder, case.question.hourly()) if case.network.by_shape else None
    network = replace(
        case.network.with_loadings(),
        load_share=load.ravel(),
        by_shape={} if own is None else own.load_share,
        by_unit={} if own is None else own.unit_share,
        sun=flat_sun,
        demand=np.tile(case.network.demand[:, hours[::STEPS_AN_HOUR]], n_days),
        slot=within,
    )
    hourly = replace(
        plan,
        tap_steps=plan.tap_steps[:, first : first + n_slots],
        curtailed_kw=np.tile(share, n_days) * (plan.pv_kw[:, None] * flat_sun),
        discharge_kw=np.tile(discharge, n_days),
    )
    return network, hourly


def _hours_of_day(k: int) -> Ints:
    """Points of the k-th day."""
    return k * STEPS_A_DAY + np.arange(STEPS_A_DAY)


def broken_hours(case: SitingCase, year: PlanYear, plan: str) -> list[BrokenHour]:
    """The hours that break a limit or have no solution."""
    names = case.network.with_loadings().names()
    return [
        BrokenHour(
            plan=plan,
            date=year.dates[day],
            hour=int(hour),
            utilisation=case.days[0].utilisation,
            taps_of=case.days[year.schedule[day, hour // case.question.slot_h]].name,
            taps_of_day=case.days[year.schedule[day, hour // case.question.slot_h]].index,
            where="" if year.unsolved[day, hour] else names[int(year.row[day, hour])],
            over_pu=None if year.unsolved[day, hour] else float(year.over[day, hour]),
            reason="the power flow has no solution" if year.unsolved[day, hour] else "limit broken",
        )
        for day, hour in zip(*np.nonzero((year.over > 0.0) | year.unsolved), strict=True)
    ]
