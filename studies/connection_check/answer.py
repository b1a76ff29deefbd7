"""The conclusion of a connection check: yes or no, what binds, and what would let the request in."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from studies.connection_check.answer_remedies import (
    cheapest_ways,
    edit_texts,
    remedies_table,
    ways_charts,
    ways_in_words,
    ways_table,
)
from studies.connection_check.answer_year import profile_charts, profile_table, year_in_words
from studies.connection_check.question import ConnectionCheckQuestion
from studies.connection_check.rows import (
    CheckedLimitRow,
    LimitedYearRow,
    RemedyRow,
    RequestRow,
    RequestRun,
    TriedSizeRow,
)
from studies.load_profile.rows import FleetCellRow
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import Chart, Column, Conclusion, Envelope, Line, MissingAnswer, ResultTable
from studies.shared.envelopes import envelope_of
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

_REQUESTS = (
    Column("operation", "operation"),
    Column("answer", "answer"),
    Column("margin_mw", "margin MW", 2),
    Column("largest_mw", "largest MW that fits", 2),
    Column("limit", "limit broken most, or moved nearest"),
    Column("limit_where", "where and when"),
    Column("limit_used", "share of it used", 3),
    Column("limit_used_before", "without the site", 3),
    Column("base_limit", "nearest limit without the site"),
    Column("base_limit_used", "share of it used", 3, secondary=True),
    Column("base_limit_where", "where and when", secondary=True),
    Column("n_gpus", "GPUs"),
    Column("cap_mw", "cap MW", 2),
    Column("power_peak_mw", "peak MW simulated", 2),
    Column("power_mean_mw", "mean MW", 2, secondary=True),
    Column("throughput_share", "tokens share", 3),
    Column("lowest_pu", "lowest pu", 4, secondary=True),
    Column("highest_pu", "highest pu", 4, secondary=True),
    Column("loading_pu", "highest loading", 3, secondary=True),
    Column("scenario", "scenario", secondary=True),
    Column("engine", "engine", secondary=True),
    Column("broken", "everything that is broken", secondary=True),
    Column("note", "note", secondary=True),
    Column("next_limit", "limit that stops the next size", secondary=True),
    Column("next_limit_where", "where", secondary=True),
)
_LIMITS = (
    Column("operation", "operation"),
    Column("scenario", "scenario"),
    Column("limit", "limit"),
    Column("value", "value", 4),
    Column("allowed", "allowed", 4),
    Column("used", "share used", 3),
    Column("kept", "kept"),
    Column("where", "where and when"),
)


def conclusion_of(
    study: ConnectionCheckQuestion, results: Sequence[TaskResult], made_under: Limits | None = None
) -> Conclusion:
    """The answer from stored results alone; `made_under` are the limits of the search, where they were others."""
    requests = gather_as(results, "requests", RequestRow)
    runs = [run for run in gather_as(results, "runs", RequestRun) if run.asked]
    tables = [
        ResultTable("requests", "The request", _REQUESTS, [_shown(row) for row in requests]),
        ResultTable("limits", "Every limit of the size that was asked for", _LIMITS,
                    [vars(row) for row in gather_as(results, "limits", CheckedLimitRow)], folded=True),
    ]  # fmt: skip
    remedies, years = gather_as(results, "remedies", RemedyRow), gather_as(results, "limited_years", LimitedYearRow)
    ways = cheapest_ways(requests, remedies, years)
    if ways:
        tables.insert(1, ways_table(ways))
        tables.append(remedies_table(remedies))
    profile = gather_as(results, "profile", FleetCellRow)
    if profile:
        tables.append(profile_table(profile))
    return Conclusion(
        title=f"{study.mw:g} MW at bus {study.bus} of {study.feeder}: {', '.join(study.models)} on {study.gpu}",
        answer=" ".join([_answer(study, requests), *ways_in_words(ways), *year_in_words(years)]),
        feeder=study.feeder,
        tables=tuple(tables),
        envelopes=tuple(_envelopes(study, runs)),
        charts=(
            _size_chart(study, gather_as(results, "sizes", TriedSizeRow)),
            *ways_charts(ways),
            *profile_charts(study, profile),
            scenario_chart(study.scenarios("flexible"), study.load_feeder()),
        ),
        texts=edit_texts(ways),
        failures=(
            *(MissingAnswer(result.task.label, result.failed) for result in results if result.failed),
            *([] if made_under is None else [MissingAnswer("remedies and the limited profile", _SEARCHED_UNDER)]),
        ),
        not_assessed=_not_assessed(study),
    )


_SEARCHED_UNDER = "they were searched under the limits of the runs: ask the question anew under these"


def _shown(row: RequestRow) -> dict[str, object]:
    return {**vars(row), "answer": "yes" if row.kept else "no"}


def _answer(study: ConnectionCheckQuestion, requests: Sequence[RequestRow]) -> str:
    if not requests:
        return "The request has no answer: its task failed."
    return " ".join(_sentence(row) for row in requests)


def _sentence(row: RequestRow) -> str:
    words = f"{row.operation.capitalize()}: {'yes' if row.kept else 'no'}, {row.mw:g} MW at bus {row.bus} "
    if row.kept:
        words += "keep every limit; "
        if row.limit:
            words += f"the one that they bring nearest is {row.limit}, {_percent(row.limit_used)} used"
            words += f" and {_percent(row.limit_used_before)} without them"
        else:
            words += "they move none that is counted by its share"
    elif row.above_cap and not row.broken:
        words += f"are not its cap: it would draw {row.power_peak_mw:.2f} MW"
    else:
        words += f"break {row.limit or 'the power flow'}"
    words += f" ({row.limit_where})" if row.limit_where else ""
    if row.kept and row.cap_mw is not None and row.power_peak_mw is not None:
        words += f"; granted up to {row.cap_mw:.2f} MW, of which it draws {row.power_peak_mw:.2f} at the most"
    if row.kept and row.base_limit:
        words += f"; without them the circuit is nearest to {row.base_limit}, {_percent(row.base_limit_used)} used"
    if row.base_breaks:
        words += ", which the circuit breaks without any site, too"
    if row.largest_mw is None:
        return f"{words}; no size that was tried fits."
    if row.at_search_end:
        words += f"; {row.largest_mw:.2f} MW, where the search ended, still fit"
    else:
        more = row.margin_mw or 0.0
        words += f"; {row.largest_mw:.2f} MW fit, {abs(more):.2f} MW {'more' if more >= 0 else 'less'} than asked"
    if row.gaps_mw:
        words += f", but not all smaller sizes: of those tried {row.gaps_mw} MW do not"
        words += f", all up to {row.held_up_to_mw:.2f} MW do" if row.held_up_to_mw else ""
    return f"{words}."


def _percent(share: float | None) -> str:
    return f"{100.0 * (share or 0.0):.0f} %"


def _size_chart(study: ConnectionCheckQuestion, rows: Sequence[TriedSizeRow]) -> Chart:
    lines = []
    for operation in dict.fromkeys(row.operation for row in rows):
        found = [row for row in rows if row.operation == operation and row.power_peak_mw is not None]
        known = [row for row in found if row.limit_used is not None]
        mw, used = [row.power_peak_mw for row in known], [row.limit_used for row in known]
        lines.append(Line(operation, mw, used, points=True, text=[row.limit for row in known]))
    return Chart(
        f"How much of the limit that binds sizes at bus {study.bus} use up",
        "peak MW simulated",
        "share of the limit used (1: at it)",
        tuple(lines),
        limits=(1.0,),
    )


def _envelopes(study: ConnectionCheckQuestion, runs: Sequence[RequestRun]) -> list[Envelope]:
    found = []
    for operation in dict.fromkeys(run.operation for run in runs):
        of = [run for run in runs if run.operation == operation and run.failure_kind is None]
        of = [run for run in of if run.nodes == of[0].nodes]
        if of:
            found.append(envelope_of(f"{study.bus}, {study.mw:g} MW {operation}", of, study.limits))
    return found


def _not_assessed(study: ConnectionCheckQuestion) -> tuple[str, ...]:
    low, high = study.utilisation
    notes = load_profile(study.year).calendar_notes() if study.year is not None else []
    return (
        *notes,
        "costs of remedies are unit costs of a table (data/remedies/costs.csv unless --costs gave another): planning "
        "figures of the right order, which a utility replaces by its own; several remedies together were not tried",
        *loading_notes(study.load_feeder(), study.limits),
        *unassessed_notes(study.load_feeder()),
        "outages: firm means without flexible operation, on the intact feeder; it does not mean N-1",
        f"draws that do not follow the scenario or the way from {low:g} to {high:g} of the replicas and back within "
        "an hour, e.g. faster ramps",
        "protection against faults, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    )
