"""What a study is to the runner: a question that names its tasks, does each of them, and concludes.

One piece of data on its way: a `Question` (TOML, command line or Python) lists the `Task`s of its first stage; worker
processes `run` them, each giving tables of rows; when a stage is through, the question may ask for another one that
depends on what came out; at the end it draws a `Conclusion` from all of it. Tasks, states and reasons lie in the
ledger, rows in Parquet files beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from g2g_opt.limits import Limits
from studies.shared.conclusion import Conclusion

Row = dict[str, Any]
# Tables of a task by name. Rows hold numbers, words, None, and lists or arrays of numbers; one name, one type.
Tables = Mapping[str, Sequence[Row]]
# Hears the share of a task that is done (0 to 1), and words on what it does.
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Task:
    """One unit of work: lost, repeated and timed as a whole.

    `content` is JSON-like and complete with the question: the same question and content give the same tables on any
    machine. `label` tells people what it is. `weight` is its size next to other tasks, for estimates of time.
    """

    kind: str
    content: Mapping[str, Any]
    label: str
    weight: float = 1.0

    def key(self, question: str, code_version: str) -> str:
        """Identity of the task in a ledger: 16 hexadecimal digits of the hash of everything its result follows from."""
        return task_key(question, self.kind, self.content_json(), code_version)

    def content_json(self) -> str:
        """The content as canonical JSON."""
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"))


def task_key(question: str, kind: str, content_json: str, code_version: str) -> str:
    """`Task.key` of a task whose content is known as canonical JSON."""
    text = f"[{json.dumps(question)},{json.dumps(kind)},{content_json},{json.dumps(code_version)}]"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class TaskResult:
    """A finished task with its tables, or one that `failed` for a reason."""

    task: Task
    tables: Tables = field(default_factory=dict)
    failed: str = ""

    def rows(self, table: str) -> Sequence[Row]:
        """Rows of one table; none if the task has no such table."""
        return self.tables.get(table, ())


class Question(Protocol):
    """A study: frozen, complete enough to rerun, made of plain values (see `catalogue` for those there are)."""

    study: ClassVar[str]

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages; each of them is run when the one before is through, and may turn out to have no task."""

    @property
    def rejudges(self) -> frozenset[str]:
        """Limits by which stored runs can be judged again, by name."""

    @property
    def feeder(self) -> str:
        """A bundled feeder's name, or the path of an OpenDSS master file; empty if the study is not on a feeder."""

    @property
    def seed(self) -> int:
        """The study seed; every draw is keyed by it."""

    def input_files(self) -> Mapping[str, Path]:
        """Files that results follow from, by the names that a report gives them."""

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Tasks of a stage, given the results of all stages before it; may be none."""

    def split(self, task: Task) -> list[Task]:
        """Smaller tasks instead of one that failed; none if it cannot be divided."""

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; nothing is simulated.

        The question's `limits` are those to judge by. If they are not those that the results were made under, these
        are `made_under`: then what hangs on limits is concluded from the stored runs (see `rejudging`).
        """


def counted(progress: Progress, expected: float) -> Callable[..., None]:
    """Hears words on one step of a task after the other, of which about so many are expected, and tells progress.

    A step that takes longer than others counts as so many `steps`.
    """
    done = 0.0

    def report(words: str, steps: float = 1.0) -> None:
        nonlocal done
        done += steps
        # The expectation may be short: what is left shrinks on and is never nothing before the end.
        nearly = expected / 1.05
        progress(done / expected if done <= nearly else 1.0 - 0.05 / 1.05 * nearly / done, words)

    return report


def gather(results: Sequence[TaskResult], table: str) -> list[Row]:
    """Rows of one table over all results, in the order of the tasks."""
    return [row for result in results for row in result.rows(table)]
