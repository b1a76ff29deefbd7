"""A ledger's SQLite file: opened to be read or written, its rows checked, and every refusal in clear words."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g2g_opt.errors import G2GError, InputError
from studies.running.study_folder import DiskFullError, StorageError, sync_folder, writing

# How long another program may hold the file before it counts as locked (s): when it is opened, and later on.
_OPEN_WAIT_S = 5.0
_CHANGE_WAIT_S = 60.0


class LedgerFile:
    """An open SQLite file; whatever SQLite refuses is an `InputError` that names the file and says what to do.

    Opened to be read, nothing is written, also where nothing can be: a read-only folder or file system. What a runner
    that was killed left in the write-ahead log is read along.
    """

    def __init__(self, path: Path, writable: bool) -> None:
        self.path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with self._in_words():
            self._db = self._connect() if writable or os.access(path.parent, os.W_OK) else self._connect_read_only()
            # Transactions are begun and ended by hand.
            self._db.isolation_level = None
            self._db.row_factory = sqlite3.Row
        try:
            if writable:
                self.rows("PRAGMA journal_mode = WAL")
                self.rows("PRAGMA synchronous = FULL")
                self.rows(f"PRAGMA busy_timeout = {1000 * _CHANGE_WAIT_S:.0f}")
            else:
                self.rows("PRAGMA query_only = ON")
        except G2GError:
            self.close()
            raise

    def _connect(self, path: Path | None = None, options: str = "mode=rw") -> sqlite3.Connection:
        where = f"{(path or self.path).resolve().as_uri()}?{options}"
        return sqlite3.connect(where, uri=True, timeout=_OPEN_WAIT_S)

    def _connect_read_only(self) -> sqlite3.Connection:
        log = self.path.with_name(f"{self.path.name}-wal")
        if not log.is_file() or not log.stat().st_size:
            return self._connect(options="mode=ro&immutable=1")
        # The log cannot be read without files beside it, which cannot be made here.
        self._copy = tempfile.TemporaryDirectory(prefix="g2g-ledger-")
        place = Path(self._copy.name)
        with writing(place):
            for source in (self.path, log):
                shutil.copyfile(source, place / source.name)
        return self._connect(place / self.path.name)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        if self._copy is not None:
            self._copy.cleanup()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Do one statement; all rows it gives."""
        with self._in_words():
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Do one statement; its first row, if there is one."""
        return next(iter(self.rows(sql, values)), None)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All statements within are one transaction."""
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.rollback()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # Misuse of the module is our own fault, not the file's.
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            raise _in_words(error, self.path) from error

    def damaged(self, what: str) -> InputError:
        """The error for a file whose content cannot be a ledger's."""
        return _damaged(self.path, what)


def create_file(path: Path, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Make an SQLite file by some statements: complete, and on the disk itself, before it has its name."""
    scratch = path.with_suffix(".new")
    with writing(path):
        scratch.unlink(missing_ok=True)
        scratch.touch()
    file = LedgerFile(scratch, writable=True)
    try:
        # What is moved is one file: no log lies beside it.
        file.rows("PRAGMA journal_mode = DELETE")
        with file.change():
            for sql, values in statements:
                file.rows(sql, values)
    finally:
        file.close()
    with writing(path):
        scratch.replace(path)
        sync_folder(path.parent)


def _in_words(error: sqlite3.DatabaseError | UnicodeDecodeError, path: Path) -> G2GError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # The last is what SQLite says where the file that its log needs beside it cannot grow.
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
        return DiskFullError(f"no room left for the ledger {path} ({error}); make room and give the same command again")
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InputError(f"{path} is locked by another program; end that, or try again when it is through")
    if code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return StorageError(f"{path} cannot be used ({error}); mend its place, or copy the study to another one")
    return _damaged(path, str(error))


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} is damaged, or no ledger ({what}); put a copy of it in its place, or begin anew in another folder"
    )
