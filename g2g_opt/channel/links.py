"""The links of one run of a Coordinator: what its controllers see, and how their commands get to sites and grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from g2g_opt.channel.fail_safe import FailSafes
from g2g_opt.channel.lanes import Commanded, RunTables, run_tables
from g2g_opt.channel.views import SeenGrid, SeenSite, check_viewable, physical
from g2g_opt.communication import Channels
from g2g_opt.coordinator import RunTiming
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError
from g2g_opt.grid.command import SetStoragePower, SetTaps
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.simulation_log import Command
from g2g_opt.tap_position import TapPosition

CommandDispatch = Callable[[Sequence[Command]], None]


@dataclass
class _Target:
    """A lane to one target: the contents sent that may still be asked for, by tick, and the last tick that arrived."""

    lane: Commanded
    sent: dict[int, Any] = field(default_factory=dict)
    arrived: int = -1

    def due(self, tick: int) -> Any:
        """What has newly arrived at a tick; None if nothing has."""
        newest = int(self.lane.tick[tick])
        if newest <= self.arrived:
            return None
        self.arrived = newest
        found = self.sent[newest]
        for old in [t for t in self.sent if t < newest]:
            del self.sent[old]
        return found


class Links:
    """Channels between the controllers of a run and its grid and sites.

    Controllers are built on `grid` and `sites` (by name), which are views, and the `Coordinator` is given the links.
    `band` (pu) is what a site's local droop keeps its own bus in. A command is a set-point: it is repeated at every
    tick at which a controller is due, and acts at its target's first step after a repetition has arrived. What a site
    cannot take of shifted replicas when they arrive is asked for again with the next message.
    """

    def __init__(
        self,
        channels: Channels,
        grid: OpenDSSGrid,
        datacenters: Sequence[OfflineDatacenter],
        *,
        seed: int,
        scenario: str,
        band: tuple[float, float],
    ) -> None:
        check_viewable(grid, datacenters)
        channels.check_names(tuple(site.name for site in datacenters))
        self.channels, self.seed, self.scenario, self.band = channels, seed, scenario, band
        self.datacenters = list(datacenters)
        self.grid = SeenGrid(grid, self)
        self.seen_sites = [SeenSite(dc, self, k) for k, dc in enumerate(datacenters)]
        self.sites: dict[str, SeenSite] = {seen.name: seen for seen in self.seen_sites}
        self.tick = 0
        self.reach: dict[str, np.ndarray[Any, Any]] = {}

    def tables_of(self, timing: RunTiming) -> RunTables:
        """What arrives when in a run."""
        return run_tables(self.channels, self.seed, self.scenario, tuple(self.sites), timing)

    def models_of(self, place: int) -> tuple[InferenceModelSpec, ...]:
        """The models of a site, by label."""
        served = self.datacenters[place].workload.inference_data.models
        return tuple(sorted(served, key=lambda spec: spec.model_label))

    def start_of(self, place: int) -> list[int]:
        """The batch sizes of a site without control, in the order of `models_of`."""
        return [self.datacenters[place].start_batch_sizes[spec.model_label] for spec in self.models_of(place)]

    def _fail_safe(self, place: int) -> FailSafes:
        """A site's fail-safe, as before a run."""
        return FailSafes([self.channels.fail_safe], [self.models_of(place)], [self.start_of(place)], [self.band])

    # --- what the coordinator calls

    def prepare(self, timing: RunTiming) -> None:
        """Before a run, after sites and grid were reset and started."""
        self.tables = self.tables_of(timing)
        self.tick = 0
        self.grid.forget()
        for seen in self.seen_sites:
            seen.forget()
            seen.batch_set_points = dict(seen.physical.commanded_batch_size_by_model)
        self._to_sites = [_Target(lane) for lane in self.tables.to_sites]
        self._to_grid = _Target(self.tables.to_grid)
        self._taps_to_repeat = False
        self._storage: dict[EnergyStorage, tuple[float, float]] = {}
        self._storage_done: dict[EnergyStorage, tuple[float, float]] = {}
        self._shifted = [dict.fromkeys(seen.model_labels, 0) for seen in self.seen_sites]
        self._fail_safes = [self._fail_safe(k) for k in range(len(self.seen_sites))]

    def begin(self, tick: int, dispatch: CommandDispatch) -> None:
        """Before sites step: what has arrived for them and for the grid, and what sites do in silence."""
        if tick >= self.tables.timing.n_ticks:
            raise InputError("channels are worked out for total_duration_s; give the run that it is to last")
        for place, target in enumerate(self._to_sites):
            message = target.due(tick)
            if message is not None:
                batch, shift = message
                self._set_site(place, batch, shift, dispatch)
            elif target.lane.acts[tick] and tick > 0:
                self._act_alone(place, dispatch)
        to_grid = self._to_grid.due(tick)
        if to_grid is not None:
            taps, storage = to_grid
            self._set_grid(taps, storage, dispatch)

    def measure(self, tick: int) -> None:
        """After the grid has stepped: what is there for the controllers that are due now."""
        self.tick = tick
        timing = self.tables.timing
        if tick % timing.grid_ticks == 0:
            self.grid.note(tick)
        for seen, every in zip(self.seen_sites, timing.site_ticks, strict=True):
            if tick % every == 0:
                seen.note(tick)

    def send(self, commands: Sequence[Command], dispatch: CommandDispatch) -> list[Command]:
        """Take what a controller commands, dispatch what is there at once; returns it with its real targets."""
        addressed = [self._addressed(command) for command in commands]
        for command in addressed:
            self._note(command)
            if self._lane_of(command).at_once[self.tick]:
                self._deliver(command, dispatch)
        return addressed

    def close(self, tick: int, dispatch: CommandDispatch) -> None:
        """After all controllers have acted: their set-points go on their way, also those that were lost before."""
        for place, (target, seen) in enumerate(zip(self._to_sites, self.seen_sites, strict=True)):
            if target.lane.at_once[tick]:
                target.arrived = tick
                self._set_site(place, seen.batch_set_points, seen.shift_set_points, dispatch)
            else:
                target.sent[tick] = dict(seen.batch_set_points), dict(seen.shift_set_points)
        taps = self.grid.tap_set_points
        if self._to_grid.lane.at_once[tick]:
            self._to_grid.arrived = tick
            self._set_grid(taps, self._storage, dispatch)
            self.grid.tap_set_points, self._taps_to_repeat = None, False
        else:
            self._to_grid.sent[tick] = (None if taps is None else dict(taps), dict(self._storage))

    # --- commands

    def _addressed(self, command: Command) -> Command:
        """The command with the site in the place of its view."""
        if not isinstance(command, SetBatchSize | ShiftReplicas | SetTaps | SetStoragePower):
            raise InputError(
                f"channels carry batch sizes, replicas, taps and storage power, not {type(command).__name__}"
            )
        if isinstance(command, DatacenterCommand):
            return replace(command, target=physical(command.target))
        return command

    def _lane_of(self, command: Command) -> Commanded:
        if isinstance(command, SetBatchSize | ShiftReplicas):
            return self.tables.to_sites[self.sites[command.target.name].place]
        return self.tables.to_grid

    def _note(self, command: Command) -> None:
        """Set-points after a command."""
        match command:
            case SetBatchSize():
                self.sites[command.target.name].batch_set_points |= command.batch_size_by_model
            case ShiftReplicas():
                self.sites[command.target.name].shift_set_points[command.model_label] += command.replica_delta
            case SetTaps():
                held = self.grid.tap_position
                known = dict(held.regulators) if held is not None else {}
                self.grid.tap_set_points = known | self.grid.setup.regulators.resolve(command.tap_position)
                self._taps_to_repeat |= not bool(self._to_grid.lane.at_once[self.tick])
            case SetStoragePower():
                self._storage[command.storage] = command.power_kw, command.reactive_power_kvar

    def _deliver(self, command: Command, dispatch: CommandDispatch) -> None:
        if isinstance(command, ShiftReplicas):
            place = self.sites[command.target.name].place
            self._shift(place, self.seen_sites[place].shift_set_points, dispatch, late=False)
            return
        dispatch([command])
        if isinstance(command, SetTaps):
            # What the grid made of it is known at once, too, unless other ratios are still to be repeated.
            if not self._taps_to_repeat:
                self.grid.tap_set_points = None
        elif isinstance(command, SetStoragePower):
            self._storage_done[command.storage] = command.power_kw, command.reactive_power_kvar

    def _set_site(
        self, place: int, batch: Mapping[str, int], shift: Mapping[str, int], dispatch: CommandDispatch
    ) -> None:
        if batch != self.datacenters[place].commanded_batch_size_by_model:
            dispatch([SetBatchSize(dict(batch), target=self.datacenters[place])])
        self._shift(place, shift, dispatch)

    def _set_grid(
        self,
        taps: Mapping[str, float] | None,
        storage: Mapping[EnergyStorage, tuple[float, float]],
        dispatch: CommandDispatch,
    ) -> None:
        if taps is not None:
            dispatch([SetTaps(TapPosition(regulators=dict(taps)))])
        for unit, power in storage.items():
            if self._storage_done.get(unit) != power:
                dispatch([SetStoragePower(unit, *power)])
                self._storage_done[unit] = power

    def _shift(self, place: int, wanted: Mapping[str, int], dispatch: CommandDispatch, late: bool = True) -> None:
        """Shift replicas towards what is wanted, as far as they fit: now, and what comes late beside all ramps, too."""
        site, done = self.datacenters[place], self._shifted[place]
        for label, count in wanted.items():
            missing = count - done[label]
            if missing > 0:
                each = site.demand.gpus_per_replica[site.model_labels.index(label)]
                free = site.available_gpu_capacity()
                # A site that has not stepped yet has no later ramps to look at.
                free = min(free, site.gpus_free_beside_schedule()) if late and site.record.n_steps else free
                missing = min(missing, free // int(each))
            if missing != 0:
                dispatch([ShiftReplicas(label, missing, target=site)])
                done[label] += missing

    def _act_alone(self, place: int, dispatch: CommandDispatch) -> None:
        """What a site that nobody reaches does by itself, by its own figures and the voltages at its own bus."""
        site, grid = self.datacenters[place], self.grid.physical
        held = site.commanded_batch_size_by_model
        batch = np.array([held[label] for label in site.model_labels], dtype=np.int64)
        record = grid.record
        local_pu = record.voltage_pu[-1, local_nodes(record.nodes, grid.dc_bus(site))]
        sizes = self._fail_safes[place].next_sizes(0, batch, local_pu, site.record.itl_s[-1])
        dispatch([SetBatchSize(dict(zip(site.model_labels, sizes.tolist(), strict=True)), target=site)])

    # --- what views ask

    def time_s(self, tick: int) -> float:
        """Time (s) of a tick."""
        tick_s = self.tables.timing.tick_s
        return int(tick) * tick_s.numerator / tick_s.denominator

    def seen_site_tick(self, place: int) -> int:
        """The tick of the newest figures of a site that are there."""
        return int(self.tables.sites[place].tick[self.tick])

    def site_every(self, place: int) -> int:
        """Ticks between two steps of a site."""
        return self.tables.timing.site_ticks[place]


def local_nodes(nodes: Sequence[tuple[str, int]], bus: str) -> list[int]:
    """Places of a bus's phases among nodes."""
    return [k for k, (name, phase) in enumerate(nodes) if name == bus and 1 <= phase <= 3]
