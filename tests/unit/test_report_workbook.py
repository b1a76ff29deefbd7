"""The workbook of a conclusion: a sheet per table, figures typed and unrounded, and nothing in it that is computed."""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_examples import HOSTILE, N_LONG_ROWS, PROVENANCE, ieee123_conclusion, user_conclusion

from studies.report import workbook
from studies.report.workbook import title_with_unit, write_workbook
from studies.shared.conclusion import Column, Conclusion, ResultTable

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
Cell = float | str | bool


def written(conclusion: Conclusion, folder: Path) -> Path:
    return write_workbook(conclusion, PROVENANCE.finished, folder / "tables.xlsx")


def sheets(path: Path) -> dict[str, ElementTree.Element]:
    with zipfile.ZipFile(path) as archive:
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        names = [sheet.attrib["name"] for sheet in book.iter(f"{_MAIN}sheet")]
        parts = [archive.read(f"xl/worksheets/sheet{k + 1}.xml") for k in range(len(names))]
    return dict(zip(names, map(ElementTree.fromstring, parts), strict=True))


def cells(sheet: ElementTree.Element) -> dict[str, Cell]:
    """Values by place ("B2"), as a spreadsheet reads them from the file."""
    found: dict[str, Cell] = {}
    for cell in sheet.iter(f"{_MAIN}c"):
        assert cell.find(f"{_MAIN}f") is None, "no cell is computed"
        kind, value = cell.get("t", "n"), cell.find(f"{_MAIN}v")
        if kind == "inlineStr":
            text = "".join(part.text or "" for part in cell.iter(f"{_MAIN}t"))
            found[cell.attrib["r"]] = re.sub(r"_x([0-9A-F]{4})_", lambda m: chr(int(m[1], 16)), text)
        elif value is not None and value.text is not None:
            found[cell.attrib["r"]] = value.text == "1" if kind == "b" else float(value.text)
    return found


def with_rows(*rows: dict[str, Any], columns: tuple[Column, ...], name: str = "t") -> Conclusion:
    return replace(user_conclusion(), tables=(ResultTable(name, "T", columns, rows),))


def test_figures_are_numbers_unrounded_missing_ones_empty_and_titles_carry_units(tmp_path: Path) -> None:
    columns = (
        Column("bus", "bus"),
        Column("power_mw", "peak MW", 2),
        Column("lowest_pu", "lowest", 4),
        Column("kept", "kept"),
        Column("n", "GPUs"),
    )
    conclusion = with_rows(
        {"bus": "0671", "power_mw": 1 / 7, "lowest_pu": np.float64(1 / 3), "kept": True, "n": np.int64(7)},
        {"bus": "b", "power_mw": None, "lowest_pu": math.nan, "kept": False, "n": math.inf},
        columns=columns,
    )
    found = cells(sheets(written(conclusion, tmp_path))["t"])
    assert [found[f"{letter}1"] for letter in "ABCDE"] == ["bus", "peak MW", "lowest (pu)", "kept", "GPUs"]
    sixteen_digits = pytest.approx([1 / 7, 1 / 3], rel=1e-15)
    assert [found[f"{letter}2"] for letter in "ADE"] == ["0671", True, 7.0]
    assert [found[f"{letter}2"] for letter in "BC"] == sixteen_digits
    assert {place: found[place] for place in found if place.endswith("3")} == {"A3": "b", "D3": False, "E3": "inf"}


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://example.org","bus")',
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "{=1}",
        "http://example.org/",
        "mailto:a@example.org",
        "12",
        "true",
        HOSTILE,
        "a\x0bb",
        "é\ud800",
    ],
)
def test_a_text_stays_a_text(text: str, tmp_path: Path) -> None:
    columns = (Column(text, text), Column("n", "n"))
    conclusion = replace(with_rows({text: text, "n": [text]}, columns=columns), title=text, answer=text)
    path = written(conclusion, tmp_path)
    found = cells(sheets(path)["t"])
    said = text.encode("utf-8", "backslashreplace").decode()
    assert (found["A1"], found["A2"]) == (said, said)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        whole = "".join(archive.read(name).decode() for name in names if name.endswith((".xml", ".rels")))
    assert "<f>" not in whole
    assert "<hyperlink" not in whole
    assert not any("externalLink" in name or "vba" in name for name in names)


def test_the_header_stays_in_view_and_every_table_has_its_sheet(tmp_path: Path) -> None:
    conclusion = ieee123_conclusion()
    found = sheets(written(conclusion, tmp_path))
    assert list(found) == ["answer", *(table.name for table in conclusion.tables)]
    for table in conclusion.tables:
        pane = next(found[table.name].iter(f"{_MAIN}pane"))
        assert (pane.attrib["ySplit"], pane.attrib["state"]) == ("1", "frozen")
        assert sum(1 for _ in found[table.name].iter(f"{_MAIN}row")) == len(table.rows) + 1
    assert len(conclusion.tables[1].rows) == N_LONG_ROWS
    words = list(cells(found["answer"]).values())
    for said in (conclusion.title, *conclusion.answer.splitlines(), *conclusion.not_assessed):
        assert said in words


def test_names_that_no_sheet_can_have_become_ones_that_are_told_apart(tmp_path: Path) -> None:
    names = ("a/b", "a:b", "A_B", "answer", "History", "x" * 40, "x" * 41, "'")
    tables = tuple(ResultTable(name, name, (Column("a", "a"),), [{"a": name}]) for name in names)
    found = sheets(written(replace(user_conclusion(), tables=tables), tmp_path))
    sheet_names = list(found)[1:]
    assert len({name.casefold() for name in found}) == len(names) + 1
    assert all(0 < len(name) <= 31 and not set(name) & set("[]:*?/\\") for name in sheet_names)
    assert [cells(found[name])["A2"] for name in sheet_names] == list(names)


def test_rows_that_a_sheet_leaves_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROWS_MAX", 3)
    conclusion = with_rows(*({"a": k} for k in range(5)), columns=(Column("a", "a"),))
    found = cells(sheets(written(conclusion, tmp_path))["t"])
    assert found == {"A1": "a", "A2": 0.0, "A3": 1.0, "A4": 2.0, "A5": "3 of 5 rows; all are in t.csv"}


def test_a_long_text_is_cut_where_the_format_ends(tmp_path: Path) -> None:
    conclusion = with_rows({"a": "x" * 40_000}, columns=(Column("a", "a"),))
    text = cells(sheets(written(conclusion, tmp_path))["t"])["A2"]
    assert isinstance(text, str)
    assert len(text) == 32_767
    assert text.endswith("…")


def test_the_same_study_gives_the_same_file(tmp_path: Path) -> None:
    first = written(ieee123_conclusion(), tmp_path / "a").read_bytes()
    assert written(ieee123_conclusion(), tmp_path / "b").read_bytes() == first


@pytest.mark.parametrize(
    ("name", "title", "shown"),
    [
        ("power_peak_mw", "peak MW", "peak MW"),
        ("power_peak_mw", "peak", "peak (MW)"),
        ("integral_violation_pu_s", "integral", "integral (pu s)"),
        ("integral_violation_pu_s", "integral violation (pu s)", "integral violation (pu s)"),
        ("time_s", "seconds", "seconds (s)"),
        ("bus", "bus", "bus"),
    ],
)
def test_a_unit_is_added_once(name: str, title: str, shown: str) -> None:
    assert title_with_unit(Column(name, title)) == shown
