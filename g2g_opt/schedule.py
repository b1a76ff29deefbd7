"""`Schedule`: entries in order of time, joined with `|`; what changes at them is the subclass's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from g2g_opt.quantities import ScheduleTimeS, check_quantities

Change = TypeVar("Change")


@dataclass(frozen=True)
class Schedule(Generic[Change]):
    """`(time_s, change)` entries, kept in order of time; two of one kind are equal where their entries are."""

    entries: tuple[tuple[ScheduleTimeS, Change], ...]

    def __post_init__(self) -> None:
        check_quantities(self)
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: entry[0])))

    def __or__(self, other: Self) -> Self:
        return type(self)((*self.entries, *other.entries))

    def __iter__(self) -> Iterator[tuple[float, Change]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
