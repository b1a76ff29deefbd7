"""A plan through all hours of the year: what the representative days left out.

In every tap slot of the year the taps are those that the plan sets at this time on one of its days: the ones that break
the limits least (ties: those of the day that is most like it). Curtailment and storage follow that day too: a curtailed
share of the sun stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.hourly_profile import load_profile
from solvers.siting.problem import SitingPlan, excess
from studies.pv_datacenter_siting.days import STEPS_A_DAY, STEPS_AN_HOUR, by_day
from studies.pv_datacenter_siting.network import SitingNetwork
from studies.pv_datacenter_siting.setting import Setting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Year:
    """Hours of the year under a plan: how far outside (day, hour, pu), worst row, whose taps (day, slot).

    `lowest_pu`, `highest_pu` and `unsolved` have the shape (day, hour); `pv_mwh` is the energy over the year, and
    `pv_mwh_by_days` what the representative days say it is.
    """

    dates: tuple[str, ...]
    schedule: Ints
    over: Floats
    row: Ints
    lowest_pu: Floats
    highest_pu: Floats
    unsolved: NDArray[np.bool_]
    pv_mwh: float
    pv_mwh_by_days: float

    @property
    def n_hours_broken(self) -> int:
        """Hours with a limit broken."""
        return int((self.over > 0.0).sum())

    @property
    def worst_day(self) -> int:
        """The day with the most outside."""
        return int(self.over.sum(axis=1).argmax())


def check_year(setting: Setting, plan: SitingPlan) -> Year:
    """All hours of the profile."""
    load, sun, dates = by_day(load_profile(setting.question.profile))
    n_rows, n_voltages = len(setting.network.names()), setting.network.n_voltages
    slot_h, n_days = setting.question.slot_h, len(dates)
    likeness = np.array([_away(setting, k, load, sun) for k in range(len(setting.days))])
    chosen: dict[str, NDArray[np.generic]] = {}
    least = np.full((n_days, 24 // slot_h), np.inf)
    schedule = np.zeros((n_days, 24 // slot_h), dtype=np.int64)
    for k in range(len(setting.days)):
        network, hourly = _hourly(setting, plan, k, load, sun)
        found = network.simulate(hourly)
        low, high = network.limit_rows()
        over = np.where(found.solved, excess(found.g, low, high), np.inf).reshape(n_rows, n_days, 24)
        parts: dict[str, NDArray[np.generic]] = {
            "over": over.max(axis=0),
            "row": over.argmax(axis=0),
            "lowest": found.g[:n_voltages].min(axis=0).reshape(n_days, 24),
            "highest": found.g[:n_voltages].max(axis=0).reshape(n_days, 24),
            "unsolved": ~found.solved.reshape(n_days, 24),
            "sold": hourly.injected_kw(network.sun).sum(axis=0).reshape(n_days, 24),
        }
        if not chosen:
            chosen = {name: part.copy() for name, part in parts.items()}
        total = parts["over"].astype(np.float64).reshape(n_days, -1, slot_h).sum(axis=2)
        alike = likeness[k][:, None] < likeness[schedule, np.arange(n_days)[:, None]]
        better = (total < least) | ((total == least) & alike)
        hours = np.repeat(better, slot_h, axis=1)
        for name, part in parts.items():
            chosen[name][hours] = part[hours]
        least, schedule = np.where(better, total, least), np.where(better, k, schedule)
    unsolved = chosen["unsolved"].astype(np.bool_)
    by_days = float(setting.calendar.hours @ plan.injected_kw(setting.network.sun).sum(axis=0)) / 1e3
    return Year(
        tuple(dates),
        schedule,
        np.where(unsolved, 0.0, chosen["over"].astype(np.float64)),
        chosen["row"].astype(np.int64),
        chosen["lowest"].astype(np.float64),
        chosen["highest"].astype(np.float64),
        unsolved,
        float(chosen["sold"].astype(np.float64).sum()) / 1e3 * 365.0 / len(dates),
        by_days,
    )


def _away(setting: Setting, k: int, load: Floats, sun: Floats) -> Floats:
    """How unlike the k-th of the plan's days every day of the year is."""
    index = setting.days[k].index
    return np.asarray(np.abs(load - load[index]).sum(axis=1) + np.abs(sun - sun[index]).sum(axis=1))


def _hourly(setting: Setting, plan: SitingPlan, k: int, load: Floats, sun: Floats) -> tuple[SitingNetwork, SitingPlan]:
    """All hours of the year under the k-th day's taps, curtailed shares, and storage."""
    n_days = len(load)
    n_slots = 24 // setting.question.slot_h
    hours = _hours_of_day(k)
    first = k * n_slots
    within = np.tile(np.arange(24) // setting.question.slot_h, n_days)
    available = plan.pv_kw[:, None] * setting.network.sun[hours]
    share = np.divide(plan.curtailed_kw[:, hours], available, out=np.zeros_like(available), where=available > 1e-9)
    share = share.reshape(len(plan.pv_kw), 24, STEPS_AN_HOUR).max(axis=2, initial=0.0)
    discharge = plan.discharge_kw[:, hours].reshape(len(plan.pv_kw), 24, STEPS_AN_HOUR).mean(axis=2)
    flat_sun = sun.ravel()
    network = replace(
        setting.network,
        load_share=load.ravel(),
        sun=flat_sun,
        demand=np.tile(setting.network.demand[:, hours[::STEPS_AN_HOUR]], n_days),
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


def broken_hours(setting: Setting, year: Year, names: Sequence[str]) -> list[dict[str, object]]:
    """Rows of the hours that break a limit or have no solution."""
    rows: list[dict[str, object]] = []
    for day, hour in zip(*np.nonzero((year.over > 0.0) | year.unsolved), strict=True):
        unsolved = bool(year.unsolved[day, hour])
        rows.append(
            {
                "date": year.dates[day],
                "hour": int(hour),
                "taps_of": setting.days[year.schedule[day, hour // setting.question.slot_h]].name,
                "where": "" if unsolved else names[int(year.row[day, hour])],
                "over_pu": None if unsolved else float(year.over[day, hour]),
                "lowest_pu": None if unsolved else float(year.lowest_pu[day, hour]),
                "highest_pu": None if unsolved else float(year.highest_pu[day, hour]),
                "reason": "the power flow has no solution" if unsolved else "limit broken",
            }
        )
    return rows
