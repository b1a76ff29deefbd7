"""Representative days of a year: what happens on them, and how many days of the year each stands for.

Five days of an hourly year, named by season and sky, by a stated rule. Seasons are whole months; within one, days are
ranked by the energy of the sun.

    summer          June to August, the day at the 70th percentile; stands for the sunnier half
    summer_cloudy   June to August, the day at the 20th percentile; stands for the other half
    spring          March to May, the day at the 60th percentile
    autumn_cloudy   September to November, the day at the 30th percentile
    winter          December to February, the day at the 50th percentile

Or typical days by clustering (tsam: hierarchical): of every cluster the real day nearest to its mean, and besides the
days of the highest load, the lowest load and the most sun.

Hours become steps of a quarter of an hour by linear interpolation between the middles of hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import HourlyProfile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS_AN_HOUR = 4
STEPS_A_DAY = 24 * STEPS_AN_HOUR
# Name, months, percentile of the sun's energy among the season's days, and which half of them it stands for.
_SEASONS: tuple[tuple[str, tuple[int, ...], float, str], ...] = (
    ("summer", (6, 7, 8), 0.70, "upper"),
    ("summer_cloudy", (6, 7, 8), 0.20, "lower"),
    ("spring", (3, 4, 5), 0.60, "all"),
    ("autumn_cloudy", (9, 10, 11), 0.30, "all"),
    ("winter", (12, 1, 2), 0.50, "all"),
)
_SEASON_DAYS_MIN = 80
# Days of a week; those of every other week are chosen by.
_WEEK = 7
# Days that a day stands for whose money is not counted: not nothing, as hours are divided by it.
_NO_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Day:
    """A day in steps of a quarter of an hour: shares of the feeder's load and of the sun; `n_days` it stands for.

    `index` is its place among the days of the profile. `price_per_kwh` (step,) holds for an hour, if there is one.
    Sites draw `utilisation` of their size.
    """

    name: str
    date: str
    index: int
    n_days: float
    load_share: Floats
    sun: Floats
    price_per_kwh: Floats | None = None
    utilisation: float = 1.0


def five_days(profile: HourlyProfile) -> list[Day]:
    """The five days of a whole year; `InputError` for a profile with less."""
    _, sun, dates = by_day(profile)
    energy = sun.sum(axis=1)
    months = np.array([int(date[5:7]) for date in dates])
    days = []
    for name, of_season, percentile, half in _SEASONS:
        members = np.flatnonzero(np.isin(months, of_season))
        if len(members) < _SEASON_DAYS_MIN:
            raise InputError(
                f"profile {profile.name} has {len(members)} days of the season of {name}; the five days need a whole "
                "year (or choose typical days)"
            )
        ranked = members[np.argsort(energy[members], kind="stable")]
        k = int(ranked[round(percentile * (len(ranked) - 1))])
        share = 1.0 if half == "all" else 0.5
        days.append(day_of(profile, k, name, share * len(members)))
    return _weighted_to(days, 365.0)


def typical_days(profile: HourlyProfile, n_days: int) -> list[Day]:
    """`n_days` real days by clustering, and the days with the extremes of the year."""
    # They take seconds, and most studies do without.
    import pandas as pd
    import tsam

    load, sun, dates = by_day(profile)
    if n_days > len(dates):
        raise InputError(f"profile {profile.name} has {len(dates)} days, fewer than {n_days} typical ones")
    # The index only has to be regular: clock changes and leap days of a user's year do not matter here.
    index = pd.date_range("2001-01-01", periods=load.size, freq="h")
    table = pd.DataFrame({"load": load.ravel(), "sun": sun.ravel()}, index=index)
    found = tsam.aggregate(
        table,
        n_days,
        cluster=tsam.ClusterConfig(method="hierarchical", representation="medoid"),
        extremes=tsam.ExtremeConfig(method="append", max_value=["load"], min_value=["load"], max_period=["sun"]),
        preserve_column_means=False,
    )
    cluster = np.asarray(found.cluster_assignments)
    both = np.hstack([load, sun])
    days = []
    for c in np.unique(cluster):
        members = np.flatnonzero(cluster == c)
        away = ((both[members] - both[members].mean(axis=0)) ** 2).sum(axis=1)
        k = int(members[away.argmin()])
        days.append(day_of(profile, k, dates[k], float(len(members))))
    return _weighted_to(sorted(days, key=lambda day: day.index), 365.0)


def with_day(days: Sequence[Day], profile: HourlyProfile, index: int, utilisation: float | None = None) -> list[Day]:
    """The days and another one that stands for itself, taken off the day that is most like it.

    One at another `utilisation` than the first day's has to hold, but the year's energy and money are not its own.
    """
    date = by_day(profile)[2][index]
    if utilisation is not None and utilisation != days[0].utilisation:
        name = f"{date}, sites at {100.0 * utilisation:.0f} % (added)"
        return [*days, replace(day_of(profile, index, name, _NO_WEIGHT), utilisation=utilisation)]
    added = replace(day_of(profile, index, f"{date} (added)", 1.0), utilisation=days[0].utilisation)
    away = [np.abs(d.load_share - added.load_share).sum() + np.abs(d.sun - added.sun).sum() for d in days]
    away = [distance if day.n_days > 1.0 else np.inf for day, distance in zip(days, away, strict=True)]
    nearest = int(np.argmin(away))
    return [replace(d, n_days=d.n_days - 1.0) if k == nearest else d for k, d in enumerate(days)] + [added]


def _weighted_to(days: Sequence[Day], total: float) -> list[Day]:
    scale = total / sum(day.n_days for day in days)
    return [replace(day, n_days=scale * day.n_days) for day in days]


def by_day(profile: HourlyProfile) -> tuple[Floats, Floats, list[str]]:
    """Load shares and sun (day, hour), and the dates."""
    if profile.hours[0].hour != 0 or len(profile.hours) % 24:
        raise InputError(f"profile {profile.name} must consist of whole days that begin at 00:00")
    load = np.array(profile.load_share).reshape(-1, 24)
    sun = np.array(profile.generation_share).reshape(-1, 24)
    return load, sun, [at.date().isoformat() for at in profile.hours[::24]]


def day_of(profile: HourlyProfile, k: int, name: str, n_days: float) -> Day:
    """The k-th day of the profile in quarter hours."""
    load, sun, dates = by_day(profile)
    price = None
    if profile.price_per_kwh is not None:
        price = np.repeat(np.array(profile.price_per_kwh).reshape(-1, 24)[k], STEPS_AN_HOUR)
    return Day(name, dates[k], k, n_days, _steps(load, k), _steps(sun, k), price)


def _steps(hourly: Floats, day: int) -> Floats:
    """A day of quarter hours; the neighbouring days give its first and last half hour."""
    flat = hourly.reshape(-1)
    middles = np.arange(len(flat)) + 0.5
    at = 24.0 * day + (np.arange(STEPS_A_DAY) + 0.5) / STEPS_AN_HOUR
    found: Floats = np.interp(at, middles, flat)
    return found


def is_chosen_by(n_days: int) -> NDArray[np.bool_]:
    """Days (day,) of the weeks by whose money plans and set-points are chosen; the others are held out."""
    return np.asarray(np.arange(n_days) // _WEEK % 2 == 0)


def joined(days: Sequence[Day]) -> tuple[Floats, Floats]:
    """Load shares and sun (point,) of days one after the other."""
    return np.concatenate([d.load_share for d in days]), np.concatenate([d.sun for d in days])


def steps_of(hourly: Floats, days: Sequence[Day]) -> Floats:
    """Steps (point,) of days one after the other, of figures by the hour of the year."""
    return np.concatenate([_steps(hourly, day.index) for day in days])


def slots_of(n_days: int, slot_h: int) -> tuple[Ints, Ints]:
    """Tap slot of every point (point,), and the day of every slot (slot,)."""
    n_slots = 24 // slot_h
    within = np.arange(STEPS_A_DAY) // (slot_h * STEPS_AN_HOUR)
    slot = np.concatenate([day * n_slots + within for day in range(n_days)])
    return slot, np.repeat(np.arange(n_days), n_slots)


def clock_of(point: int) -> str:
    """Time of day at which a step begins."""
    minutes = 60 // STEPS_AN_HOUR * (point % STEPS_A_DAY)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
