"""Banks that follow the clock, and the hours of a run through the rows of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from g2g_opt.circuit.script_file.described_elements import described, hold_any
from g2g_opt.clock import HOUR_S


@dataclass(frozen=True)
class RowClock:
    """Hours of the year of rows of a profile that each hold for an hour: that of the first one, and hours from row to
    row.
    """

    first_hour: int
    hours_apart: int = 1

    def at(self, time_s: float) -> tuple[int, float]:
        """Hour of the year and second of the hour at a time (s) of the run."""
        row = int(time_s // HOUR_S)
        return self.first_hour + row * self.hours_apart, time_s - row * HOUR_S


def follows_the_clock(commands: Sequence[str]) -> bool:
    """Whether the commands of a circuit make a CapControl that switches its bank by the time of day."""
    return _follows_the_clock(tuple(commands))


@lru_cache(maxsize=16)
def _follows_the_clock(commands: tuple[str, ...]) -> bool:
    return hold_any(commands, ("capcontrol",)) and any(
        name.startswith("capcontrol.") and parameter.word == "type" and _is_time(parameter.value)
        for name, given in described(commands)
        for parameter in given
    )


def _is_time(value: str) -> bool:
    return value.strip().lower().startswith("t")
