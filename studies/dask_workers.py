"""The same jobs on Dask: on a scheduler somewhere, or on a cluster of processes on this machine."""

from __future__ import annotations

import importlib
import os
import threading
import time
from typing import Any

from g2g_opt.errors import InputError
from studies.local_workers import Ended, of_error
from studies.study_folder import StudyFolder
from studies.worker import Done, Job, do_job

# Left by a worker that gave up on a job; its successor reads it instead of trying again.
_TIMED_OUT = "timed out"


class DaskWorkers:
    """Jobs on the Dask `scheduler` at an address, or on `n_workers` processes here.

    Workers need the same version of this package and the folder of the study under the same path. Raises
    `InputError` if Dask is not installed or nobody answers at the address.
    """

    def __init__(
        self, scheduler: str | None = None, n_workers: int | None = None, time_out_s: float | None = None
    ) -> None:
        try:
            dask: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise InputError("--engine dask needs Dask: pip install 'g2g-opt[dask]'") from error
        self.engine = "dask"
        self._time_out_s = time_out_s
        self._cluster: Any = None
        self._client: Any = None
        if scheduler is None:
            n_workers = n_workers or os.cpu_count() or 1
            self._cluster = dask.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        try:
            self._client = dask.Client(self._cluster or scheduler, timeout="5s")
        except OSError as error:
            raise InputError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        self._running: dict[str, Any] = {}

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time now; workers may come and go."""
        return max(1, sum(int(n) for n in self._client.nthreads().values()))

    def submit(self, job: Job) -> None:
        """Give a job to the scheduler."""
        # A key of its own for every attempt: Dask remembers the results of keys.
        key = f"{job.task_id}-{time.time_ns()}"
        self._running[job.task_id] = self._client.submit(_do_in_time, job, self._time_out_s, key=key, pure=False)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while not (ended := [task_id for task_id, future in self._running.items() if future.done()]):
            if time.monotonic() >= until_s:
                break
            time.sleep(0.05)
        return [self._ended(task_id, self._running.pop(task_id)) for task_id in ended]

    def _ended(self, task_id: str, future: Any) -> Ended:
        if future.status == "finished":
            return Ended(task_id, future.result())
        if future.cancelled():
            return Ended(task_id, None, "died", "cancelled by the scheduler")
        error = future.exception()
        if isinstance(error, TimeoutError):
            return Ended(task_id, None, "timed out", str(error))
        if type(error).__name__ == "KilledWorker":
            return Ended(task_id, None, "died", f"its workers died: {error}")
        return of_error(task_id, error)

    def stop(self) -> None:
        """Give up all jobs, and the processes started here."""
        self._client.cancel(list(self._running.values()), force=True)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _do_in_time(job: Job, time_out_s: float | None) -> Done:
    """Do a job on a Dask worker, which is given up if it takes too long: a thread cannot be stopped, a process can."""
    if time_out_s is None:
        return do_job(job)
    folder = StudyFolder(job.folder)
    late = TimeoutError(f"not done within {time_out_s:g} s")
    if folder.read_progress(job.task_id)[1] == _TIMED_OUT:
        raise late

    def give_up() -> None:
        folder.write_progress(job.task_id, 0.0, _TIMED_OUT)
        os._exit(1)

    alarm = threading.Timer(time_out_s, give_up)
    alarm.daemon = True
    alarm.start()
    try:
        return do_job(job)
    finally:
        alarm.cancel()
