"""A portfolio: one question over every feeder of a folder, a task for each feeder, in one ledger.

A feeder that is broken is a failed task with its reason, and no other notices. Within its task the feeder's own study
goes through all its stages; its runs are kept as they come, as those of every task.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.reading import user_path
from studies.portfolio.answer import conclusion_of
from studies.portfolio.question import PortfolioQuestion
from studies.portfolio.rows import PortfolioBusRow, PortfolioRow
from studies.shared.asked_channels import with_channels_note
from studies.shared.base_case_note import studied_base_case, with_base_case_note
from studies.shared.conclusion import Conclusion
from studies.shared.feeder_questions import FeederQuestion
from studies.shared.input_files import files_under
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Question, Tables, Task, TaskResult
from studies.shared.typed_rows import to_rows


@question_model
class PortfolioStudy(PortfolioQuestion):
    """A `PortfolioQuestion` that can be run."""

    study: ClassVar[str] = "portfolio"
    stages: ClassVar[tuple[str, ...]] = ("feeders",)
    # Limits are those of the question that is asked of every feeder.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> dict[str, Path]:
        """Everything in the folder, and the question."""
        asked = {} if self.question is None else {"question": user_path(self.question, "question")}
        return files_under("folder", self.root()) | asked

    def check(self) -> None:
        """Raise `InputError` if there is no feeder, or none that the question can be asked of."""
        reasons = []
        for feeder in self.feeders().values():
            try:
                self.asked_of(feeder)
                return
            except InputError as error:
                reasons.append(str(error))
        raise InputError(f"no feeder of {self.folder} can be asked: {reasons[0]}")

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """One for every feeder."""
        return [Task(stage, {"feeder": name, "path": path}, name) for name, path in self.feeders().items()]

    def split(self, task: Task) -> list[Task]:
        """None: a feeder is one task."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """All of one feeder's study."""
        name, path = task.content["feeder"], task.content["path"]
        question = self.asked_of(path)
        question.check()
        results = _run_whole(question, progress)
        failed = [result for result in results if result.failed]
        if len(failed) == len(results):
            why = failed[0].failed if failed else "its study has no task"
            raise InputError(f"feeder {name} has no answer: {why}")
        conclusion = with_channels_note(question.conclude(results), question)
        if isinstance(question, FeederQuestion):
            feeder = question.load_feeder()
            conclusion = with_base_case_note(conclusion, question, feeder, studied_base_case(question, feeder))
        row = PortfolioRow(
            feeder=name,
            path=path,
            title=conclusion.title,
            answer=conclusion.answer,
            n_tasks=len(results),
            n_failed=len(failed),
            reasons=tuple(f"{one.what}: {one.reason}" for one in conclusion.failures),
            warnings=conclusion.warnings,
        )
        buses = [
            PortfolioBusRow(name, bus, drawn.title, drawn.unit, float(value))
            for drawn in conclusion.maps
            for bus, value in drawn.value_by_bus.items()
        ]
        return {"feeders": to_rows([row]), "buses": to_rows(buses)}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone."""
        return conclusion_of(self, results)


def _run_whole(question: Question, progress: Progress) -> list[TaskResult]:
    """Every task of a study, stage after stage; one that raises is divided if it can be, else has its reason."""
    results: list[TaskResult] = []
    for number, stage in enumerate(question.stages):
        waiting = question.tasks(stage, tuple(results))
        done, in_all = 0, len(waiting)
        while waiting:
            task = waiting.pop(0)
            progress((number + done / max(in_all, 1)) / len(question.stages), f"{stage}: {task.label}")
            try:
                found = TaskResult(task, question.run(task, lambda share, words: None))
            except Exception as error:  # noqa: BLE001 (a task may raise anything: its reason is recorded)
                parts = question.split(task)
                waiting = [*parts, *waiting]
                if parts:
                    continue
                found = TaskResult(task, failed=f"{type(error).__name__}: {error}")
            results.append(found)
            done = min(done + 1, in_all)
    return results
