"""Hourly means of what the market operator's day files say, with clock changes, doubled rows and gaps in the notes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import HOUR_S
from g2g_opt.errors import InputError
from g2g_opt.transmission.market_folder import DayFile, Reading, read_stamp
from g2g_opt.transmission.series import HOURS_PER_DAY, Floats, NoteKind, SeriesNote, clock_changes

GAP_HOURS_MAX = 3
READINGS_PER_HOUR = 12
READINGS_MIN_SHARE = 0.5  # of those in an hour; with fewer the hour counts as missing

SPRING_HOUR, AUTUMN_HOUR = 2, 1  # the hour that is not there, and the one that is there twice


@lru_cache(maxsize=64)
def _clock_changes(year: int) -> tuple[date, date]:
    spring, autumn = clock_changes(year)
    return spring.astype(object), autumn.astype(object)


def _second_of_hour(stamp: str) -> int:
    """Seconds since the hour of a stamp MM/DD/YYYY HH:MM, with or without seconds."""
    minute, *rest = stamp.split(":")[1:]
    return 60 * int(minute) + (int(rest[0]) if rest else 0)


def _is_regular(readings: list[tuple[int, float]]) -> bool:
    """Do all hold equally long (also of one that stands for the hour)?"""
    n = len(readings)
    return HOUR_S % n == 0 and [second for second, _ in readings] == list(range(0, HOUR_S, HOUR_S // n))


class HourlyReadings:
    """Collects day files of one kind by hour, by standard or summer time, and by series; then `hourly_means`.

    `what` names all series together in the notes; `names` are the series as the files name them in any case, and
    `names_in_notes` as the notes do.
    """

    def __init__(
        self, what: str, names: tuple[str, ...], names_in_notes: tuple[str, ...], first: np.datetime64, n_days: int
    ) -> None:
        self.what, self.names, self.names_in_notes = what, names, names_in_notes
        self.hour_begins = first.astype("datetime64[h]") + np.arange(n_days * HOURS_PER_DAY).astype("timedelta64[h]")
        self.notes: list[SeriesNote] = []
        self._first: date = first.astype(object)
        self._column = {name.casefold(): k for k, name in enumerate(names)}
        n_hours = len(self.hour_begins)
        self._mean_mw = np.zeros((n_hours, 2, len(names)))
        # Readings of hours whose files are not all read yet: seconds from the hour's begin, and MW.
        self._open: dict[tuple[int, int, int], list[tuple[int, float]]] = {}
        self._count = np.zeros((n_hours, 2, len(names)), dtype=np.int64)
        self._regular = np.zeros((n_hours, 2, len(names)), dtype=bool)
        self._expected = np.ones(n_hours, dtype=np.int64)
        self._left_out = np.zeros(n_hours, dtype=bool)
        self._file_of_day = [""] * n_days
        self._closing: dict[tuple[str, str, int], float] = {}  # readings of the midnight that ended the last file
        self._pending: dict[tuple[NoteKind, int, str], list[int]] = {}

    def leave_out(self, day: np.datetime64) -> None:
        """Say that nothing is known of a day, so its hours become NaN."""
        self._left_out[self._hours_of(day)] = True

    def note_day(self, kind: NoteKind, series: str, day: np.datetime64, done: str) -> None:
        """Note something of a whole day."""
        self.notes.append(SeriesNote(kind, series, day.astype("datetime64[h]"), done))

    def add_file(
        self, file: DayFile, day: np.datetime64, readings: Iterable[Reading], per_hour: int, *, more_days: bool = False
    ) -> None:
        """Add the readings of `day`; `per_hour` of them make a whole hour.

        A file with `more_days` may hold other days, which are left out. Any other may hold the midnight that ends its
        day, which counts for the hour that begins then. Raises `InputError` with file and line for a stamp that is no
        time or of another day, and for a series that the file lacks.
        """
        self._expected[self._hours_of(day)] = per_hour
        this_day: date = day.astype(object)
        self._file_of_day[(this_day - self._first).days] = file.name
        self._close((this_day - self._first).days * HOURS_PER_DAY)
        opening, self._closing = self._closing, {}
        seen: dict[tuple[str, str, int], float] = {}
        found: set[int] = set()
        unknown: set[str] = set()
        for reading in readings:
            at = read_stamp(reading.stamp)
            if at is None:
                where = f"{file.name}, line {reading.line}"
                raise InputError(f"{where}: {reading.stamp!r} is no time such as 07/01/2018 00:05:00; correct it")
            if more_days and at[0] != this_day:
                continue
            column = self._column.get(reading.series.casefold())
            if column is None:
                unknown.add(reading.series)
                continue
            key = (reading.stamp, reading.clock, column)
            if at[0] != this_day:
                if at != (this_day + timedelta(days=1), 0, 0):
                    where = f"{file.name}, line {reading.line}"
                    raise InputError(f"{where}: {reading.stamp} is not of {day}, of which the file is by its name")
                if reading.value_mw is not None:
                    self._closing[key] = reading.value_mw
                    self._add(at[0], 0, reading, column, second=False)
                continue
            found.add(column)
            if key in opening:  # both files have the midnight between them
                if opening[key] == reading.value_mw:
                    continue
                done = (
                    f"{reading.stamp} has {opening[key]:g} MW in the file before {file.name}, another in it: averaged"
                )
                self._pend("doubled", (this_day - self._first).days * HOURS_PER_DAY, done, column)
            self._take(file, at[0], at[1], reading, column, seen)
        lacking = [name for k, name in enumerate(self.names) if k not in found]
        if lacking:
            raise InputError(
                f"{file.name} has nothing of {day} for {', '.join(lacking)}; download it again, or leave out the day"
            )
        for name in sorted(unknown):
            self.note_day("left out", name, day, f"{file.name} has it, the zones of the model do not")

    def hourly_means(self) -> Floats:
        """MW (hour, series): gaps of at most 3 hours interpolated, NaN on days left out. Notes are complete after it.

        Raises `InputError` for a longer gap, or one where the series begins or ends.
        """
        self._close(len(self.hour_begins))
        self._expect_rarer()
        expected = self._expected[:, None, None]
        usable = (self._count > 0) & (self._count >= READINGS_MIN_SHARE * expected)
        for place in map(tuple, np.argwhere(~self._regular & (expected > 1) & (self._count > expected)).tolist()):
            done = f"{self._count[place]} of {self._expected[place[0]]} readings: weighted by the time that each holds"
            self._pend("extra", place[0], done, place[2])
        means_mw = np.where(usable, self._mean_mw, 0.0)
        times = usable.sum(axis=1)
        hourly_mw: Floats = np.where(times > 0, means_mw.sum(axis=1) / np.maximum(times, 1), np.nan)
        for row, second, column in np.argwhere((self._count > 0) & (self._count < self._expected[:, None, None])):
            done = f"{self._count[row, second, column]} of {self._expected[row]} readings"
            done += ": averaged" if usable[row, second, column] else ": too few, not used"
            self._pend("missing", row, done, column)
        self._note_doubled_hours(times)
        for column in range(len(self.names)):
            self._fill(hourly_mw[:, column], column)
        self._write_notes()
        return hourly_mw

    def _take(
        self,
        file: DayFile,
        day: date,
        hour: int,
        reading: Reading,
        column: int,
        seen: dict[tuple[str, str, int], float],
    ) -> None:
        if reading.value_mw is None:
            return
        row = (day - self._first).days * HOURS_PER_DAY + hour
        spring, autumn = _clock_changes(day.year)
        if day == spring and hour == SPRING_HOUR:
            self._pend("left out", row, f"{file.name} has a value in the hour that clocks skip", column)
            return
        key = (reading.stamp, reading.clock, column)
        second = reading.clock == "EST"
        if key in seen:
            again = (reading.stamp, "EST", column)
            if not reading.clock and day == autumn and hour == AUTUMN_HOUR and again not in seen:
                key, second = again, True  # a file without time zones just lists the doubled hour twice
            else:
                done = f"{reading.stamp} twice in {file.name}: {seen[key]:g} and {reading.value_mw:g} MW averaged"
                self._pend("doubled", row, done, column)
        seen[key] = reading.value_mw
        self._add(day, hour, reading, column, second)

    def _add(self, day: date, hour: int, reading: Reading, column: int, second: bool) -> None:
        row = (day - self._first).days * HOURS_PER_DAY + hour
        if reading.value_mw is not None and row < len(self.hour_begins):
            place = (row, int(second or reading.clock == "EST"), column)
            self._open.setdefault(place, []).append((_second_of_hour(reading.stamp), reading.value_mw))

    def _close(self, row: int) -> None:
        """Means of the hours before a row: no further file has readings of theirs.

        A reading holds until the next one, or the end of the hour; the first holds from the hour's begin. Readings of
        one moment are averaged.
        """
        for place in [place for place in self._open if place[0] < row]:
            readings = self._open.pop(place)
            self._count[place] = len(readings)
            if _is_regular(readings):
                self._regular[place] = True
                self._mean_mw[place] = sum(value for _, value in readings) / len(readings)
                continue
            at_moment: dict[int, list[float]] = {}
            for second, value in readings:
                at_moment.setdefault(second, []).append(value)
            begins = sorted(at_moment)
            ends = [*begins[1:], HOUR_S]
            held_s = [end - begin for begin, end in zip([0, *begins[1:]], ends, strict=True)]
            self._mean_mw[place] = (
                sum(s * float(np.mean(at_moment[b])) for s, b in zip(held_s, begins, strict=True)) / HOUR_S
            )
            self._count[place] = len(begins)

    def _expect_rarer(self) -> None:
        """Expect fewer readings where a day's file has fewer in most hours, all holding equally long."""
        for number, name in enumerate(self._file_of_day):
            hours = slice(number * HOURS_PER_DAY, (number + 1) * HOURS_PER_DAY)
            there = self._count[hours] > 0
            if self._expected[hours.start] != READINGS_PER_HOUR or not there.any():
                continue
            usual = int(np.bincount(self._count[hours][there]).argmax())
            alike = self._regular[hours] & (self._count[hours] == usual)
            if 1 < usual < READINGS_PER_HOUR and 2 * alike.sum() > there.sum():
                self._expected[hours] = usual
                done = f"{usual} readings an hour in {name}, not {READINGS_PER_HOUR}"
                self.note_day("stand-in", self.what, self.hour_begins[hours.start].astype("datetime64[D]"), done)

    def _note_doubled_hours(self, times: NDArray[np.int64]) -> None:
        """`times` (hour, series): in how many of standard and summer time the hour is there."""
        autumns = {clock_changes(day.astype(object).year)[1] for day in self.hour_begins[::HOURS_PER_DAY]}
        for row, begins in enumerate(self.hour_begins):
            is_doubled = begins - begins.astype("datetime64[D]") == np.timedelta64(AUTUMN_HOUR, "h") and (
                begins.astype("datetime64[D]") in autumns
            )
            for column in map(int, np.flatnonzero(times[row] > (0 if is_doubled else 1))):
                if not is_doubled:
                    self._pend("doubled", row, "there in EST and in EDT: averaged", column)
                elif times[row, column] == 2:
                    self._pend("clock change", row, "the doubled hour averaged", column)
                else:
                    self._pend("clock change", row, "only one of the two hours is there: used as it is", column)

    def _fill(self, values_mw: Floats, column: int) -> None:
        """Interpolate the gaps of one series in place."""
        hours = self.hour_begins
        gap = np.isnan(values_mw) & ~self._left_out
        edges = np.flatnonzero(np.diff(np.concatenate(([False], gap, [False]))))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            lacks = "has too few readings" if self._count[start:stop, :, column].any() else "is missing"
            place = f"{self._file_of_day[start // HOURS_PER_DAY]}: {self.names_in_notes[column]} {lacks}"
            if stop - start > GAP_HOURS_MAX:
                raise InputError(
                    f"{place} from {hours[start]} for {stop - start} hours, and up to {GAP_HOURS_MAX} are "
                    "interpolated; download the file again, or leave out the day"
                )
            if start == 0 or stop == len(hours) or np.isnan(values_mw[[start - 1, stop]]).any():
                raise InputError(
                    f"{place} at {hours[start]}, with nothing before or after it to interpolate from; download the "
                    "file again, or leave out the day"
                )
            inside = np.arange(start, stop)
            values_mw[inside] = np.interp(inside, [start - 1, stop], values_mw[[start - 1, stop]])
            for row in inside:
                day = hours[row].astype("datetime64[D]")
                skipped = day == clock_changes(day.astype(object).year)[0] and row % HOURS_PER_DAY == SPRING_HOUR
                self._pend("clock change" if skipped else "missing", row, "interpolated", column)

    def _pend(self, kind: NoteKind, row: int, done: str, column: int) -> None:
        self._pending.setdefault((kind, int(row), done), []).append(int(column))

    def _write_notes(self) -> None:
        """One note where all series share it, else one for each."""
        for (kind, row, done), columns in self._pending.items():
            shared = len(set(columns)) == len(self.names)
            for series in [self.what] if shared else [self.names_in_notes[k] for k in columns]:
                self.notes.append(SeriesNote(kind, series, self.hour_begins[row], done))
        self._pending = {}

    def _hours_of(self, day: np.datetime64) -> slice:
        start = (day.astype(object) - self._first).days * HOURS_PER_DAY
        return slice(start, start + HOURS_PER_DAY)
