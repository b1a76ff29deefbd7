"""Power over time, per phase: what generators and loads share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.csv_files import csv_rows, separator_words
from g2g_opt.errors import InputError, shown
from g2g_opt.held_series import HeldSeries
from g2g_opt.power_shape import PowerShape
from g2g_opt.quantities import ScheduleTimeS, SignedPowerKw, check_array, check_number
from g2g_opt.reading import TABLE_BYTES_MAX, finite_number, is_number, read_text

Floats = NDArray[np.float64]

# Words in the name of a profile's column, times and powers: those of its unit, and those that say it is something else.
_POWER_WORDS = {"power", "w", "mw", "gw", "va", "kva", "mva", "var", "kvar", "mvar", "wh", "kwh", "mwh"}
_TIME_WORDS = {"time", "timestamp", "ms", "us", "min", "minute", "minutes", "h", "hr", "hour", "hours", "day", "days"}
_COLUMN_WORDS = (
    ({"s", "sec", "second", "seconds"}, (_TIME_WORDS - {"time"}) | _POWER_WORDS | {"kw"}),
    ({"kw"}, (_POWER_WORDS - {"power"}) | _TIME_WORDS),
)


class PowerProfile(ABC):
    """Real power per phase (kW) as a function of time (s)."""

    @abstractmethod
    def power_kw(self, t: float) -> float:
        """Power per phase (kW) at time `t` (s)."""

    def power_series_kw(self, time_s: Floats) -> Floats:
        """`power_kw` at many times; subclasses with array arithmetic override it for speed."""
        return np.array([float(self.power_kw(t)) for t in time_s.tolist()])


class ConstantProfile(PowerProfile):
    """The same power at all times."""

    def __init__(self, peak_kw: float) -> None:
        self.peak_kw = float(peak_kw)
        check_number(self.peak_kw, SignedPowerKw, "a profile's peak_kw")

    def power_kw(self, t: float) -> float:
        return self.peak_kw

    def power_series_kw(self, time_s: Floats) -> Floats:
        return np.full(len(time_s), self.peak_kw)


class SampledProfile(PowerProfile):
    """Power given at sample times, linear in between, held before the first and after the last."""

    def __init__(self, time_s: Floats, power_kw: Floats, what: str = "a profile") -> None:
        self.time_s = np.asarray(time_s, dtype=float)
        self.sample_kw = np.asarray(power_kw, dtype=float)
        if self.time_s.ndim != 1 or self.time_s.shape != self.sample_kw.shape or len(self.time_s) == 0:
            raise InputError(f"{what} needs equally many times and powers, got {time_s!r} and {power_kw!r}")
        check_array(self.time_s, ScheduleTimeS, f"{what}: time_s")
        check_array(self.sample_kw, SignedPowerKw, f"{what}: power_kw")
        if np.any(np.diff(self.time_s) < 0):
            raise InputError(f"{what}: times must not decrease")

    def power_kw(self, t: float) -> float:
        return float(np.interp(t, self.time_s, self.sample_kw))

    def power_series_kw(self, time_s: Floats) -> Floats:
        power_kw: Floats = np.interp(time_s, self.time_s, self.sample_kw)
        return power_kw


class ShapedProfile(PowerProfile):
    """`peak_kw` times the shares of a shape."""

    def __init__(self, peak_kw: float, shape: PowerShape) -> None:
        self.peak_kw, self.shape = float(peak_kw), shape
        check_number(self.peak_kw, SignedPowerKw, "a profile's peak_kw")

    def power_kw(self, t: float) -> float:
        return float(self.power_series_kw(np.array([t]))[0])

    def power_series_kw(self, time_s: Floats) -> Floats:
        return self.peak_kw * self.shape.share_at(time_s)


class HeldProfile(PowerProfile):
    """`peak_kw` times shares that each hold for a period."""

    def __init__(self, peak_kw: float, shares: HeldSeries) -> None:
        self.peak_kw, self.shares = float(peak_kw), shares
        check_number(self.peak_kw, SignedPowerKw, "a profile's peak_kw")

    def power_kw(self, t: float) -> float:
        return float(self.power_series_kw(np.array([t]))[0])

    def power_series_kw(self, time_s: Floats) -> Floats:
        return self.peak_kw * self.shares.at(time_s)


def read_profile(csv_path: Path) -> tuple[Floats, Floats]:
    """Times (s) and powers (kW) of a two-column CSV with a header.

    Names of the columns are free, unless they state another unit or the other column's. `InputError` says what is wrong
    with the file, and where.
    """
    where = f"profile {csv_path}"
    wanted = "it needs two columns with a header: time in s, power in kW"
    rows = list(csv_rows(read_text(Path(csv_path), "profile", TABLE_BYTES_MAX), where))
    if rows and is_number(rows[0][1][0]):
        raise InputError(f"{where} has no header row, so its first sample would be lost; {wanted}")
    if len(rows) < 2:
        raise InputError(f"{where} has no rows; {wanted}")
    for line, cells in rows:
        if len(cells) < 2:
            raise InputError(f"{where}, line {line} has one cell; {wanted}{separator_words(cells)}")
        if any(map(str.strip, cells[2:])):  # spreadsheets may leave empty cells behind a row's end
            raise InputError(f"{where}, line {line} has {len(cells)} cells; {wanted}")
    for name, belongs, (right, other) in zip(rows[0][1], ("times in s", "powers in kW"), _COLUMN_WORDS, strict=False):
        words = set(re.findall(r"[^\W\d_]+", name.casefold()))
        if words & other and not words & right:
            raise InputError(f"{where} has a column {shown(name)}, where {belongs} belong; {wanted}")
    table = np.array([[finite_number(cell, f"{where}, line {line}") for cell in cells[:2]] for line, cells in rows[1:]])
    falls = np.flatnonzero(np.diff(table[:, 0]) < 0.0)
    if len(falls):
        raise InputError(f"{where}, line {rows[falls[0] + 2][0]}: time must not decrease from row to row")
    return table[:, 0], table[:, 1]
