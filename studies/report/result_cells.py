"""Cells of a `ResultTable` as the report page shows and sorts them; the table as HTML and as data for its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from studies.report.plain_values import json_in_page, plain_value
from studies.shared.conclusion import Column, ResultTable

# Rows on one page of a table, rows from which a filter box helps, and rows that a browser still sorts at once.
ROWS_PER_PAGE = 100
ROWS_FOR_FILTER = 10
ROWS_ON_PAGE_MAX = 50_000
MISSING = "–"
# Characters from which a text gets a wide column rather than a tall row.
_LONG_TEXT = 24

Cell = float | int | str | None


@dataclass(frozen=True)
class ShownTable:
    """A table ready for the page: figures rounded as its columns say, everything else as text, missing as None."""

    title: str
    columns: tuple[Column, ...]
    numeric: tuple[bool, ...]
    wordy: tuple[bool, ...]
    rows: list[list[Cell]]
    n_rows: int
    file: str
    folded: bool


def shown_table(table: ResultTable, file: str = "") -> ShownTable:
    """The cells of a table; `file` names the CSV file that has all of it, unrounded."""
    rows = [[_cell(row.get(column.name), column) for column in table.columns] for row in table.rows[:ROWS_ON_PAGE_MAX]]
    numeric = tuple(
        any(row[k] is not None for row in rows) and not any(isinstance(row[k], str) for row in rows)
        for k in range(len(table.columns))
    )
    for row in rows:
        for k, cell in enumerate(row):
            if cell is not None and not numeric[k]:
                row[k] = str(cell)
    wordy = tuple(
        any(isinstance(row[k], str) and len(str(row[k])) > _LONG_TEXT for row in rows)
        for k in range(len(table.columns))
    )
    return ShownTable(table.title, table.columns, numeric, wordy, rows, len(table.rows), file, table.folded)


def _cell(value: Any, column: Column) -> Cell:
    value = plain_value(value)
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and column.digits is not None:
        # Minus zero is what a small negative figure rounds to.
        return round(value, column.digits) + 0.0
    if isinstance(value, int | float):
        return value
    if isinstance(value, list):
        return ", ".join(MISSING if item is None else str(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def cell_text(cell: Cell, column: Column, numeric: bool) -> str:
    """A cell for people; the page's script writes the cells of further pages in the same way."""
    if cell is None:
        return MISSING
    if numeric and column.digits is not None:
        return f"{float(cell):.{column.digits}f}"
    return str(cell)


def table_data(table: ShownTable) -> str:
    """The table for the page's script: rows as arrays, for each column its digits and whether it holds numbers."""
    return json_in_page(
        {
            "columns": [
                {"digits": column.digits, "numeric": numeric}
                for column, numeric in zip(table.columns, table.numeric, strict=True)
            ],
            "rows": table.rows,
            "rowsPerPage": ROWS_PER_PAGE,
        }
    )


def table_html(table: ShownTable) -> str:
    """The table as HTML with the rows of its first page, which is all that a browser without scripts shows."""
    shown = table.rows[:ROWS_PER_PAGE]
    body = "\n".join(_row_html(row, table) for row in shown)
    head = "".join(
        f'<th scope="col" aria-sort="none"{_class(numeric, wordy)}><button type="button" title="Sort by this column">'
        f"{escape(column.title)}</button></th>"
        for column, numeric, wordy in zip(table.columns, table.numeric, table.wordy, strict=True)
    )
    if not table.rows:
        body = f'<tr><td class="none" colspan="{max(1, len(table.columns))}">no rows</td></tr>'
    return f"""<figure class="table">
{_title_html(table)}{_tools_html(table, len(shown))}
<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title or "table")}">
<table><thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table>
</div>
{_notes_html(table, len(shown))}
<script type="application/json">{table_data(table)}</script>
</figure>"""


def _class(numeric: bool, wordy: bool = False) -> str:
    return ' class="number"' if numeric else ' class="words"' if wordy else ""


def _row_html(row: Sequence[Cell], table: ShownTable) -> str:
    cells = zip(row, table.columns, table.numeric, strict=True)
    return (
        "<tr>"
        + "".join(
            f"<td{_class(numeric)}>{escape(cell_text(cell, column, numeric))}</td>" for cell, column, numeric in cells
        )
        + "</tr>"
    )


def _title_html(table: ShownTable) -> str:
    return f"<figcaption>{escape(table.title)}</figcaption>" if table.title and not table.folded else ""


def _tools_html(table: ShownTable, n_shown: int) -> str:
    if len(table.rows) < ROWS_FOR_FILTER:
        return ""
    count = f"{len(table.rows):,} rows" if n_shown == len(table.rows) else f"rows 1 to {n_shown} of {len(table.rows):,}"
    pager = (
        '<span class="pager scripted"><button type="button" data-step="-1">Previous</button>'
        '<button type="button" data-step="1">Next</button></span>'
        if len(table.rows) > ROWS_PER_PAGE
        else ""
    )
    return (
        '<div class="tools"><label class="scripted">Filter '
        '<input type="search" placeholder="words in any column" autocomplete="off" spellcheck="false"></label>'
        f'<span class="count" aria-live="polite">{count}</span>{pager}</div>'
    )


def _notes_html(table: ShownTable, n_shown: int) -> str:
    notes = []
    if table.n_rows > len(table.rows):
        notes.append(f"This page holds the first {len(table.rows):,} of {table.n_rows:,} rows.")
    elif n_shown < len(table.rows):
        notes.append(f"{ROWS_PER_PAGE} rows at a time; sorting and the filter reach all {len(table.rows):,}.")
    if table.file:
        what = "All rows, figures unrounded" if notes else "Figures unrounded"
        notes.append(f"{what}: <code>{escape(table.file)}</code>")
    return f'<p class="note">{" ".join(notes)}</p>' if notes else ""
