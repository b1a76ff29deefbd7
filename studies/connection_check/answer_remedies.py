"""What would let a refused request in, by cost: remedies that were simulated, hours at less, a controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studies.connection_check.rows import LimitedYearRow, RemedyRow, RequestRow
from studies.shared.conclusion import Chart, Column, Line, ResultTable


@dataclass(frozen=True)
class ConnectionWay:
    """One way to connect a request: the cheapest remedy of a kind that cures, or what was nearest to it."""

    kind: str
    words: str
    cures: bool
    capital_usd: float | None
    annual_usd: float | None
    limit: str
    limit_where: str
    limit_used: float | None
    n_tried: int
    edits: str = ""
    cost_parts: str = ""


_WAYS = (
    Column("kind", "remedy"),
    Column("answer", "lets it in"),
    Column("words", "what"),
    Column("annual_usd", "$ a year", 0),
    Column("capital_usd", "$ once", 0),
    Column("limit", "limit that binds then"),
    Column("limit_used", "share used", 3),
    Column("limit_where", "where and when", secondary=True),
    Column("cost_parts", "cost made of", secondary=True),
    Column("n_tried", "tried", secondary=True),
)
_REMEDIES = (
    Column("kind", "remedy"),
    Column("words", "what"),
    Column("cures", "lets it in"),
    Column("in_full", "simulated in full"),
    Column("annual_usd", "$ a year", 0),
    Column("capital_usd", "$ once", 0),
    Column("limit", "limit that binds"),
    Column("limit_used", "share used", 3),
    Column("limit_where", "where and when"),
    Column("cost_parts", "cost made of", secondary=True),
    Column("engine", "engine", secondary=True),
    Column("fault", "why not", secondary=True),
    Column("edits", "OpenDSS commands", secondary=True),
)


def cheapest_ways(
    requests: Sequence[RequestRow], remedies: Sequence[RemedyRow], years: Sequence[LimitedYearRow]
) -> list[ConnectionWay]:
    """A way of every kind: those that let the request in by their yearly cost, then the others by what they break."""
    found = [
        _of_kind([row for row in remedies if row.kind == kind]) for kind in dict.fromkeys(r.kind for r in remedies)
    ]
    if found:
        found += [_curtailed(row) for row in years]
        found += [_flexible(row) for row in requests if row.operation == "flexible"]
    return sorted(found, key=lambda way: (not way.cures, way.annual_usd or 0.0, way.limit_used or 0.0))


def _of_kind(rows: Sequence[RemedyRow]) -> ConnectionWay:
    cured = [row for row in rows if row.cures]
    judged = [row for row in rows if row.limit_used is not None]
    row = cured[0] if cured else min(judged, key=lambda one: one.limit_used or 0.0, default=rows[0])
    words = row.words or row.fault
    return ConnectionWay(
        row.kind, words, row.cures, row.capital_usd, row.annual_usd, row.limit, row.limit_where, row.limit_used,
        len([one for one in rows if one.words]), row.edits, row.cost_parts,
    )  # fmt: skip


def _curtailed(row: LimitedYearRow) -> ConnectionWay:
    if row.hours_limited is None:
        return ConnectionWay("hours at less", row.note, False, None, None, row.limit, row.limit_where, None, 1)
    words = (
        f"less than its full draw in {row.hours_limited} of {row.hours} hours, {row.least_mw:.2f} MW at the least, "
        f"{row.energy_lost_mwh:.0f} MWh a year less"
    )
    return ConnectionWay(
        "hours at less",
        words,
        True,
        0.0,
        row.annual_usd,
        row.limit,
        row.limit_where,
        None,
        1,
        cost_parts=row.cost_parts,
    )


def _flexible(row: RequestRow) -> ConnectionWay:
    words = "a controller that lowers batch sizes"
    if row.kept and row.throughput_share is not None:
        words += f"; {100 * row.throughput_share:.0f} % of the tokens are served in the hour"
    return ConnectionWay(
        "flexible operation", words, row.kept, 0.0 if row.kept else None, 0.0 if row.kept else None, row.limit,
        row.limit_where, row.limit_used, 1,
    )  # fmt: skip


def ways_table(ways: Sequence[ConnectionWay]) -> ResultTable:
    """A row for every kind."""
    rows = [{**vars(way), "answer": "yes" if way.cures else "no"} for way in ways]
    return ResultTable("ways", "What would let it in, the cheapest first", _WAYS, rows)


def remedies_table(rows: Sequence[RemedyRow]) -> ResultTable:
    """Every remedy that was simulated."""
    return ResultTable("remedies", "Every remedy that was tried", _REMEDIES, [vars(row) for row in rows], folded=True)


def ways_in_words(ways: Sequence[ConnectionWay]) -> list[str]:
    """The cheapest way in a sentence; nothing where no remedy was tried."""
    if not ways:
        return []
    cured = [way for way in ways if way.cures]
    if not cured:
        tried = ", ".join(way.kind for way in ways)
        return [f"Nothing that was tried lets it in: {tried}."]
    first = cured[0]
    more = f"; so do {', '.join(way.kind for way in cured[1:])}" if cured[1:] else ""
    return [
        f"The cheapest of what lets it in: {first.kind}, {first.words}, {first.annual_usd or 0.0:,.0f} $ a year{more}."
    ]


def ways_charts(ways: Sequence[ConnectionWay]) -> tuple[Chart, ...]:
    """Yearly cost of what lets the request in, and what binds under the rest."""
    charts = []
    cured = [way for way in ways if way.cures]
    if cured:
        line = Line("lets it in", [way.kind for way in cured], [way.annual_usd for way in cured], points=True,
                    text=[way.words for way in cured], low=[0.0] * len(cured))  # fmt: skip
        charts.append(Chart("What would let the request in", "remedy", "$ a year", (line,)))
    rest = [way for way in ways if not way.cures and way.limit_used is not None]
    if rest:
        line = Line("does not let it in", [way.kind for way in rest], [way.limit_used for way in rest], points=True,
                    text=[f"{way.words}: {way.limit}" for way in rest], low=[0.0] * len(rest))  # fmt: skip
        title = "What does not: how much of the limit is used that binds then"
        charts.append(Chart(title, "remedy", "share of the limit used", (line,), limits=(1.0,)))
    return tuple(charts)


def edit_texts(ways: Sequence[ConnectionWay]) -> Mapping[str, str]:
    """OpenDSS commands of the remedies that let the request in, to be put behind the circuit."""
    return {
        f"remedies/{way.kind.replace(' ', '_')}.dss": f"! {way.words}\n{way.edits}\n"
        for way in ways
        if way.cures and way.edits
    }
