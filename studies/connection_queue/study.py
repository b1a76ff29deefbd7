"""A queue of requests: granted firm, flexible or limited in order of arrival, or refused with what would cure it.

Stages: `queue` goes through all arrivals and withdrawals, one after the other, since each finds the grid that those
before it left: one task, whose runs are kept as they come, so that a resume answers them at once. `cures` simulates
remedies for refused requests, a task for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar

from g2g_opt.errors import InputError, number_of
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from studies.connection_check.largest_transfer import TransferLimits
from studies.connection_check.remedy_candidates import RemedyPlace, items_of, list_remedies
from studies.connection_check.remedy_costs import UnitCosts, costs_files
from studies.connection_check.remedy_search import search_remedies
from studies.connection_check.rows import remedy_row
from studies.connection_queue.answer import conclusion_of
from studies.connection_queue.granting import Grant, GrantedGrid
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import QueuedRequest, requests_path
from studies.connection_queue.rows import QueueRemedyRow, QueueRow
from studies.connection_queue.working import QueueRun
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import gather_as, to_rows

_EXPECTED_REMEDIES = 40


@question_model
class ConnectionQueueStudy(ConnectionQueueQuestion):
    """A `ConnectionQueueQuestion` that can be run."""

    study: ClassVar[str] = "queue"
    stages: ClassVar[tuple[str, ...]] = ("queue", "cures")
    # Every grant stands on those before it, which other limits would have refused or let in.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> Mapping[str, Path]:
        """Circuit, bundled data, the user's traces, requests and costs."""
        found = {**super().input_files(), **costs_files(self.costs)}
        return found | {f"requests/{self.requests}": requests_path(self.requests)}

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        UnitCosts.load(self.costs).check(items_of(self.remedies))
        requests = self.read()
        self.check_growth(requests)
        feeder = self.load_feeder()
        self.resolve_buses(feeder)
        limits = TransferLimits(feeder)
        for request in requests:
            try:
                self.check_carried(limits, feeder.bus(request.bus).name, request.mw)
                self.size_of(request)
            except InputError as error:
                raise InputError(f"{self.requests}: {request.name}: {error}") from error

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """The whole queue; then one for each of the first refused requests."""
        if stage == "queue":
            n = len(self.read())
            return [Task("queue", {}, f"{number_of(n, 'request')}", float(n))]
        refused = [row for row in gather_as(results, "queue", QueueRow) if row.decision == "refused"]
        rows = {row.request: list(row.n_servers_by_level) for row in gather_as(results, "grants", QueueRow)}
        how = {row.request: row.decision for row in gather_as(results, "grants", QueueRow)}
        return [
            Task(
                "cures",
                {"request": row.request, "before": [[name, how[name], rows[name]] for name in row.before],
                 "year": date.fromisoformat(row.decided).year,
                 "overloaded": row.limit_element if row.limit_is_thermal else ""},
                f"remedies for {row.request}, {row.mw:g} MW at {row.bus}",
                3.0,
            )
            for row in refused[: self.cures]
            if self.remedies
        ]  # fmt: skip

    def split(self, task: Task) -> list[Task]:
        """None: every request finds the grid that those before it left."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        feeder = self.load_feeder()
        if task.kind == "cures":
            return self._run_cures(feeder, task, counted(progress, _EXPECTED_REMEDIES))
        return QueueRun(self, feeder, progress).tables()

    def _run_cures(self, feeder: Feeder, task: Task, tell: Callable[[str], None]) -> Tables:
        requests = {request.name: request for request in self.read()}
        request: QueuedRequest = requests[task.content["request"]]
        grid = GrantedGrid(self, feeder, min(one.arrived for one in requests.values()).year)
        grid.grants = [Grant(requests[name], how, tuple(n)) for name, how, n in task.content["before"]]
        asked = Grant(request, "firm", (self.size_of(request),) * len(self.levels))
        over = task.content["overloaded"]
        place = RemedyPlace(feeder, feeder.bus(request.bus), self.nearby, (over,) if over else ())
        costs = UnitCosts.load(self.costs)
        found = [remedy for kind in self.remedies for remedy in list_remedies(kind, place).remedies]
        plans = [(grid.plan(level, (asked,)), share) for level, share in grid.cases(task.content["year"])]
        tried = search_remedies(
            self,
            feeder,
            # A cure that helps at one level of own load may break another: all of them have to hold.
            [
                (plan, self.scenarios("firm" if plan.policy.kind == "none" else "flexible", share))
                for plan, share in plans
            ],
            [(remedy, costs.of(remedy.amounts, self.discount_rate)) for remedy in found],
            tell,
        )
        return {"remedies": to_rows([QueueRemedyRow(**vars(remedy_row(one)), request=request.name) for one in tried])}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone."""
        return conclusion_of(self, results)
