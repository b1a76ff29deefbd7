"""Fleets and grids of a batch as controls see and reach them that look through channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import Parts
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.tap_position import TapPosition

if TYPE_CHECKING:
    from g2g_opt.batch.channels import BatchChannels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Storages = dict[EnergyStorage, tuple[float, float]]


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
