"""Runs and decisions of a task that is not over, in files of its study's folder until the task is."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from g2g_opt.errors import InputError
from g2g_opt.reading import read_bytes
from studies.running.stored_tables import StoredTables, table_file
from studies.running.study_folder import sync_folder, write_whole, writing
from studies.shared.task import Row

logger = logging.getLogger(__name__)


class FolderKeeper:
    """Keeps rows in a folder: a Parquet file for every time some are kept, named by what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self) -> Sequence[Row]:
        """Everything kept; a file that is not what its name says (half-written, changed) counts for nothing."""
        found: list[Row] = []
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                if hashlib.sha256(read_bytes(path, "kept runs")).hexdigest() != path.stem:
                    logger.warning("%s is not whole: its runs are simulated again", path)
                    continue
                found += StoredTables(self._folder)[path.stem]
            except InputError as error:
                logger.warning("%s: its runs are simulated again", error)
        return found

    def keep(self, rows: Sequence[Row]) -> None:
        """Write rows to a file of their own. Raises `StorageError`."""
        content, record = table_file(rows)
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / f"{record.sha256}.parquet", content)
            sync_folder(self._folder)

    def forget(self) -> None:
        """Remove the files of rows; what lies in folders below stays."""
        with writing(self._folder):
            for path in self._folder.glob("*.parquet"):
                path.unlink()

    def remove(self) -> None:
        """Remove what was kept, and what lies below: the task is over."""
        with writing(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)
