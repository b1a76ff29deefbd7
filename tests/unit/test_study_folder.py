"""Tables of a task come back as they went, all of them or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studies.running.study_folder import StudyFolder


def test_rows_with_numbers_words_lists_and_gaps_come_back(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.make()
    rows = [
        {"name": "a", "x": 1.5, "n": None, "v": np.array([1.0, 2.0, np.nan]), "words": ["p", "q"]},
        {"name": "b", "x": float("inf"), "n": 3, "v": None, "words": [], "late": "only here"},
        {"name": "c", "x": 0.1 + 0.2, "n": 4, "v": np.array([]), "words": None},
    ]
    folder.write_tables("t", {"one": rows, "none": []})
    tables = folder.tables("t")
    assert sorted(tables) == ["none", "one"]
    assert list(tables["none"]) == []
    back = list(tables["one"])
    assert [row["x"] for row in back] == [row["x"] for row in rows]
    assert [row["n"] for row in back] == [None, 3, 4]
    assert [row["late"] for row in back] == [None, "only here", None]
    assert [row["words"] for row in back] == [["p", "q"], [], None]
    assert back[0]["v"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(back[0]["v"][2])
    assert back[1]["v"] is None
    assert back[2]["v"].tolist() == []
    with pytest.raises(KeyError):
        tables["two"]


def test_tables_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.make()
    with pytest.raises((TypeError, ValueError)):
        folder.write_tables("t", {"fine": [{"x": 1}], "wrong": [{"x": object()}]})
    assert not list((tmp_path / "tasks").iterdir())


def test_writing_again_replaces_the_tables(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.make()
    folder.write_tables("t", {"old": [{"x": 1}]})
    folder.write_tables("t", {"new": [{"x": 2}]})
    assert list(folder.tables("t")) == ["new"]
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["t"]
