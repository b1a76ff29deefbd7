"""What a study concludes, in a form that every way of showing it can take: screen, files, figures, report page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

import numpy as np

Item = TypeVar("Item")

# What stands on an axis: a number, a word, a moment, or nothing.
AxisValue: TypeAlias = float | int | str | date | np.number[Any] | None
_ON_AN_AXIS = tuple(get_origin(kind) or kind for kind in get_args(AxisValue))


@dataclass(frozen=True)
class Column:
    """One column: its `name` ends in the unit, `title` is for people, `digits` after the point (None: as it is).

    A `secondary` one is in the CSV, and on the report page once a reader asks for all columns; a terminal has no room.
    """

    name: str
    title: str
    digits: int | None = None
    secondary: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table that is written as `name`.csv and shown, sortable, on the report page; missing figures are None."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]
    # Long or secondary: on the page folded away, not on the screen.
    folded: bool = False


@dataclass(frozen=True)
class FeederMap:
    """A figure per bus for the map and the GeoJSON; buses without one are drawn grey."""

    title: str
    unit: str
    value_by_bus: Mapping[str, float]
    # More to tell about a bus, by bus.
    text_by_bus: Mapping[str, str] = field(default_factory=dict)
    # Buses to mark, e.g. those of the best placement, with a word each.
    marked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Envelope:
    """Lowest and highest simulated voltage (pu) of every monitored bus-phase of one candidate."""

    title: str
    nodes: tuple[str, ...]  # "671.A"
    lowest_pu: Sequence[float]
    highest_pu: Sequence[float]
    voltage_min_pu: float
    voltage_max_pu: float


@dataclass(frozen=True)
class Line:
    """One line (or cloud of points) of a `Chart`; with `low`, bars from there up to `y`.

    `x` are numbers, words, moments or None. Lines of one `hue` (0, 1, ...) have one colour: the same thing in two
    states. Without, every line has its own. Raises `TypeError` for anything else on an axis.
    """

    name: str
    x: Sequence[AxisValue]
    y: Sequence[float | None]
    points: bool = False
    text: Sequence[str] = ()
    low: Sequence[float | None] = ()
    hue: int | None = None

    def __post_init__(self) -> None:
        for axis in (self.x, self.y, self.low):
            for value in axis:
                if not isinstance(value, _ON_AN_AXIS):
                    raise TypeError(f"line {self.name!r}: a {type(value).__name__} has no place on an axis: {value!r}")


@dataclass(frozen=True)
class Chart:
    """Lines over an axis; titles carry the units.

    `limits` are figures of y that are not to be passed; `marked` are points to name: x, y, words.
    """

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    # Draw x = y: for predicted next to simulated.
    diagonal: bool = False
    limits: tuple[float, ...] = ()
    marked: tuple[tuple[float, float, str], ...] = ()


def most_and_least(items: Iterable[Item], n_max: int, key: Callable[[Item], float]) -> list[Item]:
    """At most `n_max` items for pictures, the most first: the last of them is the least of all, never left out."""
    ranked = sorted(items, key=key, reverse=True)
    return ranked if len(ranked) <= n_max else [*ranked[: n_max - 1], ranked[-1]]


def most_and_least_words(n_all: int, n_max: int, what: str) -> str:
    """What `most_and_least` shows of `n_all` things, in brackets and after a blank; empty if it shows all of them."""
    if n_all <= n_max:
        return ""
    return f" ({n_max} of {n_all} {what}: the {n_max - 1} with the most, and the one with the least)"


def first_words(n_all: int, n_max: int, what: str) -> str:
    """That only the first `n_max` of `n_all` things are shown, as `most_and_least_words` says it."""
    return f" (the first {n_max} of {n_all} {what})" if n_all > n_max else ""


@dataclass(frozen=True)
class MissingAnswer:
    """Something that has no answer, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Conclusion:
    """The answer of a study and what it stands on. Everything numeric in it was simulated, or says that it was not.

    `answer` is a sentence or two with the figures that were asked for. `binding` is a table of what binds; `warnings`
    qualify the answer; `not_assessed` says what it does not cover. `envelopes_of` says of what the envelopes are a
    part, where they are one. `feeder` is empty for studies that are on none, as is `base_case`, which says whether its
    circuit is solved and at rest without a site (`BaseCaseState`).
    """

    title: str
    answer: str
    feeder: str
    tables: tuple[ResultTable, ...]
    maps: tuple[FeederMap, ...] = ()
    envelopes: tuple[Envelope, ...] = ()
    envelopes_of: str = ""
    charts: tuple[Chart, ...] = ()
    failures: tuple[MissingAnswer, ...] = ()
    warnings: tuple[str, ...] = ()
    not_assessed: tuple[str, ...] = ()
    base_case: str = ""
    # Files for other programs, by their place in the results' folder.
    texts: Mapping[str, str] = field(default_factory=dict)
