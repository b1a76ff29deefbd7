"""What was done with the readings of a market's files, as a study tells it: in words, and note by note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from g2g_opt.transmission.series import ZonalSeries
from studies.coordination_policy.rows import MarketNoteRow
from studies.shared.conclusion import ResultTable
from studies.shared.typed_rows import columns_of, table_of

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


def note_rows(series: ZonalSeries, first_date: str, last_date: str) -> list[MarketNoteRow]:
    """A row for every note on the hours of some days, both included."""
    return [
        MarketNoteRow(str(note.hour_begins), note.series, note.kind, note.done)
        for note in series.notes
        if first_date <= str(note.hour_begins)[:10] <= last_date
    ]


def notes_in_words(rows: Sequence[MarketNoteRow]) -> str:
    """What the reader has to know before the figures; empty if all readings were as they should be."""
    parts = []
    for kind, words in _WORDS.items():
        own = [row for row in rows if row.kind == kind]
        if not own:
            continue
        said = Counter(f"{row.series}: {row.done}" for row in own)
        shown = []
        for what, n in said.most_common(_SHOWN):
            hours = [row.hour_begins for row in own if f"{row.series}: {row.done}" == what]
            shown.append(f"{what} ({', '.join(hours[:2])}{f' and {n - 2} more' if n > 2 else ''})")
        more = len(said) - len(shown)
        parts.append(f"{len(own)} {words}: {'; '.join(shown)}{f'; and {more} more' if more else ''}")
    return f"Market files: {'. '.join(parts)}." if parts else ""


def note_tables(rows: Sequence[MarketNoteRow]) -> tuple[ResultTable, ...]:
    """The notes one by one, folded away."""
    if not rows:
        return ()
    title = "What was done with the market's readings"
    return (table_of("market_notes", title, columns_of(MarketNoteRow), rows, folded=True),)
