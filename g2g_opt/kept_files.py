"""Copies of a user's files, read in the place of the files themselves: a study is readable where its inputs are not.

Whoever names a file goes on naming it as the user did; whoever opens one asks `copy_or_self` first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KeptFiles:
    """Copies below `folder`, each at the whole path of its original; relative paths were meant from `began_in`."""

    folder: Path
    began_in: str

    def place_of(self, path: Path) -> Path:
        """Where the copy of a file or folder is, or would be."""
        whole = Path(os.path.normpath(os.path.join(self.began_in, path)))
        return self.folder / whole.relative_to(whole.anchor)


_kept: ContextVar[KeptFiles | None] = ContextVar("kept_files", default=None)


@contextmanager
def reading_copies(kept: KeptFiles | None) -> Iterator[None]:
    """Within, files that were kept are read as their copies; without any, all are read themselves."""
    before = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(before)


def copy_or_self(path: Path) -> Path:
    """The copy of a file or folder, if it is one of those that are read as copies, else the path itself."""
    kept = _kept.get()
    if kept is None:
        return path
    copy = kept.place_of(path)
    return copy if copy.exists() else path
