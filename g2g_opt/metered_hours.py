"""Times of a metered year as the hours of a clock that is never changed: UTC offsets, clock changes, quarter hours.

What can be read in one way only is read, and said; what cannot is refused by its cause. Nothing is shifted without a
word.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from g2g_opt.csv_files import CsvRow, CsvTable, separator_words
from g2g_opt.errors import InputError, did_you_mean, shown

BEGINNING, ENDING = "hour_beginning", "hour_ending"
YEAR_HOURS = (365 * 24, 366 * 24)
_HOUR = timedelta(hours=1)
# Steps of meters: parts of an hour that hours are made of.
_STEPS = tuple(timedelta(minutes=minutes) for minutes in (60, 30, 20, 15, 10, 5))
# Columns that are compared with a missing one's name.
_COLUMNS_LOOKED_AT = 200
# Times of meters; at the ends of the calendar there is no hour before or after.
_YEARS = (1900, 2200)
# Clocks are changed on a Sunday, in the first hours of it.
_SUNDAY, _CHANGE_BEFORE_HOUR = 6, 5
# A clock stays changed, or unchanged, for months.
_SUMMER_MIN = timedelta(days=60)


@dataclass(frozen=True, eq=False)
class MeteredHours:
    """Hours by when they begin, how many rows each is the mean of, and in words what was done to the times.

    The first `n_moved` hours of the file stand behind its others.
    """

    hours: tuple[datetime, ...]
    rows_per_hour: int
    notes: tuple[str, ...]
    n_moved: int = 0

    def means(self, values: Sequence[float]) -> tuple[float, ...]:
        """A column's mean over the rows of every hour."""
        by_hour: NDArray[np.float64] = np.array(values, dtype=np.float64).reshape(-1, self.rows_per_hour)
        return tuple(np.roll(by_hour.mean(axis=1), -self.n_moved).tolist())


def read_hours(table: CsvTable) -> MeteredHours:
    """The hours of a table with a column `hour_beginning` or `hour_ending`, one row after the other in time.

    Read are times with a UTC offset (in standard time: that of the lowest offset in the file), local times with both
    clock changes of a year, and rows of half, quarter, ... hours, of which an hour is the mean. A year that begins in
    summer time, at 23:00 of the day before by standard time, has that hour behind its last one. Raises `InputError`
    with the line and the cause for anything else, and for rows that look as if they named the end of their hours.
    """
    column, rows = _column(table), table.rows
    times = [_time(row, column) for row in rows]
    # By the clock of the file: south of the equator a January's 01:00 is 00:00 of standard time.
    written = times[0].replace(tzinfo=None)
    notes: list[str] = []
    with_offset = [at.tzinfo is not None for at in times]
    if any(with_offset):
        if not all(with_offset):
            where = rows[with_offset.index(not with_offset[0])].where
            raise InputError(f"{where}: some times have a UTC offset and some have none; give all of them one, or none")
        times, note = _in_standard_time(times)
        notes.append(note)
    step = _step(times, rows)
    if not any(with_offset):
        times, words = _without_clock_changes(times, rows, step)
        notes += words
    for k in range(1, len(times)):
        if times[k] - times[k - 1] != step:
            raise InputError(f"{rows[k].where}: {_gap(times[k - 1], times[k], step)}")
    if column == ENDING:
        times = [at - step for at in times]
        notes.append(f"its column {ENDING} names ends: every row holds for the {_words(step)} before")
    return _whole_hours(times, rows, step, column, written, notes)


def _column(table: CsvTable) -> str:
    found = [name for name in (BEGINNING, ENDING) if name in table.columns]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{table.name} has both columns {BEGINNING} and {ENDING}; keep one")
    near = {name: did_you_mean(name, (BEGINNING, ENDING)) for name in table.columns[:_COLUMNS_LOOKED_AT]}
    why = separator_words(table.columns)
    why = why or next((f"; it has {shown(name)}{words}" for name, words in near.items() if words), "")
    raise InputError(f"{table.name} lacks the columns {BEGINNING}; it needs {BEGINNING} (or {ENDING}){why}")


def _time(row: CsvRow, column: str) -> datetime:
    text = row[column].strip()
    if "T24:" in text or " 24:" in text:
        raise InputError(
            f"{row.where}: {shown(text)} is an hour 24: write the next day's 00:00, in the column {ENDING} if rows are "
            "named by the ends of their hours"
        )
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{row.where}: {shown(text)} is no time such as 2018-01-01T00:00") from error
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise InputError(f"{row.where}: {shown(text)} is not within the years from {_YEARS[0]} to {_YEARS[1]}")
    if found.second or found.microsecond or found.minute % 5:
        raise InputError(f"{row.where}: {shown(text)} must be a full hour, or a part of one in 5, 10, ... minutes")
    return found


def _in_standard_time(times: Sequence[datetime]) -> tuple[list[datetime], str]:
    """Times by the clock of the lowest UTC offset in the file, which is standard time where clocks change."""
    offsets = sorted({at.utcoffset() or timedelta(0) for at in times})
    lowest = offsets[0]
    found = [(at - (at.utcoffset() or timedelta(0))).replace(tzinfo=None) + lowest for at in times]
    words = f"its times have UTC offsets, and are read as standard time at UTC{_offset(lowest)}"
    return found, words + (f" ({', '.join(map(_offset, offsets[1:]))} too)" if len(offsets) > 1 else "")


def _offset(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _step(times: Sequence[datetime], rows: Sequence[CsvRow]) -> timedelta:
    """The distance that most rows have; `InputError` if it is no part of an hour."""
    if len(times) < 2:
        return _HOUR
    distances = [after - before for before, after in itertools.pairwise(times)]
    common = max(set(distances), key=distances.count)
    if common not in _STEPS:
        raise InputError(
            f"{rows[1].where}: {_gap(times[0], times[1], _HOUR)}"
            if abs(common) >= _HOUR
            else f"{rows[1].where}: rows are {common} apart; whole hours or equal parts of them are needed"
        )
    return common


def _without_clock_changes(
    times: Sequence[datetime], rows: Sequence[CsvRow], step: timedelta
) -> tuple[list[datetime], list[str]]:
    """Local times in standard time, if the file has one hour that is left out and one that comes twice, as a year has.

    With only one of the two nobody knows whether a row is missing or there twice.
    """
    forward = [k for k in range(1, len(times)) if times[k] - times[k - 1] == _HOUR + step]
    back = [k for k in range(1, len(times)) if times[k] - times[k - 1] == step - _HOUR]
    changes = [k for k in (*forward, *back) if _may_be_change(times[k])]
    if (
        len(forward) == len(back) == 1
        and len(changes) == 2
        and abs(times[changes[1]] - times[changes[0]]) > _SUMMER_MIN
    ):
        first, last = sorted((forward[0], back[0]))
        if first == forward[0]:
            moved = [at - _HOUR if first <= k < last else at for k, at in enumerate(times)]
        else:
            # South of the equator a calendar year begins and ends in summer time.
            moved = [at if first <= k < last else at - _HOUR for k, at in enumerate(times)]
        summer = f"{times[first]:%Y-%m-%d} to {times[last]:%Y-%m-%d}"
        inside = "from" if first == forward[0] else "but from"
        return moved, [f"its clock is changed: read as standard time, an hour earlier {inside} {summer}"]
    if changes and len(forward) + len(back) == 1:
        k = changes[0]
        what = "leaves an hour out" if k in forward else "has an hour twice"
        raise InputError(
            f"{rows[k].where}: {times[k].isoformat()} follows {times[k - 1].isoformat()}: that looks like a change of "
            f"the clock, which {what}, but the file has no other; every hour needs a row of its own, 24 a day, also "
            "where clocks change: write standard time, or UTC offsets (2024-03-10T03:00-04:00)"
        )
    return list(times), []


def _may_be_change(at: datetime) -> bool:
    return at.weekday() == _SUNDAY and at.hour < _CHANGE_BEFORE_HOUR


def _gap(before: datetime, after: datetime, step: timedelta) -> str:
    each = "every hour needs a row of its own, 24 a day, also where clocks change"
    if step != _HOUR:
        each = f"every {_words(step)} needs a row of its own"
    return f"{after.isoformat()} follows {before.isoformat()}; {each}"


def _clock(step: timedelta) -> str:
    return f"{step // _HOUR:02d}:{step % _HOUR // timedelta(minutes=1):02d}"


def _words(step: timedelta) -> str:
    return "hour" if step == _HOUR else f"{int(step.total_seconds() // 60)} minutes"


def _whole_hours(
    times: Sequence[datetime],
    rows: Sequence[CsvRow],
    step: timedelta,
    column: str,
    written: datetime,
    notes: list[str],
) -> MeteredHours:
    """Hours of times in order; `written` is the first one as it stands in the file."""
    per_hour = int(_HOUR / step)
    first = times[0]
    if first.minute:
        ends = f" If rows are named by the ends of their times, call the column {ENDING}" if column == BEGINNING else ""
        raise InputError(
            f"{rows[0].where}: the first time {first.isoformat()} is within an hour; begin at a full hour.{ends}"
        )
    if len(times) % per_hour:
        raise InputError(f"{rows[-1].where}: the last hour has {len(times) % per_hour} of its {per_hour} rows")
    hours = tuple(times[::per_hour])
    if len(hours) > 1 and len(hours) % 24 == 0:
        if column == BEGINNING and (written.hour, written.minute) == (1, 0):
            raise InputError(
                f"{rows[0].where}: whole days from 01:00 on, to {rows[-1][column].strip()}, look as if rows were named "
                f"by the ends of their hours; call the column {ENDING} if so, and else begin with the hour 00:00"
            )
        if column == ENDING and (written.hour, written.minute) == (0, 0):
            raise InputError(
                f"{rows[0].where}: whole days from 00:00 on, to {rows[-1][column].strip()}, look as if rows were named "
                f"by the beginnings of their hours; call the column {BEGINNING} if so, and else begin with the row "
                f"that ends at {_clock(step)}"
            )
    if per_hour > 1:
        notes.append(f"an hour is the mean of its {per_hour} rows")
    begins = written - step if column == ENDING else written
    if len(hours) in YEAR_HOURS and begins.hour == 0 and hours[0].hour == 23:
        first, last = hours[0], hours[-1] + _HOUR
        notes.append(
            f"its first hour, {first:%Y-%m-%d %H:%M} of standard time, stands behind its last, as {last:%Y-%m-%d %H:%M}"
        )
        return MeteredHours((*hours[1:], last), per_hour, tuple(notes), n_moved=1)
    return MeteredHours(hours, per_hour, tuple(notes))
