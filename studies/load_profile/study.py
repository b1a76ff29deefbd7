"""Limited load profile: the MW that a bus can take in each hour of each month of a year, firm and flexible.

Stages: `cells` finds the largest site that keeps every limit on all days of an hour of a month; `fleets` runs a site
that draws just that through the year, hour after hour, and takes off what does not hold; then the fleet that fits at
any time (firm), and the one that lowers its batch sizes in the tight hours (flexible).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.quantities import BatchSize, Count, KwPerGpu, PowerFactor, PowerMw, Seed
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Engine
from g2g_opt.site import BASE_KW_PER_GPU, POWER_FACTOR, AskedConnection, sized_site
from studies.load_profile.answer import SEARCH_CAP, draw_conclusion
from studies.load_profile.cell_search import search_cell
from studies.load_profile.cells import Cell, list_cells
from studies.load_profile.fleet import Fleets
from studies.running.inputs import feeder_files
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.side_by_side import run_side_by_side
from studies.shared.task import Progress, Row, Tables, Task, TaskResult, counted, gather
from studies.shared.workload import Models, check_site_buses, measured_models, try_smallest_sites

# Sizes that the search of a cell usually judges, for progress.
_EXPECTED_SIZES = 12
# Work of a bus's fleets next to that of a month of its cells.
_FLEETS_WEIGHT = 3.0


@question_model
class LoadProfileStudy:
    """The question, complete enough to rerun: MW allowed at `buses` by hour and month of `profile`.

    `profile` is a bundled year or a CSV with hour_beginning, load_share and generation_share. Every hour of the year
    has to keep the limits, so `limits` may leave no time outside them. A site serves `models` (names of measured
    models on `gpu`) with evenly shared servers at `batch_size`. `taps`: "own control" (the feeder's regulator controls
    settle in every hour, on OpenDSS), or "study" (fixed at the feeder's constants, on the batch engine). What is
    reported goes through the whole year on OpenDSS, hour after hour. The flexible fleet serves at least
    `limits.throughput_share_min` of its own tokens over the year, and more than the firm one. `power_max_mw` ends the
    search.
    """

    study: ClassVar[str] = "load-profile"
    stages: ClassVar[tuple[str, ...]] = ("cells", "fleets")

    feeder: str = "ieee13"
    exclude_buses: tuple[str, ...] = ()
    edits: str | None = None
    buses: tuple[str, ...] = ()
    profile: str = "hudson_valley_2018"
    models: tuple[str, ...] = ("llama-3.1-70b",)
    gpu: str = "H100"
    task: str | None = None
    precision: str | None = None
    gpus_per_replica: Count | None = None
    batch_size: BatchSize = 128
    power_factor: PowerFactor = POWER_FACTOR
    connection: AskedConnection = "auto"
    taps: Literal["own control", "study"] = "own control"
    limits: Limits = field(default_factory=lambda: Limits(violation_time_share_max=0.0))
    base_kw_per_gpu: KwPerGpu = BASE_KW_PER_GPU
    power_max_mw: PowerMw = 60.0
    seed: Seed = 0
    trace_dir: str = "data/specs"

    # --- the question, resolved

    @property
    def engine(self) -> Engine:
        """Regulator controls are OpenDSS's own."""
        return "opendss" if self.taps == "own control" else "batch"

    @property
    def scenario(self) -> Scenario:
        """The first cell's, for what only needs any."""
        return self.cells()[0].scenario(self.profile, self.seed)

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder, self.edits).excluding(self.exclude_buses)

    def load_models(self) -> Models:
        """Measured specs with their batch size."""
        return measured_models(self.models, self.gpu, self.task, self.precision, self.gpus_per_replica, self.batch_size)

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        return check_site_buses(feeder, tuple(dict.fromkeys(self.buses)))

    def cells(self) -> list[Cell]:
        """Every hour of a month that the profile has."""
        return list_cells(load_profile(self.profile))

    def plan(self, models: Models, bus: str, n_servers: int) -> Plan:
        """So many servers at a bus, at their nominal batch sizes."""
        site = sized_site("site", bus, models, n_servers, self.base_kw_per_gpu, self.power_factor, self.connection)
        return Plan((site,), tap_mode="own control" if self.taps == "own control" else "fixed")

    def input_files(self) -> dict[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, self.trace_dir, self.profile)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        limits = self.limits
        if limits.violation_time_share_max > 0 or limits.overload_time_share_max > 0 or limits.overload_time_max_s:
            raise InputError("a load profile keeps its limits in every hour: no share or time outside them is allowed")
        if limits.violation_integral_max_pu_s is not None:
            raise InputError("a load profile keeps its limits in every hour: an integral violation has no meaning")
        feeder, models = self.load_feeder(), self.load_models()
        try_smallest_sites(
            feeder,
            self.resolve_buses(feeder),
            models,
            self.base_kw_per_gpu,
            self.power_factor,
            self.connection,
            Policy(),
            self.scenario,
            limits,
            self.trace_dir,
        )

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
        found: dict[str, list[Row]] = {}
        for row in gather(results, "cells"):
            found.setdefault(row["bus"], []).append(row)
        in_order = {bus: sorted(rows, key=lambda r: (r["month"], r["hour"])) for bus, rows in found.items()}
        whole = {bus: rows for bus, rows in in_order.items() if len(rows) == n_cells}
        return [
            Task(
                "fleets",
                {"bus": bus, "cells": [[r["n_servers"], r["power_mw"] or 0.0] for r in whole[bus]]},
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
        answers = []
        for one in found:
            rows = one.rows()
            kept = next((row for row in rows if row["n_servers"] == one.n_servers), None)
            above = next((row for row in rows if row["n_servers"] > one.n_servers and not row["kept"]), None)
            end = f"{self.power_max_mw:g} MW at rated power (power_max_mw): more may fit"
            answers.append(cell_answer(one.bus, one.cell, kept, above, end))
        return {"cells": answers, "judged": [row for one in found for row in one.rows()]}

    def _run_fleets(self, feeder: Feeder, bus: str, known: Sequence[Sequence[float]], progress: Progress) -> Tables:
        cells, done = self.cells(), 0

        def report(words: str) -> None:
            nonlocal done
            done += 1
            progress(done / (done + 2.0), words)

        n_allowed, allowed_mw = [int(row[0]) for row in known], [float(row[1]) for row in known]
        fleets = Fleets(self, feeder, bus, cells, n_allowed, allowed_mw, report)
        profile = fleets.follow_profile()
        scale = profile.scale if profile.scale is not None else np.ones(len(cells))
        firm = fleets.firm(scale)
        return fleets.rows(profile, (firm, fleets.flexible(firm, scale)))

    def conclude(self, results: Sequence[TaskResult], limits: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; under other `limits` every stored size is judged again."""
        return draw_conclusion(self, results, None if limits is None else replace(limits, violation_time_share_max=0.0))


def cell_answer(bus: str, cell: Cell, kept: Row | None, above: Row | None, search_end: str) -> Row:
    """The answer of a cell: the largest size kept, and what the next one broke.

    Nothing broken above a size that was kept means that the search ended at its cap, `search_end` in words.
    """
    row: Row = {
        "bus": bus,
        "month": cell.month,
        "hour": cell.hour,
        "days": cell.n_days,
        "n_servers": kept["n_servers"] if kept is not None else 0,
    }
    for name in ("power_mw", "power_peak_mw", "lowest_pu", "highest_pu", "loading_pu", "loading_where"):
        row[name] = kept[name] if kept is not None else None
    if above is None and kept is not None:
        return row | {"limit": SEARCH_CAP, "limit_where": search_end}
    return row | {"limit": above["limit"] if above else None, "limit_where": above["limit_where"] if above else None}
