"""Fleets that live by a limited load profile: the firm one, and the flexible one that lowers its batch sizes to fit.

The profile says how much a cell can take at nominal batch sizes. A smaller batch size draws less, so a larger fleet
fits where it runs at a smaller one. Power and tokens at every batch size come from replays of the fleet; what is
chosen from them is then simulated on the feeder in every cell, and again on OpenDSS, and made smaller until it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Engine, Simulation, simulate_runs
from g2g_opt.site import Deployment, Site
from g2g_opt.uncontrolled import UncontrolledFleet, replay_uncontrolled
from studies.load_profile.cell_search import judged_row
from studies.load_profile.cells import Cell
from studies.task import Row
from studies.workload import Models

if TYPE_CHECKING:
    from studies.load_profile.study import LoadProfileStudy

# Rounds of making a fleet smaller that did not hold, and by which share.
_ROUNDS_MAX = 20
_SHRINK = 0.995
# Size (servers per model) at which power and tokens per server are replayed.
_REPLAYED = 200


@dataclass(frozen=True)
class Choice:
    """A fleet: servers, and the cap on batch sizes in every cell."""

    n_servers: int
    batch_cap: tuple[int, ...]
    throughput_share: float


@dataclass(frozen=True, eq=False)
class FleetFound:
    """A fleet that keeps the limits in every cell, with its runs; `choice` is None if there is none."""

    operation: str
    choice: Choice | None
    rounds: int
    runs: dict[Engine, list[Simulation]]


class FleetChooser:
    """Chooses fleets of one bus by the allowed power (MW) of every cell."""

    def __init__(self, study: LoadProfileStudy, models: Models, bus: str, cells: Sequence[Cell]) -> None:
        self._study, self._models, self._bus, self._cells = study, models, bus, tuple(cells)
        self.caps = batch_caps(models)
        site = study.plan(models, bus, _REPLAYED * len(models)).sites[0]
        scenario = cells[0].scenario(study.profile, study.seed)
        replays = {cap: self._replay(capped(site, cap), scenario) for cap in self.caps}
        n = _REPLAYED * len(models)
        self._mw = {cap: replay.power_peak_mw / n for cap, replay in replays.items()}
        nominal = replays[self.caps[-1]].throughput_tps
        self._tokens = {cap: replay.throughput_tps / nominal for cap, replay in replays.items()}
        self._days = np.array([cell.n_days for cell in self._cells], dtype=np.float64)

    def _replay(self, site: Site, scenario: Scenario) -> UncontrolledFleet:
        return replay_uncontrolled(site, scenario, Path(self._study.trace_dir))

    def choose(self, n_servers: int, allowed_mw: Sequence[float]) -> Choice | None:
        """The largest batch sizes with which so many servers fit in every cell; None if they do not."""
        chosen = []
        for allowed in allowed_mw:
            fitting = [cap for cap in self.caps if n_servers * self._mw[cap] <= allowed]
            if not fitting:
                return None
            chosen.append(fitting[-1])
        tokens = np.array([self._tokens[cap] for cap in chosen])
        return Choice(n_servers, tuple(chosen), float(tokens @ self._days / self._days.sum()))

    def largest(self, allowed_mw: Sequence[float], share_min: float, n_max: int) -> Choice | None:
        """The largest fleet that serves at least `share_min` of its tokens over the year; both only fall with size."""
        low, high, best = 1, n_max, None
        while low <= high:
            middle = (low + high) // 2
            found = self.choose(middle, allowed_mw)
            if found is not None and found.throughput_share >= share_min:
                best, low = found, middle + 1
            else:
                high = middle - 1
        return best

    def lowered(self, choice: Choice, broken: Sequence[int], share_min: float) -> Choice | None:
        """The next fleet to try where cells were broken: smaller batch sizes there, or else a smaller fleet."""
        caps = list(choice.batch_cap)
        for k in broken:
            place = self.caps.index(caps[k])
            if place == 0:
                return None
            caps[k] = self.caps[place - 1]
        tokens = np.array([self._tokens[cap] for cap in caps])
        share = float(tokens @ self._days / self._days.sum())
        return Choice(choice.n_servers, tuple(caps), share) if share >= share_min else None


def batch_caps(models: Models) -> tuple[int, ...]:
    """Caps on batch sizes that make a difference, rising, the nominal one last."""
    nominal = max(batch for _, batch in models)
    return tuple(sorted({size for spec, _ in models for size in spec.feasible_batch_sizes if size <= nominal}))


def capped(site: Site, cap: int) -> Site:
    """The site with every model at its largest feasible batch size up to `cap` and its nominal one."""

    def lower(d: Deployment) -> Deployment:
        sizes = [size for size in d.spec.feasible_batch_sizes if size <= min(cap, d.batch_size)]
        return replace(d, batch_size=max(sizes, default=min(d.spec.feasible_batch_sizes)))

    return replace(site, deployments=tuple(lower(d) for d in site.deployments))


def find_fleets(
    study: LoadProfileStudy,
    feeder: Feeder,
    bus: str,
    cells: Sequence[Cell],
    n_allowed: Sequence[int],
    allowed_mw: Sequence[float],
    report: Callable[[str], None],
) -> list[FleetFound]:
    """The firm and the flexible fleet of a bus, simulated in every cell on both engines."""
    models = study.load_models()
    chooser = FleetChooser(study, models, bus, cells)
    nominal = chooser.caps[-1]
    firm = Choice(min(n_allowed), (nominal,) * len(cells), 1.0) if min(n_allowed, default=0) > 0 else None
    floor = study.limits.throughput_share_min
    n_max = max(n_allowed, default=0) * 8
    found = []
    for operation, first in (("firm", firm), ("flexible", chooser.largest(allowed_mw, floor, n_max))):

        def smaller(choice: Choice, broken: Sequence[int], operation: str = operation) -> Choice | None:
            n = int(choice.n_servers * _SHRINK)
            if operation == "firm":
                return replace(choice, n_servers=n) if n > 0 else None
            # Where only batch sizes have to fall, the fleet stays; else it shrinks under the same profile.
            return chooser.lowered(choice, broken, floor) or chooser.largest(allowed_mw, floor, n)

        found.append(_hold(study, feeder, models, bus, cells, operation, first, smaller, report))
    return found


def _hold(
    study: LoadProfileStudy,
    feeder: Feeder,
    models: Models,
    bus: str,
    cells: Sequence[Cell],
    operation: str,
    choice: Choice | None,
    smaller: Callable[[Choice, Sequence[int]], Choice | None],
    report: Callable[[str], None],
) -> FleetFound:
    """Simulate a choice in every cell, and a smaller one as long as cells are broken."""
    engines: tuple[Engine, ...] = ("batch", "opendss") if study.engine == "batch" else ("opendss",)
    scenarios = [cell.scenario(study.profile, study.seed) for cell in cells]
    rounds = 0
    runs: dict[Engine, list[Simulation]] = {}
    while choice is not None and rounds < _ROUNDS_MAX:
        rounds += 1
        plan = study.plan(models, bus, choice.n_servers)
        plans = [Plan((capped(plan.sites[0], cap),), tap_mode=plan.tap_mode) for cap in choice.batch_cap]
        broken: list[int] = []
        for engine in engines:
            pairs = list(zip(plans, scenarios, strict=True))
            trace_dir = Path(study.trace_dir)
            runs[engine] = simulate_runs(pairs, feeder, study.limits, engine=engine, trace_dir=trace_dir)
            broken = [k for k, run in enumerate(runs[engine]) if not run.outcome.kept]
            if broken:
                break
        report(f"bus {bus} {operation}: {choice.n_servers} servers, {len(broken)} of {len(cells)} cells broken")
        if not broken:
            return FleetFound(operation, choice, rounds, runs)
        choice = smaller(choice, broken)
    return FleetFound(operation, None, rounds, {})


def fleet_rows(study: LoadProfileStudy, bus: str, cells: Sequence[Cell], found: FleetFound) -> dict[str, list[Row]]:
    """Tables "fleets" (one row), "fleet_cells" (a row per cell) and "envelopes" (extremes of the year)."""
    choice = found.choice
    row: Row = {"bus": bus, "operation": found.operation, "rounds": found.rounds, "n_servers": 0}
    row |= dict.fromkeys(("n_gpus", "power_mw", "power_peak_mw", "energy_mwh", "throughput_share", "curtailed_hours"))
    if choice is None:
        return {"fleets": [row], "fleet_cells": [], "envelopes": []}
    models, profile = study.load_models(), load_profile(study.profile)
    plan = study.plan(models, bus, choice.n_servers)
    last: Engine = "opendss"
    nominal_cap = batch_caps(models)[-1]
    of_cells, tokens, nominal_tokens = [], 0.0, 0.0
    for k, cell in enumerate(cells):
        run = found.runs[last][k]
        judged = judged_row(bus, cell, choice.n_servers, run, profile)
        scenario = cell.scenario(study.profile, study.seed)
        nominal = replay_uncontrolled(plan.sites[0], scenario, Path(study.trace_dir))
        tokens += judged["throughput_tps"] * cell.n_days
        nominal_tokens += nominal.throughput_tps * cell.n_days
        on_batch: Mapping[str, object] = {}
        if "batch" in found.runs:
            on_batch = judged_row(bus, cell, choice.n_servers, found.runs["batch"][k], profile)
        of_cells.append(
            {
                "bus": bus,
                "operation": found.operation,
                "month": cell.month,
                "hour": cell.hour,
                "days": cell.n_days,
                "batch_cap": choice.batch_cap[k],
                "power_mw": judged["power_mw"],
                "power_peak_mw": judged["power_peak_mw"],
                "energy_mwh": judged["energy_mwh"],
                "lowest_pu": judged["lowest_pu"],
                "highest_pu": judged["highest_pu"],
                "lowest_batch_engine_pu": on_batch.get("lowest_pu"),
            }
        )
    runs = found.runs[last]
    row |= {
        "n_servers": choice.n_servers,
        "n_gpus": plan.sites[0].n_gpus,
        "power_mw": min(r["power_mw"] for r in of_cells),
        "power_peak_mw": max(r["power_peak_mw"] for r in of_cells),
        "energy_mwh": sum(r["energy_mwh"] for r in of_cells),
        "throughput_share": tokens / nominal_tokens,
        "curtailed_hours": sum(r["days"] for r in of_cells if r["batch_cap"] < nominal_cap),
    }
    envelope = {
        "bus": bus,
        "operation": found.operation,
        "nodes": [f"{name}.{'ABC'[phase - 1]}" for name, phase in runs[0].nodes],
        "lowest_pu": np.min([run.lowest_pu for run in runs], axis=0),
        "highest_pu": np.max([run.highest_pu for run in runs], axis=0),
    }
    return {"fleets": [row], "fleet_cells": of_cells, "envelopes": [envelope]}
