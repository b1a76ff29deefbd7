"""Hourly load, forecast, wind and sun of the market zones: the bundled tables, days cut out of them, 5-minute steps."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.data_files import data_path, read_table
from g2g_opt.errors import InputError, shown
from g2g_opt.quantities import SignedPowerMw, check_array
from g2g_opt.reading import read_bytes

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

HOURS_PER_DAY = 24
STEPS_PER_HOUR = 12

NoteKind = Literal["clock change", "doubled", "extra", "left out", "missing", "negative", "stand-in"]


@dataclass(frozen=True)
class SeriesNote:
    """One thing that is not as it should be in the sources of a series, and what became of it.

    `series` is a zone (its load), "forecast ZONE", "wind" or "solar"; or "load", "forecast", "fuel mix" or "all" where
    all of these share it. `hour_begins` is on the local clock; a note of a whole day has its first hour.
    """

    kind: NoteKind
    series: str
    hour_begins: np.datetime64
    done: str


@dataclass(frozen=True, eq=False)
class ZonalSeries:
    """Whole days of hourly means, 24 hours each, on the local clock.

    `hour_begins` (hour,); `load_mw` and `forecast_mw` (hour, zone), the forecast NaN where there is none; `wind_mw` and
    `solar_mw` (hour,) are totals of the state. Load may be negative (bids are), and the notes say where.
    Raises `InputError` for shapes that disagree, days that are not whole, or values that are no finite numbers.
    """

    zones: tuple[str, ...]
    hour_begins: Times
    load_mw: Floats
    forecast_mw: Floats
    wind_mw: Floats
    solar_mw: Floats
    notes: tuple[SeriesNote, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones or len(set(self.zones)) < len(self.zones):
            raise InputError(f"a zonal series needs zones with different names, got {list(self.zones)}")
        _check_hours(self.hour_begins)
        n_hours, n_zones = len(self.hour_begins), len(self.zones)
        for name, shape in {
            "load_mw": (n_hours, n_zones),
            "forecast_mw": (n_hours, n_zones),
            "wind_mw": (n_hours,),
            "solar_mw": (n_hours,),
        }.items():
            values: Floats = getattr(self, name)
            if values.shape != shape:
                raise InputError(
                    f"{name} has the shape {values.shape}; {n_hours} hours of {n_zones} zones need {shape}"
                )
            allowed = np.isfinite(values) | (np.isnan(values) if name == "forecast_mw" else False)
            if not allowed.all():
                hour = self.hour_begins[np.argwhere(~allowed)[0][0]]
                raise InputError(f"{name} has no finite number at {hour}; fill it or leave out the day")
            check_array(np.nan_to_num(values), SignedPowerMw, name)

    @property
    def days(self) -> Times:
        """Dates of the series, shape (day,)."""
        return self.hour_begins[::HOURS_PER_DAY].astype("datetime64[D]")

    def between(self, first_date: date | str, last_date: date | str) -> ZonalSeries:
        """The days from `first_date` to `last_date`, both included (dates or "2018-07-01"), with their notes.

        Raises `InputError` for dates outside the series or in the wrong order.
        """
        first, last = checked_dates(first_date, last_date)
        days = self.days
        if first < days[0] or last > days[-1]:
            raise InputError(f"{first} to {last} is not within the series: it has {days[0]} to {days[-1]}")
        rows = slice(
            HOURS_PER_DAY * int((first - days[0]).astype(int)), HOURS_PER_DAY * (int((last - days[0]).astype(int)) + 1)
        )
        return ZonalSeries(
            self.zones,
            self.hour_begins[rows],
            self.load_mw[rows],
            self.forecast_mw[rows],
            self.wind_mw[rows],
            self.solar_mw[rows],
            tuple(note for note in self.notes if first <= note.hour_begins.astype("datetime64[D]") <= last),
        )

    def at_five_minutes(self) -> FiveMinuteSeries:
        """The series in 5-minute steps, each the value in the middle of its step; hourly means are kept.

        Values run in straight lines between the middles of the hours (xx:30) and are level in the first and the last
        half hour. The values at the middles are chosen such that the 12 steps of every hour have the hour's mean (a
        tridiagonal system); lines through the hourly means themselves would shave every peak. At a sharp bend a
        step can lie outside the means of its hour and the two beside it: in the bundled load by at most 225 MW in a
        zone, and by less than 52 MW in 99 % of the hours. Wind and sun stay at zero or more: steps below are set to
        zero and the other steps of such an hour scaled to its mean, which may leave a jump where the hour ends; an hour
        whose mean is negative is level. The wall clock has 24 hours every day, as in the hourly series.
        """
        minutes = np.arange(len(self.hour_begins) * STEPS_PER_HOUR) * (60 // STEPS_PER_HOUR)
        return FiveMinuteSeries(
            self.zones,
            self.hour_begins[0].astype("datetime64[m]") + minutes.astype("timedelta64[m]"),
            _five_minute_values(self.load_mw),
            _not_below_zero(_five_minute_values(self.wind_mw[:, None]), self.wind_mw)[:, 0],
            _not_below_zero(_five_minute_values(self.solar_mw[:, None]), self.solar_mw)[:, 0],
        )


@dataclass(frozen=True, eq=False)
class FiveMinuteSeries:
    """Load (step, zone), wind and sun (step,) in MW; `step_begins` (step,) on the local clock, 288 a day."""

    zones: tuple[str, ...]
    step_begins: Times
    load_mw: Floats
    wind_mw: Floats
    solar_mw: Floats


def load_bundled_series() -> ZonalSeries:
    """The bundled hourly tables: bid load and forecast of 11 zones, wind and sun, 2018-01-01 to 2019-06-30.

    Negative bids stay as they are and are notes, one for each value; so are the three days on which clocks change,
    whose odd hour was made when the tables were. Raises `InputError` that names the file, and the date if it is known,
    for a damaged table: other columns, a cell that is no number, a missing or doubled hour.
    """
    zones = zone_names()
    hour_begins, load_mw = _read_hourly(data_path("nyiso", "hourly_load_bid.csv.gz"), zones)
    forecast_hours, forecast_mw = _read_hourly(data_path("nyiso", "hourly_load_forecast.csv.gz"), zones)
    renewable_hours, renewable_mwh = _read_hourly(
        data_path("nyiso", "hourly_renewables.csv.gz"), ("wind_mwh", "solar_mwh")
    )
    for name, hours in (("hourly_load_forecast", forecast_hours), ("hourly_renewables", renewable_hours)):
        if not np.array_equal(hours, hour_begins):
            raise InputError(
                f"{name}.csv.gz has {hours[0]} to {hours[-1]}, hourly_load_bid.csv.gz {hour_begins[0]} to "
                f"{hour_begins[-1]}; reinstall g2g-opt"
            )
    notes = negative_notes(hour_begins, zones, load_mw)
    for day in np.unique(hour_begins.astype("datetime64[D]")):
        spring, autumn = clock_changes(day.astype(object).year)
        # Wind and sun come by hour ending, where the label that spring skips is that of the hour before.
        odd_hours = {"load": 2, "forecast": 2, "fuel mix": 1} if day == spring else {"all": 1} if day == autumn else {}
        done = "the table interpolates it" if day == spring else "the table has the mean of two"
        for series, hour in odd_hours.items():
            notes.append(SeriesNote("clock change", series, day + np.timedelta64(hour, "h"), done))
    return ZonalSeries(
        zones, hour_begins, load_mw, forecast_mw, renewable_mwh[:, 0], renewable_mwh[:, 1], in_order(notes)
    )


def zone_names() -> tuple[str, ...]:
    """Names of the market's 11 zones in their order A to K."""
    return tuple(row["name"] for row in read_table(data_path("nyiso", "zones.csv")))


@lru_cache(maxsize=64)
def clock_changes(year: int) -> tuple[np.datetime64, np.datetime64]:
    """The dates in New York on which 02:00 becomes 03:00, and 02:00 becomes 01:00 (rules of 1987 and of 2007)."""
    if year >= 2007:
        return _sunday(date(year, 3, 8)), _sunday(date(year, 11, 1))
    return _sunday(date(year, 4, 1)), _sunday(date(year, 10, 25))


def checked_dates(first_date: date | str, last_date: date | str) -> tuple[np.datetime64, np.datetime64]:
    """Two dates as `datetime64[D]`; `InputError` if one is none, or they stand in the wrong order."""
    found = []
    for name, given in (("first_date", first_date), ("last_date", last_date)):
        try:
            found.append(np.datetime64(given if isinstance(given, date) else date.fromisoformat(given.strip()), "D"))
        except (ValueError, AttributeError) as error:
            raise InputError(f"{name}: {shown(given)} is no date such as 2018-07-01") from error
    if found[0] > found[1]:
        raise InputError(f"the first date {found[0]} comes after the last date {found[1]}")
    return found[0], found[1]


def negative_notes(hour_begins: Times, names: tuple[str, ...], values_mw: Floats) -> list[SeriesNote]:
    """A note for every value below zero of `values_mw` (hour, series), which stays as it is."""
    return [
        SeriesNote("negative", names[column], hour_begins[hour], f"{values_mw[hour, column]:g} MW, kept")
        for hour, column in np.argwhere(values_mw < 0.0)
    ]


def in_order(notes: list[SeriesNote]) -> tuple[SeriesNote, ...]:
    """Notes by time, then by series."""
    return tuple(sorted(notes, key=lambda note: (note.hour_begins, note.series, note.kind)))


def _sunday(day: date) -> np.datetime64:
    return np.datetime64(day + timedelta(days=6 - day.weekday()), "D")


def _check_hours(hour_begins: Times) -> None:
    if hour_begins.ndim != 1 or not np.issubdtype(hour_begins.dtype, np.datetime64):
        raise InputError("hour_begins must be a row of times (datetime64[h])")
    n_hours = len(hour_begins)
    if n_hours == 0 or n_hours % HOURS_PER_DAY:
        raise InputError(f"a zonal series has whole days of 24 hours, also where clocks change; got {n_hours} hours")
    if hour_begins[0] != hour_begins[0].astype("datetime64[D]"):
        raise InputError(f"a zonal series starts at midnight, got {hour_begins[0]}")
    odd = np.flatnonzero(np.diff(hour_begins) != np.timedelta64(1, "h"))
    if len(odd):
        raise InputError(f"hour {hour_begins[odd[0] + 1]} follows {hour_begins[odd[0]]}; every hour needs a row")


def _read_hourly(path: Path, columns: tuple[str, ...]) -> tuple[Times, Floats]:
    """Hours (hour,) and the named columns (hour, column) of a bundled table, which must be whole."""
    try:
        lines = gzip.decompress(read_bytes(path, "table")).decode("utf-8").splitlines()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); reinstall g2g-opt") from error
    needed = ["date", "hour", *columns]
    if not lines or lines[0].split(",") != needed:
        raise InputError(f"{path} must have the columns {', '.join(needed)}; it begins {lines[:1]}")
    try:
        days = np.array([line[: line.find(",")] for line in lines[1:]], dtype="datetime64[D]")
        numbers = np.loadtxt(lines[1:], delimiter=",", usecols=range(1, len(needed)), ndmin=2)
    except ValueError as error:
        raise InputError(f"{path} has a cell that cannot be read ({error}); reinstall g2g-opt") from error
    hours: Times = days.astype("datetime64[h]") + numbers[:, 0].astype("timedelta64[h]")
    try:
        _check_hours(hours)
    except InputError as error:
        raise InputError(f"{path}: {error}; reinstall g2g-opt") from error
    return hours, np.ascontiguousarray(numbers[:, 1:])


def _five_minute_values(hourly: Floats) -> Floats:
    """Values (step, column) on straight lines between hour middles, with the means `hourly` (hour, column)."""
    from scipy.linalg import solve_banded  # only where it is needed: importing it takes longer than the tables

    n_hours = len(hourly)
    # An hour's 12 steps lie on two lines; their mean is 1/8, 6/8, 1/8 of the middles before, in and after the hour.
    bands = np.full((3, n_hours), 1.0 / 8.0)
    bands[1] = 6.0 / 8.0
    bands[1, [0, -1]] = 7.0 / 8.0  # level beyond the first and the last middle
    middles = np.asarray(solve_banded((1, 1), bands, hourly), dtype=np.float64)
    at_hour = (np.arange(n_hours * STEPS_PER_HOUR) + 0.5) / STEPS_PER_HOUR - 0.5
    before = np.clip(np.floor(at_hour).astype(np.int64), 0, n_hours - 2)
    share = np.clip(at_hour - before, 0.0, 1.0)[:, None]
    values: Floats = (1.0 - share) * middles[before] + share * middles[before + 1]
    return values


def _not_below_zero(steps: Floats, hourly: Floats) -> Floats:
    """`steps` (step, 1) without negative values, with the means `hourly` (hour,) again; negative hours stay level."""
    found = steps.reshape(len(hourly), STEPS_PER_HOUR)
    clipped = np.maximum(found, 0.0)
    mean = clipped.mean(axis=1)
    factor = np.divide(hourly, mean, out=np.ones_like(hourly), where=mean > 0.0)
    kept = np.where((found < 0.0).any(axis=1, keepdims=True), clipped * factor[:, None], found)
    kept = np.where((hourly < 0.0)[:, None], hourly[:, None], kept)
    return kept.reshape(-1, 1)
