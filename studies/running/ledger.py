"""The ledger of a study: every task with its state, attempts and reasons, in SQLite. Only the runner writes it."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError

from g2g_opt.errors import InputError
from studies.running.ledger_file import LedgerFile, create_file
from studies.running.nearby_studies import studies_near
from studies.running.stored_tables import TableRecord, TableRecords
from studies.running.study_folder import StudyFolder
from studies.shared.task import Task, task_key

# waiting -> running -> done | failed | split. A task that was split is replaced by smaller ones; one that a stage no
# longer asks for, because what it was asked for changed, is dropped.
TaskState = Literal["waiting", "running", "done", "failed", "split", "dropped"]

_SCHEMA = (
    """
CREATE TABLE study (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    layout INTEGER NOT NULL, question TEXT NOT NULL, command TEXT NOT NULL, created REAL NOT NULL,
    inputs TEXT NOT NULL
)""",
    """
CREATE TABLE task (
    id TEXT PRIMARY KEY, content_key TEXT NOT NULL, code_version TEXT NOT NULL, stage TEXT NOT NULL,
    place INTEGER NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL, label TEXT NOT NULL, weight REAL NOT NULL,
    seed INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    seconds REAL, engine TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT '',
    tables TEXT
)""",
    "CREATE INDEX task_by_stage ON task (stage, place)",
    "CREATE INDEX task_by_content ON task (content_key)",
    """
CREATE TABLE attempt (
    task TEXT NOT NULL, number INTEGER NOT NULL, began REAL NOT NULL, ended REAL, outcome TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (task, number)
)""",
)
_LAYOUT = 2
# The same without `tables`: what its tasks wrote is not known again.
_LAYOUT_WITHOUT_RECORDS = 1
# Outcomes of an attempt that are states of its task.
_ENDS = ("done", "failed", "split")


@dataclass(frozen=True)
class Entry:
    """A task as the ledger has it; `seconds` of its last attempt, `seed` from its content.

    `tables` is what the tables of a task that is done are known by; None if an older version did not keep it.
    """

    id: str
    task: Task
    code_version: str
    stage: str
    seed: int
    state: TaskState
    attempts: int
    reason: str
    seconds: float | None
    engine: str
    host: str
    tables: TableRecords | None = None


# A moment that has a date (s).
_Moment = Annotated[FiniteFloat, Field(ge=0.0, le=1e11)]


class _Row(BaseModel):
    """A row of the types that it should have; SQLite itself takes anything."""

    model_config = ConfigDict(strict=True)


_AnyRow = TypeVar("_AnyRow", bound=_Row)


class _StudyRow(_Row):
    layout: int
    question: str
    command: str
    created: _Moment
    inputs: Json[dict[str, str]]


class _TaskRow(_Row):
    id: str
    code_version: str
    stage: str
    place: int
    kind: str
    content: str
    label: str
    weight: Annotated[FiniteFloat, Field(ge=0.0)]
    seed: int
    state: TaskState
    attempts: int
    reason: str
    seconds: FiniteFloat | None
    engine: str
    host: str
    parent: str
    tables: Json[dict[str, tuple[int, str]]] | None = None


class _AttemptRow(_Row):
    number: int
    began: _Moment
    ended: _Moment | None
    outcome: str
    reason: str
    details: str
    host: str


class Ledger:
    """An open ledger; `create` makes it. Every change is one transaction: killed at any moment, the file is whole.

    Opened without `writable` it is only read. Raises `InputError` if there is none, or one that cannot be used.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        if not exists(path):
            begins = "`g2g run` begins one"
            if os.path.lexists(StudyFolder(path.parent).question):
                begins = "it was not begun; give the command that was to begin it again"
            raise InputError(f"there is no study in {path.parent} (no {path.name}); {begins}{studies_near(path)}")
        self._file = LedgerFile(path, writable)
        try:
            self._read_study(writable)
        except BaseException:
            self._file.close()
            raise

    def _read_study(self, writable: bool) -> None:
        # Rows that a damaged page hides would only be missing.
        if (found := self._file.rows("PRAGMA integrity_check(1)")[0][0]) != "ok":
            raise self._file.damaged(str(found))
        # A view may never end, and a trigger changes what nobody asked it to.
        for strange in self._file.rows("SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')"):
            raise self._file.damaged(f"it holds the {strange['type']} {strange['name']!r}, and a ledger has none")
        row = self._file.row("SELECT * FROM study")
        layout = row["layout"] if row is not None and "layout" in row.keys() else None  # noqa: SIM118
        if layout not in (_LAYOUT, _LAYOUT_WITHOUT_RECORDS):
            raise self._file.damaged(f"layout {layout!r} instead of {_LAYOUT}")
        study = self._checked(_StudyRow, row)
        try:
            content = json.loads(study.question)
        except (ValueError, RecursionError) as error:
            raise self._file.damaged(f"its question is no JSON: {error}") from error
        if not isinstance(content, dict) or not isinstance(content.get("study"), str):
            raise self._file.damaged("its question names no study")
        self.path, self.question, self.command = self._file.path, study.question, study.command
        self.created, self.inputs = study.created, study.inputs
        # The hashes of the files that are read belong to what a result follows from.
        self._asked = f"{self.question}{json.dumps(self.inputs, sort_keys=True)}"
        if writable and layout == _LAYOUT_WITHOUT_RECORDS:
            with self._file.change():
                self._file.rows("ALTER TABLE task ADD COLUMN tables TEXT")
                self._file.rows("UPDATE study SET layout = ?", (_LAYOUT,))

    def _checked(self, kind: type[_AnyRow], row: Any) -> _AnyRow:
        try:
            return kind.model_validate(dict(row))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise self._file.damaged(f"{place}: {first['msg']}") from error

    @staticmethod
    def create(path: Path, question: str, command: str, inputs: Mapping[str, str]) -> None:
        """Make a ledger for a question (its JSON), asked by `command`, reading files with the hashes `inputs`."""
        row = (1, _LAYOUT, question, _text(command), time.time(), json.dumps(dict(inputs), sort_keys=True))
        study = ("INSERT INTO study VALUES (?, ?, ?, ?, ?, ?)", row)
        create_file(path, [*((statement, ()) for statement in _SCHEMA), study])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # --- reading

    def entries(self, stage: str | None = None) -> list[Entry]:
        """Tasks in their order, dropped ones left out."""
        rows = [self._checked(_TaskRow, row) for row in self._file.rows("SELECT * FROM task ORDER BY rowid")]
        order = self._order(rows)
        found = [row for row in rows if row.state != "dropped" and stage in (None, row.stage)]
        return [self._entry(row) for row in sorted(found, key=lambda row: order[row.id])]

    def entry(self, task_id: str) -> Entry:
        """One task."""
        return self._entry(self._checked(_TaskRow, self._file.row("SELECT * FROM task WHERE id = ?", (task_id,))))

    def _entry(self, row: _TaskRow) -> Entry:
        if task_key(self._asked, row.kind, row.content, row.code_version) != row.id:
            raise self._file.damaged(f"task {row.id} is not what it was listed as")
        content = json.loads(row.content)
        if not isinstance(content, dict):
            raise self._file.damaged(f"the content of task {row.id} is no object")
        task = Task(row.kind, content, row.label, row.weight)
        tables = None if row.tables is None else {name: TableRecord(*known) for name, known in row.tables.items()}
        return Entry(
            row.id, task, row.code_version, row.stage, row.seed, row.state, row.attempts, row.reason, row.seconds,
            row.engine, row.host, tables,
        )  # fmt: skip

    def _order(self, rows: Sequence[_TaskRow]) -> dict[str, tuple[int, ...]]:
        """Where tasks stand: by stage as listed first, then place; parts of a split task stand where it stood."""
        stages = {stage: k for k, stage in enumerate(dict.fromkeys(row.stage for row in rows))}
        by_id = {row.id: row for row in rows}

        def place(row: _TaskRow) -> tuple[int, ...]:
            above = by_id.get(row.parent)
            return (stages[row.stage], row.place) if above is None else (*place(above), row.place)

        try:
            return {row.id: place(row) for row in rows}
        except RecursionError as error:
            raise self._file.damaged("a task is a part of itself") from error

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of tasks by stage and state."""
        found: dict[str, dict[str, int]] = {}
        for row in self._file.rows(
            "SELECT stage, state, COUNT(*) AS n FROM task GROUP BY stage, state ORDER BY MIN(rowid)"
        ):
            found.setdefault(row["stage"], {})[row["state"]] = row["n"]
        return found

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Every attempt at a task: when it began and ended, how, why, on which host."""
        rows = self._file.rows("SELECT * FROM attempt WHERE task = ? ORDER BY number", (task_id,))
        return [self._checked(_AttemptRow, row).model_dump() for row in rows]

    # --- changing

    def list_stage(self, stage: str, tasks: Sequence[Task], code_version: str, keep_older: bool) -> None:
        """Make `tasks` the tasks of a stage, keeping what is known of those that were listed before.

        With `keep_older` a result of an earlier code version stands for the same task of this one.
        """
        with self._file.change():
            wanted = {
                self._list_one(task, stage, place, code_version, keep_older, "") for place, task in enumerate(tasks)
            }
            for row in self._file.rows("SELECT id FROM task WHERE stage = ?", (stage,)):
                if self._whole_of(row["id"]) not in wanted:
                    self._file.rows("UPDATE task SET state = 'dropped' WHERE id = ?", (row["id"],))

    def _whole_of(self, task_id: str) -> str:
        """The task that a part of a split one was listed as."""
        rows = self._file.rows(
            "WITH RECURSIVE above(id, parent) AS (SELECT id, parent FROM task WHERE id = ? UNION "
            "SELECT task.id, task.parent FROM task JOIN above ON task.id = above.parent) "
            "SELECT id FROM above WHERE parent = ''",
            (task_id,),
        )
        return str(rows[0]["id"]) if rows else task_id

    def _list_one(self, task: Task, stage: str, place: int, version: str, keep_older: bool, parent: str) -> str:
        content_key, task_id = task.key(self._asked, ""), task.key(self._asked, version)
        if keep_older:
            older = self._file.row(
                "SELECT id FROM task WHERE content_key = ? AND stage = ? AND state IN ('done', 'split')",
                (content_key, stage),
            )
            if older is not None:
                return str(older["id"])
        row = self._file.row("SELECT state FROM task WHERE id = ?", (task_id,))
        if row is None:
            self._file.rows(
                "INSERT INTO task (id, content_key, code_version, stage, place, kind, content, label, weight, seed, "
                "state, parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
                (task_id, content_key, version, stage, place, task.kind, task.content_json(), _text(task.label),
                 task.weight, int(content_key[:12], 16), parent),
            )  # fmt: skip
        elif row["state"] == "dropped":
            # Listed again: a result that was recorded is not done twice, a failure stays one until it is retried.
            last = self._file.row(
                "SELECT outcome, reason FROM attempt WHERE task = ? ORDER BY number DESC LIMIT 1", (task_id,)
            )
            state = last["outcome"] if last is not None and last["outcome"] in _ENDS else "waiting"
            self._file.rows("UPDATE task SET state = ?, place = ? WHERE id = ?", (state, place, task_id))
        else:
            self._file.rows("UPDATE task SET place = ? WHERE id = ?", (place, task_id))
        return task_id

    def start(self, task_id: str, engine: str) -> None:
        """A worker has been given a task."""
        with self._file.change():
            self._file.rows(
                "UPDATE task SET state = 'running', attempts = attempts + 1, engine = ? WHERE id = ?", (engine, task_id)
            )
            self._file.rows(
                "INSERT INTO attempt (task, number, began) SELECT id, attempts, ? FROM task WHERE id = ?",
                (time.time(), task_id),
            )

    def finish(self, task_id: str, seconds: float, host: str, tables: TableRecords) -> None:
        """A task is done; its tables are written, and known by these records."""
        records = json.dumps({name: [record.rows, record.sha256] for name, record in tables.items()})
        with self._file.change():
            self._file.rows(
                "UPDATE task SET state = 'done', reason = '', seconds = ?, host = ?, tables = ? WHERE id = ?",
                (seconds, host, records, task_id),
            )
            self._end_attempt(task_id, "done", "", "", host)

    def fail(self, task_id: str, reason: str, details: str = "", *, again: bool = False) -> None:
        """A task has no result, for a reason; `again` leaves it waiting for another attempt."""
        with self._file.change():
            state = "waiting" if again else "failed"
            self._file.rows("UPDATE task SET state = ?, reason = ? WHERE id = ?", (state, _text(reason), task_id))
            self._end_attempt(task_id, "failed", reason, details, "")

    def split(self, task_id: str, parts: Sequence[Task], reason: str, details: str = "") -> list[str]:
        """Put smaller tasks in the place of one that failed; returns their ids."""
        with self._file.change():
            self._file.rows("UPDATE task SET state = 'split', reason = ? WHERE id = ?", (_text(reason), task_id))
            self._end_attempt(task_id, "split", reason, details, "")
            ((stage, version),) = self._file.rows("SELECT stage, code_version FROM task WHERE id = ?", (task_id,))
            return [self._list_one(part, stage, place, version, False, task_id) for place, part in enumerate(parts)]

    def release(self, task_ids: Sequence[str], why: str) -> None:
        """Tasks that were running are waiting again, because their runner stopped."""
        with self._file.change():
            for task_id in task_ids:
                self._file.rows("UPDATE task SET state = 'waiting' WHERE id = ? AND state = 'running'", (task_id,))
                self._end_attempt(task_id, "interrupted", why, "", "")

    def redo(self, task_id: str, why: str, code_version: str) -> None:
        """The result of a task is lost, for a reason: it waits for another attempt.

        One that another version of the code made is listed anew, for this version, with all parts it was divided into.
        """
        with self._file.change():
            (version,) = self._file.rows("SELECT code_version FROM task WHERE id = ?", (task_id,))[0]
            self._file.rows(
                "UPDATE attempt SET outcome = 'lost', reason = ? WHERE task = ? AND outcome = 'done'", (why, task_id)
            )
            self._file.rows("UPDATE task SET state = 'waiting', reason = ?, tables = NULL WHERE id = ?", (why, task_id))
            if version != code_version:
                self._file.rows(
                    "WITH RECURSIVE part(id) AS (SELECT ? UNION SELECT task.id FROM task JOIN part "
                    "ON task.parent = part.id) UPDATE task SET state = 'dropped' WHERE id IN (SELECT id FROM part)",
                    (self._whole_of(task_id),),
                )

    def retry_failed(self) -> int:
        """Failed tasks wait for another attempt; returns how many."""
        with self._file.change():
            ids = [row["id"] for row in self._file.rows("SELECT id FROM task WHERE state = 'failed'")]
            for task_id in ids:
                self._file.rows("UPDATE task SET state = 'waiting' WHERE id = ?", (task_id,))
                # The failure stays in the attempts, but no longer stands for the task.
                self._file.rows(
                    "UPDATE attempt SET outcome = 'retried' WHERE task = ? AND outcome = 'failed'", (task_id,)
                )
            return len(ids)

    def _end_attempt(self, task_id: str, outcome: str, reason: str, details: str, host: str) -> None:
        self._file.rows(
            "UPDATE attempt SET ended = ?, outcome = ?, reason = ?, details = ?, host = ? WHERE task = ? AND number = "
            "(SELECT attempts FROM task WHERE id = ?)",
            (time.time(), outcome, _text(reason), _text(details), host, task_id, task_id),
        )


def exists(path: Path) -> bool:
    """True for a ledger, whole or not; `InputError` if something else lies in its place."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        raise InputError(f"{path} is no file; remove it, or choose another folder")
    return True


def _text(words: str) -> str:
    """Words as SQLite takes them: a lone surrogate, from a file name that is no text, as its escape."""
    return words.encode("utf-8", "backslashreplace").decode()
