"""What a worker process does: one task, its tables written, its progress told."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from g2g_opt.consent import Consent, give_consent
from studies.catalogue import parse_question
from studies.study_folder import StudyFolder
from studies.task import Task

# Progress is told at most so often (s).
_TELL_EVERY_S = 0.5
# How often a worker looks whether its runner is still there (s).
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Job:
    """A task on its way to a worker: the question as canonical JSON, the folder its tables go to, what is allowed."""

    folder: Path
    question: str
    task_id: str
    task: Task
    consent: Consent


@dataclass(frozen=True)
class Done:
    """A finished job: seconds it took, and where."""

    seconds: float
    host: str


def do_job(job: Job) -> Done:
    """Do a task and write its tables. Whatever goes wrong is raised, for the runner to record."""
    began_s = time.perf_counter()
    folder = StudyFolder(job.folder)
    told_s = -_TELL_EVERY_S

    def tell(share: float, words: str = "") -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= _TELL_EVERY_S:
            told_s = now_s
            folder.write_progress(job.task_id, share, words)

    give_consent(job.consent)
    question = parse_question(job.question)
    # There is a worker per core: threads of linear algebra would only get into each other's way.
    with threadpool_limits(limits=1, user_api="blas"):
        tables = question.run(job.task, tell)
    folder.write_tables(job.task_id, tables)
    return Done(time.perf_counter() - began_s, socket.gethostname())


def begin_worker(runner_pid: int) -> None:
    """Prepare a worker process: Ctrl-C is the runner's business, and a worker does not outlive its runner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == runner_pid:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
