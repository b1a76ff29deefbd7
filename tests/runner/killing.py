"""Runs of `g2g` on the small study to be killed, their worker processes, and what became of the rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from small_study import SmallStudy

from studies.catalogue import question_toml
from studies.running.runner import read_results
from studies.shared.task import gather

_HERE = Path(__file__).parent
Row = tuple[int, float, tuple[float, ...]]


def write_question(path: Path, study: SmallStudy) -> Path:
    path.write_text(question_toml(study), encoding="utf-8")
    return path


def g2g(*arguments: str) -> subprocess.Popen[str]:
    """`g2g` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "studies.cli", *arguments, "--trust-study"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), str(_HERE.parent.parent)]), "COLUMNS": "5000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def workers_of(pid: int, mark: str = "studies.running.local_worker") -> set[int]:
    """Worker processes that a process has started: children with `mark` in their command."""
    found = set()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(word) for word in listed.read_text().split() if mark in _command(int(word))}
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def kill(pid: int) -> bool:
    """Kill a process with -9; False if it was gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def rows_of(root: Path) -> list[Row]:
    found = gather(read_results(root)[1], "sums")
    return [(row["number"], row["sum"], tuple(row["draws"])) for row in found]


def ends_within(process: subprocess.Popen[str], within_s: float) -> bool:
    """True if the process ended by itself before its time."""
    try:
        process.wait(max(0.0, within_s))
    except subprocess.TimeoutExpired:
        return False
    return True
