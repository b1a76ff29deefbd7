"""What a controller is handed in the place of its grid and its sites: views that show only what has arrived.

A view answers what a controller asks: measurements as old as the newest that has arrived, and the set-points that the
controllers themselves gave, which they know. Names, buses, schedules and the operator's model of the feeder (slopes)
are known to everybody and need no message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.lanes import RunTables, stale_voltage_pu
from g2g_opt.communication import Channels
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.datacenter.record import OfflineDatacenterState
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.base import GridState
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.setup import GridSetup
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SeenLinks(Protocol):
    """What views ask of the links of a run: what has arrived by now, and when it was sent."""

    channels: Channels
    tables: RunTables
    tick: int

    def seen_site_tick(self, place: int) -> int:
        """The tick of the newest figures of a site (its place in the run) that are there."""

    def site_every(self, place: int) -> int:
        """Ticks from one step of a site to the next."""

    def time_s(self, tick: int) -> float:
        """Time of a tick (s)."""


def physical(component: Any) -> Any:
    """The grid or site behind a view; anything else is itself."""
    return component.physical if isinstance(component, SeenSite | SeenGrid) else component


class SeenSite:
    """A site as the controllers see it through their channels."""

    def __init__(self, site: OfflineDatacenter, links: SeenLinks, place: int) -> None:
        self.physical, self._links, self.place = site, links, place
        self.name = site.name
        self.dt_s = site.dt_s
        self.model_labels = site.model_labels
        self.total_gpu_capacity = site.total_gpu_capacity
        self.forget()

    def forget(self) -> None:
        """Before a run: set-points are the batch sizes that the site begins with, and no replicas are shifted."""
        self.batch_set_points: dict[str, int] = {}
        self.shift_set_points = dict.fromkeys(self.model_labels, 0)
        self._shares: dict[int, Mapping[str, Floats]] = {}

    def _step(self) -> int:
        """The site's step whose figures are the newest there."""
        return self._links.seen_site_tick(self.place) // self._links.site_every(self.place)

    @property
    def age_s(self) -> float:
        """Age (s) of what is shown."""
        return float(self._links.tables.sites[self.place].age_s[self._links.tick])

    def note(self, tick: int) -> None:
        """Keep what only the present step can tell, if it is to be seen later; forget what was seen."""
        lane = self._links.tables.sites[self.place]
        if lane.shown_at[tick] >= tick:
            self._shares[tick] = self.physical.phase_share_by_model
        for old in [t for t in self._shares if t < lane.tick[tick]]:
            del self._shares[old]

    @property
    def state(self) -> OfflineDatacenterState:
        """The newest state that has arrived."""
        return self.physical.record[self._step()]

    @property
    def latest_power_w(self) -> Sequence[float]:
        """Power per phase (W) of the newest state that has arrived."""
        power_w: Sequence[float] = self.physical.record.row_power_w(self._step()).tolist()
        return power_w

    def observe(self, labels: Sequence[str]) -> tuple[Ints, Floats]:
        """Replicas and latencies (s) of the newest state that has arrived."""
        columns = np.array([self.model_labels.index(label) for label in labels], dtype=np.int64)
        return self.physical.record.row_service(self._step(), columns)

    @property
    def phase_share_by_model(self) -> Mapping[str, Floats]:
        """Shares of servers by phase of the newest state that has arrived."""
        tick = self._links.seen_site_tick(self.place)
        return self.physical.phase_share_by_model if tick == self._links.tick else self._shares[tick]

    @property
    def commanded_batch_size_by_model(self) -> Mapping[str, int]:
        """The batch sizes that the controllers last set, whether they have arrived or not."""
        return self.batch_set_points

    def available_gpu_capacity(self) -> int:
        """GPUs free for shifted replicas, by what has arrived and by the shifts already commanded."""
        step, demand = self._step(), self.physical.demand
        record = self.physical.record
        shift = np.array([self.shift_set_points[label] for label in self.model_labels], dtype=np.int64)
        pending = np.maximum(demand.scheduled_replicas(record.time_s[step : step + 1])[0] + shift, 0)
        used = int(np.maximum(record.replicas[step], pending) @ demand.gpus_per_replica)
        return max(0, self.total_gpu_capacity - used)

    def gpus_free_beside_schedule(self) -> int:
        """GPUs that neither replicas nor any later ramp needs, by the shifts already commanded."""
        time_s = float(self.physical.record.time_s[self._step()])
        shift = np.array([self.shift_set_points[label] for label in self.model_labels], dtype=np.int64)
        return self.physical.demand.gpus_free_from(time_s, shift)


class SeenGrid:
    """A grid as the controllers see it through their channels."""

    def __init__(self, grid: OpenDSSGrid, links: SeenLinks) -> None:
        self.physical, self._links = grid, links
        self.feeder: Feeder = grid.feeder
        self.setup: GridSetup = grid.setup
        self.dt_s = grid.dt_s
        self.forget()

    def forget(self) -> None:
        """Before a run: nothing was measured, and taps are where the grid has them."""
        self._vectors: dict[int, Floats] = {}
        self.tap_set_points: dict[str, float] | None = None

    def note(self, tick: int) -> None:
        """Keep the present voltages if they are to be seen later; forget those that no one can see any more."""
        lane = self._links.tables.voltage
        if lane.shown_at[tick] >= tick:
            self._vectors[tick] = self.physical.voltages_vector()
        needed = lane.before[tick] if lane.before[tick] >= 0 else lane.tick[tick]
        for old in [t for t in self._vectors if t < needed]:
            del self._vectors[old]

    @property
    def age_s(self) -> float:
        """Age (s) of the voltages shown."""
        return float(self._links.tables.voltage.age_s[self._links.tick])

    def dc_bus(self, dc: Any) -> str:
        """Bus of a site, or of the site behind a view."""
        return self.physical.dc_bus(physical(dc))

    @property
    def v_index(self) -> Sequence[tuple[str, int]]:
        """The monitored bus-phases, as the grid has them."""
        return self.physical.v_index

    def voltages_vector(self) -> Floats:
        """Voltages (pu) of `v_index` that arrived last, or what is taken for them where they are too old."""
        links, now = self._links, self._links.tick
        lane, signal = links.tables.voltage, links.channels.voltage
        held = self._vectors[int(lane.tick[now])]
        if not lane.stale[now] or signal.rule not in ("bound", "predict"):
            return held
        has_before = lane.before[now] >= 0
        before = self._vectors[int(lane.before[now])] if has_before else held
        gap_s = float(links.time_s(lane.tick[now]) - links.time_s(lane.before[now])) if has_before else 0.0
        return stale_voltage_pu(held, before, gap_s, float(lane.age_s[now]), signal)

    @property
    def state(self) -> GridState | None:
        """The newest state that has arrived."""
        return self.physical.record[self._step(int(self._links.tables.voltage.tick[self._links.tick]))]

    @property
    def record(self) -> SeenRecord:
        """The measurements that have arrived, one after the other."""
        lane = self._links.tables.voltage
        arrived = np.unique(lane.tick[: self._links.tick + 1]).astype(np.int64)
        arrived //= self._links.tables.timing.grid_ticks
        return SeenRecord(self.physical, arrived)

    def _step(self, tick: int) -> int:
        return tick // self._links.tables.timing.grid_ticks

    @property
    def tap_position(self) -> TapPosition | None:
        """Tap ratios that the controllers last set; where the grid's own controls move them, those it has."""
        if self.tap_set_points is None or self.setup.dss_controls:
            return self.physical.tap_position
        return TapPosition(regulators=dict(self.tap_set_points))

    def estimate_sensitivity(self, perturbation_kw: float = 100.0, dc: Any = None) -> tuple[Floats, Floats]:
        """Slopes dv/dp (pu/kW) by the operator's model of the feeder, for which no message is needed."""
        return self.physical.estimate_sensitivity(perturbation_kw, physical(dc))


class SeenRecord:
    """Voltages (pu) that have arrived, [measurement, node], as `GridRecord` has them of steps."""

    def __init__(self, grid: OpenDSSGrid, arrived: Ints) -> None:
        self._grid, self._arrived = grid, arrived
        self.nodes = grid.record.nodes
        self.n_steps = len(arrived)

    @property
    def voltage_pu(self) -> Floats:
        """Of every measurement that has arrived, in the order of their making."""
        found: Floats = self._grid.record.voltage_pu[self._arrived]
        return found


def check_viewable(grid: Any, sites: Sequence[Any]) -> None:
    """`InputError` for components whose runs are not kept as arrays, of which nothing old can be shown."""
    for component in (grid, *sites):
        kind = OpenDSSGrid if component is grid else OfflineDatacenter
        if not isinstance(component, kind):
            raise InputError(f"channels show {kind.__name__}s to controllers, not a {type(component).__name__}")
