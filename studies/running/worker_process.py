"""Worker processes as the system has them: begun, ended with all that they started, and what they died of.

Light to import, so that a command can begin its first worker before it imports what it needs itself (`worker_ahead`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection


@dataclass(frozen=True, eq=False)
class WorkerProcess:
    """A process that does jobs, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def end(self) -> int:
        """Kill it, and what it started; its exit status."""
        self.connection.close()
        return end_group(self.process)


def start_worker(study: str = "") -> WorkerProcess:
    """Begin a worker of this process, for jobs of a study where that is known, or use the one that was begun ahead.

    Raises `OSError` if the system has no room.
    """
    if _ahead:
        return _ahead.pop()
    here, there = socket.socketpair()
    words = f"from studies.running.local_worker import begin; begin({there.fileno()}, {os.getpid()}, {study!r})"
    try:
        process = start_python(words, there.fileno())
    except OSError:
        here.close()
        raise
    finally:
        there.close()
    return WorkerProcess(process, Connection(here.detach()))


_ahead: list[WorkerProcess] = []


@contextmanager
def worker_ahead(study: str) -> Iterator[None]:
    """Begin a worker for the first `start_worker` inside, so that its imports go on beside ours; one that is not used
    is ended. A machine without room for it says so once a worker is needed.
    """
    with suppress(OSError):
        _ahead.append(start_worker(study))
    try:
        yield
    finally:
        while _ahead:
            _ahead.pop().end()


def start_python(words: str, *descriptors: int) -> subprocess.Popen[bytes]:
    """Another interpreter that finds the modules which this one finds, and nothing more: no script is run again in it.

    It leads a process group of its own, so that whatever it starts can be stopped with it. Linear algebra is left one
    thread from the start: a buffer for each further one is a part of its memory. What threads give back is kept in two
    places at most (glibc's arenas; 100 MiB less in a siting study of the 123-bus feeder), unless the environment says
    otherwise.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {words}"],
        env={"MALLOC_ARENA_MAX": "2", **os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,
    )


def end_group(process: subprocess.Popen[bytes]) -> int:
    """Kill a process of `start_python` and what it started; its exit status."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def cause_of_death(exit_code: int | None) -> str:
    """An exit status in words; none while there is none."""
    if exit_code is None:
        return ""
    if exit_code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"the worker process was ended by {known.get(-exit_code, f'signal {-exit_code}')}"
    return f"the worker process ended by itself (exit status {exit_code})"
