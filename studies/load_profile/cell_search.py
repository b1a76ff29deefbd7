"""The largest site that a bus can host in one cell, as a search that runs side by side with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from g2g_opt.hourly_profile import HourlyProfile
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.site import GPUS_PER_SERVER
from solvers.largest_by_use import search_largest_by_use
from solvers.largest_feasible import search_largest_feasible
from studies.load_profile.cells import Cell
from studies.load_profile.question import LoadProfileQuestion
from studies.load_profile.rows import CellRun, CellSizeRow
from studies.shared.side_by_side import RunRequest, Wanted, judged_by, limit_use
from studies.shared.workload import Models, SizeRange

# Share of an answer within which the search stops.
RESOLUTION = 0.005
SIZES_AT_ONCE = 2
GROWTH_AROUND_GUESS = 2.0
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

    In all of the study's range, also above a first crossing; or among the sizes `wanted`, from a guess on, up to the
    lowest crossing that is met: what is found there is run through the year.
    """
    scenario = study.cell_scenario(cell)
    judged: dict[int, Outcome] = {}

    def simulated(asked: Sequence[int]) -> Wanted[None]:
        runs = yield tuple(RunRequest(study.plan(models, bus, n), scenario=scenario) for n in asked)
        judged.update(zip(asked, runs, strict=True))
        for n in asked:
            verdict = "keep the limits" if judged[n].kept else "do not"
            report(f"bus {bus}, {cell.name}: {GPUS_PER_SERVER * n} GPUs {verdict}")

    def kept(asked: Sequence[int]) -> Wanted[dict[int, bool]]:
        yield from simulated(asked)
        return {n: judged[n].kept for n in asked}

    def used(asked: Sequence[int]) -> Wanted[dict[int, float]]:
        yield from simulated(asked)
        return {n: limit_use([judged[n]]) for n in asked}

    if wanted is None:
        below = SIZES_BELOW["own control" if study.taps == "own control" else "fixed"]
        sizes = SizeRange.of(models, study.base_kw_per_gpu, study.power_max_mw)
        search = search_largest_feasible(
            sizes.largest, n_min=sizes.smallest, start=sizes.first, resolution=RESOLUTION, growth=1.6,
            at_once=SIZES_AT_ONCE, below=below,
        )  # fmt: skip
        yield from judged_by(search, kept)
    else:
        by_use = search_largest_by_use(
            wanted.largest,
            n_min=wanted.smallest,
            start=wanted.first,
            resolution=RESOLUTION,
            growth=GROWTH_AROUND_GUESS,
        )
        yield from judged_by(by_use, used)
    return CellFound(bus, cell, dict(sorted(judged.items())))
