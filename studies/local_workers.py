"""Worker processes on this machine: one that crashes or hangs costs its task, nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pebble import ProcessExpired, ProcessPool

from studies.study_folder import DiskFullError
from studies.worker import Done, Job, begin_worker, do_job

How = Literal["raised", "died", "timed out", "disk full"]


@dataclass(frozen=True)
class Ended:
    """How a job ended: `done`, or `how` it failed and why (`details`: the traceback)."""

    task_id: str
    done: Done | None
    how: How | None = None
    reason: str = ""
    details: str = ""


class Workers(Protocol):
    """Something that does jobs: processes here, or a cluster."""

    engine: str

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time."""

    def submit(self, job: Job) -> None:
        """Take a job; not more than `capacity` at a time."""

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`."""

    def stop(self) -> None:
        """Stop all work at once."""


class LocalWorkers:
    """`n_workers` processes; a job that takes longer than `time_out_s` is stopped."""

    def __init__(self, n_workers: int | None = None, time_out_s: float | None = None) -> None:
        self.engine = "local"
        self.capacity = n_workers or os.cpu_count() or 1
        self._time_out_s = time_out_s
        self._pool = ProcessPool(
            max_workers=self.capacity,
            initializer=begin_worker,
            initargs=[os.getpid()],
            context=multiprocessing.get_context("spawn"),
        )
        self._running: dict[str, Any] = {}

    def submit(self, job: Job) -> None:
        """Give a job to a free process."""
        self._running[job.task_id] = self._pool.schedule(do_job, args=[job], timeout=self._time_out_s)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`."""
        wait(self._running.values(), timeout=timeout_s, return_when=FIRST_COMPLETED)
        ended = [task_id for task_id, future in self._running.items() if future.done()]
        return [self._ended(task_id, self._running.pop(task_id)) for task_id in ended]

    def _ended(self, task_id: str, future: Any) -> Ended:
        error = future.exception()
        if error is None:
            return Ended(task_id, future.result())
        if isinstance(error, ProcessExpired):
            return Ended(task_id, None, "died", _cause_of_death(error.exitcode), str(error))
        if isinstance(error, TimeoutError):
            return Ended(task_id, None, "timed out", f"not done within {self._time_out_s:g} s")
        return of_error(task_id, error)

    def stop(self) -> None:
        """Stop all processes at once."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def of_error(task_id: str, error: BaseException) -> Ended:
    """The end of a job that raised."""
    if isinstance(error, CancelledError):
        return Ended(task_id, None, "died", "cancelled")
    details = getattr(error, "traceback", "") or "".join(traceback.format_exception(error))
    how: How = "disk full" if isinstance(error, DiskFullError) else "raised"
    return Ended(task_id, None, how, f"{type(error).__name__}: {error}", details)


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"the worker process was ended by {signal.Signals(-exit_code).name}"
    return f"the worker process ended by itself (exit status {exit_code})"
