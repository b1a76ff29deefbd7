"""A stored study, and the command on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import SmallStudy

from studies.cli import main

STUDY = SmallStudy(n=4, group=2)


def g2g_said(capsys: pytest.CaptureFixture[str], command: str, root: Path, *options: str) -> tuple[int, str]:
    """Exit status, and all that was said in one line; an exception that is not ours ends the test."""
    capsys.readouterr()
    status = main([command, str(root), "--trust-study", *options])
    said = capsys.readouterr()
    return status, " ".join(f"{said.out} {said.err}".split())


def as_folder(name: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.mkdir()
        (path / "in_it").touch()

    return spoil
