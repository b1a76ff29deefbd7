"""Channels of a batch: what the controllers of every scenario see and reach, looked up in tables made before the run.

The controls of a batch are handed `SeenFleets` and `SeenGrids` in the place of the fleets and grids themselves, as the
controllers of a single run are handed views. A scenario without links sees and reaches everything at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.channel_kernel import Figures, arrived_sizes, gather, sizes_at_once
from g2g_opt.batch.control import Parts
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.lonely_fleets import LonelyFleets
from g2g_opt.batch.shown import Shown
from g2g_opt.batch.stale_voltages import StaleVoltages
from g2g_opt.channel.lanes import Commanded, Measured, RunTables, run_tables
from g2g_opt.channel.links import Links
from g2g_opt.communication import Channels
from g2g_opt.compiled.records import pack
from g2g_opt.coordinator import Coordinator
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]


class BatchChannels:
    """The links of all scenarios of a batch: what is under way, and what sites do while nobody reaches them."""

    def __init__(self, runs: Sequence[Coordinator[Any, Any]], fleets: Fleets, grids: Grids) -> None:
        self.fleets, self.grids, self.step = fleets, grids, -1
        self.links = [run.links if isinstance(run.links, Links) else None for run in runs]
        signals = [(one.channels if one is not None else Channels()).voltage for one in self.links]
        self.tables = [_tables(run, one) for run, one in zip(runs, self.links, strict=True)]
        self.voltage_lanes: list[Measured] = [table.voltage for table in self.tables]
        self.site_lanes: list[Measured] = [lane for table in self.tables for lane in table.sites]
        to_sites = [lane for table in self.tables for lane in table.to_sites]
        self._shown_voltage = Shown(_by_step([lane.shown_at for lane in self.voltage_lanes]), grids.voltage_pu)
        shown_at = _by_step([lane.shown_at for lane in self.site_lanes])
        # Replicas, latency, batch size and servers by phase of every row, whole numbers as they lie in memory.
        self._measured_rows, self._measured_w = np.zeros((6, fleets.n_rows)), np.zeros((3, len(fleets.sites)))
        self._shown_rows = Shown(np.ascontiguousarray(shown_at[:, fleets.row_fleet]), self._measured_rows)
        self._shown_w = Shown(shown_at, self._measured_w)
        measured = fleets.replicas, fleets.itl_s, fleets.batch, fleets.servers, fleets.power_w
        rows = self._measured_rows
        self._figures = pack(Figures(*measured, rows, rows.view(np.int64), self._measured_w))
        whole: Ints = self._shown_rows.seen.view(np.int64)
        self.replicas: Ints = whole[0]
        self.itl_s: Floats = self._shown_rows.seen[1]
        self.seen_batch: Ints = whole[2]
        self.servers: Ints = whole[3:].T
        self.power_w = self._shown_w.seen.T
        self._site_tick, self.site_at_once, self._site_acts = _stacked(to_sites)
        self._due = np.zeros(len(self._site_tick), dtype=np.bool_)
        for table in self.tables:
            for every in table.timing.control_ticks:
                self._due[::every] = True
        self.all_at_once: list[bool] = np.asarray(self.site_at_once.all(axis=1)).tolist()
        self.any_at_once: list[bool] = np.asarray(self.site_at_once.any(axis=1)).tolist()
        # Nobody acts before a first step.
        self._acts = (np.asarray(self._site_acts.any(axis=1)) & (np.arange(len(self._site_tick)) > 0)).tolist()
        self._site_arrived = np.full(len(to_sites), -1, dtype=np.int32)
        # Rows whose batch sizes change with what arrives in a step, and the sizes.
        self._changes = np.zeros(fleets.n_rows, dtype=np.int64), np.zeros(fleets.n_rows, dtype=np.int64)
        # Batch sizes and shifts that may still be asked for, by the tick at which they were sent.
        under_way = np.where(self._site_tick >= 0, np.arange(len(self._site_tick))[:, None] - self._site_tick, 0)
        self._depth = int(under_way.max(initial=0)) + 1
        self._sent_batch, self._sent_shift = (np.zeros((self._depth, fleets.n_rows), dtype=np.int64) for _ in range(2))
        # Taps and storage, likewise, from the first time that anybody moves them.
        self._sent_grid: dict[int, tuple[list[dict[str, float] | None], list[_Storages]]] = {}
        self._to_grids: _ToGrids | None = None
        self._shifting = False
        self.batch = fleets.commanded.copy()
        self.shift, self._shifted = np.zeros(fleets.n_rows, dtype=np.int64), np.zeros(fleets.n_rows, dtype=np.int64)
        self.taps: list[dict[str, float] | None] = [None] * len(runs)
        self.storage: list[_Storages] = [{} for _ in runs]
        self.storage_done: _Storages = {}
        self._alone = LonelyFleets(self.links, fleets, grids)
        at_s = np.array([grids.time_s(step) for step in range(len(self._due))])
        wanted = StaleVoltages.wanted(signals)
        self._stale = StaleVoltages(self.voltage_lanes, signals, at_s) if wanted else None
        self.voltage_pu = self.arrived_pu = self._shown_voltage.seen

    def parts(self) -> SeenParts:
        """What the controls of the batch are handed."""
        seen = cast(Fleets, SeenFleets(self)), cast(Grids, SeenGrids(self))
        return SeenParts(*seen, self)

    # --- a step

    def begin(self, step: int) -> None:
        """Before sites advance: what has arrived for them and for the grids, and what sites do in silence."""
        self.step = step
        fleets, newest = self.fleets, self._site_tick[step]
        lonely = np.flatnonzero(self._site_acts[step] & (newest <= self._site_arrived)) if self._acts[step] else None
        if self._shifting:
            self._shift_what_arrived(newest)
        sent = fleets.row_fleet, self._sent_batch, fleets.commanded
        self._set_changed(arrived_sizes(newest, self._site_arrived, *sent, *self._changes))
        if lonely is not None:
            self._alone.act(lonely)
        if self._to_grids is not None:
            self._arrive_at_grids(self._to_grids, step)

    def _set_changed(self, n: int) -> None:
        """Set the first `n` of the changes that were written down."""
        if n:
            rows, sizes = self._changes
            self.fleets.set_batch(rows[:n], sizes[:n])

    def _shift_what_arrived(self, newest: Counts) -> None:
        """Replicas are shifted towards what has newly arrived."""
        fleets = self.fleets
        rows = np.flatnonzero((newest > self._site_arrived)[fleets.row_fleet])
        wanted = self._shifted.copy()
        wanted[rows] = self._sent_shift[newest[fleets.row_fleet[rows]] % self._depth, rows]
        moving = rows[wanted[rows] != self._shifted[rows]]
        for fleet in dict.fromkeys(fleets.row_fleet[moving].tolist()):
            self.move_replicas(fleet, wanted, self.step - 1, late=True)

    def _arrive_at_grids(self, lanes: _ToGrids, step: int) -> None:
        newest = lanes.tick[step]
        for slot in np.flatnonzero(newest > lanes.arrived).tolist():
            # What was sent before anybody moved anything says nothing.
            if (sent := self._sent_grid.get(int(newest[slot]))) is not None:
                self._set_grid(slot, sent[0][slot], sent[1][slot])
        lanes.arrived = np.maximum(lanes.arrived, newest)
        lowest = int(lanes.arrived.min(initial=step))
        for old in [t for t in self._sent_grid if t < lowest]:
            del self._sent_grid[old]

    def measure(self, step: int) -> None:
        """After the grids were solved: what controllers see in this step."""
        self._shown_voltage.update(step)
        if self._stale is not None:
            self.voltage_pu = self._stale.taken(step, self.arrived_pu)
        gather(self._figures.words)
        self._shown_rows.update(step)
        self._shown_w.update(step)

    def close(self, step: int) -> None:
        """After all controls have acted: set-points go on their way, and what is seen in the next step."""
        if self._stale is not None:
            self._stale.keep(step + 1, self.arrived_pu)
        for shown in (self._shown_voltage, self._shown_rows, self._shown_w):
            shown.pass_on(step)
        to_grids = self._to_grids
        if self.any_at_once[step]:
            site_now = self.site_at_once[step]
            self._site_arrived[site_now] = step
            self._catch_up(site_now)
        if self._due[step] and not self.all_at_once[step]:
            place = step % self._depth
            self._sent_batch[place] = self.batch
            if self._shifting:
                self._sent_shift[place] = self.shift
        if to_grids is not None:
            grid_now = to_grids.at_once[step]
            to_grids.arrived[grid_now] = step
            for slot in np.flatnonzero(grid_now).tolist():
                self._set_grid(slot, self.taps[slot], self.storage[slot])
            if self._due[step] and not grid_now.all():
                self._sent_grid[step] = list(self.taps), [dict(own) for own in self.storage]

    def _catch_up(self, site_now: Bools) -> None:
        """Set-points of sites that they reach at once, also of those whose earlier ones were lost or left."""
        fleets = self.fleets
        self._set_changed(sizes_at_once(site_now, fleets.row_fleet, self.batch, fleets.commanded, *self._changes))
        rows_now = site_now[fleets.row_fleet]
        moving = np.flatnonzero(rows_now & (self.shift != self._shifted)) if self._shifting else ()
        for fleet in dict.fromkeys(fleets.row_fleet[k] for k in moving):
            self.move_replicas(int(fleet), self.shift, self.step, late=True)

    def _set_grid(self, slot: int, taps: dict[str, float] | None, storage: _Storages) -> None:
        if taps is not None and taps != self.grids.taps[slot]:
            self.grids.move_taps({slot: TapPosition(regulators=taps)})
        for unit, power in storage.items():
            if self.storage_done.get(unit) != power:
                unit.set_power_kw(*power)
                self.storage_done[unit] = power

    # --- acting

    @property
    def grid_at_once(self) -> Bools:
        """Whether commands to the grid of every slot are there at once in this step; from now on they are followed."""
        if self._to_grids is None:
            tick, at_once, _ = _stacked([table.to_grid for table in self.tables])
            # What was sent before, which moved nothing, has arrived up to here.
            self._to_grids = _ToGrids(tick, at_once, tick[self.step].copy())
        return np.asarray(self._to_grids.at_once[self.step])

    def begin_shifting(self) -> None:
        """Shifts have to be followed from now on; what was sent before commanded none."""
        self._shifting = True

    def move_replicas(self, fleet: int, wanted: Ints, step: int, late: bool) -> None:
        """Shift a fleet's replicas towards what is wanted, as far as they fit after `step`: as `Links` does."""
        site = self.fleets.sites[fleet]
        for model, row in enumerate(range(self.fleets.first_row[fleet], self.fleets.first_row[fleet + 1])):
            missing = int(wanted[row] - self._shifted[row])
            if missing > 0:
                each = int(site.demand.gpus_per_replica[model])
                free = self.fleets.free_gpus(fleet, step)
                free = min(free, self.fleets.gpus_free_beside_schedule(fleet, step)) if late else free
                missing = min(missing, free // each)
            if missing != 0:
                self.fleets.shift_replicas(fleet, site.model_labels[model], missing, step)
                self._shifted[row] += missing


_Storages = dict[EnergyStorage, tuple[float, float]]


@dataclass
class _ToGrids:
    """Lanes to the grids, [step, slot], of which `arrived` (slot,) is the newest step whose set-points are there."""

    tick: Counts
    at_once: Bools
    arrived: Ints


def _tables(run: Coordinator[Any, Any], links: Links | None) -> RunTables:
    if links is not None:
        return links.tables_of(run.timing)
    return run_tables(Channels(), 0, "", tuple(site.name for site in run.datacenters), run.timing)


def _by_step(lanes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [step] of many lanes as one, [step, lane]."""
    return np.ascontiguousarray(np.array(lanes).T)


def _stacked(lanes: Sequence[Commanded]) -> tuple[Counts, Bools, Bools]:
    """Tables of many lanes, [step, lane]: whose set-points hold, what is there at once, who acts alone."""
    return (
        _by_step([lane.tick for lane in lanes]),
        _by_step([lane.at_once for lane in lanes]),
        _by_step([lane.acts for lane in lanes]),
    )


class SeenParts(Parts):
    """Fleets and grids as the controllers of each scenario see and reach them."""

    def __init__(self, fleets: Fleets, grids: Grids, channels: BatchChannels) -> None:
        super().__init__(fleets, grids)
        object.__setattr__(self, "_channels", channels)

    def new_voltage_pu(self, slot: int) -> Floats | None:
        """Voltages (node,) of a scenario that have arrived in this step; None if none have."""
        channels: BatchChannels = self._channels  # type: ignore[attr-defined]
        lane = channels.voltage_lanes[slot]
        if channels.step > 0 and lane.tick[channels.step] == lane.tick[channels.step - 1]:
            return None
        found: Floats = channels.arrived_pu[:, slot]
        return found

    def set_storage_power(self, slot: int, storage: EnergyStorage, kw: float, kvar: float) -> None:
        """Set a storage's power, at once or when the command has arrived."""
        channels: BatchChannels = self._channels  # type: ignore[attr-defined]
        now = channels.grid_at_once
        channels.storage[slot][storage] = kw, kvar
        if now[slot]:
            storage.set_power_kw(kw, kvar)
            channels.storage_done[storage] = kw, kvar


class SeenFleets:
    """Fleets as controllers see them: figures that have arrived, and batch sizes and replicas they may command."""

    def __init__(self, channels: BatchChannels) -> None:
        self._channels, fleets = channels, channels.fleets
        self.sites, self.slot, self.n_rows, self.of_scenario = (
            fleets.sites,
            fleets.slot,
            fleets.n_rows,
            fleets.of_scenario,
        )
        self.row_of, self.count_exhausted = fleets.row_of, fleets.count_exhausted

    @property
    def itl_s(self) -> Floats:
        """Latencies (s) that have arrived, by row."""
        return self._channels.itl_s

    @property
    def replicas(self) -> Ints:
        """Replicas that have arrived, by row."""
        return self._channels.replicas

    @property
    def servers(self) -> Ints:
        """Servers by phase that have arrived, (row, 3)."""
        return self._channels.servers

    @property
    def batch(self) -> Ints:
        """Batch sizes that have arrived, by row."""
        return self._channels.seen_batch

    @property
    def power_w(self) -> Floats:
        """Powers (W) that have arrived, (fleet, 3)."""
        return self._channels.power_w

    def set_batch(self, rows: Ints, sizes: Ints) -> None:
        """Command batch sizes; they act when they have arrived."""
        # Those that are there at once are set when all controls have acted: sites take them in their next step.
        self._channels.batch[rows] = sizes

    def shift_replicas(self, fleet: int, label: str, count: int, step: int) -> None:
        """Command replicas on top of a schedule; they move when the command has arrived, as far as they fit."""
        channels = self._channels
        channels.begin_shifting()
        channels.shift[self.row_of(fleet, label)] += count
        if channels.site_at_once[step, fleet]:
            channels.move_replicas(fleet, channels.shift, step, late=False)

    def free_gpus(self, fleet: int, step: int) -> int:
        """GPUs free for shifted replicas, by what has arrived and by the shifts already commanded."""
        channels, fleets = self._channels, self._channels.fleets
        rows = slice(fleets.first_row[fleet], fleets.first_row[fleet + 1])
        site = fleets.sites[fleet]
        seen_s = np.array([channels.grids.time_s(int(channels.site_lanes[fleet].tick[step]))])
        pending = np.maximum(site.demand.scheduled_replicas(seen_s)[0] + channels.shift[rows], 0)
        used = int(np.maximum(channels.replicas[rows], pending) @ site.demand.gpus_per_replica)
        return max(0, site.total_gpu_capacity - used)

    def gpus_free_beside_schedule(self, fleet: int, step: int) -> int:
        """GPUs that neither replicas nor any later ramp needs, by the shifts already commanded."""
        channels, fleets = self._channels, self._channels.fleets
        rows = slice(fleets.first_row[fleet], fleets.first_row[fleet + 1])
        seen_s = channels.grids.time_s(int(channels.site_lanes[fleet].tick[step]))
        return fleets.sites[fleet].demand.gpus_free_from(seen_s, channels.shift[rows])


class SeenGrids:
    """Grids as controllers see them: voltages that have arrived, and taps they may command."""

    def __init__(self, channels: BatchChannels) -> None:
        self._channels, grids = channels, channels.grids
        self.network, self.monitored, self.setups, self.slopes = (
            grids.network,
            grids.monitored,
            grids.setups,
            grids.slopes,
        )
        self.time_s, self.failure, self.has_failed = grids.time_s, grids.failure, grids.has_failed

    @property
    def voltage_pu(self) -> Floats:
        """Voltages (node, slot) that have arrived, or what is taken for them where they are too old."""
        return self._channels.voltage_pu

    @property
    def taps(self) -> list[dict[str, float]]:
        """Tap ratios that the controllers of each scenario last set."""
        held = self._channels.taps
        return [own if own is not None else real for own, real in zip(held, self._channels.grids.taps, strict=True)]

    def move_taps(self, positions: dict[int, TapPosition]) -> None:
        """Command taps; they move when the command has arrived."""
        channels, grids = self._channels, self._channels.grids
        at_once = channels.grid_at_once
        for slot, position in positions.items():
            known = channels.taps[slot] or grids.taps[slot]
            channels.taps[slot] = known | grids.setups[slot].regulators.resolve(position)
        now = {slot: position for slot, position in positions.items() if at_once[slot]}
        if now:
            grids.move_taps(now)
