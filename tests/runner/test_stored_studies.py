"""A stored study that was spoilt, locked or laid where nothing can be written is told apart from one that is whole."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from stored_study import as_folder, g2g_said

from studies.running import ledger_file
from studies.running.ledger import Ledger
from studies.running.runner import read_results
from studies.shared.task import gather

pytestmark = pytest.mark.xdist_group("stored studies")  # one worker, so that the study is run once


@pytest.fixture(autouse=True)
def _long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said is not broken into lines, in which words could not be found again."""
    monkeypatch.setenv("COLUMNS", "5000")


def _answer(root: Path) -> str:
    question, results, _ = read_results(root)
    return question.conclude(results).answer


def _sql(statement: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        db = sqlite3.connect(root / "ledger.sqlite")
        db.executescript(statement)
        db.commit()
        db.close()

    return spoil


def _ledger(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / "ledger.sqlite"
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _flipped(content: bytes, seed: int, n: int) -> bytes:
    draw, changed = random.Random(seed), bytearray(content)
    for _ in range(n):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


SPOILT_LEDGERS = {
    "of no bytes": _ledger(lambda b: b""),
    "its first half": _ledger(lambda b: b[: len(b) // 2]),
    "its first page": _ledger(lambda b: b[:4096]),
    "its first 100 bytes": _ledger(lambda b: b[:100]),
    "words": _ledger(lambda b: b"hello" * 500),
    "zeros": _ledger(lambda b: bytes(len(b))),
    "its second page overwritten": _ledger(lambda b: b[:4096] + b"\xff" * 4096 + b[8192:]),
    "a directory": as_folder("ledger.sqlite"),
    "without tasks": _sql("DROP TABLE task"),
    "without attempts": _sql("DROP TABLE attempt"),
    "without study": _sql("DROP TABLE study"),
    "with an empty study": _sql("DELETE FROM study"),
    "of a later layout": _sql("UPDATE study SET layout = 99"),
    "of a layout in words": _sql("UPDATE study SET layout = 'two'"),
    "without a column": _sql("ALTER TABLE task DROP COLUMN weight"),
    "with half a question": _sql("UPDATE study SET question = '{'"),
    "with no question": _sql("UPDATE study SET question = '{}'"),
    "with a list for a question": _sql("UPDATE study SET question = '[1]'"),
    "with a deep question": _sql("UPDATE study SET question = '" + "[" * 50_000 + "'"),
    "with a question in bytes": _sql("UPDATE study SET question = x'ff00'"),
    "with a question that is no text": _sql("UPDATE study SET question = CAST(x'ff80' AS TEXT)"),
    "with a study that is unknown": _sql('UPDATE study SET question = \'{"study": "weather"}\''),
    "with another question": _sql("UPDATE study SET question = replace(question, '\"n\":4', '\"n\":5')"),
    "with no inputs": _sql("UPDATE study SET inputs = 'x'"),
    "with inputs of another kind": _sql("UPDATE study SET inputs = '{\"a\": 1}'"),
    "created at no time": _sql("UPDATE study SET created = 9e999"),
    "with half a content": _sql("UPDATE task SET content = '{'"),
    "with another content": _sql("UPDATE task SET content = '{}' WHERE kind = 'sums'"),
    "with a content in bytes": _sql("UPDATE task SET content = x'00'"),
    "with an unknown state": _sql("UPDATE task SET state = 'lost'"),
    "with a weight in words": _sql("UPDATE task SET weight = 'heavy'"),
    "with an endless weight": _sql("UPDATE task SET weight = 9e999"),
    "with attempts in words": _sql("UPDATE task SET attempts = 'many'"),
    "with seconds in words": _sql("UPDATE task SET seconds = 'long'"),
    "with half its records": _sql("UPDATE task SET tables = '{\"sums\": [1'"),
    "with records of another kind": _sql('UPDATE task SET tables = \'{"sums": ["x", 1]}\''),
    "with tasks that are parts of themselves": _sql("UPDATE task SET parent = id"),
    "with a view that never ends": _sql(
        "ALTER TABLE task RENAME TO kept; CREATE VIEW task AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 "
        "FROM n) SELECT kept.* FROM kept, n"
    ),
    "with a trigger": _sql("CREATE TRIGGER t AFTER UPDATE ON task BEGIN DELETE FROM task; END"),
}


@pytest.mark.parametrize("spoil", SPOILT_LEDGERS.values(), ids=SPOILT_LEDGERS)
def test_a_spoilt_ledger_is_named_and_nothing_is_concluded(
    stored: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(stored)
    for command in ("report", "resume", "status"):
        status, said = g2g_said(capsys, command, stored)
        # A status needs less of a ledger than an answer does.
        assert status == 2 or (command == "status" and status == 0)
        assert (status == 0) == ("error:" not in said)
        assert "ledger.sqlite" in said or status == 0
        assert "the total is" not in said


def test_attempts_at_no_time_are_refused(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _sql("UPDATE attempt SET began = 'soon'")(stored)
    status, said = g2g_said(capsys, "report", stored)
    assert status == 2
    assert "began: Input should be a valid number" in said


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bits_of_a_ledger_give_its_answer_or_a_refusal(
    stored: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _answer(stored)
    _ledger(lambda content: _flipped(content, seed, 1 + 20 * (seed % 3)))(stored)
    status, said = g2g_said(capsys, "status", stored)
    assert status in (0, 1) or "ledger.sqlite" in said
    status, said = g2g_said(capsys, "report", stored, "--out", str(stored / "again"))
    assert (status == 0 and answer in said) or (status == 2 and "error:" in said)


def _first_table(root: Path) -> Path:
    return sorted((root / "tasks").glob("*/sums.parquet"))[0]


def _table(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = _first_table(root)
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _other_rows(root: Path) -> None:
    # Whole, but those of another task.
    first, second = sorted((root / "tasks").glob("*/sums.parquet"))
    first.write_bytes(second.read_bytes())


def _table_is_a_folder(root: Path) -> None:
    path = _first_table(root)
    path.unlink()
    path.mkdir()


def _table_is_a_pipe(root: Path) -> None:
    path = _first_table(root)
    path.unlink()
    os.mkfifo(path)


def _table_is_huge(root: Path) -> None:
    with _first_table(root).open("r+b") as file:
        file.truncate(10**12)


def _further_table(root: Path) -> None:
    shutil.copyfile(_first_table(root), _first_table(root).with_name("more.parquet"))


SPOILT_TABLES = {
    "missing": lambda root: _first_table(root).unlink(),
    "missing with its folder": lambda root: shutil.rmtree(_first_table(root).parent),
    "all missing": lambda root: shutil.rmtree(root / "tasks"),
    "of no bytes": _table(lambda b: b""),
    "its first half": _table(lambda b: b[: len(b) // 2]),
    "letters": _table(lambda b: b"x" * 100),
    "with flipped bytes": _table(lambda b: _flipped(b, 1, 40)),
    "with one flipped bit": _table(lambda b: _flipped(b, 2, 1)),
    "those of another task": _other_rows,
    "a directory": _table_is_a_folder,
    "a pipe": _table_is_a_pipe,
    "of a terabyte": _table_is_huge,
    "joined by another": _further_table,
}


@pytest.mark.parametrize("spoil", SPOILT_TABLES.values(), ids=SPOILT_TABLES)
def test_tables_that_are_not_what_was_recorded_are_seen_and_made_again(
    stored: Path, whole: Path, spoil: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(stored)
    status, said = g2g_said(capsys, "status", stored)
    assert status == 1
    assert "damaged: sums" in said
    status, said = g2g_said(capsys, "report", stored)
    assert status == 2
    assert "are damaged: sums" in said
    assert "the total is" not in said
    status, said = g2g_said(capsys, "resume", stored, "--workers", "2")
    assert status == 0
    assert "done again" in said
    assert _answer(stored) == _answer(whole)
    assert [row["number"] for row in gather(read_results(stored)[1], "sums")] == [0, 1, 2, 3]
    assert g2g_said(capsys, "status", stored)[0] == 0


def test_a_file_where_tables_lie_is_named(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(stored / "tasks")
    (stored / "tasks").touch()
    assert g2g_said(capsys, "status", stored)[0] == 1
    assert g2g_said(capsys, "report", stored)[0] == 2
    status, said = g2g_said(capsys, "resume", stored, "--workers", "2")
    assert status == 2
    assert "cannot be written: Not a directory" in said


def _as_an_older_version_kept_it(root: Path) -> None:
    _sql("ALTER TABLE task DROP COLUMN tables")(root)
    _sql("UPDATE study SET layout = 1")(root)


def test_a_study_that_kept_no_digests_is_read_and_goes_on(
    stored: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _as_an_older_version_kept_it(stored)
    status, said = g2g_said(capsys, "status", stored)
    assert status == 0
    assert "of 3 tasks an older version kept no digests" in said
    assert _answer(stored) == _answer(whole)
    _table(lambda b: b[: len(b) // 2])(stored)
    assert "are damaged: sums" in g2g_said(capsys, "report", stored)[1]
    assert g2g_said(capsys, "resume", stored, "--workers", "1")[0] == 0
    assert _answer(stored) == _answer(whole)
    ledger = Ledger(stored / "ledger.sqlite")
    assert sorted(len(entry.tables or {}) for entry in ledger.entries()) == [0, 0, 1]
    ledger.close()


def test_a_ledger_that_another_program_holds_is_named(
    stored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "_OPEN_WAIT_S", 0.1)
    db = sqlite3.connect(stored / "ledger.sqlite", isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    for command in ("status", "resume"):
        status, said = g2g_said(capsys, command, stored)
        assert status == 2
        assert "ledger.sqlite is locked by another program" in said
    db.close()
    assert g2g_said(capsys, "status", stored)[0] == 0
