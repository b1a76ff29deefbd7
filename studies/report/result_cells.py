"""Cells of a `ResultTable` as the report page shows and sorts them; the table as HTML and as data for its script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from studies.report.plain_values import MISSING, in_short, json_in_page, plain_value
from studies.shared.conclusion import Column, ResultTable

# Rows on one page of a table, rows from which a filter box helps, and rows that a browser still sorts at once.
ROWS_PER_PAGE = 100
ROWS_FOR_FILTER = 10
ROWS_ON_PAGE_MAX = 50_000
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
    # On a screen only when the reader asks for all columns: what a study calls secondary, and columns without a cell.
    secondary: tuple[bool, ...]
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
    secondary = tuple(
        column.secondary or (bool(rows) and all(row[k] is None for row in rows))
        for k, column in enumerate(table.columns)
    )
    return ShownTable(table.title, table.columns, numeric, wordy, secondary, rows, len(table.rows), file, table.folded)


def _cell(value: Any, column: Column) -> Cell:
    value = plain_value(value)
    if value is None or value == "":
        return None
    if isinstance(value, float) and column.digits is not None:
        # Minus zero is what a small negative figure rounds to.
        return round(value, column.digits) + 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return in_short(value)


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
                {"digits": column.digits, "numeric": numeric, "secondary": secondary}
                for column, numeric, secondary in zip(table.columns, table.numeric, table.secondary, strict=True)
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
        f'<th scope="col" aria-sort="none"{_class(numeric, wordy, secondary)}>'
        f'<button type="button" title="Sort by this column">{escape(column.title)}</button></th>'
        for column, numeric, wordy, secondary in zip(
            table.columns, table.numeric, table.wordy, table.secondary, strict=True
        )
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


def _class(numeric: bool, wordy: bool = False, secondary: bool = False) -> str:
    names = (("number", numeric), ("words", wordy and not numeric), ("secondary", secondary))
    said = " ".join(name for name, is_so in names if is_so)
    return f' class="{said}"' if said else ""


def _row_html(row: Sequence[Cell], table: ShownTable) -> str:
    cells = zip(row, table.columns, table.numeric, table.secondary, strict=True)
    return (
        "<tr>"
        + "".join(
            f"<td{_class(numeric, secondary=secondary)}>{escape(cell_text(cell, column, numeric))}</td>"
            for cell, column, numeric, secondary in cells
        )
        + "</tr>"
    )


def _title_html(table: ShownTable) -> str:
    return f"<figcaption>{escape(table.title)}</figcaption>" if table.title and not table.folded else ""


def _tools_html(table: ShownTable, n_shown: int) -> str:
    tools = ""
    if len(table.rows) >= ROWS_FOR_FILTER:
        every_row = n_shown == len(table.rows)
        count = f"{len(table.rows):,} rows" if every_row else f"rows 1 to {n_shown} of {len(table.rows):,}"
        tools += (
            '<label class="scripted">Filter '
            '<input type="search" placeholder="words in any column" autocomplete="off" spellcheck="false"></label>'
            f'<span class="count" aria-live="polite">{count}</span>'
        )
    if any(table.secondary):
        tools += f'<label class="scripted"><input type="checkbox">all {len(table.columns)} columns</label>'
    if len(table.rows) > ROWS_PER_PAGE:
        tools += (
            '<span class="pager scripted"><button type="button" data-step="-1">Previous</button>'
            '<button type="button" data-step="1">Next</button></span>'
        )
    return f'<div class="tools">{tools}</div>' if tools else ""


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
