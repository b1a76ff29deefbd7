"""The two halves of a closed loop by themselves, shown what the other half did in a batch run.

`shown_controllers` asks the single run's controllers what they would have sent at the batch run's voltages, and
`told_run` lets OpenDSS solve the batch run's batch sizes. If both agree with the batch run at every step, the loop
that they make up does too, however far it has gone from a single run since a batch size was rounded the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from engine_pair import Controls, Iterates, watch

from g2g_opt.batch.simulator import SiteTrace, Trace
from g2g_opt.clock import SimulationClock
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.events import EventEmitter
from g2g_opt.grid.opendss import OpenDSSGrid


class Nowhere:
    def emit(self, event: object) -> None: ...


class ShownGrid:
    """Voltages [step, bus-phase] and slopes of a batch run."""

    def __init__(self, v_index: Sequence[tuple[str, int]], voltage_pu: np.ndarray, slopes: np.ndarray | None) -> None:
        self.v_index, self.voltage_pu, self.slopes, self.step = list(v_index), voltage_pu, slopes, 0

    def voltages_vector(self) -> np.ndarray:
        return self.voltage_pu[self.step]

    def estimate_sensitivity(self, perturbation_kw: float, dc: Any) -> tuple[np.ndarray | None, None]:
        return self.slopes, None


class ShownSite:
    """What a site showed in a batch run; `servers` [step, model, 3] are its schedule's."""

    # It holds no batch sizes, so that a controller sends what it wants at every step.
    commanded_batch_size_by_model: dict[str, int]

    def __init__(self, dc: OfflineDatacenter, trace: SiteTrace) -> None:
        self.name, self._trace, self.step = dc.name, trace, 0
        self.commanded_batch_size_by_model = {}
        no_shift = np.zeros(len(trace.labels), dtype=np.int64)
        self._servers = dc.demand.stretch(0.0, len(trace.replicas), no_shift).servers

    def observe(self, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        columns = [self._trace.labels.index(label) for label in labels]
        return self._trace.replicas[self.step, columns], self._trace.itl_s[self.step, columns]

    @property
    def phase_share_by_model(self) -> dict[str, np.ndarray]:
        counts = self._servers[self.step]
        pairs = zip(self._trace.labels, counts, strict=True)
        return {label: count / count.sum() for label, count in pairs if count.sum() > 0}


def shown_controllers(
    coordinator: Coordinator[Any, Any], trace: Trace, slopes: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, Iterates]]:
    """By site: batch sizes [step, model] that its controller sends at each step, and its iterates.

    The coordinator must not have run; `slopes` (node, 3) are those of each site, measured once.
    """
    feeder_nodes = coordinator.grid.setup.monitored_nodes(trace.nodes)
    v_index = [trace.nodes[place] for place in feeder_nodes]
    sent: dict[str, tuple[np.ndarray, Iterates]] = {}
    for controller in coordinator.controllers:
        if not isinstance(controller, Controls):
            continue
        dc: Any = controller.datacenter
        of_site = [site.name for site in coordinator.datacenters].index(dc.name)
        iterates = watch(controller)
        of_grid = np.ascontiguousarray(slopes[of_site][feeder_nodes]) if slopes else None
        grid = ShownGrid(v_index, np.ascontiguousarray(trace.voltage_pu[:, feeder_nodes]), of_grid)
        shown = ShownSite(dc, trace.sites[dc.name])
        shown_to: Any = controller
        shown_to.grid, shown_to.datacenter = grid, shown
        sizes, clock = trace.sites[dc.name].batch_size.copy(), SimulationClock(coordinator.grid.dt_s)
        for step in range(len(trace.time_s)):
            grid.step = shown.step = step
            commands = controller.step(clock, EventEmitter(clock, Nowhere(), "controller"))
            sizes[step] = sizes[step - 1] if step else sizes[0]
            for command in commands:
                labels = trace.sites[dc.name].labels
                sizes[step] = [command.batch_size_by_model[label] for label in labels]  # type: ignore[union-attr]
            clock.advance()
        sent[dc.name] = sizes, iterates
    return sent


def told_run(coordinator: Coordinator[Any, Any], trace: Trace) -> Coordinator[Any, Any]:
    """The same sites and grid, told a batch run's batch sizes; controllers of other things stay."""
    grid = coordinator.grid
    assert isinstance(grid, OpenDSSGrid)
    others = [c for c in coordinator.controllers if not isinstance(c, Controls)]
    told: list[Any] = []
    for dc in coordinator.datacenters:
        site = trace.sites[dc.name]
        schedules = {}
        for model, label in enumerate(site.labels):
            size = site.batch_size[:, model]
            # What is told at one step runs at the next.
            changes = [
                BatchSizeChange(int(size[step + 1])).at(trace.time_s[step]) for step in np.flatnonzero(np.diff(size))
            ]
            if changes:
                schedules[label] = reduce(or_, changes)
        told.append(BatchSizeScheduleController(datacenter=dc, schedules=schedules, dt_s=grid.dt_s))
    return Coordinator(
        datacenters=coordinator.datacenters,
        grid=grid,
        controllers=[*others, *told],
        total_duration_s=coordinator.total_duration_s,
    )
