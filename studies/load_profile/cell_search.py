"""The largest site that a bus can host in one cell, as a search that runs side by side with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from g2g_opt.hourly_profile import HourlyProfile, load_profile
from g2g_opt.simulate import Engine, Simulation
from g2g_opt.site import GPUS_PER_SERVER
from solvers.largest_feasible import LargestFeasible, search_largest_feasible
from studies.load_profile.cells import Cell
from studies.load_profile.question import LoadProfileQuestion
from studies.shared.side_by_side import Request, Wanted
from studies.shared.task import Row
from studies.shared.workload import Models, SizeRange

# Share of an answer within which the search stops.
RESOLUTION = 0.005
SIZES_AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class CellFound:
    """What the search of a cell came to: every size judged (servers), and the largest one kept (0: none)."""

    bus: str
    cell: Cell
    n_servers: int
    profile: HourlyProfile
    judged: dict[int, Simulation] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """Every size judged, from small to large."""
        return [judged_row(self.bus, self.cell, n, self.judged[n], self.profile) for n in sorted(self.judged)]


def search_cell(
    study: LoadProfileQuestion, models: Models, bus: str, cell: Cell, report: Callable[[str], None]
) -> Wanted[CellFound]:
    """The largest number of servers, at their nominal batch sizes, that keeps the limits in every hour of the cell."""
    sizes = SizeRange.of(models, study.base_kw_per_gpu, study.power_max_mw)
    search = search_largest_feasible(
        sizes.largest,
        n_min=sizes.smallest,
        start=sizes.first,
        resolution=RESOLUTION,
        growth=1.6,
        at_once=SIZES_AT_ONCE,
    )
    scenario = cell.scenario(study.profile, study.seed)
    engine: Engine = study.engine
    judged: dict[int, Simulation] = {}
    asked = next(search)
    while True:
        runs = yield tuple(Request(study.plan(models, bus, n), engine, scenario) for n in asked)
        judged.update(zip(asked, runs, strict=True))
        for n in asked:
            verdict = "keeps the limits" if judged[n].outcome.kept else "does not"
            report(f"bus {bus}, {cell.name}: {GPUS_PER_SERVER * n} GPUs {verdict}")
        try:
            asked = search.send({n: judged[n].outcome.kept for n in asked})
        except StopIteration as end:
            answer: LargestFeasible = end.value
            return CellFound(bus, cell, answer.n, load_profile(study.profile), judged)


def judged_row(bus: str, cell: Cell, n_servers: int, run: Simulation, profile: HourlyProfile) -> Row:
    """One size in one cell: power, extremes, and what it broke; enough to hold it against other limits."""
    outcome, figures = run.outcome, run.outcome.figures
    row: Row = {
        "bus": bus,
        "month": cell.month,
        "hour": cell.hour,
        "days": cell.n_days,
        "n_servers": n_servers,
        "kept": outcome.kept,
        "engine": outcome.engine,
        "failure": outcome.failure,
        "broken": cell.dated("; ".join(outcome.reasons), profile),
        "limit": None,
        "limit_where": None,
    }
    broken = [check for check in outcome.checks if not check.kept]
    if outcome.failure is not None:
        row |= {"limit": "power flow", "limit_where": cell.dated(outcome.failure, profile)}
    elif broken:
        worst = max(broken, key=lambda check: check.used)
        # Every hour counts, so it is the voltage that binds, not a share of the time.
        name = worst.name.removesuffix(" time share")
        row |= {"limit": name, "limit_where": cell.dated(worst.where, profile)}
    loadings = [w for w in (figures.worst_line, figures.worst_transformer) if w is not None] if figures else []
    heaviest = max(loadings, key=lambda w: w.loading_pu, default=None)
    emergency = figures.worst_emergency if figures is not None else None
    return row | {
        "power_mw": sum(site.power_mean_mw for site in figures.sites) if figures else None,
        "power_peak_mw": sum(site.power_peak_mw for site in figures.sites) if figures else None,
        "energy_mwh": sum(site.energy_mwh for site in figures.sites) if figures else None,
        "throughput_tps": figures.throughput_tps if figures else None,
        "lowest_pu": float(run.lowest_pu.min()) if figures else None,
        "highest_pu": float(run.highest_pu.max()) if figures else None,
        "loading_pu": heaviest.loading_pu if heaviest else None,
        "loading_where": cell.dated(heaviest.place, profile) if heaviest else None,
        "emergency_pu": emergency.emergency_pu if emergency else None,
        "latency_miss_share": figures.latency_miss_share if figures else None,
    }
