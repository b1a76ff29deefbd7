"""Files that are whole whenever they are there: written beside their place, then moved into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g2g_opt.errors import InputError
from studies.running.study_folder import writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path in the same folder that takes the place of `path` at the end, or is gone after an error.

    `StorageError` if the file system refuses any of it: a full disk, a directory of that name, no permission; and
    `InputError` where a device, a pipe or a socket is in its place, which would be no more.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a device, a pipe or a socket; name a file that may be written")
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        try:
            yield scratch
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text file; a name from a file system that is no text (a lone surrogate) is written as its escape."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return path


def _remove_left(path: Path) -> None:
    """Remove what writers of `path` left that were killed; one that lives may be at it."""
    prefix = f".{path.name}."
    for left in path.parent.iterdir():
        pid = left.name.removeprefix(prefix).removesuffix(".tmp")
        if left.name == f"{prefix}{pid}.tmp" and pid.isdecimal() and not _lives(int(pid)):
            left.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
