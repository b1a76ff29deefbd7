"""What a worker process does: one task, its tables written, its progress told."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from threadpoolctl import threadpool_limits

from g2g_opt.circuit.script_file.child import declare_expendable
from g2g_opt.consent import Consent, give_consent
from studies.catalogue import parse_question
from studies.running.inputs import InputsChangedError, check_inputs
from studies.running.run_keeper import FolderKeeper
from studies.running.stored_tables import TableRecords
from studies.running.study_folder import DiskFullError, StorageError, StudyFolder
from studies.running.told_once import tell_reasons_once
from studies.shared.kept_runs import keeping
from studies.shared.run_processes import sharing
from studies.shared.task import Task

# What a worker process says before and between the ends of its jobs.
READY, BEGAN = "ready", "began"
# Of Linux: a signal for the time when the parent dies.
_PR_SET_PDEATHSIG = 1
# Progress is told at most so often (s).
_TELL_EVERY_S = 0.5
# How often a worker looks whether its runner is still there (s).
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Job:
    """A task on its way to a worker: the question as canonical JSON, the folder its tables go to.

    `inputs` are the hashes of what results follow from, as the study began; `consent` what its user allowed. The task
    may use so many `processors` of the machine that it is done on.
    """

    folder: Path
    question: str
    task_id: str
    task: Task
    inputs: Mapping[str, str]
    consent: Consent
    processors: int = 1


@dataclass(frozen=True)
class Done:
    """A finished job: seconds it took, where, and what its tables are known by."""

    seconds: float
    host: str
    tables: TableRecords


How = Literal["raised", "died", "timed out", "disk full", "not written", "inputs changed"]


@dataclass(frozen=True)
class Ended:
    """How a job ended: `done`, or `how` it failed and why (`details`: the traceback)."""

    task_id: str
    done: Done | None
    how: How | None = None
    reason: str = ""
    details: str = ""


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
    check_inputs(job.inputs, question)
    # There is a worker per core: threads of linear algebra would only get into each other's way.
    keeper, decisions = FolderKeeper(folder.kept_runs(job.task_id)), FolderKeeper(folder.kept_decisions(job.task_id))
    with (
        threadpool_limits(limits=1, user_api="blas"),
        keeping(keeper, decisions),
        sharing(job.processors, partial(_begin_beside, os.getpid(), job.consent)),
    ):
        tables = question.run(job.task, tell)
    # A file that changed in between may be what was read.
    check_inputs(job.inputs, question)
    records = folder.write_tables(job.task_id, tables)
    keeper.remove()
    return Done(time.perf_counter() - began_s, socket.gethostname(), records)


def _begin_beside(worker_pid: int, consent: Consent) -> None:
    """Be a process that simulates runs of a worker's task."""
    belong_to(worker_pid)
    tell_reasons_once()
    give_consent(consent)


def of_error(task_id: str, error: BaseException) -> Ended:
    """The end of a job that raised."""
    how: How = "raised"
    if isinstance(error, StorageError):
        how = "disk full" if isinstance(error, DiskFullError) else "not written"
    elif isinstance(error, InputsChangedError):
        how = "inputs changed"
    return Ended(task_id, None, how, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def serve(runner: Connection, runner_pid: int) -> None:
    """Do the jobs that come from the runner, one after the other, until it is gone."""
    belong_to(runner_pid)
    tell_reasons_once()
    runner.send(READY)
    while True:
        try:
            job: Job = runner.recv()
        except (EOFError, OSError):
            return
        runner.send(BEGAN)
        try:
            ended = Ended(job.task_id, do_job(job))
        except BaseException as error:  # noqa: BLE001 (a task may raise anything: the runner records it)
            ended = of_error(job.task_id, error)
        runner.send(ended)


def belong_to(runner_pid: int) -> None:
    """Ctrl-C is the runner's business, and a worker process does not outlive its runner, which watches it die."""
    declare_expendable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # By the kernel, which asks no thread of a process that may have none to spare.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != runner_pid:
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(runner_pid,), daemon=True).start()


def _watch(runner_pid: int) -> None:
    while os.getppid() == runner_pid:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
