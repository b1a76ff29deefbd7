"""The same jobs on Dask: on a scheduler somewhere, or on a cluster of processes on this machine."""

from __future__ import annotations

import importlib
import os
import subprocess
import threading
import time
from typing import Any

from g2g_opt.errors import InputError
from studies.running.local_workers import Starts, WorkersError
from studies.running.study_folder import StudyFolder
from studies.running.worker import Done, Ended, Job, do_job, of_error
from studies.running.worker_process import cause_of_death, end_group, start_python

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
        self._here: _ClusterHere | None = None
        if scheduler is None:
            self._here = _ClusterHere(dask, n_workers or os.cpu_count() or 1)
        try:
            self._client: Any = dask.Client(self._here.cluster if self._here is not None else scheduler, timeout="5s")
        except OSError as error:
            raise InputError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        self._running: dict[str, Any] = {}

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time now; workers may come and go."""
        if self._here is not None:
            return self._here.n_workers
        self._check_scheduler()
        return max(1, sum(int(n) for n in self._client.nthreads().values()))

    def _check_scheduler(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise WorkersError("the Dask scheduler is gone")

    def processors_of(self, n_jobs: int) -> int:
        """One: Dask deals out a thread to a job."""
        return 1

    def submit(self, job: Job) -> None:
        """Give a job to the scheduler."""
        # A key of its own for every attempt: Dask remembers the results of keys.
        key = f"{job.task_id}-{time.time_ns()}"
        self._running[job.task_id] = self._client.submit(_do_in_time, job, self._time_out_s, key=key, pure=False)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that have ended, after at most `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while not (ended := [task_id for task_id, future in self._running.items() if future.done()]):
            self._check_scheduler()
            if self._here is not None:
                self._here.look_after()
            if time.monotonic() >= until_s:
                break
            time.sleep(0.05)
        return [self._ended(task_id, self._running.pop(task_id)) for task_id in ended]

    def _ended(self, task_id: str, future: Any) -> Ended:
        if future.status == "finished":
            return Ended(task_id, future.result())
        if future.status in ("cancelled", "lost"):
            self._check_scheduler()
            return Ended(task_id, None, "died", "cancelled by the scheduler")
        error = future.exception()
        if isinstance(error, TimeoutError):
            return Ended(task_id, None, "timed out", str(error))
        if type(error).__name__ == "KilledWorker":
            return Ended(task_id, None, "died", f"its workers died: {error}")
        return of_error(task_id, error)

    def stop(self) -> None:
        """Give up all jobs, and the processes started here."""
        if self._client.status == "running":
            self._client.cancel(list(self._running.values()), force=True)
        if self._here is not None:
            self._here.stop()
        self._client.close()
        if self._here is not None:
            self._here.cluster.close()


class _ClusterHere:
    """A scheduler in this process, and processes that work for it.

    They are started and replaced by us: a worker killed while it starts takes the nanny that Dask gives it along, and
    with it the whole cluster if that happens at the beginning.
    """

    def __init__(self, dask: Any, n_workers: int) -> None:
        self.n_workers = n_workers
        self.cluster: Any = dask.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._were_ready: set[str] = set()
        self._starts = Starts()
        self._n_started = 0

    def look_after(self) -> None:
        """Replace the processes that have died. Raises `WorkersError` if none can be had."""
        ready = {str(worker.name) for worker in list(self.cluster.scheduler.workers.values())}
        if ready - self._were_ready:
            self._starts = Starts()
        self._were_ready |= ready
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
                status = end_group(process)
                if name not in self._were_ready:
                    self._starts.fail(cause_of_death(status))
        while len(self._processes) < self.n_workers and self._starts.are_due():
            self._start()
        if not self._processes and self._starts.are_hopeless:
            raise self._starts.error()

    def _start(self) -> None:
        self._n_started += 1
        name = f"g2g-{self._n_started}"
        arguments = [
            "dask-worker", self.cluster.scheduler_address, "--name", name, "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--memory-limit", "0",
        ]  # fmt: skip
        words = (
            f"from studies.running.worker import belong_to; belong_to({os.getpid()}); sys.argv[:] = {arguments!r}; "
            # What is of interest of a worker is in the ledger.
            "import os; os.environ.setdefault('DASK_LOGGING__DISTRIBUTED', 'warning'); "
            "from distributed.cli.dask_worker import main; main()"
        )
        try:
            self._processes[name] = start_python(words)
        except OSError as error:
            self._starts.fail(str(error))

    def stop(self) -> None:
        """End all processes at once."""
        while self._processes:
            end_group(self._processes.popitem()[1])


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
