"""Stored studies that were spoilt after they were finished, and what status, report and resume make of them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from front_door import WorkersHere, g2g
from malformed_case import Case
from small_study import SmallStudy
from spoiling import ABSURD_VALUES, LONG, spoil_place

from g2g_opt.consent import Consent, give_consent
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.running.runner import begin_study, run_study
from studies.shared.task import Question

AREA = "stored"

# Half a minute on one bus with taps as they are: what is stored of it has all the tables of a long study.
_BRIEF = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=(), seed=3)
_HOSTING = HostingCapacityStudy(buses=("632",), scenario=_BRIEF, taps="study", operations=("firm",), power_max_mw=6.0)


@lru_cache
def _finished(kind: str) -> Path:
    """The folder of a finished study, made once in a process."""
    root = Path(tempfile.mkdtemp(prefix=f"finished_{kind}_")) / "study"
    question: Question = SmallStudy(n=3) if kind == "small" else _HOSTING
    give_consent(Consent(studies=True))
    try:
        begin_study(root, question, ["g2g", "run", "question.toml"])
        run_study(root, WorkersHere)
    finally:
        give_consent(Consent())
    # Everything is in the one file, as after the runner's end.
    with sqlite3.connect(root / "ledger.sqlite") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return root


def make(rng: random.Random, folder: Path) -> Case:
    """A finished study, spoilt, under one of the commands that read it."""
    kind = "small" if rng.random() < 0.7 else "hosting"
    root = folder / "study"
    shutil.copytree(_finished(kind), root)
    ways = [_ledger_bytes, _ledger_rows, _table, _table_columns, _folder, _question_file]
    way = rng.choices(ways, weights=[24, 34, 20, 8, 12, 2])[0]
    words, named = way(rng, root)
    command = rng.choice([["status"], ["status", "--json"], ["report"], ["report"], ["resume"], ["resume"], ["retry"]])
    if command == ["report"] and rng.random() < 0.4:
        command = ["report", *rng.choice(_REPORT_FLAGS)]
    line = [command[0], str(root), *command[1:], *(["--trust-study"] if kind == "small" else [])]
    # A refusal may be about the flags as well.
    names = (named,) if len(command) == 1 else ()
    return Case(AREA, f"{kind}, {' '.join(command)[:60]}: {words}", lambda: g2g(*line), names)


_REPORT_FLAGS = (
    ["--voltage-min-pu", "0.94"], ["--voltage-min-pu", "nan"], ["--voltage-min-pu", "0.123456"],
    ["--loading-max", "inf"], ["--loading-max", "1e300"],
    ["--overload-time-max-s", "nan", "--loading-max", "1"], ["--throughput-min", "nan"], ["--out", "/dev/null"],
    ["--out", "/dev/null/x"],
    ["--out", "x" * 300], ["--out", "a\0b"], ["--out", "study/ledger.sqlite"], ["--out", "study/ledger.sqlite/x"],
    ["--out", "/proc/x"],
    ["--violation-integral-pu-s", "nan"], ["--latency-misses", "-1"],
)  # fmt: skip
_Spoilt = tuple[str, str]


def _ledger_bytes(rng: random.Random, root: Path) -> _Spoilt:
    path = root / "ledger.sqlite"
    data = path.read_bytes()
    if rng.random() < 0.1:
        return f"the ledger is {spoil_place(rng, path)}", "study"
    page = 4096 * rng.randrange(len(data) // 4096)
    ways: list[tuple[str, Callable[[], bytes]]] = [
        ("0 bytes", lambda: b""),
        ("its first half", lambda: data[: len(data) // 2]),
        ("its first 100 bytes", lambda: data[:100]),
        ("its first 16 bytes", lambda: data[:16]),
        ("hello 500 times", lambda: b"hello" * 500),
        ("40 bytes flipped", lambda: _flipped(rng, data, 40)),
        ("400 bytes flipped", lambda: _flipped(rng, data, 400)),
        ("a page of 0xFF", lambda: data[:page] + b"\xff" * 4096 + data[page + 4096 :]),
        ("bytes 4,096 to 8,191 0xFF", lambda: data[:4096] + b"\xff" * 4096 + data[8192:]),
        ("a page of zeros", lambda: data[:page] + b"\0" * 4096 + data[page + 4096 :]),
        ("another SQLite file", lambda: _other_database(root)),
        ("its version changed", lambda: data[:18] + b"\xff\xff" + data[20:]),
        ("its page size changed", lambda: data[:16] + rng.randbytes(2) + data[18:]),
        ("zeros after its end", lambda: data + b"\0" * 100_000),
        ("its last page gone", lambda: data[:-4096]),
        ("pages swapped", lambda: data[:4096] + data[8192:12288] + data[4096:8192] + data[12288:]),
    ]
    words, way = rng.choice(ways)
    path.write_bytes(way())
    if rng.random() < 0.15:
        beside = rng.choice(["-wal", "-shm", "-journal"])
        Path(f"{path}{beside}").write_bytes(rng.randbytes(5000))
        words += f", nonsense as ledger.sqlite{beside}"
    return f"the ledger: {words}", "ledger.sqlite"


def _other_database(root: Path) -> bytes:
    path = root.parent / "other.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE words (word TEXT)")
    db.close()
    return path.read_bytes()


def _flipped(rng: random.Random, data: bytes, n: int) -> bytes:
    found = bytearray(data)
    for _ in range(n):
        found[rng.randrange(len(found))] ^= 0xFF
    return bytes(found)


_COLUMNS = {
    "study": ("layout", "question", "command", "created", "inputs"),
    "task": (
        "id", "content_key", "code_version", "stage", "place", "kind", "content", "label", "weight", "seed", "state",
        "attempts", "reason",
        "seconds", "engine", "host", "parent",
    ),
    "attempt": ("task", "number", "began", "ended", "outcome", "reason", "details", "host"),
}  # fmt: skip
_CELLS: tuple[object, ...] = (
    "", "x", "{", "{}", "[]", "[1]", "null", "1", '"x"', '{"study": 1}', '{"study": "hosting-capacity"}',
    '{"study": "nothing"}', '{"study": ":x"}',
    '{"study": "os:sep"}', '{"study": "builtins:dict"}', '{"a": 1}', '{"numbers": ["x"]}',
    '{"site_sets": [["nowhere"]]}', "[" * 100_000, "9" * 5000, "a" * LONG, "NaN",
    "inf", -1, 0, 1, 2, 99, 2**62, -(2**63), 1.5, 1e300, float("inf"), float("-inf"), b"\xff\xfe", b"", b"x", "\0",
    "ä\u202e", "\ud800", "waiting", "running", "done",
    "failed", "split", "dropped", "nonsense", "../../x", "/etc", "=1+1", "[red]x[/", "ieee13", "capacities", "total",
)  # fmt: skip
_STATEMENTS = (
    "DROP TABLE task", "DROP TABLE study", "DROP TABLE attempt", "DELETE FROM study", "DELETE FROM task",
    "DELETE FROM attempt",
    "DELETE FROM task WHERE rowid = 1", "ALTER TABLE task DROP COLUMN label",
    "ALTER TABLE task RENAME COLUMN state TO status", "ALTER TABLE study DROP COLUMN inputs",
    "ALTER TABLE attempt RENAME TO attempts", "DROP TABLE task; CREATE VIEW task AS SELECT * FROM study",
    "DROP TABLE task; CREATE TABLE task (id TEXT)",
    "CREATE TRIGGER t AFTER UPDATE ON task BEGIN DELETE FROM task; END", "PRAGMA user_version = 99",
    "PRAGMA application_id = 7",
    "UPDATE task SET parent = id", "UPDATE task SET parent = (SELECT max(id) FROM task)",
    "UPDATE task SET state = 'waiting'", "UPDATE task SET state = 'running'",
    "INSERT INTO task SELECT 'x', content_key, code_version, 'nonsense', place, kind, content, label, weight, seed, "
    "state, attempts, reason, seconds, engine, host, parent FROM task LIMIT 1",
    # Rows without end.
    "DROP TABLE task; CREATE VIEW task AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, "
    "'' AS content_key, '' AS code_version, 'sums' AS stage, 0 AS place, '' AS kind, '{}' AS content, '' AS label, "
    "1.0 AS weight, 0 AS seed, 'done' AS state, 0 AS attempts, '' AS reason, 0.0 AS seconds, '' AS engine, "
    "'' AS host, '' AS parent FROM n",
)  # fmt: skip


def _ledger_rows(rng: random.Random, root: Path) -> _Spoilt:
    db = sqlite3.connect(root / "ledger.sqlite")
    try:
        if rng.random() < 0.35:
            words = rng.choice(_STATEMENTS)
            try:
                db.executescript(words)
            except sqlite3.Error as error:
                words += f" ({error})"
        else:
            table = rng.choice(["study", "study", "task", "task", "attempt"])
            column, value = rng.choice(_COLUMNS[table]), rng.choice(_CELLS)
            words = f"UPDATE {table} SET {column} = {value!r:.40}"
            held = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            change = f"UPDATE {table} SET {column} = " + ("CAST(? AS TEXT)" if isinstance(value, str) else "?")
            one = " WHERE rowid = (SELECT min(rowid) FROM task)" if column in ("id", "task") else ""
            try:
                db.execute(change + (one if table == "task" else ""), (held,))
            except sqlite3.IntegrityError:
                words += " (refused by SQLite)"
            db.commit()
    finally:
        db.close()
    return words, "study"


def _tables_of(root: Path) -> list[Path]:
    return sorted((root / "tasks").glob("*/*.parquet"))


def _table(rng: random.Random, root: Path) -> _Spoilt:
    path = rng.choice(_tables_of(root))
    data = path.read_bytes()
    if rng.random() < 0.15:
        return f"table {path.stem} is {spoil_place(rng, path)}", "study"
    ways: list[tuple[str, Callable[[], bytes]]] = [
        ("its first half", lambda: data[: len(data) // 2]),
        ("0 bytes", lambda: b""),
        ("100 letters x", lambda: b"x" * 100),
        ("40 bytes flipped", lambda: _flipped(rng, data, 40)),
        ("one byte flipped", lambda: _flipped(rng, data, 1)),
        ("its last 8 bytes gone", lambda: data[:-8]),
        ("a footer of another length", lambda: data[:-8] + b"\xff\xff\xff\x7fPAR1"),
        ("PAR1 twice", lambda: b"PAR1PAR1"),
        ("another table", lambda: rng.choice(_tables_of(root)).read_bytes()),
        ("CSV", lambda: b"a,b\n1,2\n"),
    ]
    words, way = rng.choice(ways)
    path.write_bytes(way())
    return f"table {path.stem}: {words}", path.parent.name


def _table_columns(rng: random.Random, root: Path) -> _Spoilt:
    """A whole Parquet file that holds something else than it should."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = rng.choice(_tables_of(root))
    table = pq.read_table(path)
    column = rng.choice(table.column_names)
    words, spoilt = rng.choice(
        [
            (f"without the column {column}", lambda: table.drop_columns([column])),
            ("no rows", lambda: table.slice(0, 0)),
            ("rows twice", lambda: pa.concat_tables([table, table])),
            ("no columns", lambda: pa.table({})),
            (f"words in {column}", lambda: _with_column(table, column, ["x"] * len(table))),
            (f"nothing in {column}", lambda: _with_column(table, column, [None] * len(table))),
            (f"NaN in {column}", lambda: _with_column(table, column, [float("nan")] * len(table))),
            (f"infinity in {column}", lambda: _with_column(table, column, [float("inf")] * len(table))),
            (f"lists in {column}", lambda: _with_column(table, column, [[1.0]] * len(table))),
            (f"JSON in {column}", lambda: _with_column(table, column, ["[{}]"] * len(table))),
            (f"formulas in {column}", lambda: _with_column(table, column, ["=1+1"] * len(table))),
            ("other columns", lambda: pa.table({"a": [1]})),
        ]
    )
    pq.write_table(spoilt(), path)
    return f"table {path.stem}: {words}", path.parent.name


def _with_column(table: object, name: str, values: list[object]) -> object:
    import pyarrow as pa

    place = table.column_names.index(name)  # type: ignore[attr-defined]
    return table.set_column(place, name, pa.array(values))  # type: ignore[attr-defined]


def _question_file(rng: random.Random, root: Path) -> _Spoilt:
    path = root / "study.toml"
    path.write_text(str(rng.choice(ABSURD_VALUES))[:1000], encoding="utf-8", errors="replace")
    return "study.toml holds something else", "study"


def _folder(rng: random.Random, root: Path) -> _Spoilt:
    task = rng.choice(_tables_of(root)).parent
    words = rng.choice(
        ["no tasks", "tasks is a file", "tasks is a link to itself", "a task's folder gone",
        "a task's folder is a file", "a task's folder empty",
         "report.html is a folder", "answer.json is a folder", "lock is a folder", "lock is a pipe",
         "lock is a link to itself", "running is a file",
         "running gone", "a strange file in tasks", "a progress file of nonsense", "the folder is a file",
         "the folder is a link to itself",
         "the folder empty", "report.html is a link to nothing", "a strange table", "rejudged is a file",
         "the ledger locked"]
    )  # fmt: skip
    if words in ("no tasks", "tasks is a file", "tasks is a link to itself"):
        shutil.rmtree(root / "tasks")
        if words == "tasks is a file":
            (root / "tasks").write_text("", encoding="utf-8")
        elif "link" in words:
            (root / "tasks").symlink_to("tasks")
    elif words.startswith("a task's folder"):
        shutil.rmtree(task)
        if words.endswith("file"):
            task.write_text("", encoding="utf-8")
        elif words.endswith("empty"):
            task.mkdir()
    elif words.endswith("is a folder"):
        path = root / words.split()[0]
        path.unlink(missing_ok=True)
        (path / "within").mkdir(parents=True)
    elif words in ("lock is a pipe", "lock is a link to itself"):
        (root / "lock").unlink(missing_ok=True)
        os.mkfifo(root / "lock") if "pipe" in words else (root / "lock").symlink_to("lock")
    elif words.startswith("running"):
        shutil.rmtree(root / "running")
        if words.endswith("file"):
            (root / "running").write_text("", encoding="utf-8")
    elif words == "a strange file in tasks":
        (root / "tasks" / "x.tmp").write_text("", encoding="utf-8")
        (root / "tasks" / "\udce9").write_text("", encoding="utf-8")
    elif words == "a progress file of nonsense":
        text = rng.choice(
            ["", "{", "[]", "{}", "null", '{"share": "x", "words": 1}', '{"share": NaN, "words": null}', "[" * 100_000]
        )
        (root / "running" / f"{task.name}.json").write_text(text, encoding="utf-8")
        with sqlite3.connect(root / "ledger.sqlite") as db:
            db.execute("UPDATE task SET state = 'running' WHERE id = ?", (task.name,))
        db.close()
    elif words in ("the folder is a file", "the folder is a link to itself", "the folder empty"):
        shutil.rmtree(root)
        if words.endswith("file"):
            root.write_text("", encoding="utf-8")
        elif words.endswith("itself"):
            root.symlink_to("study")
        else:
            root.mkdir()
    elif words == "report.html is a link to nothing":
        (root / "report.html").symlink_to("nowhere/x")
    elif words == "a strange table":
        (task / "strange.parquet").write_bytes(b"x")
    elif words == "rejudged is a file":
        (root / "rejudged").write_text("", encoding="utf-8")
    elif words == "the ledger locked":
        # Held by this process until the case is over: whoever waits for it must not wait for long.
        _held_lock(root / "ledger.sqlite")
    return f"folder: {words}", "study"


_LOCKS: list[sqlite3.Connection] = []


def _held_lock(path: Path) -> None:
    while _LOCKS:
        _LOCKS.pop().close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    _LOCKS.append(db)
