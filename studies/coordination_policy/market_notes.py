"""What was done with the readings of a market's files, as a study tells it: in words, and note by note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from g2g_opt.transmission.series import ZonalSeries
from studies.coordination_policy.answer_parts import table
from studies.shared.conclusion import Column, ResultTable
from studies.shared.task import Row

_COLUMNS = (
    Column("hour_begins", "hour that begins"),
    Column("series", "series"),
    Column("kind", "what is not as it should be"),
    Column("done", "what became of it"),
)
# Kinds of notes in the order of how much they bear on a result, and what the words for them are.
_WORDS = {
    "missing": "gaps",
    "extra": "extra readings",
    "doubled": "doubled readings",
    "stand-in": "stand-ins",
    "left out": "readings left out",
    "negative": "negative values",
    "clock change": "clock changes",
}
_SHOWN = 3


def note_rows(series: ZonalSeries, first_date: str, last_date: str) -> list[Row]:
    """A row for every note on the hours of some days, both included."""
    return [
        {"hour_begins": str(note.hour_begins), "series": note.series, "kind": note.kind, "done": note.done}
        for note in series.notes
        if first_date <= str(note.hour_begins)[:10] <= last_date
    ]


def notes_in_words(rows: Sequence[Row]) -> str:
    """What the reader has to know before the figures; empty if all readings were as they should be."""
    parts = []
    for kind, words in _WORDS.items():
        own = [row for row in rows if row["kind"] == kind]
        if not own:
            continue
        said = Counter(f"{row['series']}: {row['done']}" for row in own)
        shown = []
        for what, n in said.most_common(_SHOWN):
            hours = [row["hour_begins"] for row in own if f"{row['series']}: {row['done']}" == what]
            shown.append(f"{what} ({', '.join(hours[:2])}{f' and {n - 2} more' if n > 2 else ''})")
        more = len(said) - len(shown)
        parts.append(f"{len(own)} {words}: {'; '.join(shown)}{f'; and {more} more' if more else ''}")
    return f"Market files: {'. '.join(parts)}." if parts else ""


def note_tables(rows: Sequence[Row]) -> tuple[ResultTable, ...]:
    """The notes one by one, folded away."""
    if not rows:
        return ()
    return (table("market_notes", "What was done with the market's readings", _COLUMNS, list(rows), folded=True),)
