"""The command line as far as to the first task: everything that looks at an input, and no simulation."""

from __future__ import annotations

from unittest import mock

from studies import cli
from studies.running import asked_workers
from studies.running.local_workers import Ended
from studies.running.worker import Job, do_job


class WorkBegins(BaseException):
    """A task would be given to a worker now."""


class NoWorkers:
    """Workers that would work, and say so."""

    engine = "none"
    capacity = 1

    def processors_of(self, n_jobs: int) -> int:
        return 1

    def submit(self, job: Job) -> None:
        raise WorkBegins

    def wait(self, timeout_s: float) -> list[Ended]:
        return []

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


class WorkersHere:
    """Workers that are this process: a job is done when it is given."""

    engine = "here"
    capacity = 1

    def processors_of(self, n_jobs: int) -> int:
        return 1

    def __init__(self) -> None:
        self._ended: list[Ended] = []

    def submit(self, job: Job) -> None:
        self._ended.append(Ended(job.task_id, do_job(job)))

    def wait(self, timeout_s: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        pass


def g2g(*arguments: str) -> int:
    """`g2g` with these arguments, to where a worker would begin a task; the exit status, 0 if one would."""
    with mock.patch.object(asked_workers, "LocalWorkers", return_value=NoWorkers()):
        try:
            return cli.main([*arguments])
        except WorkBegins:
            return 0
