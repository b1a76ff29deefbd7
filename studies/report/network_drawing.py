"""Where to draw a feeder's buses and what to draw between them; a feeder without coordinates is laid out as a tree."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from g2g_opt.circuit.parts import Bus
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_lint import places

EdgeKind = Literal["line", "transformer", "regulator", "open"]
LONGITUDE_LATITUDE = "longitude and latitude (degrees), judged by their range"
DRAWING_UNITS = "feeder drawing units"
# GeoJSON has one reference system, and readers take it for granted (RFC 7946, section 4).
NOT_GEOGRAPHIC = (
    "positions are a drawing (an engineering coordinate reference system in the words of ISO 19111), not longitude and "
    "latitude in WGS 84 (OGC:CRS84), as RFC 7946 has every reader take them: they have no place on a map of the earth"
)
COMPUTED = "layout computed from the topology: the circuit has no coordinates"

# No feeder is wider than this; whole numbers in the same range are a drawing on squared paper.
_FEEDER_SPAN_MAX_DEG = 3.0


@dataclass(frozen=True)
class Edge:
    """A branch between two buses; "open" is any branch that is not closed."""

    name: str
    element: str
    kind: EdgeKind
    buses: tuple[str, str]
    rating_a: float
    is_switch: bool


@dataclass(frozen=True)
class NetworkDrawing:
    """Positions of buses (x to the right, y upwards) and the edges; `unplaced` buses have no position.

    `y_per_x` is the length of a unit of y next to one of x; None where the two cannot be compared.
    """

    positions: dict[str, tuple[float, float]]
    unplaced: tuple[str, ...]
    edges: tuple[Edge, ...]
    source: str
    coordinate_system: str
    y_per_x: float | None

    @property
    def geographic(self) -> bool:
        """Whether the positions are longitude and latitude."""
        return self.coordinate_system == LONGITUDE_LATITUDE

    @property
    def computed(self) -> bool:
        """Whether the positions were made up, the circuit having none."""
        return self.coordinate_system == COMPUTED


def drawing_of(feeder: Feeder) -> NetworkDrawing:
    """How to draw a feeder. A compiled circuit lists its source first, which a computed layout starts from."""
    buses = list(feeder.buses.values())
    edges = tuple(_edges(feeder))
    placed = places(feeder)
    source = buses[0].name if buses else ""
    if not placed:
        positions = tree_layout([bus.name for bus in buses], [edge.buses for edge in edges if edge.kind != "open"])
        return NetworkDrawing(positions, (), edges, source, COMPUTED, None)
    degrees = _look_like_degrees(list(placed.values()))
    middle_deg = sum(y for _, y in placed.values()) / len(placed) if degrees else 0.0
    return NetworkDrawing(
        positions=placed,
        unplaced=_without(placed, buses),
        edges=edges,
        source=source,
        coordinate_system=LONGITUDE_LATITUDE if degrees else DRAWING_UNITS,
        y_per_x=1.0 / math.cos(math.radians(middle_deg)),
    )


def _without(placed: Iterable[str], buses: Iterable[Bus]) -> tuple[str, ...]:
    found = set(placed)
    return tuple(bus.name for bus in buses if bus.name not in found)


def _edges(feeder: Feeder) -> Iterable[Edge]:
    regulated = {regulator.transformer.lower() for regulator in feeder.regulators.values()}
    for branch in feeder.branches:
        if not branch.closed:
            kind: EdgeKind = "open"
        elif branch.kind == "line":
            kind = "line"
        else:
            kind = "regulator" if branch.name.lower().split(".")[-1] in regulated else "transformer"
        # A transformer of three windings is drawn from its first bus to each of the others.
        first, *others = branch.buses
        for other in dict.fromkeys(others):
            if other != first:
                yield Edge(branch.name, branch.kind, kind, (first, other), branch.rating_a, branch.is_switch)


def _look_like_degrees(points: Sequence[tuple[float, float]]) -> bool:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    in_range = max(map(abs, xs)) <= 180.0 and max(map(abs, ys)) < 90.0
    narrow = max(xs) - min(xs) < _FEEDER_SPAN_MAX_DEG and max(ys) - min(ys) < _FEEDER_SPAN_MAX_DEG
    return in_range and narrow and not all(value == round(value) for value in (*xs, *ys))


def tree_layout(buses: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Positions from topology alone: steps from the first bus to the right, one row per end of the feeder.

    The longest way out of every bus goes on straight; side branches lie above and below it without crossing. Loops
    are cut where the search from the first bus meets itself. Parts with no way to the first bus lie below.
    """
    neighbours: dict[str, list[str]] = {bus: [] for bus in buses}
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    positions: dict[str, tuple[float, float]] = {}
    top = 0
    for root in buses:
        if root not in positions:
            rows = _place_tree(root, neighbours, top, positions)
            top += rows
    return positions


def _place_tree(
    root: str, neighbours: dict[str, list[str]], top: int, positions: dict[str, tuple[float, float]]
) -> int:
    depth, order, children = {root: 0}, [root], {root: list[str]()}
    waiting = deque([root])
    while waiting:
        bus = waiting.popleft()
        for other in neighbours[bus]:
            if other not in depth:
                depth[other] = depth[bus] + 1
                children[bus].append(other)
                children[other] = []
                order.append(other)
                waiting.append(other)
    length: dict[str, int] = {}
    n_rows: dict[str, int] = {}
    for bus in reversed(order):
        length[bus] = 1 + max((length[child] for child in children[bus]), default=0)
        n_rows[bus] = max(1, sum(n_rows[child] for child in children[bus]))
    first_row = {root: top}
    for bus in order:
        longest_first = sorted(children[bus], key=lambda child: -length[child])
        # The longest in the middle, the others by turns above and below it; single ones by turns along the way.
        above, below = longest_first[1::2], longest_first[2::2]
        if depth[bus] % 2:
            above, below = below, above
        row = first_row[bus]
        for child in (*reversed(above), *longest_first[:1], *below):
            first_row[child] = row
            row += n_rows[child]
    y: dict[str, float] = {}
    for bus in reversed(order):
        straight_on = max(children[bus], key=lambda child: length[child], default=None)
        y[bus] = first_row[bus] if straight_on is None else y[straight_on]
        positions[bus] = (float(depth[bus]), -float(y[bus]))
    return n_rows[root]
