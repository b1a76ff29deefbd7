"""Connection check: may a site of so many MW be connected at this bus, and if not, what would have to be done?

Stages: `request` judges the size that was asked for, firm and flexible, and searches how much fits instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from g2g_opt.limits import Limits
from studies.connection_check.answer import conclusion_of
from studies.connection_check.judging import JudgedRequest, RequestJudge
from studies.connection_check.question import ConnectionCheckQuestion, Operation
from studies.connection_check.rows import RequestRun, better_of, limit_rows, request_row, size_rows
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.side_by_side import run_side_by_side
from studies.shared.stored_bases import BASES, base_rows
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import to_rows

OPERATIONS: tuple[Operation, ...] = ("firm", "flexible")
# Sizes that the search for the margin usually judges, for progress.
_EXPECTED_SIZES = 14


@question_model
class ConnectionCheckStudy(ConnectionCheckQuestion):
    """A `ConnectionCheckQuestion` that can be run."""

    study: ClassVar[str] = "check"
    stages: ClassVar[tuple[str, ...]] = ("request",)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        self.check_fields()
        self.try_smallest_sites(self.policy)
        self.servers_for(self.mw, self.load_models())

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """One task in every stage but those that have a task for every part of the work."""
        return [Task("request", {}, f"{self.mw:g} MW at bus {self.bus}")]

    def split(self, task: Task) -> list[Task]:
        """None: a task is one search."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        return self._run_request(counted(progress, _EXPECTED_SIZES * len(OPERATIONS)))

    def _run_request(self, tell: object) -> Tables:
        feeder = self.load_feeder()
        bus, models = self.resolve_bus(feeder), self.load_models()
        n_servers = self.servers_for(self.mw, models)
        judge = RequestJudge(self, bus, models, self.scenarios(), tell=tell)  # type: ignore[arg-type]
        found: list[JudgedRequest] = run_side_by_side(
            self, feeder, [judge.with_margin(n_servers, operation) for operation in OPERATIONS]
        )
        rows = [request_row(one, bus, self.mw, self.full_draw_mw(n_servers, models) / n_servers) for one in found]
        firm, flexible = rows
        done = [
            (one, run, scenario, run.kept)
            for one in found
            for runs in (one.trial.runs, one.confirmed)
            for run, scenario in zip(runs, judge.scenarios if runs else (), strict=True)
        ]
        return {
            "requests": to_rows([firm, better_of(firm, flexible)]),
            "limits": to_rows([row for one in found for row in limit_rows(one)]),
            "sizes": to_rows([row for one in found for row in size_rows(one)]),
            BASES: base_rows((one.trial.plan, scenario, run) for one, run, scenario, _ in done),
            "runs": to_rows(
                [
                    RequestRun.of(one.trial.plan, scenario, run, operation=one.operation, kept=kept)
                    for one, run, scenario, kept in done
                ]
            ),
        }

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone."""
        return conclusion_of(self, results)
