"""Runs a study's tasks to the end, whatever happens on the way, and reads what was recorded.

The ledger says what is to be done, workers do it, the runner alone writes the ledger. A task counts as done once its
tables lie in the folder *and* the ledger says so, in this order: killed in between, it is done again, with the same
rows.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from g2g_opt.consent import given_consent
from g2g_opt.errors import InputError, number_of
from studies.catalogue import parse_question, question_json, question_toml
from studies.running.compared_questions import differences
from studies.running.inputs import InputsChangedError, check_inputs, code_version, inputs_of
from studies.running.kept_inputs import KeptInputs, keep_inputs, kept_inputs
from studies.running.ledger import Entry, Ledger, exists
from studies.running.local_workers import Workers
from studies.running.study_folder import DiskFullError, StorageError, StudyFolder, sync_folder, write_whole, writing
from studies.running.worker import Ended, Job
from studies.shared.task import Question, TaskResult

# Attempts at a task whose worker died: that may have been an accident. What raised or hung would do so again.
_ATTEMPTS_IF_DIED = 2
_WAIT_S = 0.25


@dataclass(frozen=True)
class Event:
    """Something to tell: a task of a stage began, ended, or moved on; shares of the stage's work done and running."""

    stage: str
    n_tasks: int
    n_done: int
    n_failed: int
    work: float
    work_done: float
    words: str = ""
    # Worth a line where there is no terminal.
    is_news: bool = False


Tell = Callable[[Event], None]


class QuestionError(InputError):
    """A question that cannot be asked, whatever its folder and workers, for the `fault` that it has."""

    def __init__(self, fault: InputError) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True)
class Finished:
    """How a run ended: entries of the ledger, and whether all tasks were tried."""

    entries: list[Entry]
    complete: bool

    @property
    def failed(self) -> list[Entry]:
        """Tasks without a result."""
        return [entry for entry in self.entries if entry.state == "failed"]


def begin_study(root: Path, question: Question, command: Sequence[str] | None = None) -> None:
    """Make the folder of a new study; `InputError` if the question cannot be used or the folder holds another study.

    A folder with the same question is left as it is, so that the same command goes on where it stopped. Whoever also
    runs the study gives its question to `run_study` instead, so that nobody can come between.
    """
    _check(question)
    folder = StudyFolder(root)
    with folder.locked():
        _begin(folder, question, command)


def _check(question: Question) -> None:
    try:
        question.check()
    except InputError as error:
        raise QuestionError(error) from error


def _begin(folder: StudyFolder, question: Question, command: Sequence[str] | None) -> None:
    """Begin a study in a folder that is held."""
    text = question_json(question)
    if exists(folder.ledger):
        if (asked := _asked(folder)) != text:
            free = next(place for k in count(2) if not os.path.lexists(place := f"{folder.root}_{k}"))
            raise InputError(
                f"{folder.root} holds another study ({differences(asked, text)} there); give this one a folder of its "
                "own, as in --out "
                f"{shlex.quote(free)}, or remove that one"
            )
        return
    inputs = inputs_of(question)
    folder.make()
    with writing(folder.question):
        write_whole(folder.question, question_toml(question).encode())
        sync_folder(folder.root.resolve().parent)
    keep_inputs(folder, question, inputs)
    words = shlex.join(command if command is not None else sys.argv)
    Ledger.create(folder.ledger, text, words, inputs)


def _asked(folder: StudyFolder) -> str:
    ledger = Ledger(folder.ledger)
    ledger.close()
    return ledger.question


def run_study(
    root: Path,
    workers: Callable[[], Workers],
    *,
    question: Question | None = None,
    older: str = "refuse",
    retry_failed: bool = False,
    tell: Tell = lambda event: None,
) -> Finished:
    """Do every task that is not done, stage after stage; `retry_failed` also those that failed.

    The study is begun with the `question`, if one is given. The folder is held from before that until the end: a
    second runner is refused. `workers` starts what does the jobs. Results recorded by an `older` version of the code
    are an `InputError` ("refuse"), kept beside the new ones ("keep") or done again ("redo"); results that are not what
    was recorded are done again. Raises `DiskFullError` or another `StorageError` when nothing more can be written,
    `WorkersError` when no worker can be had, and `KeyboardInterrupt` on Ctrl-C; in all these cases, as after being
    killed, the next run goes on from here.
    """
    folder = StudyFolder(root)
    if question is not None:
        _check(question)
    else:
        # Nothing is made where there is no study.
        Ledger(folder.ledger).close()
    with folder.locked():
        if question is not None:
            _begin(folder, question, None)
        with closing(Ledger(folder.ledger, writable=True)) as ledger:
            _check_same(folder, ledger, question_of(ledger), older)
            _clear(folder, ledger, tell)
            if retry_failed:
                ledger.retry_failed()
            _run_stages(folder, ledger, workers, older, tell)
            return Finished(ledger.entries(), True)


def _clear(folder: StudyFolder, ledger: Ledger, tell: Tell) -> None:
    """Put away what a run that was stopped left, and have results that are damaged done again."""
    folder.remove_scratch()
    entries = ledger.entries()
    ledger.release([entry.id for entry in entries if entry.state == "running"], "its runner was stopped")
    for entry, damage in damaged_results(folder, entries):
        ledger.redo(entry.id, f"its results were lost: {damage}", code_version())
        tell(Event(entry.stage, 1, 0, 0, 1.0, 0.0, f"{entry.task.label}: {damage}; done again", is_news=True))


def _run_stages(folder: StudyFolder, ledger: Ledger, workers: Callable[[], Workers], older: str, tell: Tell) -> None:
    question = question_of(ledger)
    pool: Workers | None = None
    try:
        for stage in question.stages:
            before = _results(folder, ledger, question.stages[: question.stages.index(stage)])
            ledger.list_stage(stage, question.tasks(stage, before), code_version(), older == "keep")
            if any(entry.state == "waiting" for entry in ledger.entries(stage)):
                pool = pool or workers()
                _Stage(folder, ledger, question, stage, pool, tell).run()
    finally:
        if pool is not None:
            pool.stop()
        ledger.release([e.id for e in ledger.entries() if e.state == "running"], "the study was stopped")


def question_of(ledger: Ledger) -> Question:
    """The question of a ledger; `InputError` that names the ledger if it cannot be used."""
    try:
        return parse_question(ledger.question)
    except InputError as error:
        raise InputError(f"{ledger.path}: the question of this study cannot be used: {error}") from error


def damaged_results(folder: StudyFolder, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Tasks that are done, but whose tables are not what was recorded, and in which way."""
    done = [entry for entry in entries if entry.state == "done"]
    found = [(entry, folder.tables(entry.id, entry.tables).damage()) for entry in done]
    return [(entry, damage) for entry, damage in found if damage]


def _check_same(folder: StudyFolder, ledger: Ledger, question: Question, older: str) -> None:
    try:
        check_inputs(ledger.inputs, question)
    except InputsChangedError:
        raise
    except InputError as error:
        kept = kept_inputs(folder, ledger.inputs)
        raise InputError(f"{error}{'' if kept is None else kept.way_back()}") from error
    others = {e.code_version for e in ledger.entries() if e.state == "done"} - {code_version()}
    if others and older == "refuse":
        n = sum(e.state == "done" and e.code_version in others for e in ledger.entries())
        raise InputError(
            f"{number_of(n, 'result')} made by another version of the code ({', '.join(sorted(others))}; this is "
            f"{code_version()}): --older keep uses them and says so in the report, --older redo makes them anew"
        )


class _Stage:
    """The tasks of one stage on their way through the workers."""

    def __init__(
        self, folder: StudyFolder, ledger: Ledger, question: Question, stage: str, workers: Workers, tell: Tell
    ) -> None:
        self._folder, self._ledger, self._question = folder, ledger, question
        self._stage, self._workers, self._tell = stage, workers, tell
        self._entries = {entry.id: entry for entry in ledger.entries(stage)}
        self._waiting = [entry.id for entry in self._entries.values() if entry.state == "waiting"]
        self._running: set[str] = set()
        self._deaths: dict[str, int] = {}

    def run(self) -> None:
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._workers.capacity:
                self._submit(self._waiting.pop(0))
            for ended in self._workers.wait(_WAIT_S):
                self._running.discard(ended.task_id)
                self._record(ended)
            self._tell(self._event())

    def _submit(self, task_id: str) -> None:
        self._ledger.start(task_id, self._workers.engine)
        self._folder.progress(task_id).unlink(missing_ok=True)
        task = self._entries[task_id].task
        self._running.add(task_id)
        root, ledger = self._folder.root.resolve(), self._ledger
        processors = self._workers.processors_of(len(self._running) + len(self._waiting))
        job = Job(root, ledger.question, task_id, task, ledger.inputs, given_consent(), processors)
        self._workers.submit(job)

    def _record(self, ended: Ended) -> None:
        task_id, task = ended.task_id, self._entries[ended.task_id].task
        self._folder.progress(task_id).unlink(missing_ok=True)
        if ended.done is not None:
            self._ledger.finish(task_id, ended.done.seconds, ended.done.host, ended.done.tables)
            self._news(task_id, f"{task.label}: done in {ended.done.seconds:.1f} s")
            return
        if ended.how in ("disk full", "not written"):
            # No other task could be recorded either.
            self._ledger.fail(task_id, ended.reason, ended.details, again=True)
            kind = DiskFullError if ended.how == "disk full" else StorageError
            raise kind(ended.reason.partition(": ")[2])
        if ended.how == "inputs changed":
            # So they are for all tasks to come.
            self._ledger.fail(task_id, ended.reason, ended.details, again=True)
            raise InputsChangedError(ended.reason.partition(": ")[2])
        reason = f"{ended.how}: {ended.reason}"
        if ended.how == "died":
            self._deaths[task_id] = self._deaths.get(task_id, 0) + 1
            if self._deaths[task_id] < _ATTEMPTS_IF_DIED:
                self._ledger.fail(task_id, reason, ended.details, again=True)
                self._waiting.append(task_id)
                self._news(task_id, f"{task.label}: {reason}; tried again")
                return
        parts = self._question.split(task)
        if parts:
            new = self._ledger.split(task_id, parts, reason, ended.details)
            self._entries |= {part: self._ledger.entry(part) for part in new}
            self._waiting += [part for part in new if self._entries[part].state == "waiting"]
            self._news(task_id, f"{task.label}: {reason}; divided into {len(parts)}")
            return
        self._ledger.fail(task_id, reason, ended.details)
        self._news(task_id, f"{task.label}: failed: {reason}")

    def _news(self, task_id: str, words: str) -> None:
        self._entries[task_id] = self._ledger.entry(task_id)
        self._tell(self._event(words))

    def _event(self, news: str = "") -> Event:
        entries = [entry for entry in self._entries.values() if entry.state != "split"]
        over = [entry for entry in entries if entry.state in ("done", "failed")]
        told = {task_id: self._folder.read_progress(task_id) for task_id in self._running}
        words = next((f"{self._entries[k].task.label}: {what}" for k, (_, what) in told.items() if what), "")
        return Event(
            stage=self._stage,
            n_tasks=len(entries),
            n_done=sum(entry.state == "done" for entry in entries),
            n_failed=sum(entry.state == "failed" for entry in entries),
            work=sum(entry.task.weight for entry in entries),
            work_done=sum(entry.task.weight for entry in over)
            + sum(self._entries[task_id].task.weight * share for task_id, (share, _) in told.items()),
            words=news or words,
            is_news=bool(news),
        )


def _results(folder: StudyFolder, ledger: Ledger, stages: Sequence[str]) -> list[TaskResult]:
    return [result_of(folder, entry) for entry in ledger.entries() if entry.stage in stages and is_over(entry)]


def is_over(entry: Entry) -> bool:
    """True for a task that has a result or has failed for good."""
    return entry.state in ("done", "failed")


def result_of(folder: StudyFolder, entry: Entry) -> TaskResult:
    """A task of the ledger with its tables, which are read on first use."""
    if entry.state == "failed":
        return TaskResult(entry.task, failed=entry.reason)
    return TaskResult(entry.task, folder.tables(entry.id, entry.tables))


def read_results(root: Path) -> tuple[Question, list[TaskResult], list[Entry]]:
    """Question, results and ledger entries of a study, whether or not it is complete.

    `InputError` if tables are not what was recorded: an answer would rest on less than it says.
    """
    folder = StudyFolder(root)
    with closing(Ledger(folder.ledger)) as ledger:
        question, entries = question_of(ledger), ledger.entries()
    if damaged := damaged_results(folder, entries):
        words = "; ".join(f"{entry.task.label} ({entry.id}): {damage}" for entry, damage in damaged)
        n = f"{len(damaged)} task{'s' if len(damaged) > 1 else ''}"
        raise InputError(f"the results of {n} in {root} are damaged: {words}; `g2g resume` does that again")
    return question, [result_of(folder, entry) for entry in entries if is_over(entry)], entries


def inputs_kept_in(root: Path) -> KeptInputs | None:
    """Copies of the inputs of a study, checked; None of one that kept none. Raises `InputError`."""
    folder = StudyFolder(root)
    ledger = Ledger(folder.ledger)
    ledger.close()
    return kept_inputs(folder, ledger.inputs)


def wait_hint(root: Path) -> str:
    """How to go on after a stop, which may have come before there was a study to go on with."""
    if not exists(StudyFolder(root).ledger):
        return f"no study was begun in {root}; give the same command again"
    return f"what was finished is recorded; {go_on_words(root)}"


def go_on_words(root: Path) -> str:
    """The command that goes on with a study."""
    return f"go on with: g2g resume {shlex.quote(os.fspath(root))}"
