"""A study of small tasks for tests of the runner: keyed sums, and tasks that raise, hang, or end their process."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from studies.shared.conclusion import Column, Conclusion, MissingAnswer, ResultTable
from studies.shared.input_files import feeder_files
from studies.shared.task import Progress, Tables, Task, TaskResult, gather


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SmallStudy:
    """`n` sums in groups of `group`, then one task over all of them. `bad` numbers fail in the way named with them.

    Every task that begins leaves a line in `log`, if there is one.
    """

    study: ClassVar[str] = "small_study:SmallStudy"
    stages: ClassVar[tuple[str, ...]] = ("sums", "total")
    rejudges: ClassVar[frozenset[str]] = frozenset({"voltage_min_pu"})

    n: int = 6
    group: int = 1
    seconds: float = 0.0
    bad: tuple[tuple[int, str], ...] = ()
    log: str = ""
    feeder: str = "ieee13"
    trace_dir: str = "data/specs"
    seed: int = 0
    limits: Limits = field(default_factory=Limits)

    def input_files(self) -> dict[str, Path]:
        return feeder_files(self.feeder, self.trace_dir)

    def check(self) -> None:
        if self.n < 1:
            raise InputError("n must be 1 or more")

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        if stage == "total":
            sums = [row["sum"] for row in gather(results, "sums")]
            return [Task("total", {"sums": sums}, "the total")]
        groups = [list(range(k, min(k + self.group, self.n))) for k in range(0, self.n, self.group)]
        return [self._of(numbers) for numbers in groups]

    def _of(self, numbers: list[int]) -> Task:
        return Task("sums", {"numbers": numbers}, f"sums {numbers}", weight=len(numbers))

    def split(self, task: Task) -> list[Task]:
        numbers = task.content.get("numbers", [])
        return [self._of([number]) for number in numbers] if len(numbers) > 1 else []

    def run(self, task: Task, progress: Progress) -> Tables:
        if self.log:
            with Path(self.log).open("a", encoding="utf-8") as file:
                file.write(f"{task.label}\n")
        if task.kind == "total":
            return {"total": [{"total": float(sum(task.content["sums"]))}]}
        rows = []
        for k, number in enumerate(task.content["numbers"]):
            progress(k / len(task.content["numbers"]), f"at {number}")
            time.sleep(self.seconds)
            _misbehave(dict(self.bad).get(number, ""), self.log)
            draws = np.random.default_rng([self.seed, number]).random(100)
            rows.append({"number": number, "sum": float(draws.sum()), "draws": draws})
        return {"sums": rows}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        rows = [{"number": row["number"], "sum": row["sum"]} for row in gather(results, "sums")]
        total = [row["total"] for row in gather(results, "total")]
        columns = (Column("number", "number"), Column("sum", "sum", 3))
        return Conclusion(
            title="Sums",
            answer=f"the total is {total[0]!r}" if total else "no total yet",
            feeder=self.feeder,
            tables=(ResultTable("sums", "Sums", columns, rows),),
            failures=tuple(MissingAnswer(r.task.label, r.failed) for r in results if r.failed),
            warnings=(f"judged from {self.limits.voltage_min_pu:g} pu",) if made_under is not None else (),
        )


def _misbehave(how: str, log: str) -> None:
    if how == "raises":
        raise ValueError("this number cannot be summed")
    if how == "hangs":
        time.sleep(3600)
    if how == "waits":
        until_s = time.monotonic() + 60.0
        while not Path(f"{log}.go").exists() and time.monotonic() < until_s:
            time.sleep(0.02)
    if how == "starts a process":
        with subprocess.Popen(["sleep", "3600"]) as started, Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{started.pid}\n")
    if how == "segfaults":
        ctypes.string_at(0)
    if how == "is killed":
        os.kill(os.getpid(), 9)
    if how == "prints":
        print("words of a task")  # noqa: T201
    if how == "is full":
        raise OSError(28, "No space left on device")
