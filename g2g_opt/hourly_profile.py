"""Hourly figures of a feeder's own demand and sun over a year, bundled or a user's CSV."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import HOUR_S
from g2g_opt.csv_files import CsvTable, read_csv
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, listed, number_of, unknown_name
from g2g_opt.kept_files import copy_or_self
from g2g_opt.metered_hours import BEGINNING, ENDING, YEAR_HOURS, read_hours
from g2g_opt.quantities import HourlyShare, UsdPerKwh, bounds_of, check_quantities
from g2g_opt.reading import file_status, user_path

Floats = NDArray[np.float64]

SHARES = ("load_share", "generation_share")
PRICE_COLUMN = "price_per_kwh"
(_, _SHARE), (_, _PRICE) = bounds_of(HourlyShare), bounds_of(UsdPerKwh)
_HOUR = timedelta(hours=1)
# Shares of a peak, and prices on average, beyond which figures look like percent, kW or prices of a MWh.
_SHARE_USUAL, _PRICE_USUAL = 2.0, 1.0
_BEYOND = "it is a share: kW and percent have to be divided first"
# Columns that are named of those that nothing is read from.
_NAMES_SHOWN = 6


@dataclass(frozen=True, eq=False)
class HourlyProfile:
    """A row per hour: when it begins, and shares of the feeder's own loads and standing generators.

    `load_share` multiplies the power of every load of the feeder as its data has it, `generation_share` the peak of
    its standing generators. `price_per_kwh` ($) is what energy is worth, if the file says so. `notes` say what was done
    to the times of its file, which columns of it are not read, and which figures look like another unit.
    """

    name: str
    hours: tuple[datetime, ...]
    load_share: tuple[HourlyShare, ...]
    generation_share: tuple[HourlyShare, ...]
    price_per_kwh: tuple[UsdPerKwh, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        if not len(self.hours) == len(self.load_share) == len(self.generation_share) or (
            self.price_per_kwh is not None and len(self.price_per_kwh) != len(self.hours)
        ):
            raise InputError(f"profile {self.name!r} needs a load_share and a generation_share for every hour")

    @staticmethod
    @cache
    def known() -> tuple[str, ...]:
        """Names of the bundled profiles."""
        return tuple(sorted(path.stem for path in data_path("profiles").glob("*.csv")))

    @property
    def span(self) -> str:
        """What hours it covers, in words."""
        first, last = (f"{at:%Y-%m-%d %H:%M}" for at in (self.hours[0], self.hours[-1]))
        return f"{number_of(len(self.hours), 'hour')} from {first} to {last}"

    @property
    def is_year(self) -> bool:
        """Whether it is one year of whole days, 365 or 366 of them, from a midnight on.

        It may begin on any date, and of a leap year the last day may be missing, as in years of 8,760 hours.
        """
        return self.hours[0].hour == 0 and len(self.hours) in YEAR_HOURS

    @property
    def period(self) -> str:
        """What time a study of all its rows speaks of, in words: a year, or the hours that it has."""
        return "the year" if self.is_year else f"the {number_of(len(self.hours), 'hour')} of profile {self.name}"

    def file_notes(self) -> list[str]:
        """The `notes`, each with the profile's name."""
        return [f"profile {self.name}: {note}" for note in self.notes]

    def calendar_notes(self) -> list[str]:
        """How long it is, leap days, and what its hours stand for, in words."""
        notes = self.file_notes()
        if not self.is_year:
            what = self._begins_late or "it is part of a year, or more than one"
            notes.append(f"profile {self.name} covers {self.span}: {what}. Nothing that is said here holds for a year")
        elif any(calendar.isleap(at.year) and (at.month, at.day) == (2, 28) for at in self.hours):
            has_day = any((at.month, at.day) == (2, 29) for at in self.hours)
            if not has_day or len(self.hours) == 365 * 24:
                lacks = "29 February" if not has_day else f"the last day, {self.hours[-1] + _HOUR:%d %B %Y},"
                notes.append(f"profile {self.name} is of a leap year and lacks {lacks} of it")
        notes.append(
            f"a row of profile {self.name} holds from the hour that it names to the next one, by a clock that is never "
            f"changed: {self.span}, without a gap"
        )
        return notes

    def check_is_year(self) -> None:
        """Raise `InputError` unless `is_year`."""
        if not self.is_year:
            raise InputError(
                f"profile {self.name!r} covers {self.span}; what is built, earned or broken in a year needs a year of "
                f"whole days from 00:00 on: 8,760 or 8,784 hours{self._begins_late and f', and {self._begins_late}'}"
            )

    @property
    def _begins_late(self) -> str:
        """In words why as many hours as a year has are none, if they begin within a day; else nothing."""
        if self.hours[0].hour == 0 or len(self.hours) not in YEAR_HOURS:
            return ""
        return (
            f"its days begin at {self.hours[0]:%H:%M}; write its times by the clock of the place, in standard time, "
            "from 00:00 on"
        )

    def moment(self, row: int) -> str:
        """When a row begins, as answers name it."""
        return self.hours[row].strftime("%b %d %H:%M")

    def moment_at(self, time_s: float, first: int = 0, step: int = 1) -> str:
        """When a time (s) of a run is, as answers name it; the run goes through every `step`-th row from `first` on."""
        return self.moment(first + step * int(time_s // HOUR_S))

    def rows_of(self, month: int, hour: int) -> NDArray[np.int64]:
        """Rows of an hour of the day (0 to 23) in a month (1 to 12), in the order of time."""
        found = [k for k, at in enumerate(self.hours) if (at.month, at.hour) == (month, hour)]
        return np.array(found, dtype=np.int64)


def profile_path(name: str) -> Path:
    """The file of a bundled profile, or of a user's CSV; `InputError` if there is none."""
    if name.lower().endswith(".csv"):
        path = copy_or_self(user_path(name, "profile"))
        file_status(path, "profile")
        return path
    if name not in HourlyProfile.known():
        raise unknown_name("profile", name, HourlyProfile.known(), "(or give the path of a .csv)")
    return data_path("profiles", f"{name}.csv")


def load_profile(name: str) -> HourlyProfile:
    """A profile by its bundled name or the path of a CSV with the columns hour_beginning, load_share, generation_share.

    `hour_beginning` is ISO 8601 (2018-01-01T00:00), or there is a column hour_ending; with or without UTC offsets, by
    the hour or parts of it (`metered_hours.read_hours`). A column price_per_kwh may be there. Raises `InputError` that
    names the line and the cause for times that cannot be read in one way only, a share that is no number or out of its
    range (`quantities.HourlyShare`), a price likewise (`UsdPerKwh`), and a column that is nearly named as the price's.
    """
    path = profile_path(name)
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, _changed_ns: int) -> HourlyProfile:
    table = read_csv(path, "profile", SHARES, (BEGINNING, ENDING, PRICE_COLUMN))
    found = read_hours(table)
    load, generation = (
        found.means([row.number(name, _SHARE.low, _SHARE.high, _BEYOND) for row in table.rows]) for name in SHARES
    )
    prices = None
    if PRICE_COLUMN in table.columns:
        prices = found.means([row.number(PRICE_COLUMN, _PRICE.low, _PRICE.high) for row in table.rows])
    notes = (*found.notes, *_unread(table), *_unusual(load, generation, prices))
    return HourlyProfile(path.stem, found.hours, load, generation, prices, notes)


def _unread(table: CsvTable) -> list[str]:
    """Columns that nothing is read from, in words; `InputError` for one nearly the price's, where there is none."""
    aside = table.left_aside((BEGINNING, ENDING, *SHARES, PRICE_COLUMN), (PRICE_COLUMN,))
    return [f"nothing is read from its columns {listed(aside, _NAMES_SHOWN)}"] if aside else []


def _unusual(load: Sequence[float], generation: Sequence[float], prices: Sequence[float] | None) -> list[str]:
    """What of a profile's figures looks like another unit, in words."""
    notes = [
        f"its {name} reaches {max(shares):g} times {of}: percent and kW have to be divided first"
        for name, shares, of in zip(
            SHARES, (load, generation), ("the circuit's own load", "the peak of generators"), strict=True
        )
        if max(shares) > _SHARE_USUAL
    ]
    if prices is not None and abs(mean := sum(prices) / len(prices)) > _PRICE_USUAL:
        notes.append(f"its {PRICE_COLUMN} is {mean:g} $ on average: prices of a MWh have to be divided first")
    return notes
