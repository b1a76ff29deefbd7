"""Cells of a limited load profile: an hour of the day in a month, each a scenario of its days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from g2g_opt.clock import HOUR_S
from g2g_opt.errors import InputError
from g2g_opt.failure import Moment
from g2g_opt.hourly_profile import HourlyProfile
from g2g_opt.scenario import Scenario

_HOURS_A_DAY = 24


@dataclass(frozen=True)
class Cell:
    """An hour of the day (0 to 23) in a month (1 to 12); its days are rows of a profile (first, how many, distance)."""

    month: int
    hour: int
    rows: tuple[int, int, int]

    @property
    def n_days(self) -> int:
        """Days it covers."""
        return self.rows[1]

    @property
    def name(self) -> str:
        """Month and hour in words; it keys the draws of the cell's runs."""
        return f"month {self.month:02d} hour {self.hour:02d}"

    def moment(self, profile: HourlyProfile) -> Moment:
        """Says of a time (s) since the beginning of a run of this cell when in the year it is."""
        first, _, step = self.rows

        def date(time_s: float) -> str:
            return profile.moment_at(time_s, first, step)

        return date

    def scenario(self, hours: Scenario) -> Scenario:
        """The cell's days one after the other, an hour each, as `hours` has them."""
        return hours_scenario(self.name, self.rows, hours)


def hours_scenario(name: str, rows: tuple[int, int, int], hours: Scenario) -> Scenario:
    """Rows of the profile of `hours` one after the other, a step each."""
    return replace(hours, name=name, duration_s=rows[1] * HOUR_S, profile_rows=rows)


@lru_cache(maxsize=8)
def list_cells(profile: HourlyProfile) -> tuple[Cell, ...]:
    """Every cell that a profile has, month by month; `InputError` if it goes on for more than a year."""
    rows_of: dict[tuple[int, int], list[int]] = {}
    for k, at in enumerate(profile.hours):
        rows_of.setdefault((at.month, at.hour), []).append(k)
    cells = []
    for (month, hour), rows in sorted(rows_of.items()):
        if np.any(np.diff(rows) != _HOURS_A_DAY):
            raise InputError(
                f"profile {profile.name} runs from {profile.hours[0]:%Y-%m-%d %H:%M} to "
                f"{profile.hours[-1]:%Y-%m-%d %H:%M}, so that month {month} hour {hour} comes twice; a load profile "
                "needs one year at most, from 00:00 on the first of a month"
            )
        cells.append(Cell(month, hour, (rows[0], len(rows), _HOURS_A_DAY)))
    return tuple(cells)
