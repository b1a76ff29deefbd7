"""What a coordination study concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Sequence

from studies.coordination_policy.answer_closed_loop import closed_loop_parts
from studies.coordination_policy.answer_day_ahead import day_ahead_parts
from studies.coordination_policy.answer_parts import AnswerParts
from studies.coordination_policy.answer_peak_hour import peak_hour_parts
from studies.coordination_policy.market_notes import note_tables, notes_in_words
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import MarketNoteRow
from studies.shared.conclusion import Conclusion, MissingAnswer
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

_PARTS = {"peak-hour": peak_hour_parts, "closed-loop": closed_loop_parts, "day-ahead": day_ahead_parts}
_OF_ZONES = (
    "voltages and reactive power: the zones are equivalents without reactive data, and 6 of their 12 limits exceed "
    "what V^2/|z| lets a line carry, so that an AC check of them means nothing; --network studies one that can be",
)
_OF_NETWORK = (
    "the network's own history: a case has none, so that every bus follows the peak hours of one of New York's zones",
    "outages, other than by the share of ratings that dispatch may use; commitment: every unit in service runs, at its "
    "least output or above, and holds its voltage",
)


def conclusion_of(question: CoordinationQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """The answer from stored rows."""
    parts: AnswerParts = _PARTS[question.kind](question, results)
    # Every task read the files that it needed: what two of them say is said once.
    notes = list(dict.fromkeys(gather_as(results, "market_notes", MarketNoteRow)))
    said = notes_in_words(notes)
    lost = tuple(MissingAnswer(result.task.label, result.failed) for result in results if result.failed)
    warnings = parts.warnings
    if question.settings == "published":
        warnings = (
            "published settings weigh lines with their reactance instead of its inverse, which makes the grid far "
            "tighter than it is: figures compare with the published study, not with a grid",
            *warnings,
        )
    return Conclusion(
        title=f"Coordination of a grid and its datacenters, {question.kind.replace('-', ' ')}",
        answer=f"{parts.answer}\n{said}" if said else parts.answer,
        feeder="",
        tables=(*parts.tables, *note_tables(notes)),
        charts=parts.charts,
        texts=parts.texts,
        failures=(*lost, *parts.failures),
        warnings=warnings,
        not_assessed=(
            *(_OF_NETWORK if question.network else _OF_ZONES),
            *(() if question.market_files or question.network else ("metered load: the series is day-ahead bids",)),
            "what it costs users that their tasks run farther away",
        ),
    )
