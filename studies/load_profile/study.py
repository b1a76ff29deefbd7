"""Limited load profile: the MW that a bus can take in each hour of each month of a year, firm and flexible.

Stages: `cells` finds the largest site that keeps every limit on all days of an hour of a month; `fleets` runs a site
that draws just that through the year, hour after hour, and takes off what does not hold; then the fleet that fits at
any time (firm), and the one that lowers its batch sizes in the tight hours (flexible).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from studies.load_profile.answer import conclusion_of
from studies.load_profile.cell_search import search_cell
from studies.load_profile.fleet import YearFleets
from studies.load_profile.question import LoadProfileQuestion
from studies.load_profile.rows import CellRow, cell_rows
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import check_unused, question_model, unused_fields
from studies.shared.rejudging import ALL_LIMITS
from studies.shared.side_by_side import run_side_by_side
from studies.shared.stored_bases import BASES, base_rows
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import gather_as, to_rows
from studies.shared.utilisation import check_range

# Sizes that the search of a cell usually judges, for progress.
_EXPECTED_SIZES = 12
# Work of a bus's fleets next to that of a month of its cells.
_FLEETS_WEIGHT = 3.0


@question_model
class LoadProfileStudy(LoadProfileQuestion):
    """A `LoadProfileQuestion` that can be run."""

    study: ClassVar[str] = "load-profile"
    stages: ClassVar[tuple[str, ...]] = ("cells", "fleets")
    # No time outside the limits is allowed, and the fleets' tokens were searched for: these stay.
    rejudges: ClassVar[frozenset[str]] = (
        ALL_LIMITS - set(unused_fields(LoadProfileQuestion)["limits"]) - {"throughput_share_min"}
    )

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        check_unused(self)
        if self.utilisation is not None:
            check_range(self.utilisation)
        self.try_smallest_sites(Policy())

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """A task for every bus and month; in the stage "fleets" one for every bus whose cells are all known."""
        buses = self.resolve_buses(self.load_feeder())
        if stage == "cells":
            hours: dict[int, list[int]] = {}
            for cell in self.cells():
                hours.setdefault(cell.month, []).append(cell.hour)
            return [self._cells_task(bus, month, of_month) for bus in buses for month, of_month in hours.items()]
        n_cells = len(self.cells())
        found: dict[str, list[CellRow]] = {}
        for row in gather_as(results, "cells", CellRow):
            found.setdefault(row.bus, []).append(row)
        in_order = {bus: sorted(rows, key=lambda row: row.key) for bus, rows in found.items()}
        whole = {bus: rows for bus, rows in in_order.items() if len(rows) == n_cells}
        return [
            Task(
                "fleets",
                {"bus": bus, "cells": [[row.n_servers, row.power_mw or 0.0] for row in whole[bus]]},
                f"bus {bus}: fleets",
                _FLEETS_WEIGHT,
            )
            for bus in buses
            if bus in whole
        ]

    def _cells_task(self, bus: str, month: int, hours: Sequence[int]) -> Task:
        which = f"month {month}" if len(hours) > 1 else f"month {month} hour {hours[0]}"
        content = {"bus": bus, "month": month, "hours": list(hours)}
        return Task("cells", content, f"bus {bus}, {which}", len(hours) / 24.0)

    def split(self, task: Task) -> list[Task]:
        """One task for every hour of a month."""
        hours = task.content.get("hours", [])
        if len(hours) < 2:
            return []
        return [self._cells_task(task.content["bus"], task.content["month"], [hour]) for hour in hours]

    def run(self, task: Task, progress: Progress) -> Tables:
        """The searches of a month side by side, or the fleets of a bus."""
        feeder, bus = self.load_feeder(), task.content["bus"]
        if task.kind == "fleets":
            return self._run_fleets(feeder, bus, task.content["cells"], progress)
        month, hours = task.content["month"], task.content["hours"]
        cells = [cell for cell in self.cells() if cell.month == month and cell.hour in hours]
        report = counted(progress, _EXPECTED_SIZES * len(cells))
        models = self.load_models()
        found = run_side_by_side(self, feeder, [search_cell(self, models, bus, cell, report) for cell in cells])
        profile = load_profile(self.profile)
        sizes = [row for one in found for row in one.rows(profile)]
        return {
            "cells": to_rows(cell_rows(sizes, self.search_end)),
            "judged": to_rows(sizes),
            BASES: base_rows(one for cell in found for one in cell.done(self, models)),
            "runs": to_rows([run for one in found for run in one.runs(self, models)]),
        }

    def _run_fleets(self, feeder: Feeder, bus: str, known: Sequence[Sequence[float]], progress: Progress) -> Tables:
        cells, done = self.cells(), 0

        def report(words: str) -> None:
            nonlocal done
            done += 1
            progress(done / (done + 2.0), words)

        n_allowed, allowed_mw = [int(row[0]) for row in known], [float(row[1]) for row in known]
        fleets = YearFleets(self, feeder, bus, cells, n_allowed, allowed_mw, report)
        profile = fleets.follow_profile()
        scale = profile.scale if profile.scale is not None else np.ones(len(cells))
        firm = fleets.firm(scale)
        return fleets.tables(profile, (firm, fleets.flexible(firm, scale)))

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; sizes `made_under` other limits are judged again."""
        return conclusion_of(self, results, made_under is not None)
