"""The limited profile of a request as a table and a chart."""

from __future__ import annotations

import calendar
from collections.abc import Sequence

from studies.connection_check.question import ConnectionCheckQuestion
from studies.connection_check.rows import LimitedYearRow
from studies.load_profile.rows import FleetCellRow
from studies.shared.conclusion import Chart, Column, Line, ResultTable

_PROFILE = (
    Column("month", "month"),
    Column("hour", "hour beginning"),
    Column("days", "days", secondary=True),
    Column("power_mw", "MW allowed", 3),
    Column("lowest_pu", "lowest pu", 4),
    Column("highest_pu", "highest pu", 4),
    Column("loading_pu", "highest loading", 3),
)


def year_in_words(years: Sequence[LimitedYearRow]) -> list[str]:
    """The limited profile in a sentence; nothing where none was searched."""
    found = []
    for row in years:
        if row.hours_limited is None:
            found.append(f"No limited profile lets it in: {row.note}.")
        else:
            found.append(
                f"It fits under a limited profile: less than its full draw in {row.hours_limited} of {row.hours} "
                f"hours, at the least {row.least_mw:.2f} MW, {row.energy_lost_mwh:.0f} MWh less; it draws its demand, "
                "and no more than the hour's MW."
            )
    return found


def profile_table(rows: Sequence[FleetCellRow]) -> ResultTable:
    """MW by month and hour."""
    title = "Limited profile: MW that keep every limit on every day of the month"
    return ResultTable("limited_load_profile", title, _PROFILE, [vars(row) for row in rows], folded=True)


def profile_charts(study: ConnectionCheckQuestion, rows: Sequence[FleetCellRow]) -> tuple[Chart, ...]:
    """A line a month."""
    lines = []
    for month in dict.fromkeys(row.month for row in rows):
        of = sorted((row for row in rows if row.month == month), key=lambda row: row.hour)
        lines.append(Line(calendar.month_abbr[month], [row.hour for row in of], [row.power_mw for row in of]))
    if not lines:
        return ()
    title = f"Limited profile of {study.mw:g} MW at bus {study.bus}"
    return (Chart(title, "hour beginning", "MW", tuple(lines), limits=(study.mw,)),)
