"""Zonal series from the market operator's own public CSV files, as a user downloads them.

What is relied on, for the files of the New York ISO; columns are found by name, in any case and order:

| file | needed columns | rows |
| --- | --- | --- |
| `YYYYMMDDpalIntegrated.csv` | Time Stamp, Time Zone, Name, Integrated Load | zone and hour, stamped where it begins |
| `YYYYMMDDpal.csv` | Time Stamp, Time Zone, Name, Load | zone and 5 minutes, with some stamps between them |
| `YYYYMMDDisolf.csv` | Time Stamp, one for each zone | hour, stamped where it begins; six days from that of the name |
| `YYYYMMDDrtfuelmix.csv` | Time Stamp, Time Zone, Fuel Category, Gen MW (once: Gen MWh) | fuel and 5 minutes |

All values are MW. `YYYYMM01palIntegrated_csv.zip` and the like hold the files of a month. Stamps are MM/DD/YYYY HH:MM,
with or without seconds, on the clock of New York; Time Zone is EST or EDT.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from g2g_opt.errors import InputError
from g2g_opt.transmission.market_folder import MarketFolder, Reading
from g2g_opt.transmission.market_readings import READINGS_PER_HOUR, HourlyReadings
from g2g_opt.transmission.series import (
    SeriesNote,
    ZonalSeries,
    checked_dates,
    in_order,
    negative_notes,
    zone_names,
)

FORECAST_DAYS = 6  # that an isolf file covers, from the day of its name

_WIND, _SOLAR, _OTHER = "wind", "solar", "other renewables"


def load_market_files(folder: Path | str, first_date: date | str, last_date: date | str) -> ZonalSeries:
    """The days from `first_date` to `last_date`, both included, out of the files in `folder` and the folders below it.

    Load is palIntegrated; on days without it, the means of the readings of pal. The forecast is the isolf file of the
    day's own name, which comes out the day before; without it, the newest earlier one that covers the day; else NaN.
    Wind is the category Wind of rtfuelmix. **Sun is its category Solar if there is one, else Other Renewables**: sun
    that is sold in the market, but with it refuse, wood and methane, which are there at night as well. Panels behind
    customers' meters are in neither; the load is net of them.

    Every day has 24 hours: the one that clocks skip in spring is interpolated, the doubled one of autumn averaged. Gaps
    of at most 3 hours are interpolated, doubled rows averaged, negative values kept; each is a note. A reading of pal
    counts by the time that it holds, until the next one or the end of its hour. Raises
    `InputError` with file and date for a day without a file, a missing column, zone or category, a longer gap, or text
    that cannot be read.
    """
    first, last = checked_dates(first_date, last_date)
    files = MarketFolder(folder)
    for day in np.arange(first, last + 1):
        # Before anything is read or laid out: a slip in a date may ask for millions of days.
        files.check_day(day, "palIntegrated", "pal")
    zones = zone_names()
    n_days = int((last - first).astype(int)) + 1
    load = HourlyReadings("load", zones, zones, first, n_days)
    forecast = HourlyReadings("forecast", zones, tuple(f"forecast {zone}" for zone in zones), first, n_days)
    fuels = HourlyReadings("fuel mix", (_WIND, _SOLAR), (_WIND, _SOLAR), first, n_days)
    for day in np.arange(first, last + 1):
        _add_load(files, day, load)
        _add_forecast(files, day, forecast)
        _add_fuels(files, day, fuels)
    load_mw, forecast_mw, fuels_mw = load.hourly_means(), forecast.hourly_means(), fuels.hourly_means()
    notes: list[SeriesNote] = []
    for readings, values_mw in ((load, load_mw), (forecast, forecast_mw), (fuels, fuels_mw)):
        notes += readings.notes + negative_notes(readings.hour_begins, readings.names_in_notes, values_mw)
    wind_mw, solar_mw = np.ascontiguousarray(fuels_mw.T)
    return ZonalSeries(zones, load.hour_begins, load_mw, forecast_mw, wind_mw, solar_mw, in_order(notes))


def _add_load(files: MarketFolder, day: np.datetime64, load: HourlyReadings) -> None:
    file = files.day_file("palIntegrated", day)
    if file is not None:
        load.add_file(file, day, file.by_row("Name", "Integrated Load"), 1)
        return
    file = files.day_file("pal", day)
    if file is None:
        raise files.no_file(day, "palIntegrated", "pal")
    load.note_day("stand-in", "load", day, f"means of the readings of {file.name}, no palIntegrated")
    load.add_file(file, day, file.by_row("Name", "Load"), READINGS_PER_HOUR)


def _add_forecast(files: MarketFolder, day: np.datetime64, forecast: HourlyReadings) -> None:
    for days_older in range(FORECAST_DAYS):
        file = files.day_file("isolf", day - days_older)
        if file is not None:
            if days_older:
                forecast.note_day("stand-in", "forecast", day, f"from {file.name}, {days_older} days older")
            forecast.add_file(file, day, file.by_column(forecast.names), 1, more_days=True)
            return
    forecast.note_day("missing", "forecast", day, "no isolf file covers the day: there is none")
    forecast.leave_out(day)


def _add_fuels(files: MarketFolder, day: np.datetime64, fuels: HourlyReadings) -> None:
    file = files.day_file("rtfuelmix", day)
    if file is None:
        raise files.no_file(day, "rtfuelmix")
    readings = list(file.by_row("Fuel Category", "Gen MW", "Gen MWh"))
    found = {reading.series.casefold() for reading in readings}
    sun = _SOLAR if _SOLAR in found else _OTHER
    if not {_WIND, sun} <= found:
        lacking = "Wind" if _WIND not in found else "Solar, and Other Renewables in its place"
        raise InputError(f"{file.name} lacks the category {lacking}; it has {sorted(found)}. Download it again")
    if sun == _OTHER:
        fuels.note_day("stand-in", _SOLAR, day, f"Other Renewables of {file.name}: refuse, wood, methane and sun")
    renamed = {_WIND: _WIND, sun: _SOLAR}
    kept = [
        Reading(reading.line, reading.stamp, reading.clock, renamed[reading.series.casefold()], reading.value_mw)
        for reading in readings
        if reading.series.casefold() in renamed
    ]
    fuels.add_file(file, day, kept, READINGS_PER_HOUR)
