"""Worker processes on this machine, and their supervisor: one that crashes or hangs costs its task, nothing else.

A process per job at a time, each with a socket of its own to the runner, which waits on all of them in one thread: no
queue, lock or reader thread is shared, so that a process may be killed at any moment without a trace in the others. A
process hears of a job only once it has said that it is ready, and says when it begins: what dies before that has cost
no task an attempt.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Protocol

from g2g_opt.errors import G2GError
from studies.running.worker import BEGAN, READY, Ended, Job
from studies.running.worker_process import WorkerProcess, cause_of_death, start_worker

# How often the runner looks after its processes while nothing is heard of them (s).
_LOOK_EVERY_S = 0.1
# A process that is not ready after this has failed to start (s): imports from a busy network disk take long.
_START_S = 300.0
# Processes that are started before there is work for them: few studies have less to do, whatever the machine.
_STARTED_FIRST = 2
# Starts that may fail in a row: an accident may befall a few, what a process itself says is not going to change.
_FAILED_STARTS = 10
_REFUSED_STARTS = 3
# Pause after the first failed start (s), doubled with each further one, up to the longest.
_PAUSE_S, _PAUSE_MAX_S = 0.05, 2.0


class WorkersError(G2GError, RuntimeError):
    """No worker can be had; the tasks wait for another run."""


class Workers(Protocol):
    """Something that does jobs: processes here, or a cluster."""

    engine: str

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time."""

    def processors_of(self, n_jobs: int) -> int:
        """Processors that each of so many jobs, which run at a time, may use on its machine."""

    def submit(self, job: Job) -> None:
        """Take a job; not more than `capacity` at a time."""

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`. Raises `WorkersError` if no job can ever end."""

    def stop(self) -> None:
        """Stop all work at once."""


@dataclass(eq=False)
class _Process:
    """A worker process: its job, once it has one, and until when it has to say something."""

    worker: WorkerProcess
    until_s: float
    is_ready: bool = False
    job: Job | None = None
    has_begun: bool = False
    # Its last words, if it could not begin to work.
    refusal: str = ""

    @property
    def connection(self) -> Connection:
        """Our end of the socket to it."""
        return self.worker.connection


@dataclass
class Starts:
    """Starts that failed in a row."""

    failed: int = 0
    refused: int = 0
    reason: str = ""
    not_before_s: float = field(default=-math.inf)

    def fail(self, reason: str, is_refusal: bool = False) -> None:
        """Another one failed."""
        self.failed += 1
        self.refused += is_refusal
        self.reason = reason
        self.not_before_s = time.monotonic() + min(_PAUSE_MAX_S, _PAUSE_S * 2.0**self.failed)

    @property
    def are_hopeless(self) -> bool:
        """True once no further start should be tried."""
        return self.failed >= _FAILED_STARTS or self.refused >= _REFUSED_STARTS

    def are_due(self) -> bool:
        """True if another start should be tried now."""
        return not self.are_hopeless and time.monotonic() >= self.not_before_s

    def error(self) -> WorkersError:
        """What ends a run that has no worker left."""
        return WorkersError(f"no worker process can be started: {self.reason} ({self.failed} times in a row)")


class LocalWorkers:
    """`n_workers` processes; a job that takes longer than `time_out_s` is stopped."""

    def __init__(self, n_workers: int | None = None, time_out_s: float | None = None) -> None:
        self.engine = "local"
        self._n_workers = n_workers or os.cpu_count() or 1
        self._time_out_s = math.inf if time_out_s is None else time_out_s
        self._processes: list[_Process] = []
        self._n_ahead = 0
        self._jobs: deque[Job] = deque()
        self._ended: list[Ended] = []
        self._starts = Starts()

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time."""
        return max(1, len(self._processes)) if self._starts.are_hopeless else self._n_workers

    def processors_of(self, n_jobs: int) -> int:
        """Those that are left over if jobs are fewer than the processes asked for."""
        return max(1, self._n_workers // n_jobs)

    def start(self) -> None:
        """Start the first processes before there is a job: what is done meanwhile hides how long their imports take.

        Where that would be more than there are processors besides this process's, the rest follows with the first job.
        """
        self._n_ahead = min(_STARTED_FIRST, self._n_workers)
        self._start_ahead(max(1, (os.cpu_count() or 1) - 1))

    def _start_ahead(self, at_most: int = _STARTED_FIRST) -> None:
        while len(self._processes) < min(self._n_ahead, at_most) and self._start():
            pass

    def submit(self, job: Job) -> None:
        """Give a job to a free process, or to the next one that is ready."""
        self._jobs.append(job)
        self._deal()
        self._start_ahead()
        self._n_ahead = 0

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while True:
            left_s = until_s - time.monotonic()
            heard = wait([one.connection for one in self._processes], max(0.0, min(left_s, _LOOK_EVERY_S)))
            for one in list(self._processes):
                self._look_after(one, one.connection in heard)
            self._deal()
            if self._ended or left_s <= 0.0:
                ended, self._ended = self._ended, []
                return ended

    def stop(self) -> None:
        """Stop all processes at once."""
        while self._processes:
            self._processes.pop().worker.end()
        self._jobs.clear()

    # --- one process

    def _look_after(self, one: _Process, has_spoken: bool) -> None:
        # Looked at first: what a dead process said is then all that it will say.
        is_dead = one.worker.process.poll() is not None
        try:
            while has_spoken or one.connection.poll():
                has_spoken = False
                self._hear(one, one.connection.recv())
        except (EOFError, OSError):
            is_dead = True
        if is_dead:
            # Killed first: a socket may be closed while its process lives on.
            self._bury(one, cause_of_death(one.worker.process.poll()))
        elif time.monotonic() >= one.until_s:
            self._bury(one, "", is_late=True)

    def _hear(self, one: _Process, said: str | Ended) -> None:
        if isinstance(said, Ended):
            self._ended.append(said)
            one.job, one.has_begun, one.until_s = None, False, math.inf
        elif said == READY:
            one.is_ready, one.until_s = True, math.inf
            self._starts = Starts()
        elif said == BEGAN:
            one.has_begun, one.until_s = True, time.monotonic() + self._time_out_s
        else:
            one.refusal = said

    def _bury(self, one: _Process, why: str, is_late: bool = False) -> None:
        """Take a process away that is dead, or late, with what it leaves undone."""
        self._processes.remove(one)
        status = one.worker.end()
        why = why or cause_of_death(status)
        if not one.is_ready:
            late = f"not ready within {_START_S:g} s" if is_late else ""
            self._starts.fail(one.refusal or late or why, bool(one.refusal))
        if one.job is None:
            return
        if not one.has_begun:
            self._jobs.appendleft(one.job)
        elif is_late:
            self._ended.append(Ended(one.job.task_id, None, "timed out", f"not done within {self._time_out_s:g} s"))
        else:
            self._ended.append(Ended(one.job.task_id, None, "died", why))

    # --- all of them

    def _deal(self) -> None:
        """Give jobs to processes that are free, and start as many as there is work for."""
        for one in self._processes:
            if self._jobs and one.is_ready and one.job is None:
                one.job = self._jobs.popleft()
                try:
                    one.connection.send(one.job)
                except OSError:
                    # It has died since it was last looked at: it is buried in a moment, and has not begun the job.
                    continue
        n_starting = sum(not one.is_ready for one in self._processes)
        while n_starting < len(self._jobs) and len(self._processes) < self._n_workers and self._starts.are_due():
            n_starting += self._start()
        if self._jobs and not self._processes and self._starts.are_hopeless:
            raise self._starts.error()

    def _start(self) -> bool:
        try:
            started = start_worker()
        except OSError as error:
            self._starts.fail(str(error))
            return False
        self._processes.append(_Process(started, time.monotonic() + _START_S))
        return True
