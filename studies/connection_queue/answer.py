"""The conclusion of a queue: what every request was granted, what binds, and what would cure the refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from g2g_opt.errors import listed, number_of
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from studies.connection_queue.granting import Decision
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import columns_left_aside
from studies.connection_queue.rows import QueueEventRow, QueueRemedyRow, QueueRow, QueueYearRow
from studies.shared.conclusion import Chart, Column, Conclusion, FeederMap, Line, MissingAnswer, ResultTable
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import gather_as

# Columns left aside that are named.
_COLUMNS_SHOWN = 20
_QUEUE = (
    Column("request", "request"),
    Column("arrived", "came"),
    Column("bus", "bus"),
    Column("mw", "MW", 2),
    Column("decision", "granted"),
    Column("granted_mw", "MW by level of own load"),
    Column("peak_mw", "most drawn, MW by level", secondary=True),
    Column("limit", "limit"),
    Column("limit_level", "at level of own load", 2),
    Column("limit_where", "where and when", secondary=True),
    Column("limit_used", "share used", 3, secondary=True),
    Column("largest_mw", "MW that would fit firm", 2),
    Column("cure", "cheapest cure"),
    Column("cure_annual_usd", "its $ a year", 0, secondary=True),
    Column("decided", "decided", secondary=True),
    Column("freed_by", "freed by the withdrawal of"),
    Column("withdrawn", "withdrawn"),
    Column("load_shape", "load shape", secondary=True),
    Column("scenario", "scenario", secondary=True),
    Column("engine", "engine", secondary=True),
)
_EVENTS = (
    Column("number", "number"),
    Column("day", "day"),
    Column("request", "request"),
    Column("event", "what happened"),
    Column("granted_mw", "MW granted afterwards", 2),
)
_YEARS = (
    Column("year", "year"),
    Column("own_load_share", "own load", 3),
    Column("n_granted", "sites"),
    Column("granted_mw", "MW granted", 2),
    Column("kept", "keeps every limit"),
    Column("limit", "nearest limit"),
    Column("limit_used", "share used", 3),
    Column("limit_where", "where and when", secondary=True),
)
_REMEDIES = (
    Column("request", "request"),
    Column("kind", "remedy"),
    Column("words", "what"),
    Column("cures", "lets it in"),
    Column("annual_usd", "$ a year", 0),
    Column("limit", "limit that binds then"),
    Column("limit_used", "share used", 3),
    Column("cost_parts", "cost made of", secondary=True),
    Column("edits", "OpenDSS commands", secondary=True),
    Column("fault", "why not", secondary=True),
)


def conclusion_of(study: ConnectionQueueQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """The answer from stored results alone."""
    rows, remedies = gather_as(results, "queue", QueueRow), gather_as(results, "remedies", QueueRemedyRow)
    events, years = gather_as(results, "queue_events", QueueEventRow), gather_as(results, "queue_years", QueueYearRow)
    tables = [
        ResultTable("queue", "The queue", _QUEUE, [_shown(row, remedies) for row in rows]),
        ResultTable("years", "The grid at the end of each year", _YEARS, [vars(row) for row in years]),
        ResultTable("events", "What happened, in order", _EVENTS, [vars(row) for row in events], folded=True),
    ]
    if remedies:
        shown = [vars(row) for row in remedies]
        tables.append(ResultTable("remedies", "Remedies tried for refused requests", _REMEDIES, shown, folded=True))
    granted: dict[str, float] = {}
    for row in rows:
        if row.mw_by_level and not row.withdrawn:
            granted[row.bus] = granted.get(row.bus, 0.0) + row.mw_by_level[0]
    return Conclusion(
        title=f"Queue of {number_of(len(rows), 'request')} on {study.feeder}",
        answer=_answer(rows, years, remedies),
        feeder=study.feeder,
        tables=tuple(tables),
        maps=(FeederMap("granted", "MW", granted),) if granted else (),
        charts=_charts(rows, events, years),
        failures=tuple(MissingAnswer(result.task.label, result.failed) for result in results if result.failed),
        warnings=tuple(
            f"in {row.year} the grid with what was granted breaks a limit at the level {row.limit_level:g} of own "
            f"load: {row.limit} ({row.limit_where})"
            for row in years
            if not row.kept
        ),
        not_assessed=_not_assessed(study),
    )


def _shown(row: QueueRow, remedies: Sequence[QueueRemedyRow]) -> Row:
    cure = next((one for one in remedies if one.request == row.request and one.cures), None)
    tried = any(one.request == row.request for one in remedies)
    words = f"{cure.kind}: {cure.words}" if cure is not None else "none of those tried" if tried else ""
    return {
        **vars(row),
        "granted_mw": ", ".join(f"{mw:.2f}" for mw in row.mw_by_level),
        "peak_mw": ", ".join(f"{mw:.3f}" for mw in row.peak_mw_by_level),
        # None of the sizes tried fitted: smaller ones than the least of a limited profile may.
        "largest_mw": (row.largest_mw or None) if row.decision == "refused" else None,
        "cure": words,
        "cure_annual_usd": cure.annual_usd if cure is not None else None,
    }


def _answer(rows: Sequence[QueueRow], years: Sequence[QueueYearRow], remedies: Sequence[QueueRemedyRow]) -> str:
    if not rows:
        return "The queue has no answer: its task failed."
    counts = Counter(row.decision for row in rows)
    granted = len(rows) - counts["refused"]
    kinds = [f"{counts[word]} {word}" for word in get_args(Decision) if counts[word] and word != "refused"]
    how = f" ({', '.join(kinds)})" if len(kinds) > 1 else "".join(f" {kind.split()[1]}" for kind in kinds)
    words = f"Of {number_of(len(rows), 'request')} {granted or 'none'} {'was' if granted < 2 else 'were'} granted{how} "
    words += f"and {counts['refused'] or 'none'} refused"
    if years:
        words += f"; {years[-1].granted_mw:.2f} MW are on the grid at the end of {years[-1].year}"
    freed = [row for row in rows if row.freed_by]
    if freed:
        words += f"; withdrawals let {len(freed)} in"
    asked = {row.request for row in remedies}
    if asked:
        cured = {row.request for row in remedies if row.cures}
        words += f"; remedies were tried for {len(asked)} of those refused, and cure {len(cured) or 'none'}"
    first = next((row for row in rows if row.decision == "refused"), None)
    if first is not None:
        words += f". The first refusal is {first.request}, {first.mw:g} MW at {first.bus}: {first.limit} at the level "
        words += f"{first.limit_level:g} of own load "
        words += f"({'; '.join(part for part in (first.limit_where, first.scenario) if part)})"
    return words + "."


def _charts(
    rows: Sequence[QueueRow], events: Sequence[QueueEventRow], years: Sequence[QueueYearRow]
) -> tuple[Chart, ...]:
    steps = Line("granted", [row.number for row in events], [row.granted_mw for row in events])
    found = [Chart("MW granted as the queue is worked off", "arrivals and withdrawals, in order", "MW", (steps,))]
    lines = [
        Line(decision, [k for k, row in enumerate(rows, 1) if row.decision == decision],
             [row.mw for row in rows if row.decision == decision], points=True,
             text=[f"{row.request} at {row.bus}" for row in rows if row.decision == decision])
        for decision in dict.fromkeys(row.decision for row in rows)
    ]  # fmt: skip
    found.append(Chart("What requests were granted", "place in the queue", "MW asked for", tuple(lines)))
    known = [row for row in years if row.limit_used is not None]
    if known:
        line = Line("nearest limit", [row.year for row in known], [row.limit_used for row in known], points=True)
        title = "How much of the nearest limit is used at the end of each year"
        found.append(Chart(title, "year", "share of the limit used", (line,), limits=(1.0,)))
    return tuple(found)


def _not_assessed(study: ConnectionQueueQuestion) -> tuple[str, ...]:
    levels = ", ".join(f"{level:g}" for level in study.levels)
    aside = columns_left_aside(study.requests)
    return (
        *([f"columns of the requests that nothing is read from: {listed(aside, _COLUMNS_SHOWN)}"] if aside else []),
        *loading_notes(study.load_feeder(), study.limits),
        *unassessed_notes(study.load_feeder()),
        f"levels of own load other than {levels} of what the data have, and sun other than the scenario's",
        f"sizes below {study.limited_share_min:g} of the MW asked for (--limited-min): where nothing is said to fit "
        "firm, smaller ones may",
        "better terms for those that were granted flexible or limited, when another one is withdrawn",
        f"remedies beyond the first {study.cures} refused requests (--cures), and several together",
        "outages: firm means without flexible operation, on the intact feeder; it does not mean N-1",
        "protection against faults, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    )
