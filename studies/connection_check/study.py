"""Connection check: may a site of so many MW be connected at this bus, and if not, what would have to be done?

Stages: `request` judges the size that was asked for, firm and flexible, and searches how much fits instead. Where it
does not fit firm: `profile` searches every hour of every month for what does; then, side by side, a site that draws
just that is run through the year, and every kind of remedy is simulated by a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from g2g_opt.hourly_profile import load_profile, profile_path
from g2g_opt.limits import Limits
from g2g_opt.site import smallest_n_servers
from studies.connection_check.answer import conclusion_of
from studies.connection_check.judging import JudgedRequest, RequestJudge
from studies.connection_check.largest_transfer import TransferLimits
from studies.connection_check.limited_year import limited_year
from studies.connection_check.question import OPERATIONS, ConnectionCheckQuestion, RemedyKind
from studies.connection_check.remedy_candidates import RemedyPlace, items_of, list_remedies
from studies.connection_check.remedy_costs import UnitCosts, costs_files
from studies.connection_check.remedy_search import search_remedies
from studies.connection_check.request_tables import judged_again, request_tables
from studies.connection_check.rows import RequestRow, no_remedy_row, remedy_row
from studies.load_profile.cell_search import search_cell
from studies.load_profile.rows import CellRow, cell_rows
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.rejudging import ALL_LIMITS
from studies.shared.side_by_side import run_side_by_side
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import gather_as, to_rows
from studies.shared.workload import SizeRange

# Steps of the tasks, for progress: sizes of a request, and of a cell; remedies of a kind.
_EXPECTED_SIZES, _EXPECTED_IN_CELL, _EXPECTED_REMEDIES = 14, 6, 10


@question_model
class ConnectionCheckStudy(ConnectionCheckQuestion):
    """A `ConnectionCheckQuestion` that can be run."""

    study: ClassVar[str] = "check"
    stages: ClassVar[tuple[str, ...]] = ("request", "profile", "year and remedies")
    rejudges: ClassVar[frozenset[str]] = ALL_LIMITS

    def input_files(self) -> Mapping[str, Path]:
        """Circuit, bundled data, the user's traces and years, and the table of costs."""
        found = {**super().input_files(), **costs_files(self.costs)}
        if self.year is not None:
            found["profiles/year"] = profile_path(self.year)
        return found

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        self.check_fields()
        UnitCosts.load(self.costs).check(["curtailed energy", *items_of(self.remedies)])
        feeder = self.load_feeder()
        self.check_carried(TransferLimits(feeder), self.resolve_bus(feeder), self.mw)
        self.try_smallest_sites(self.policy)
        self.servers_for(self.mw, self.load_models())
        if self.year is not None:
            self.profile_question().cells()

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """The request first; what else there is follows where it does not fit firm."""
        if stage == "request":
            return [Task("request", {}, f"{self.mw:g} MW at bus {self.bus}", 2.0)]
        firm = next((row for row in gather_as(results, "requests", RequestRow) if row.operation == "firm"), None)
        if firm is None or firm.kept:
            return []
        if stage == "profile":
            if self.year is None:
                return []
            months = dict.fromkeys(cell.month for cell in self.profile_question().cells())
            guess = firm.largest_n_servers
            return [Task("profile", {"month": month, "guess": guess}, f"month {month}", 0.5) for month in months]
        over = firm.limit_element if firm.limit_criterion is not None and firm.limit_criterion.is_thermal else ""
        # The year takes longest, so it begins first.
        return self._year_tasks(results) + [
            Task("remedies", {"remedy": kind, "overloaded": over}, f"remedy: {kind}") for kind in self.remedies
        ]

    def _year_tasks(self, results: Sequence[TaskResult]) -> list[Task]:
        """The limited profile through the year, if every hour was searched."""
        found = sorted(gather_as(results, "cells", CellRow), key=lambda row: row.key)
        if self.year is None or len(found) < len(self.profile_question().cells()):
            return []
        content = {"cells": [[row.n_servers, row.power_mw or 0.0] for row in found]}
        return [Task("year", content, "the limited profile through the year", 2.0)]

    def split(self, task: Task) -> list[Task]:
        """None: a task is one search."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        if task.kind == "request":
            return self._run_request(counted(progress, _EXPECTED_SIZES * len(OPERATIONS)))
        if task.kind == "remedies":
            kind = cast("RemedyKind", task.content["remedy"])
            return self._run_remedies(kind, task.content["overloaded"], counted(progress, _EXPECTED_REMEDIES))
        if task.kind == "profile":
            return self._run_profile(task, progress)
        return limited_year(self, task.content["cells"], counted(progress, 4.0))

    def _run_request(self, tell: Callable[[str], None]) -> Tables:
        feeder = self.load_feeder()
        bus, models = self.resolve_bus(feeder), self.load_models()
        n_servers = self.servers_for(self.mw, models)
        judge = RequestJudge(self, bus, models, tell=tell)
        found: list[JudgedRequest] = run_side_by_side(
            self, feeder, [judge.with_margin(n_servers, operation) for operation in OPERATIONS]
        )
        full_mw = self.full_draw_mw(n_servers, models)
        return request_tables(found, bus, self.mw, full_mw, self.limits, judge)

    def _run_profile(self, task: Task, progress: Progress) -> Tables:
        """What every hour of a month takes, up to what was asked for."""
        question, month = self.profile_question(), task.content["month"]
        cells = [cell for cell in question.cells() if cell.month == month]
        feeder, models = question.load_feeder(), self.load_models()
        bus, n_servers, least = self.resolve_bus(feeder), self.servers_for(self.mw, models), smallest_n_servers(models)
        wanted = SizeRange(least, min(n_servers, max(least, task.content["guess"])), n_servers)
        report = counted(progress, _EXPECTED_IN_CELL * len(cells))
        found = run_side_by_side(
            question, feeder, [search_cell(question, models, bus, cell, report, wanted) for cell in cells]
        )
        profile = load_profile(question.profile)
        sizes = [row for one in found for row in one.rows(profile)]
        return {"cells": to_rows(cell_rows(sizes, "all that was asked for"))}

    def _run_remedies(self, kind: RemedyKind, overloaded: str, tell: Callable[[str], None]) -> Tables:
        feeder = self.load_feeder()
        bus, models = self.resolve_bus(feeder), self.load_models()
        place = RemedyPlace(feeder, feeder.bus(bus), self.nearby, (overloaded,) if overloaded else ())
        listed = list_remedies(kind, place)
        if not listed.remedies:
            return {"remedies": to_rows([no_remedy_row(kind, listed.reason)])}
        costs = UnitCosts.load(self.costs)
        judge = RequestJudge(self, bus, models)
        tried = search_remedies(
            self,
            feeder,
            [(judge.plan(self.servers_for(self.mw, models), "firm"), judge.scenarios["firm"])],
            [(remedy, costs.of(remedy.amounts, self.discount_rate)) for remedy in listed.remedies],
            tell,
        )
        return {"remedies": to_rows([remedy_row(one) for one in tried])}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; the request is judged again where it was `made_under` other limits."""
        return conclusion_of(self, results if made_under is None else judged_again(results, self.limits), made_under)
