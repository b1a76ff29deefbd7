"""The ledger of a study: every task with its state, attempts and reasons, in SQLite. Only the runner writes it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from g2g_opt.errors import InputError
from studies.study_folder import DiskFullError
from studies.task import Task

# waiting -> running -> done | failed | split. A task that was split is replaced by smaller ones; one that a stage no
# longer asks for, because what it was asked for changed, is dropped.
State = Literal["waiting", "running", "done", "failed", "split", "dropped"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    layout INTEGER NOT NULL, question TEXT NOT NULL, command TEXT NOT NULL, created REAL NOT NULL,
    inputs TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS task (
    id TEXT PRIMARY KEY, content_key TEXT NOT NULL, code_version TEXT NOT NULL, stage TEXT NOT NULL,
    place INTEGER NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL, label TEXT NOT NULL, weight REAL NOT NULL,
    seed INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    seconds REAL, engine TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS task_by_stage ON task (stage, place);
CREATE INDEX IF NOT EXISTS task_by_content ON task (content_key);
CREATE TABLE IF NOT EXISTS attempt (
    task TEXT NOT NULL, number INTEGER NOT NULL, began REAL NOT NULL, ended REAL, outcome TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '', host TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (task, number)
);
"""
_LAYOUT = 1
# Outcomes of an attempt that are states of its task.
_ENDS = ("done", "failed", "split")


@dataclass(frozen=True)
class Entry:
    """A task as the ledger has it; `seconds` of its last attempt, `seed` from its content."""

    id: str
    task: Task
    code_version: str
    stage: str
    seed: int
    state: State
    attempts: int
    reason: str
    seconds: float | None
    engine: str
    host: str


class Ledger:
    """An open ledger; `create` makes it. Every change is one transaction: killed at any moment, the file is whole."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"there is no study in {path.parent} (no {path.name}); `g2g run` begins one")
        self._path = path
        # Transactions are begun and ended by hand.
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        row = self._db.execute("SELECT * FROM study").fetchone()
        if row is None or row["layout"] != _LAYOUT:
            raise InputError(f"{path} is no ledger that this version reads; begin anew in another folder")
        self.question, self.command, self.created = str(row["question"]), str(row["command"]), float(row["created"])
        self.inputs: dict[str, str] = json.loads(row["inputs"])

    @staticmethod
    def create(path: Path, question: str, command: str, inputs: Mapping[str, str]) -> None:
        """Make a ledger for a question (its JSON), asked by `command`, reading files with the hashes `inputs`."""
        # Complete before it has its name: a ledger that exists is never half-made.
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        db = sqlite3.connect(scratch, isolation_level=None)
        try:
            db.executescript(_SCHEMA)
            row = (1, _LAYOUT, question, command, time.time(), json.dumps(dict(inputs), sort_keys=True))
            db.execute("INSERT INTO study VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            raise _disk_full(error, path) or error from error
        finally:
            db.close()
        scratch.replace(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _disk_full(error, self._path) or error from error

    # --- reading

    def entries(self, stage: str | None = None) -> list[Entry]:
        """Tasks in their order, dropped ones left out."""
        where, values = ("AND stage = ?", (stage,)) if stage is not None else ("", ())
        rows = self._db.execute(f"SELECT * FROM task WHERE state != 'dropped' {where} ORDER BY rowid", values)
        order = self._order()
        return sorted((_entry(row) for row in rows), key=lambda entry: order[entry.id])

    def entry(self, task_id: str) -> Entry:
        """One task."""
        return _entry(self._db.execute("SELECT * FROM task WHERE id = ?", (task_id,)).fetchone())

    def _order(self) -> dict[str, tuple[int, ...]]:
        """Where tasks stand: by stage as listed first, then place; parts of a split task stand where it stood."""
        rows = self._db.execute("SELECT id, stage, place, parent FROM task ORDER BY rowid").fetchall()
        stages = {stage: k for k, stage in enumerate(dict.fromkeys(row["stage"] for row in rows))}
        by_id = {row["id"]: row for row in rows}

        def place(row: sqlite3.Row) -> tuple[int, ...]:
            above = by_id.get(row["parent"])
            return (stages[row["stage"]], row["place"]) if above is None else (*place(above), row["place"])

        return {row["id"]: place(row) for row in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of tasks by stage and state."""
        found: dict[str, dict[str, int]] = {}
        for row in self._db.execute(
            "SELECT stage, state, COUNT(*) AS n FROM task GROUP BY stage, state ORDER BY MIN(rowid)"
        ):
            found.setdefault(row["stage"], {})[row["state"]] = row["n"]
        return found

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Every attempt at a task: when it began and ended, how, why, on which host."""
        rows = self._db.execute("SELECT * FROM attempt WHERE task = ? ORDER BY number", (task_id,))
        return [dict(row) for row in rows]

    # --- changing

    def list_stage(self, stage: str, tasks: Sequence[Task], code_version: str, keep_older: bool) -> None:
        """Make `tasks` the tasks of a stage, keeping what is known of those that were listed before.

        With `keep_older` a result of an earlier code version stands for the same task of this one.
        """
        with self._change() as db:
            wanted = {
                self._list_one(db, task, stage, place, code_version, keep_older, "") for place, task in enumerate(tasks)
            }
            parent = {row["id"]: row["parent"] for row in db.execute("SELECT id, parent FROM task")}
            for (task_id,) in db.execute("SELECT id FROM task WHERE stage = ?", (stage,)).fetchall():
                root = task_id
                while parent[root]:
                    root = parent[root]
                if root not in wanted:
                    db.execute("UPDATE task SET state = 'dropped' WHERE id = ?", (task_id,))

    def _list_one(
        self, db: sqlite3.Connection, task: Task, stage: str, place: int, version: str, keep_older: bool, parent: str
    ) -> str:
        content = json.dumps(task.content, sort_keys=True, separators=(",", ":"))
        # The hashes of the files that are read belong to what a result follows from.
        question = f"{self.question}{json.dumps(self.inputs, sort_keys=True)}"
        content_key, task_id = task.key(question, ""), task.key(question, version)
        if keep_older:
            older = db.execute(
                "SELECT id FROM task WHERE content_key = ? AND stage = ? AND state IN ('done', 'split')",
                (content_key, stage),
            ).fetchone()
            if older is not None:
                return str(older["id"])
        row = db.execute("SELECT state FROM task WHERE id = ?", (task_id,)).fetchone()
        if row is None:
            db.execute(
                "INSERT INTO task (id, content_key, code_version, stage, place, kind, content, label, weight, seed, "
                "state, parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
                (task_id, content_key, version, stage, place, task.kind, content, task.label, task.weight,
                 int(content_key[:12], 16), parent),
            )  # fmt: skip
        elif row["state"] == "dropped":
            # Listed again: a result that was recorded is not done twice, a failure stays one until it is retried.
            last = db.execute(
                "SELECT outcome, reason FROM attempt WHERE task = ? ORDER BY number DESC LIMIT 1", (task_id,)
            ).fetchone()
            state = last["outcome"] if last is not None and last["outcome"] in _ENDS else "waiting"
            db.execute("UPDATE task SET state = ?, place = ? WHERE id = ?", (state, place, task_id))
        else:
            db.execute("UPDATE task SET place = ? WHERE id = ?", (place, task_id))
        return task_id

    def start(self, task_id: str, engine: str) -> None:
        """A worker has been given a task."""
        with self._change() as db:
            db.execute(
                "UPDATE task SET state = 'running', attempts = attempts + 1, engine = ? WHERE id = ?", (engine, task_id)
            )
            (number,) = db.execute("SELECT attempts FROM task WHERE id = ?", (task_id,)).fetchone()
            db.execute("INSERT INTO attempt (task, number, began) VALUES (?, ?, ?)", (task_id, number, time.time()))

    def finish(self, task_id: str, seconds: float, host: str) -> None:
        """A task is done and its tables are written."""
        with self._change() as db:
            db.execute(
                "UPDATE task SET state = 'done', reason = '', seconds = ?, host = ? WHERE id = ?",
                (seconds, host, task_id),
            )
            self._end_attempt(db, task_id, "done", "", "", host)

    def fail(self, task_id: str, reason: str, details: str = "", *, again: bool = False) -> None:
        """A task has no result, for a reason; `again` leaves it waiting for another attempt."""
        with self._change() as db:
            state = "waiting" if again else "failed"
            db.execute("UPDATE task SET state = ?, reason = ? WHERE id = ?", (state, reason, task_id))
            self._end_attempt(db, task_id, "failed", reason, details, "")

    def split(self, task_id: str, parts: Sequence[Task], reason: str, details: str = "") -> list[str]:
        """Put smaller tasks in the place of one that failed; returns their ids."""
        with self._change() as db:
            row = db.execute("SELECT stage, code_version FROM task WHERE id = ?", (task_id,)).fetchone()
            db.execute("UPDATE task SET state = 'split', reason = ? WHERE id = ?", (reason, task_id))
            self._end_attempt(db, task_id, "split", reason, details, "")
            return [
                self._list_one(db, part, row["stage"], place, row["code_version"], False, task_id)
                for place, part in enumerate(parts)
            ]

    def release(self, task_ids: Sequence[str], why: str) -> None:
        """Tasks that were running are waiting again, because their runner stopped."""
        with self._change() as db:
            for task_id in task_ids:
                db.execute("UPDATE task SET state = 'waiting' WHERE id = ? AND state = 'running'", (task_id,))
                self._end_attempt(db, task_id, "interrupted", why, "", "")

    def retry_failed(self) -> int:
        """Failed tasks wait for another attempt; returns how many."""
        with self._change() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM task WHERE state = 'failed'")]
            for task_id in ids:
                db.execute("UPDATE task SET state = 'waiting' WHERE id = ?", (task_id,))
                # The failure stays in the attempts, but no longer stands for the task.
                db.execute("UPDATE attempt SET outcome = 'retried' WHERE task = ? AND outcome = 'failed'", (task_id,))
            return len(ids)

    def _end_attempt(
        self, db: sqlite3.Connection, task_id: str, outcome: str, reason: str, details: str, host: str
    ) -> None:
        db.execute(
            "UPDATE attempt SET ended = ?, outcome = ?, reason = ?, details = ?, host = ? WHERE task = ? AND number = "
            "(SELECT attempts FROM task WHERE id = ?)",
            (time.time(), outcome, reason, details, host, task_id, task_id),
        )


def _entry(row: sqlite3.Row) -> Entry:
    task = Task(row["kind"], json.loads(row["content"]), row["label"], row["weight"])
    return Entry(
        row["id"], task, row["code_version"], row["stage"], row["seed"], row["state"], row["attempts"], row["reason"],
        row["seconds"], row["engine"], row["host"],
    )  # fmt: skip


def _disk_full(error: sqlite3.OperationalError, path: Path) -> DiskFullError | None:
    if error.sqlite_errorcode not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return None
    place = path.parent
    return DiskFullError(f"no room left for the ledger in {place} ({error}); make room, then `g2g resume {place}`")
