"""The folder of a study: where everything lies, how it is written, and the lock that keeps a second runner out."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g2g_opt.errors import InputError
from studies.running.stored_tables import StoredTables, TableRecord, TableRecords, table_file
from studies.shared.task import Tables


class StorageError(InputError):
    """A place that cannot be written; what was recorded before is whole."""


class DiskFullError(StorageError):
    """There is no room left for results; what was recorded before is whole."""


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say clearly what a file system refuses while `place` is written: `DiskFullError`, else `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room left for {place}; make room and give the same command again") from error
        # A folder is made unless there is one: what is there then is something else.
        why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise StorageError(
            f"{place} cannot be written: {why}; make that possible, or choose another folder (--out)"
        ) from error


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power failure, where its file system can promise that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems sync no folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that survives a power failure once its folder is synced."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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

    @property
    def inputs(self) -> Path:
        """Copies of the user's files that the study reads."""
        return self.root / "inputs"

    def task(self, task_id: str) -> Path:
        """The tables of a finished task."""
        return self.root / "tasks" / task_id

    def kept_runs(self, task_id: str) -> Path:
        """Folder of the runs of a task that is not over."""
        return self.root / "kept" / task_id

    def kept_decisions(self, task_id: str) -> Path:
        """Folder of what a task that is not over has decided."""
        return self.kept_runs(task_id) / "decided"

    def progress(self, task_id: str) -> Path:
        """What a running task last said of itself."""
        return self.root / "running" / f"{task_id}.json"

    def make(self) -> None:
        """Make the folder; `StorageError` if that cannot be done."""
        for part in ("tasks", "running"):
            with writing(self.root / part):
                (self.root / part).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if need be, so that nobody else begins or runs a study in it.

        `InputError` if another process holds it, or nothing can be held there. The lock of a killed process is gone
        with it.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        handle = self._lock()
        try:
            with writing(self.root / "lock"):
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            yield
        finally:
            os.close(handle)

    def is_held(self) -> bool:
        """Whether a process is at work in the folder."""
        try:
            handle = os.open(self.root / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _lock(self) -> int:
        path = self.root / "lock"
        while True:
            with writing(path):
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever removed the folder and made it anew meanwhile locks another file of this name.
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
            except FileNotFoundError:
                pass
            except OSError as error:
                holder = os.pread(handle, 20, 0).decode(errors="replace") or "unknown"
                os.close(handle)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise StorageError(
                        f"{self.root} lies on a file system without locks ({error.strerror}), where nothing keeps a "
                        "second g2g out; choose another with --out"
                    ) from error
                raise InputError(
                    f"another g2g (process {holder}) is at work in {self.root}; `g2g status` shows how far it is"
                ) from error
            os.close(handle)

    def write_tables(self, task_id: str, tables: Tables) -> dict[str, TableRecord]:
        """Write a task's tables: all of them are there, on the disk itself, or none. Raises `StorageError`."""
        target = self.task(task_id)
        scratch = target.with_name(f"{task_id}.{os.getpid()}.tmp")
        records = {}
        with writing(target):
            shutil.rmtree(scratch, ignore_errors=True)
            try:
                scratch.mkdir(parents=True)
                for name, rows in tables.items():
                    content, records[name] = table_file(rows)
                    write_whole(scratch / f"{name}.parquet", content)
                sync_folder(scratch)
                _take_place(scratch, target)
                sync_folder(target.parent)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return records

    def remove_scratch(self) -> None:
        """Remove what killed workers and runners left half-written, and what they last said."""
        with writing(self.root):
            for path in (self.root / "tasks").glob("*.tmp"):
                shutil.rmtree(path)
            for path in (self.root / "running").glob("*"):
                path.unlink(missing_ok=True)
            for path in self.root.glob("ledger.new*"):
                path.unlink(missing_ok=True)

    def tables(self, task_id: str, records: TableRecords | None = None) -> StoredTables:
        """The tables of a finished task, read when they are asked for."""
        return StoredTables(self.task(task_id), records)

    def write_progress(self, task_id: str, share: float, words: str) -> None:
        """Say how far a running task is; readers see the old words or the new ones. Raises `StorageError`."""
        path = self.progress(task_id)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        with writing(path):
            scratch.write_text(json.dumps({"share": share, "words": words}), encoding="utf-8")
            scratch.replace(path)

    def read_progress(self, task_id: str) -> tuple[float, str]:
        """Share (0 to 1) and words that a running task last wrote; (0, "") before that."""
        path = self.progress(task_id)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return float(content["share"]), str(content["words"])
        except FileNotFoundError:
            return 0.0, ""
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return 0.0, f"({path.name} cannot be read)"


def _take_place(scratch: Path, target: Path) -> None:
    """Move a folder into its place, where a run that was killed before it recorded the task may have left its own."""
    for _ in range(10):
        shutil.rmtree(target, ignore_errors=True)
        try:
            scratch.rename(target)
        except OSError as error:
            # A worker of a killed runner, in the last moments of its life, put it there again.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise OSError(errno.EEXIST, "another process keeps writing it")
