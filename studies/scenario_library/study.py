"""A library of scenarios of a study case: drawn, screened in lockstep, split by seeds, kept with a digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, get_args

from g2g_opt.assembly import assemble
from g2g_opt.errors import number_of
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario_library import Split
from g2g_opt.study_case import StudyCase
from studies.scenario_library.answer import conclusion_of
from studies.scenario_library.question import LibraryQuestion
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.screening import CandidateRow, Screening, draw_candidates
from studies.shared.task import Progress, Tables, Task, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

# Candidates of a task: one batch.
_CHUNK = 192


@question_model
class LibraryStudy(LibraryQuestion):
    """A `LibraryQuestion` that can be run."""

    study: ClassVar[str] = "scenarios"
    stages: ClassVar[tuple[str, ...]] = ("candidates",)
    # What is admitted follows from the band.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        case = StudyCase.load(self.case)
        (first,) = draw_candidates(case, self.scenario, self.ranges, "train", 0, 1)
        plan = replace(case.plan, policy=Policy("ofo", channels=self.channels))
        assemble(plan, first, case.feeder, self.limits, trace_dir=Path(self.trace_dir)).grid.reset()

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Candidates by the batch."""
        return [
            _task(split, first, min(_CHUNK, n - first))
            for split, n, _ in self.candidates()
            for first in range(0, n, _CHUNK)
        ]

    def split(self, task: Task) -> list[Task]:
        """Two halves of a task that failed; none of a single candidate."""
        split, first, n = (task.content[name] for name in ("split", "first", "n"))
        half = n // 2
        return [_task(split, first, half), _task(split, first + half, n - half)] if half else []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Screen candidates, in a worker process."""
        (split,) = (name for name in get_args(Split) if name == task.content["split"])
        case = StudyCase.load(self.case)
        scenarios = draw_candidates(case, self.scenario, self.ranges, split, task.content["first"], task.content["n"])
        screening = Screening(case, self.rule, self.limits, Path(self.trace_dir), Policy("ofo", channels=self.channels))
        rows = screening.screen(split, scenarios, lambda share: progress(share, number_of(len(scenarios), "candidate")))
        return {"candidates": to_rows(rows)}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; what is admitted follows from the band, which is never another."""
        case = StudyCase.load(self.case)
        return conclusion_of(
            case, self.candidates(), self.rule, gather_as(results, "candidates", CandidateRow), results
        )


def _task(split: str, first: int, n: int) -> Task:
    label = f"{split}: candidates {first + 1} to {first + n}"
    return Task("candidates", {"split": split, "first": first, "n": n}, label, weight=float(n))
