"""Many runs in lockstep: the loop of the Coordinator for a whole batch of them (equations, section 1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.channels import BatchChannels
from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.batch.controls import build_controls, check_known
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.power_quality import PowerQualityTally
from g2g_opt.batch.tally import Tally
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.channel.links import Links
from g2g_opt.clock import as_period
from g2g_opt.compiled.program import Part, Program
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.edges import Edges
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.served import SERVED_TOLERANCE
from g2g_opt.grid.setup import GridSetup
from g2g_opt.summary import Summary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SiteTrace:
    """One site at every step: `power_w` (step, 3); `batch_size`, `replicas`, `itl_s` (step, model) by `labels`."""

    labels: tuple[str, ...]
    power_w: Floats
    batch_size: Ints
    replicas: Ints
    itl_s: Floats


@dataclass(frozen=True, eq=False)
class Trace:
    """One scenario at every step: `voltage_pu` (step, node) of all `nodes`, tap ratios (step, regulator), sites by
    name, and `storage_kw`, `storage_kvar` (step, storage), injection positive.

    Of the circuit's own controls, where they act: which of the `banks` are on (step, bank), and what the `inverters`
    (kind.name) are set to feed in (step, inverter, 2), kW and kvar.
    """

    time_s: Floats
    nodes: tuple[tuple[str, int], ...]
    voltage_pu: Floats
    regulators: tuple[str, ...]
    taps_pu: Floats
    sites: dict[str, SiteTrace]
    storage_kw: Floats
    storage_kvar: Floats
    banks: tuple[str, ...]
    banks_on: NDArray[np.bool_]
    inverters: tuple[str, ...]
    inverter_kva: Floats


@dataclass(frozen=True, eq=False)
class BatchRun:
    """One run of a batch: its record, and a trace where one was asked for."""

    summary: Summary
    trace: Trace | None = None

    @property
    def failure(self) -> Failure | None:
        """Why it has no usable answer, if it has none."""
        return self.summary.failure


def batch_key(run: Coordinator[Any, Any]) -> tuple[Any, ...]:
    """Equal for runs that can share a batch. Raises `UnsupportedByBatch` for a run that the batch engine cannot do."""
    grid = run.grid
    if type(grid) is not OpenDSSGrid:
        raise UnsupportedByBatch(f"grid {type(grid).__name__} is not known to the batch engine")
    setup = grid.setup
    for site in run.datacenters:
        if type(site) is not OfflineDatacenter:
            raise UnsupportedByBatch(f"datacenter {type(site).__name__} is not known to the batch engine")
        if as_period(site.dt_s, site.name) != setup.dt_s:
            raise UnsupportedByBatch(f"site {site.name!r} and its grid step at different periods")
    if not isinstance(run.links, Links | None):
        raise UnsupportedByBatch(f"links {type(run.links).__name__} are not known to the batch engine")
    if run.clock.live:
        raise UnsupportedByBatch("the run is paced to wall time")
    for controller in run.controllers:
        check_known(controller)
        if (Fraction(controller.dt_s) / setup.dt_s).denominator != 1:
            raise UnsupportedByBatch(f"{type(controller).__name__} acts between grid steps")
    solved = (tuple(setup.commands()), setup.dt_s, run.total_duration_s, setup.tolerance, setup.max_iterations)
    told = setup.exclude_buses, setup.record_loading, setup.rating_basis
    return (*solved, *told, setup.dss_controls, setup.clock_of_step())


def _setup(run: Coordinator[Any, Any]) -> GridSetup:
    assert isinstance(run.grid, OpenDSSGrid)  # see batch_key
    return run.grid.setup


def run_batch(
    runs: Sequence[Coordinator[Any, Any]],
    *,
    edges: Edges | None = None,
    deadlines_s: Sequence[dict[str, float]] | None = None,
    trace: Collection[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[BatchRun]:
    """Run assembled coordinators of one `batch_key` in lockstep, from their beginnings (equation 1.2); results in their
    order.

    The coordinators describe the runs and stay as they are, but for their storages. `deadlines_s` are latency targets
    by model label for each run (those of the models' specs if left out), `edges` where voltages and loadings are
    counted. `trace` lists the runs whose every step is kept. `progress(steps_done, steps_all)` is called about a
    hundred times.

    Raises `UnsupportedByBatch` for what the engine does not model, `InputError` for runs of different keys.
    """
    keys = {batch_key(run) for run in runs}
    if len(keys) != 1:
        what = (
            "feeder, period, duration, tolerance, excluded buses, whether loadings are recorded and controls act, and "
            "the hours of the day where banks follow them"
        )
        raise InputError(f"the runs of a batch share {what}; these have {len(keys)} kinds")
    return _Batch(runs, edges or Edges(), deadlines_s, frozenset(trace)).run(progress)


def parts_of(runs: Sequence[Coordinator[Any, Any]]) -> tuple[list[int], Parts]:
    """Fleets and grids of runs of one `batch_key` before their first step, and the run in each slot.

    Those with equal taps stand next to each other, in the order of `runs`.
    """
    setups = [_setup(run) for run in runs]
    taps = [tuple(sorted(s.taps.regulators.items())) if s.taps is not None else () for s in setups]
    order = sorted(range(len(runs)), key=lambda i: taps[i])
    for setup in setups:
        for attachment in setup.attached.storages:
            attachment.storage.reset()
    grids = Grids([setups[i] for i in order])
    sites: list[list[Any]] = [[a.datacenter for a in setups[i].attached.sites] for i in order]
    return order, Parts(Fleets(sites, grids.dt_s, int(runs[0].total_duration_s / grids.dt_s)), grids)


def _observe(control: BatchControl, parts: Parts, step: int, code: int) -> None:
    control.observe(step, parts)


class _Batch:
    """Everything of a batch while it runs. Scenarios stand in slots, those with equal taps next to each other."""

    def __init__(
        self,
        runs: Sequence[Coordinator[Any, Any]],
        edges: Edges,
        deadlines_s: Sequence[dict[str, float]] | None,
        trace: frozenset[int],
    ) -> None:
        self._order, self._parts = parts_of(runs)
        self._runs = [runs[i] for i in self._order]
        self.grids, self.fleets = self._parts.grids, self._parts.fleets
        self.dt_s = self.grids.dt_s
        self.n_steps = int(runs[0].total_duration_s / self.dt_s)
        linked = any(run.links is not None for run in self._runs)
        self._channels = BatchChannels(self._runs, self.fleets, self.grids) if linked else None
        sight = self._channels.sight() if self._channels is not None else None
        self.controls = build_controls([run.controllers for run in self._runs], self._parts, sight)
        self._seen_parts = self._channels.parts() if self._channels is not None else self._parts
        self._tally = self._make_tally(edges, deadlines_s)
        self._quality = PowerQualityTally(self.grids, self.fleets, self.n_steps, edges.unbalance)
        self._traced = [slot for slot, i in enumerate(self._order) if i in trace]
        self._kept: list[dict[str, Any]] = [{} for _ in self._traced]
        self._ended: dict[int, Summary] = {}

    def _make_tally(self, edges: Edges, deadlines_s: Sequence[dict[str, float]] | None) -> Tally:
        grids, fleets = self.grids, self.fleets
        deadline = []
        for row, label in enumerate(fleets.row_label):
            fleet = int(fleets.row_fleet[row])
            given = deadlines_s[self._order[int(fleets.slot[fleet])]] if deadlines_s is not None else None
            specs = {
                spec.model_label: spec.itl_deadline_s for spec in fleets.sites[fleet].workload.inference_data.models
            }
            deadline.append((given or specs)[label])
        rows = grids.monitored[0]
        nodes = [grids.network.nodes[i] for i in rows]
        branches = grids.branch_names, grids.flow.emergency_share
        buses = grids.setups[0].feeder.buses
        names = [f"{bus}.{buses[bus].voltage_name(phase)}" for bus, phase in nodes]
        solutions, deadline_s = grids.flow.solutions, np.array(deadline, dtype=np.float64)
        return Tally(
            nodes, names, rows, solutions, fleets, edges, *branches, deadline_s, SERVED_TOLERANCE, grids.flow.load_names
        )

    def run(self, progress: Callable[[int, int], None] | None) -> list[BatchRun]:
        program, step = Program(self._parts_of_step()), 0
        while step < self.n_steps and not self.grids.has_failed.all():
            until = min(step - (-self.n_steps // 100), self.n_steps)
            while not program.advance(until):
                self._note_ended()
                if self.grids.has_failed.all():
                    break
            step = until
            if progress is not None:
                progress(step, self.n_steps)
        self._quality.finish()
        results: list[BatchRun | None] = [None] * len(self._runs)
        traces = {slot: self._trace(slot, kept) for slot, kept in zip(self._traced, self._kept, strict=True)}
        for slot, i in enumerate(self._order):
            summary = self._ended.get(slot)
            if summary is None:
                whole = self._tally.summary(slot, self.dt_s)
                summary = replace(whole, power_quality=self._quality.quality(slot))
            results[i] = BatchRun(summary, traces.get(slot))
        return [result for result in results if result is not None]

    def _parts_of_step(self) -> list[Part]:
        """What a step is made of, in its order."""
        channels, seen = self._channels, self._seen_parts
        solved = [self.fleets.part(), *self.grids.parts(self.fleets.power_w)]
        added = [self._tally.part(), self._quality.part()]
        if self._traced:
            added.append(Part(lambda step, code: self._keep_traced()))
        observed = [
            Part(partial(_observe, control, seen))
            for control in self.controls
            if type(control).observe is not BatchControl.observe
        ]
        acted = [*observed, *(control.part(seen, self.dt_s) for control in self.controls)]
        if channels is not None:
            solved = [*channels.parts_before(), *solved]
            acted = [*channels.parts_between(), *acted, *channels.parts_after()]
        return [*solved, *added, *(self._of_now(part) for part in acted)]

    def _of_now(self, part: Part) -> Part:
        """A part in which taps move from the step after the present one on."""

        def attend(step: int, code: int) -> None:
            self.grids.begin(step)
            part.attend(step, code)

        return part._replace(attend=attend)

    def _note_ended(self) -> None:
        """Take the record of every scenario that has just failed, before steps without its power are added to it."""
        if self.grids.n_failed == len(self._ended):
            return
        for slot, failure in enumerate(self.grids.failure):
            if failure is not None and slot not in self._ended:
                self._ended[slot] = self._tally.summary(slot, self.dt_s, failure)

    def _keep_traced(self) -> None:
        for slot, kept in zip(self._traced, self._kept, strict=True):
            self._keep(slot, kept)

    def _keep(self, slot: int, kept: dict[str, Any]) -> None:
        """Append what a traced scenario did in this step."""
        if self.grids.failure[slot] is not None:
            return
        grids, fleets = self.grids, self.fleets
        row: dict[str, Any] = {
            "voltage": grids.voltage_pu[:, slot].copy(),
            "taps": list(grids.taps[slot].values()),
        }
        of_slot, bank = grids.attached.storages_of(slot), grids.attached.bank
        if grids.own is not None:
            row["banks"] = grids.own.banks_on(slot)
            row["inverters"] = grids.own.inverters.fed_in(slot)
        row["storage"] = (bank.power_kw[of_slot], bank.power_kvar[of_slot]) if bank else ((), ())
        for fleet in fleets.of_scenario[slot]:
            rows = slice(fleets.first_row[fleet], fleets.first_row[fleet + 1])
            row[f"fleet {fleet}"] = (
                fleets.power_w[fleet].copy(),
                fleets.batch[rows].copy(),
                fleets.replicas[rows].copy(),
                fleets.itl_s[rows].copy(),
            )
        for name, value in row.items():
            kept.setdefault(name, []).append(value)

    def _trace(self, slot: int, kept: dict[str, Any]) -> Trace:
        fleets = self.fleets
        n = len(kept.get("voltage", ()))
        sites = {}
        for fleet in fleets.of_scenario[slot]:
            columns = [np.array(c) for c in zip(*kept.get(f"fleet {fleet}", ()), strict=True)] or [np.empty(0)] * 4
            site = fleets.sites[fleet]
            sites[site.name] = SiteTrace(site.model_labels, columns[0], columns[1], columns[2], columns[3])
        storage = kept.get("storage", [])
        return Trace(
            np.array([self.grids.time_s(step) for step in range(n)]),
            self.grids.network.nodes,
            np.array(kept.get("voltage", [])),
            tuple(self.grids.taps[slot]),
            np.array(kept.get("taps", [])),
            sites,
            np.array([kw for kw, _ in storage]),
            np.array([kvar for _, kvar in storage]),
            *_by_name(kept.get("banks", ()), np.bool_),
            *_by_name(kept.get("inverters", ()), np.float64),
        )


def _by_name(rows: Sequence[dict[str, Any]], kind: Any) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names, and values by step and name."""
    return tuple(rows[0]) if rows else (), np.array([list(row.values()) for row in rows], dtype=kind)
