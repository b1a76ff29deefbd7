"""Channels of a batch: what the controllers of every scenario see and reach, looked up in tables made before the run.

Compiled controls are handed a `Sight` of it, all others `SeenParts` in the place of the fleets and grids themselves, as
the controllers of a single run are handed views. A scenario without links sees and reaches everything at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.channel_kernel import ChannelStep, Figures, SentSizes, arrive, hand_on, note_sizes, see, send
from g2g_opt.batch.channel_tables import by_step, commands_of, no_command, shown_voltages, stacked, tables_of
from g2g_opt.batch.control import Parts, Sight
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.shown import Shown
from g2g_opt.batch.sites_alone import sites_alone
from g2g_opt.batch.stale_voltages import StaleVoltages
from g2g_opt.channel.lanes import Measured
from g2g_opt.channel.links import Links
from g2g_opt.compiled.program import DONE, IN_PYTHON, Part
from g2g_opt.compiled.records import Packed, pack
from g2g_opt.coordinator import Coordinator
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]

Storages = dict[EnergyStorage, tuple[float, float]]


class BatchChannels:
    """The links of all scenarios of a batch: what is under way, and what sites do while nobody reaches them."""

    def __init__(self, runs: Sequence[Coordinator[Any, Any]], fleets: Fleets, grids: Grids) -> None:
        self.fleets, self.grids = fleets, grids
        self.links = [run.links if isinstance(run.links, Links) else None for run in runs]
        self.tables = [tables_of(run, one) for run, one in zip(runs, self.links, strict=True)]
        self.voltage_lanes: list[Measured] = [table.voltage for table in self.tables]
        self.site_lanes: list[Measured] = [lane for table in self.tables for lane in table.sites]
        # Replicas, latency, batch size and servers by phase of every row, whole numbers as they lie in memory.
        rows, measured_w = np.zeros((6, fleets.n_rows)), np.zeros((3, len(fleets.sites)))
        shown_at = by_step([lane.shown_at for lane in self.site_lanes])
        of_rows, of_power = (
            Shown(np.ascontiguousarray(shown_at[:, fleets.row_fleet]), rows),
            Shown(shown_at, measured_w),
        )
        measured = fleets.replicas, fleets.itl_s, fleets.batch, fleets.servers, fleets.power_w
        self._whole: Ints = of_rows.seen.view(np.int64)
        self.replicas: Ints = self._whole[0]
        self.itl_s: Floats = of_rows.seen[1]
        self.seen_batch: Ints = self._whole[2]
        self.servers: Ints = self._whole[3:].T
        self.power_w: Floats = of_power.seen.T
        voltage, stale = shown_voltages(self.voltage_lanes, self.links, grids)
        # As wide as lanes, for compiled controllers.
        self._all_voltages_pu = voltage.seen if stale is None else stale.taken_pu
        self.voltage_pu, self.arrived_pu = self._all_voltages_pu[:, : len(runs)], voltage.seen[:, : len(runs)]
        self._step, self._command = np.full(1, -1), no_command(fleets)
        packed_command = pack(self._command)
        commands = commands_of(self.tables, fleets, self._command, packed_command)
        self.batch, self.site_at_once = commands.batch, commands.at_once
        # Taps and storage under way, from the first time that anybody moves them.
        self._sent_grid: dict[int, tuple[list[dict[str, float] | None], list[Storages]]] = {}
        self._to_grids: _ToGrids | None = None
        self._shifting = False
        self._sent_shift = np.zeros((len(commands.sent), fleets.n_rows), dtype=np.int64)
        self.shift, self._shifted = np.zeros(fleets.n_rows, dtype=np.int64), np.zeros(fleets.n_rows, dtype=np.int64)
        self.taps: list[dict[str, float] | None] = [None] * len(runs)
        self.storage: list[Storages] = [{} for _ in runs]
        self.storage_done: Storages = {}
        self._now = ChannelStep(
            self._step,
            commands,
            sites_alone(self.links, fleets, grids),
            Figures(*measured, rows, rows.view(np.int64), measured_w),
            voltage.moves,
            of_rows.moves,
            of_power.moves,
            stale.moves if stale is not None else StaleVoltages.nothing(),
        )
        self._packed, self._kept = pack(self._now), packed_command

    @property
    def step(self) -> int:
        """The present step."""
        return int(self._step[0])

    def parts(self) -> SeenParts:
        """What the controls of the batch are handed."""
        return SeenParts(self)

    def sight(self) -> Sight:
        """What compiled controllers see and command."""
        figures = self._whole[3:].reshape(-1), (1, self.fleets.n_rows), self.replicas, self.itl_s
        return Sight(self._all_voltages_pu, *figures, self._note_sizes)

    def _note_sizes(self, rows: Ints, sizes: Ints, n: Ints) -> tuple[Any, Packed, None]:
        return note_sizes, pack(SentSizes(n, rows, sizes, self.batch)), None

    # --- a step

    def parts_before(self) -> list[Part]:
        """Before sites advance: what has arrived for them and for the grids, and what sites do in silence."""
        return [Part(self._attend_arrivals, arrive, self._packed)]

    def parts_between(self) -> list[Part]:
        """After the grids were solved: what controllers see in this step."""
        return [Part(_nothing_left, see, self._packed)]

    def parts_after(self) -> list[Part]:
        """After all controls have acted: set-points go on their way, and what is seen in the next step."""
        return [Part(self._attend_sending, send, self._packed), Part(_nothing_left, hand_on, self._packed)]

    def _resume(self, part: Any, step: int) -> None:
        """The compiled part of a step after Python's."""
        resumed = self._now.commands.resumed
        resumed[0] = step
        code = part(self._packed.address, step)
        resumed[0] = -1
        self._check(code)

    def _check(self, code: int) -> None:
        if code != DONE:
            raise self.fleets.refusal(self._command)

    def _attend_arrivals(self, step: int, code: int) -> None:
        if code != IN_PYTHON:
            return self._check(code)
        if self._shifting:
            self._shift_what_arrived(step)
        self._resume(arrive, step)
        if self._to_grids is not None:
            self._arrive_at_grids(self._to_grids, step)

    def _attend_sending(self, step: int, code: int) -> None:
        if code != IN_PYTHON:
            return self._check(code)
        self._resume(send, step)
        commands = self._now.commands
        if self._shifting:
            self._shift_at_once(step)
            if commands.due[step] and not commands.all_at_once[step]:
                self._sent_shift[step % len(self._sent_shift)] = self.shift
        if self._to_grids is not None:
            self._send_to_grids(self._to_grids, step, bool(commands.due[step]))

    def _shift_what_arrived(self, step: int) -> None:
        """Replicas are shifted towards what has newly arrived."""
        fleets, commands = self.fleets, self._now.commands
        newest = commands.newest[step]
        rows = np.flatnonzero((newest > commands.arrived)[fleets.row_fleet])
        wanted = self._shifted.copy()
        wanted[rows] = self._sent_shift[newest[fleets.row_fleet[rows]] % len(self._sent_shift), rows]
        moving = rows[wanted[rows] != self._shifted[rows]]
        for fleet in dict.fromkeys(fleets.row_fleet[moving].tolist()):
            self.move_replicas(fleet, wanted, step - 1, late=True)

    def _shift_at_once(self, step: int) -> None:
        """Shifts of sites that they reach at once, also of those whose earlier ones were lost or left."""
        fleets = self.fleets
        moving = np.flatnonzero(self.site_at_once[step][fleets.row_fleet] & (self.shift != self._shifted))
        for fleet in dict.fromkeys(fleets.row_fleet[moving].tolist()):
            self.move_replicas(fleet, self.shift, step, late=True)

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

    def _send_to_grids(self, lanes: _ToGrids, step: int, is_due: bool) -> None:
        now = lanes.at_once[step]
        lanes.arrived[now] = step
        for slot in np.flatnonzero(now).tolist():
            self._set_grid(slot, self.taps[slot], self.storage[slot])
        if is_due and not now.all():
            self._sent_grid[step] = list(self.taps), [dict(own) for own in self.storage]

    def _set_grid(self, slot: int, taps: dict[str, float] | None, storage: Storages) -> None:
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
            tick, at_once, _ = stacked([table.to_grid for table in self.tables])
            # What was sent before, which moved nothing, has arrived up to here.
            self._to_grids = _ToGrids(tick, at_once, tick[self.step].copy())
            self._now.commands.followed[0] = 1
        return np.asarray(self._to_grids.at_once[self.step])

    def begin_shifting(self) -> None:
        """Shifts have to be followed from now on; what was sent before commanded none."""
        self._shifting = True
        self._now.commands.followed[0] = 1

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


@dataclass
class _ToGrids:
    """Lanes to the grids, [step, slot], of which `arrived` (slot,) is the newest step whose set-points are there."""

    tick: Counts
    at_once: Bools
    arrived: Ints


def _nothing_left(step: int, code: int) -> None:
    """These kernels leave nothing to Python."""


class SeenParts(Parts):
    """Fleets and grids as the controllers of each scenario see and reach them."""

    def __init__(self, channels: BatchChannels) -> None:
        super().__init__(cast(Fleets, SeenFleets(channels)), cast(Grids, SeenGrids(channels)))
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
