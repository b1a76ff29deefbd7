"""The market operator's day files in a user's folder: finding them, also in month archives, and reading their rows."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from g2g_opt.csv_files import csv_rows
from g2g_opt.errors import InputError, shown
from g2g_opt.kept_files import copy_or_self
from g2g_opt.reading import MIB, decoded, files_below, finite_number, is_folder, read_bytes, user_path

_DAY_FILE = re.compile(r"\d{8}(palIntegrated|pal|isolf|rtfuelmix)\.csv", re.IGNORECASE)
_MONTH_FILE = re.compile(r"\d{8}(palIntegrated|pal|isolf|rtfuelmix)_csv\.zip", re.IGNORECASE)
_STAMP = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})(?::\d{2})?")

# Above what any zone or fuel of a market has, and below what the largest of them would have in kW.
POWER_MAX_MW = 1e6

# Sizes of a day's file, of which the largest there are have less than a megabyte, and of a month's archive.
DAY_BYTES_MAX, ARCHIVE_BYTES_MAX = 16 * MIB, 64 * MIB

ONLY_NEW_YORK = (
    "only the New York operator's files (NYISO) are understood, by their own names: YYYYMMDDpalIntegrated.csv or "
    "YYYYMMDDpal.csv, YYYYMMDDisolf.csv, YYYYMMDDrtfuelmix.csv, or a month of them as YYYYMM01palIntegrated_csv.zip"
)
_SHOWN = 6

STAMP, CLOCK = "Time Stamp", "Time Zone"
_CLOCKS = ("EST", "EDT", "")


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
    """Name (with its archive) and text of the file of one day."""

    name: str
    text: str

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
            if clock.upper() not in _CLOCKS:
                where = f"{self.name}, line {line}"
                raise InputError(f"{where}: the time zone {shown(clock)} is none of EST and EDT, New York's clocks")
            yield Reading(line, stamp, clock.upper(), name, self._number(line, text))

    def by_column(self, series: tuple[str, ...]) -> Iterator[Reading]:
        """Readings of a file with a column for each of `series`; errors as in `by_row`."""
        places = self._places(self._header(), (STAMP, *series))
        for line, cells in self._rows(max(places)):
            for name, k in zip(series, places[1:], strict=True):
                yield Reading(line, cells[places[0]].strip(), "", name, self._number(line, cells[k].strip()))

    def _header(self) -> list[str]:
        _, cells = next(csv_rows(self.text, self.name), (1, []))
        return [name.strip().casefold() for name in cells]

    def _places(self, header: list[str], names: tuple[str, ...]) -> list[int]:
        missing = [name for name in names if name.casefold() not in header]
        if missing:
            raise InputError(
                f"{self.name} lacks the columns {', '.join(missing)}; it needs {', '.join(names)} and has "
                f"{shown(', '.join(header)) if header else 'no header'}. Download it again: only the New York "
                "operator's files are understood"
            )
        return [header.index(name.casefold()) for name in names]

    def _rows(self, last_place: int) -> Iterator[tuple[int, list[str]]]:
        rows = csv_rows(self.text, self.name)
        next(rows, None)
        for line, cells in rows:
            if len(cells) <= last_place:
                raise InputError(f"{self.name}, line {line} ends early: {shown(cells)}; download the file again")
            yield line, cells

    def _number(self, line: int, text: str) -> float | None:
        if not text:
            return None
        where = f"{self.name}, line {line}"
        try:
            value = finite_number(text, where)
        except InputError as error:
            raise InputError(f"{error}; correct it, or leave the cell empty") from error
        if abs(value) > POWER_MAX_MW:
            limits = f"from -{POWER_MAX_MW:g} to {POWER_MAX_MW:g} MW"
            raise InputError(f"{where}: {shown(text)} must be {limits}; a value in kW has to be converted")
        return value


class MarketFolder:
    """The day files and month archives below a folder; `InputError` if there is none of either."""

    def __init__(self, folder: Path | str) -> None:
        self.path = copy_or_self(user_path(str(folder), "market folder"))
        self._found: dict[str, list[Path]] = {}
        others: list[str] = []
        for path in files_below(self.path, "market folder"):
            if _DAY_FILE.fullmatch(path.name) or _MONTH_FILE.fullmatch(path.name):
                self._found.setdefault(path.name.casefold(), []).append(path)
            else:
                others.append(path.name)
        if not self._found:
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            holds = f"it has {', '.join(map(shown, others[:_SHOWN]))}{more}" if others else "it has no file at all"
            raise InputError(f"market folder {self.path}: {ONLY_NEW_YORK}; {holds}")
        self._folders = sorted({self.path} | {path.parent for paths in self._found.values() for path in paths})

    @property
    def files(self) -> list[Path]:
        """Every day file and month archive there is, in order; whatever else lies in the folder is never opened."""
        return sorted(path for paths in self._found.values() for path in paths)

    def check_day(self, day: np.datetime64, *kinds: str) -> None:
        """Raise the error for a day without a file of any of these kinds, as far as names tell; nothing is opened."""
        names = (name for kind in kinds for name in (f"{_digits(day)}{kind}.csv", _archive_name(day, kind)))
        if not any(self._only(name) for name in names):
            raise self.no_file(day, *kinds)

    def day_file(self, kind: str, day: np.datetime64) -> DayFile | None:
        """The file of a kind ("isolf") for a day, unpacked ones first; None if there is none.

        Raises `InputError` if two files have its name, or it cannot be read.
        """
        name = f"{_digits(day)}{kind}.csv"
        path = self._only(name)
        if path is not None:
            return DayFile(name, decoded(read_bytes(path, "market file", DAY_BYTES_MAX), f"market file {path}"))
        archive = self._only(_archive_name(day, kind))
        if archive is None:
            return None
        content = _unpacked(archive, name)
        where = f"{name} in {archive.name}"
        return None if content is None else DayFile(where, decoded(content, where))

    def no_file(self, day: np.datetime64, *kinds: str) -> InputError:
        """The error for a day without a file of any of these kinds."""
        names = " or ".join(f"{_digits(day)}{kind}.csv" for kind in kinds)
        archives = " or ".join(_archive_name(day, kind) for kind in kinds)
        return InputError(
            f"nothing for {day} in {self.path}: it needs {names} (or that file within {archives}). Download it, or "
            "leave out the day"
        )

    def _only(self, name: str) -> Path | None:
        paths = self._found.get(name.casefold(), [])
        if len(paths) > 1:
            raise InputError(f"{name} is there twice: {', '.join(map(str, paths))}; keep one of them")
        if paths:
            return paths[0]
        # Whatever has the name is meant to be the file: a folder is an error, not nothing.
        for folder in self._folders:
            if is_folder(folder / name):
                raise InputError(f"market file {folder / name} is a folder; give a regular file")
        return None


def _unpacked(archive: Path, name: str) -> bytes | None:
    """The file of this name in an archive; None if there is none. An archive may claim less than it unpacks to."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(archive, "market archive", ARCHIVE_BYTES_MAX))) as opened:
            members = [m for m in opened.namelist() if m.split("/")[-1].casefold() == name.casefold()]
            if not members:
                return None
            with opened.open(members[0]) as member:
                content = member.read(DAY_BYTES_MAX + 1)
    # What is no archive, or damaged; a method of packing that is not built in; one with a password.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive} cannot be unpacked ({error}); download it again") from error
    if len(content) > DAY_BYTES_MAX:
        raise InputError(f"{name} in {archive} unpacks to more than {DAY_BYTES_MAX // MIB} MiB; download it again")
    return content


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


def _archive_name(day: np.datetime64, kind: str) -> str:
    return f"{_digits(day)[:6]}01{kind}_csv.zip"


def _digits(day: np.datetime64) -> str:
    return str(day).replace("-", "")
