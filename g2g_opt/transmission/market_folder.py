"""The market operator's day files in a user's folder: finding them, also in month archives, and reading their rows."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from g2g_opt.errors import InputError

_DAY_FILE = re.compile(r"\d{8}(palIntegrated|pal|isolf|rtfuelmix)\.csv", re.IGNORECASE)
_MONTH_FILE = re.compile(r"\d{8}(palIntegrated|pal|isolf|rtfuelmix)_csv\.zip", re.IGNORECASE)
_STAMP = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})(?::\d{2})?")

STAMP, CLOCK = "Time Stamp", "Time Zone"


@dataclass(frozen=True)
class Reading:
    """A number of a day file: its line, stamp as written, "EST", "EDT" or "", series as written, MW (None: blank)."""

    line: int
    stamp: str
    clock: str
    series: str
    value_mw: float | None


@dataclass(frozen=True)
class DayFile:
    """Name (with its archive) and lines of the file of one day."""

    name: str
    lines: tuple[str, ...]

    def by_row(self, series: str, *values: str) -> Iterator[Reading]:
        """Readings of a file that names the series of each row in column `series`.

        The value is in the first of the columns `values` that is there. Raises `InputError` for a missing column, a row
        that ends early, or a value that is no number.
        """
        header = self._header()
        value = next((name for name in values if name.casefold() in header), values[0])
        places = self._places(header, (STAMP, CLOCK, series, value))
        for line, cells in self._rows(max(places)):
            stamp, clock, name, text = (cells[k].strip() for k in places)
            yield Reading(line, stamp, clock.upper(), name, self._number(line, text))

    def by_column(self, series: tuple[str, ...]) -> Iterator[Reading]:
        """Readings of a file with a column for each of `series`; errors as in `by_row`."""
        places = self._places(self._header(), (STAMP, *series))
        for line, cells in self._rows(max(places)):
            for name, k in zip(series, places[1:], strict=True):
                yield Reading(line, cells[places[0]].strip(), "", name, self._number(line, cells[k].strip()))

    def _header(self) -> list[str]:
        return [name.strip().casefold() for name in next(csv.reader(self.lines), [])]

    def _places(self, header: list[str], names: tuple[str, ...]) -> list[int]:
        missing = [name for name in names if name.casefold() not in header]
        if missing:
            raise InputError(
                f"{self.name} lacks the columns {', '.join(missing)}; it needs {', '.join(names)} and has "
                f"{', '.join(header) or 'no header'}. Download it again"
            )
        return [header.index(name.casefold()) for name in names]

    def _rows(self, last_place: int) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self.lines)
        next(reader, None)
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) <= last_place:
                raise InputError(f"{self.name}, line {reader.line_num} ends early: {cells}; download the file again")
            yield reader.line_num, cells

    def _number(self, line: int, text: str) -> float | None:
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{self.name}, line {line}: {text!r} is no number; correct it, or leave the cell empty")
        return value


class MarketFolder:
    """The day files and month archives below a folder; `InputError` if there is no such folder."""

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder).expanduser()
        if not self.path.is_dir():
            raise InputError(f"folder {self.path} not found; give the one that holds the downloaded market files")
        self._found: dict[str, list[Path]] = {}
        for path in sorted(self.path.rglob("*")):
            if _DAY_FILE.fullmatch(path.name) or _MONTH_FILE.fullmatch(path.name):
                self._found.setdefault(path.name.casefold(), []).append(path)

    def day_file(self, kind: str, day: np.datetime64) -> DayFile | None:
        """The file of a kind ("isolf") for a day, unpacked ones first; None if there is none.

        Raises `InputError` if two files have its name, or it cannot be read.
        """
        name = f"{_digits(day)}{kind}.csv"
        path = self._only(name)
        if path is not None:
            return DayFile(name, self._lines(name, path.read_bytes()))
        archive = self._only(f"{_digits(day)[:6]}01{kind}_csv.zip")
        if archive is None:
            return None
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [m for m in opened.namelist() if m.split("/")[-1].casefold() == name.casefold()]
                content = opened.read(members[0]) if members else None
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise InputError(f"{archive.name} cannot be unpacked ({error}); download it again") from error
        where = f"{name} in {archive.name}"
        return None if content is None else DayFile(where, self._lines(where, content))

    def no_file(self, day: np.datetime64, *kinds: str) -> InputError:
        """The error for a day without a file of any of these kinds."""
        names = " or ".join(f"{_digits(day)}{kind}.csv" for kind in kinds)
        archives = " or ".join(f"{_digits(day)[:6]}01{kind}_csv.zip" for kind in kinds)
        return InputError(
            f"nothing for {day} in {self.path}: it needs {names} (or that file within {archives}). Download it, or "
            "leave out the day"
        )

    def _only(self, name: str) -> Path | None:
        paths = self._found.get(name.casefold(), [])
        if len(paths) > 1:
            raise InputError(f"{name} is there twice: {', '.join(map(str, paths))}; keep one of them")
        return paths[0] if paths else None

    def _lines(self, name: str, content: bytes) -> tuple[str, ...]:
        try:
            return tuple(content.decode("utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is no text ({error}); download it again") from error


@lru_cache(maxsize=4096)
def read_stamp(text: str) -> tuple[date, int, int] | None:
    """Date, hour and minute of a stamp MM/DD/YYYY HH:MM, with or without seconds; None if it is none."""
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    month, day, year, hour, minute = map(int, found.groups())
    if hour > 23 or minute > 59:
        return None
    try:
        return date(year, month, day), hour, minute
    except ValueError:
        return None


def _digits(day: np.datetime64) -> str:
    return str(day).replace("-", "")
