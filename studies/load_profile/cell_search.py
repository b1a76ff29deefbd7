"""The largest site that a bus can host in one cell, as a search that runs side by side with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from g2g_opt.hourly_profile import HourlyProfile
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.site import GPUS_PER_SERVER
from solvers.largest_feasible import search_largest_feasible
from studies.load_profile.cells import Cell
from studies.load_profile.question import LoadProfileQuestion
from studies.load_profile.rows import CellRun, CellSizeRow
from studies.shared.side_by_side import RunRequest, Wanted, largest_kept
from studies.shared.workload import Models, SizeRange

# Share of an answer within which the search stops.
RESOLUTION = 0.005
SIZES_AT_ONCE = 2
GROWTH_AROUND_GUESS = 1.15
# Sizes looked at below an answer, whether they hold too.
SIZES_BELOW: dict[TapMode, int] = {"fixed": 3, "own control": 6}


@dataclass(frozen=True, eq=False)
class CellFound:
    """What the search of a cell came to: every size judged (servers), from small to large."""

    bus: str
    cell: Cell
    judged: dict[int, Outcome] = field(default_factory=dict)

    def rows(self, profile: HourlyProfile) -> list[CellSizeRow]:
        """Every size judged."""
        moment = self.cell.moment(profile)
        return [CellSizeRow.of(self.bus, self.cell, n, run, moment) for n, run in self.judged.items()]

    def done(self, study: LoadProfileQuestion, models: Models) -> list[tuple[Plan, Scenario, Outcome]]:
        """Every size judged, as it was run."""
        scenario = study.cell_scenario(self.cell)
        return [(study.plan(models, self.bus, n), scenario, run) for n, run in self.judged.items()]

    def runs(self, study: LoadProfileQuestion, models: Models) -> list[CellRun]:
        """Every run."""
        of_cell = {"bus": self.bus, "month": self.cell.month, "hour": self.cell.hour}
        return [
            CellRun.of(plan, scenario, run, n_servers=n, **of_cell)
            for n, (plan, scenario, run) in zip(self.judged, self.done(study, models), strict=True)
        ]


def search_cell(
    study: LoadProfileQuestion,
    models: Models,
    bus: str,
    cell: Cell,
    report: Callable[[str], None],
    wanted: SizeRange | None = None,
) -> Wanted[CellFound]:
    """The largest number of servers, at their nominal batch sizes, that keeps the limits in every hour of the cell.

    In all of the study's range, or among the sizes `wanted`, whose first one is then a good guess.
    """
    sizes = wanted or SizeRange.of(models, study.base_kw_per_gpu, study.power_max_mw)
    search = search_largest_feasible(
        sizes.largest,
        n_min=sizes.smallest,
        start=sizes.first,
        resolution=RESOLUTION,
        growth=1.6 if wanted is None else GROWTH_AROUND_GUESS,
        at_once=SIZES_AT_ONCE,
        shrink=wanted is not None,
        below=SIZES_BELOW[study.plan(models, bus, sizes.smallest).tap_mode],
    )
    scenario = study.cell_scenario(cell)
    judged: dict[int, Outcome] = {}

    def judge(asked: Sequence[int]) -> Wanted[dict[int, bool]]:
        runs = yield tuple(RunRequest(study.plan(models, bus, n), scenario=scenario) for n in asked)
        judged.update(zip(asked, runs, strict=True))
        for n in asked:
            verdict = "keeps the limits" if judged[n].kept else "does not"
            report(f"bus {bus}, {cell.name}: {GPUS_PER_SERVER * n} GPUs {verdict}")
        return {n: judged[n].kept for n in asked}

    yield from largest_kept(search, judge)
    return CellFound(bus, cell, dict(sorted(judged.items())))
