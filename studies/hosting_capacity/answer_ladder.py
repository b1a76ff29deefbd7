"""The ladder of limits and the front of MW against tokens: tables, charts and words, from rows."""

from __future__ import annotations

from collections.abc import Sequence

from studies.hosting_capacity.ladder import RUNGS
from studies.hosting_capacity.rows import CapacityRow, JudgedSizeRow, RungEnd, RungRow
from studies.shared.conclusion import Chart, Line, ResultTable, first_words
from studies.shared.typed_rows import columns_of, table_of

# Charts with more places than this say nothing.
_PLACES_MAX = 24


def tokens_in_words(row: CapacityRow) -> str:
    """Tokens of an answer, per second and per year."""
    tps = row.throughput_tps or 0.0
    a_year = row.trillion_tokens_per_year or 0.0
    return f"{tps / 1e3:,.0f} thousand tokens/s, or {a_year:,.1f} trillion a year at this rate"


# --- the ladder


def ladder_table(rows: Sequence[RungRow]) -> ResultTable:
    """Every rung of every place, the lowest first."""
    judged = [row for row in rows if row.end is not RungEnd.NOT_JUDGED]
    places = list(dict.fromkeys((row.bus, row.operation) for row in rows))
    judged.sort(key=lambda row: (places.index((row.bus, row.operation)), *_height(row)))
    return table_of("ladder", "Each limit alone: the MW at which it begins to bind", columns_of(RungRow), judged)


def _height(row: RungRow) -> tuple[bool, bool, float]:
    """Rungs that bind come first, by their MW; what is not judged last."""
    return row.end is RungEnd.NOT_JUDGED, row.end is not RungEnd.BINDS, row.power_peak_mw or 0.0


def ladder_in_words(rows: Sequence[RungRow]) -> str:
    """The rungs of one place, lowest first: "line loading from 7.30 MW (line.650632), voltage from 9.21 MW"."""
    parts, unreached, ends = [], [], ""
    for row in sorted(rows, key=_height):
        if row.end is RungEnd.BINDS:
            at = f"{row.power_peak_mw:.2f} MW" if row.power_peak_mw is not None else "the smallest site"
            parts.append(f"{row.criterion} from {at}")
        elif row.end is not RungEnd.NOT_JUDGED and row.power_peak_mw is not None:
            unreached.append(row.criterion)
            ends = f"{row.end}, up to {row.power_peak_mw:.2f} MW: "
    if unreached:
        parts.append(ends + ", ".join(unreached))
    if unjudged := [row.criterion for row in rows if row.end is RungEnd.NOT_JUDGED]:
        parts.append(f"not judged: {', '.join(unjudged)}")
    return "; ".join(parts)


def ladder_charts(rows: Sequence[RungRow]) -> list[Chart]:
    """The rungs that bind: of one place by limit, operations together; of several by place, a chart per operation."""
    binding = [row for row in rows if row.end is RungEnd.BINDS]
    if len({row.bus for row in binding}) == 1:
        return [_ladder_of_one_place(binding)]
    charts = []
    for operation in ("firm", "flexible"):
        found = [row for row in binding if row.operation == operation]
        known = list(dict.fromkeys(row.bus for row in found))
        places = known[:_PLACES_MAX]
        lines = []
        for criterion in RUNGS:
            at = {row.bus: row for row in found if row.criterion == criterion and row.bus in places}
            if at:
                y = [_power_peak_mw(at[place]) if place in at else None for place in places]
                text = [at[place].limit_where if place in at else "" for place in places]
                lines.append(Line(criterion, places, y, True, text))
        if lines:
            part = first_words(len(known), _PLACES_MAX, "places")
            title = f"Ladder of limits, {operation}: where each begins to bind alone{part}"
            charts.append(Chart(title, "bus", "peak power (MW)", tuple(lines)))
    return charts


def _ladder_of_one_place(binding: Sequence[RungRow]) -> Chart:
    criteria = list(dict.fromkeys(row.criterion for row in sorted(binding, key=_power_peak_mw)))
    lines = []
    for operation in dict.fromkeys(row.operation for row in binding):
        at = {row.criterion: row for row in binding if row.operation == operation}
        y = [_power_peak_mw(at[criterion]) if criterion in at else None for criterion in criteria]
        text = [at[criterion].limit_where if criterion in at else "" for criterion in criteria]
        lines.append(Line(operation, [str(criterion) for criterion in criteria], y, True, text))
    title = f"Ladder of limits at {binding[0].bus}: where each begins to bind alone"
    return Chart(title, "limit", "peak power (MW)", tuple(lines))


# --- MW against tokens


def front_points(judged: Sequence[JudgedSizeRow]) -> dict[str, list[JudgedSizeRow]]:
    """For every place the sizes kept than which no other has both more MW and more tokens, by rising MW.

    Firm and flexible ones together; a size that was judged under several floors of tokens counts once.
    """
    kept: dict[str, dict[tuple[str, int], JudgedSizeRow]] = {}
    for row in judged:
        if row.kept and row.throughput_tps is not None and row.first_n_servers is None:
            kept.setdefault(row.bus, {})[row.operation, row.n_servers] = row
    found: dict[str, list[JudgedSizeRow]] = {}
    for place, sizes in kept.items():
        front: list[JudgedSizeRow] = []
        for row in sorted(sizes.values(), key=lambda r: (_power_peak_mw(r), r.throughput_tps or 0.0), reverse=True):
            if not front or (row.throughput_tps or 0.0) > (front[-1].throughput_tps or 0.0):
                front.append(row)
        found[place] = front[::-1]
    return found


def front_table(judged: Sequence[JudgedSizeRow]) -> ResultTable:
    """The points of the front."""
    columns = columns_of(
        JudgedSizeRow, "bus operation power_peak_mw power_operating_mw n_gpus throughput_tps throughput_share"
    )
    rows = [row for front in front_points(judged).values() for row in front]
    return table_of("front", "MW against tokens: sizes that keep the limits and are not beaten in both", columns, rows)


def front_chart(judged: Sequence[JudgedSizeRow]) -> Chart:
    """The front of every place; of one place alone all sizes that keep the limits, by operation."""
    by_place = front_points(judged)
    fronts = list(by_place.items())[:_PLACES_MAX]
    if len(fronts) == 1:
        kept = {
            (row.operation, row.n_servers): row
            for row in judged
            if row.kept and row.power_peak_mw is not None and row.first_n_servers is None
        }
        operations = dict.fromkeys(row.operation for row in kept.values())
        fronts = [
            (operation, sorted((row for row in kept.values() if row.operation == operation), key=_power_peak_mw))
            for operation in operations
        ]
    lines = [
        Line(
            name,
            [row.power_peak_mw for row in points],
            [row.throughput_tps for row in points],
            text=[f"{row.operation}, {row.n_gpus} GPUs" for row in points],
        )
        for name, points in fronts
    ]
    title = f"MW against tokens: sizes that keep the limits{first_words(len(by_place), _PLACES_MAX, 'places')}"
    return Chart(title, "peak power (MW)", "tokens/s", tuple(lines))


def _power_peak_mw(row: JudgedSizeRow | RungRow) -> float:
    return row.power_peak_mw or 0.0
