"""The folder of a study: where everything lies, its tables as Parquet, and the lock that keeps a second runner out."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g2g_opt.errors import G2GError, InputError
from studies.task import Row, Tables


class DiskFullError(G2GError, OSError):
    """There is no room left for results; what was recorded before is whole."""


class StudyFolder:
    """Paths in the folder `root` of a study, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def ledger(self) -> Path:
        """The SQLite file with every task."""
        return self.root / "ledger.sqlite"

    @property
    def question(self) -> Path:
        """The question as it was asked."""
        return self.root / "study.toml"

    def task(self, task_id: str) -> Path:
        """The tables of a finished task."""
        return self.root / "tasks" / task_id

    def progress(self, task_id: str) -> Path:
        """What a running task last said of itself."""
        return self.root / "running" / f"{task_id}.json"

    def make(self) -> None:
        """Make the folder; `InputError` if that cannot be done."""
        try:
            for part in ("tasks", "running"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.root} cannot be made ({error}); choose another with --out") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; `InputError` if another process does. The lock of a killed process is gone with it."""
        with (self.root / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise InputError(
                    f"another g2g (process {file.read().strip() or 'unknown'}) is at work in {self.root}; "
                    "`g2g status` shows how far it is"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def write_tables(self, task_id: str, tables: Tables) -> None:
        """Write a task's tables: all of them are there, or none. Raises `DiskFullError`."""
        target = self.task(task_id)
        scratch = target.with_name(f"{task_id}.{os.getpid()}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            scratch.mkdir(parents=True)
            for name, rows in tables.items():
                with (scratch / f"{name}.parquet").open("wb") as file:
                    pq.write_table(_table(rows), file, compression="zstd")
                    file.flush()
                    os.fsync(file.fileno())
            # Left by a run that was killed before it could record the task: the same rows, written again.
            shutil.rmtree(target, ignore_errors=True)
            scratch.rename(target)
        except OSError as error:
            raise disk_full(error, self.root) or error from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def remove_scratch(self) -> None:
        """Remove what killed workers left half-written, and what they last said."""
        for path in (self.root / "tasks").glob("*.tmp"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.root / "running").glob("*"):
            path.unlink(missing_ok=True)

    def tables(self, task_id: str) -> StoredTables:
        """The tables of a finished task, read when they are asked for."""
        return StoredTables(self.task(task_id))

    def write_progress(self, task_id: str, share: float, words: str) -> None:
        """Say how far a running task is; readers see the old words or the new ones. Raises `DiskFullError`."""
        path = self.progress(task_id)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            scratch.write_text(json.dumps({"share": share, "words": words}), encoding="utf-8")
            scratch.replace(path)
        except OSError as error:
            raise disk_full(error, self.root) or error from error

    def read_progress(self, task_id: str) -> tuple[float, str]:
        """Share (0 to 1) and words that a running task last wrote; (0, "") before that."""
        try:
            content = json.loads(self.progress(task_id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0.0, ""
        return float(content["share"]), str(content["words"])


def disk_full(error: OSError, place: Path) -> DiskFullError | None:
    """`error` in words if it says that the disk (or a quota) is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return DiskFullError(f"no room left for results in {place}; make room, then `g2g resume {place}`")


class StoredTables(Mapping[str, Sequence[Row]]):
    """Tables of one task, each read from its Parquet file on first use; lists of numbers come back as arrays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, list[Row]] = {}

    @cached_property
    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.parquet"))

    def __getitem__(self, name: str) -> Sequence[Row]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = _rows(pq.read_table(self._folder / f"{name}.parquet"))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _table(rows: Sequence[Row]) -> pa.Table:
    """Rows as columns; a row that lacks a name has None there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _rows(table: pa.Table) -> list[Row]:
    columns = {name: _column(table.column(name).combine_chunks()) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(values: pa.ChunkedArray | pa.Array) -> list[Any]:
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if not (pa.types.is_list(values.type) and pa.types.is_primitive(values.type.value_type)):
        listed: list[Any] = values.to_pylist()
        return listed
    flat = values.flatten().to_numpy(zero_copy_only=False)
    ends = np.cumsum(values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    begins = np.concatenate([[0], ends[:-1]])
    known = values.is_valid().to_pylist()
    return [flat[a:b] if here else None for a, b, here in zip(begins, ends, known, strict=True)]
