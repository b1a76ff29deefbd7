"""The tables of a conclusion as one workbook for spreadsheets (.xlsx): a sheet each, numbers as numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from studies.report.atomic_file import replacing
from studies.report.plain_values import plain_value
from studies.shared.conclusion import Column, Conclusion, ResultTable

# Rows of a sheet: more take a spreadsheet long to open; the CSV has all of them.
ROWS_MAX = 100_000
# What the format holds: characters of a cell, and of a sheet's name.
_CELL_MAX, _NAME_MAX = 32_767, 31
_NO_SHEET_NAME = re.compile(r"[\[\]:*?/\\]")
_WIDTHS = (8, 60)
# Rows by which the width of a column is judged.
_ROWS_LOOKED_AT = 200
# How names of columns end, and the unit that means.
_UNITS = {
    "_pu_s": "pu s", "_pu_h": "pu h", "_pu": "pu", "_mw": "MW", "_kw": "kW", "_kwh": "kWh", "_mwh": "MWh",
    "_gwh": "GWh", "_s": "s", "_h": "h", "_min": "min", "_tps": "tokens/s", "_km": "km", "_share": "share",
}  # fmt: skip


def write_workbook(conclusion: Conclusion, created: datetime, path: Path) -> Path:
    """Write the answer with what qualifies it, and each table on a sheet of its own, to `path`; returns it.

    Figures have 16 digits and are shown rounded, missing ones are empty, texts are texts whatever they begin with.
    Titles of columns carry the units, and stay in view. `created` makes the same study the same file.
    """
    # Nothing is read into a text: no formulas, links or numbers are made of what a stranger's file may hold.
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with replacing(path) as scratch, xlsxwriter.Workbook(str(scratch), options) as book:
        book.set_properties({"title": _text(conclusion.title), "created": created.replace(tzinfo=None)})
        taken: set[str] = set()
        _write_answer(book, conclusion, _sheet_name("answer", taken))
        for table in conclusion.tables:
            _write_table(book, table, _sheet_name(table.name, taken))
    return path


def title_with_unit(column: Column) -> str:
    """A column's title with the unit in which its name ends, unless the title has it."""
    for ending, unit in _UNITS.items():
        if column.name.endswith(ending):
            named = re.search(rf"(?<![\w/]){re.escape(unit)}(?![\w/])", column.title)
            return column.title if named else f"{column.title} ({unit})"
    return column.title


def _write_answer(book: xlsxwriter.Workbook, conclusion: Conclusion, name: str) -> None:
    sheet = book.add_worksheet(name)
    wrapped, bold = book.add_format({"text_wrap": True, "valign": "top"}), book.add_format({"bold": True})
    sheet.set_column(0, 0, 16)
    sheet.set_column(1, 1, 110)
    rows = [
        ("study", conclusion.title),
        *(("answer", part) for part in conclusion.answer.splitlines() if part.strip()),
        *(("warning", words) for words in conclusion.warnings),
        *(("no answer", f"{failure.what}: {failure.reason}") for failure in conclusion.failures),
        *(("not assessed", words) for words in conclusion.not_assessed),
        *((f"sheet {table.name[:_NAME_MAX]}", table.title) for table in conclusion.tables),
    ]
    for k, (what, words) in enumerate(rows):
        sheet.write_string(k, 0, _text(what), bold)
        sheet.write_string(k, 1, _text(words), wrapped)


def _write_table(book: xlsxwriter.Workbook, table: ResultTable, name: str) -> None:
    sheet = book.add_worksheet(name)
    head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
    formats = [
        None if column.digits is None else book.add_format({"num_format": f"0.{'0' * column.digits}".rstrip(".")})
        for column in table.columns
    ]
    sheet.freeze_panes(1, 0)
    for k, column in enumerate(table.columns):
        sheet.set_column(k, k, _width(column, table.rows[:_ROWS_LOOKED_AT]))
        sheet.write_string(0, k, _text(title_with_unit(column)), head)
    shown = table.rows[:ROWS_MAX]
    for n, row in enumerate(shown, 1):
        for k, column in enumerate(table.columns):
            _write_cell(sheet, n, k, row.get(column.name), formats[k])
    if len(table.rows) > ROWS_MAX:
        words = f"{ROWS_MAX:,} of {len(table.rows):,} rows; all are in {table.name}.csv"
        sheet.write_string(len(shown) + 1, 0, _text(words))
    if shown and table.columns:
        sheet.autofilter(0, 0, len(shown), len(table.columns) - 1)


def _write_cell(sheet: Any, row: int, column: int, value: Any, form: Any) -> None:
    # A boundless figure is not a missing one, and the format has none; "not a number" is missing.
    if isinstance(value, float) and math.isinf(value):
        value = "inf" if value > 0 else "-inf"
    value = plain_value(value)
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value, form if isinstance(value, float) else None)
    else:
        words = json.dumps(value, ensure_ascii=False) if isinstance(value, list | Mapping) else str(value)
        sheet.write_string(row, column, _text(words))


def _text(words: str) -> str:
    """A text that a cell can hold: no lone surrogates, and not longer than the format allows."""
    words = words.encode("utf-8", "backslashreplace").decode()
    return words if len(words) <= _CELL_MAX else f"{words[: _CELL_MAX - 1]}…"


def _width(column: Column, rows: Sequence[Mapping[str, Any]]) -> float:
    longest = max((len(str(row.get(column.name) or "")) for row in rows if not _rounded(row, column)), default=0)
    title = max(map(len, title_with_unit(column).split()), default=0)
    return float(min(max(_WIDTHS[0], longest + 1, title + 2), _WIDTHS[1]))


def _rounded(row: Mapping[str, Any], column: Column) -> bool:
    return isinstance(row.get(column.name), float)


def _sheet_name(name: str, taken: set[str]) -> str:
    """A name that the format allows and no other sheet has, in whatever case."""
    stem = _NO_SHEET_NAME.sub("_", _text(name)).strip("'")[:_NAME_MAX] or "table"
    found, number = stem, 2
    while found.casefold() in taken or found.casefold() == "history":
        # Spreadsheets keep the name "history" for themselves.
        ending = f" {number}"
        found, number = stem[: _NAME_MAX - len(ending)] + ending, number + 1
    taken.add(found.casefold())
    return found
