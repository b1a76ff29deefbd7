"""Replicas move between sites when batch sizes alone no longer help (formulations 4, load shift)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.command import DatacenterCommand, ShiftReplicas
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid


@dataclass(frozen=True)
class LoadShiftConfig:
    """Whether shifting is on, and how many GPUs' worth of replicas move at a step."""

    enabled: bool = False
    gpus_per_shift: int = 8

    def __post_init__(self) -> None:
        if self.gpus_per_shift <= 0:
            raise InputError(f"gpus_per_shift must be positive, got {self.gpus_per_shift}")


class LoadShiftController(Controller[OfflineDatacenter, OpenDSSGrid]):
    """Put it after the batch-size controllers. A site acts only if every model there sits at its batch limit and
    its own bus is outside the band: under-voltage sends replicas to the site with the highest minimum voltage,
    over-voltage pulls them from the site with the lowest maximum voltage. Both sites must run the model, and the
    receiver must have free GPUs; the model with the most GPUs per replica goes first.
    """

    def __init__(
        self,
        *,
        config: LoadShiftConfig,
        dt_s: Fraction = Fraction(1),
        datacenters: Sequence[OfflineDatacenter],
        grid: OpenDSSGrid,
        models_by_dc: Mapping[OfflineDatacenter, Sequence[str]],
        gpus_per_replica_by_model: Mapping[str, int],
        feasible_batch_sizes_by_model: Mapping[str, Sequence[int]],
        v_min: float = 0.95,
        v_max: float = 1.05,
    ) -> None:
        if not v_min < v_max:
            raise InputError(f"load shift needs v_min < v_max, got {v_min} and {v_max}")
        self._config, self._dt_s = config, dt_s
        self._sites = list(datacenters)
        self._grid = grid
        self._bus = {dc: grid.dc_bus(dc) for dc in self._sites}
        self._models = {dc: tuple(models_by_dc.get(dc, ())) for dc in self._sites}
        self._gpus_per_replica = dict(gpus_per_replica_by_model)
        self._feasible = {label: sorted(sizes) for label, sizes in feasible_batch_sizes_by_model.items()}
        for dc, labels in self._models.items():
            for label in labels:
                if label not in dc.model_labels:
                    raise unknown_name("model", label, dc.model_labels, f"at site {dc.name!r}")
                if label not in self._gpus_per_replica or not self._feasible.get(label):
                    raise InputError(f"give GPUs per replica and feasible batch sizes of model {label!r}")
        self._v_min, self._v_max = v_min, v_max

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        """Nothing to clear: it decides from the present states alone."""

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        if not self._config.enabled:
            return []
        lowest, highest = self._site_voltages()
        # Free GPUs and running replicas as they will be after the shifts already decided in this step.
        free = {dc: dc.available_gpu_capacity() for dc in self._sites}
        running = {dc: self._running(dc) for dc in self._sites}
        commands: list[DatacenterCommand | GridCommand] = []
        for site in self._sites:
            under, over = lowest[site] < self._v_min, highest[site] > self._v_max
            if not (under or over) or not self._at_batch_limit(site, under):
                continue
            others = [dc for dc in self._sites if dc is not site and set(self._models[dc]) & set(self._models[site])]
            source: OfflineDatacenter | None
            target: OfflineDatacenter | None
            if under:
                source, others = site, [dc for dc in others if free[dc] >= self._config.gpus_per_shift]
                target = max(others, key=lowest.__getitem__, default=None)
            else:
                source = min(others, key=highest.__getitem__, default=None)
                target = site if free[site] >= self._config.gpus_per_shift else None
            if source is None or target is None:
                continue
            label = max(
                sorted(set(self._models[source]) & set(self._models[target])), key=self._gpus_per_replica.__getitem__
            )
            count = max(1, self._config.gpus_per_shift // self._gpus_per_replica[label])
            gpus = count * self._gpus_per_replica[label]
            if running[source][label] < count or free[target] < gpus:
                continue
            running[source][label] -= count
            running[target][label] += count
            free[target] -= gpus
            commands += [ShiftReplicas(label, -count, target=source), ShiftReplicas(label, count, target=target)]
            events.emit(
                "controller.load_shift",
                {"model_label": label, "replicas": count, "source": source.name, "target": target.name},
            )
        return commands

    def _site_voltages(self) -> tuple[dict[OfflineDatacenter, float], dict[OfflineDatacenter, float]]:
        """Lowest and highest voltage (pu) at each site's own bus."""
        at_bus: dict[str, list[float]] = {}
        state = self._grid.state
        assert state is not None
        for bus in set(self._bus.values()):
            at_bus[bus] = list(state.voltages[bus])
        return (
            {dc: min(at_bus[bus]) for dc, bus in self._bus.items()},
            {dc: max(at_bus[bus]) for dc, bus in self._bus.items()},
        )

    def _running(self, dc: OfflineDatacenter) -> dict[str, int]:
        replicas, _ = dc.observe(self._models[dc])
        return dict(zip(self._models[dc], replicas.tolist(), strict=True))

    def _at_batch_limit(self, dc: OfflineDatacenter, under: bool) -> bool:
        state = dc.state
        assert state is not None
        return all(
            state.batch_size_by_model[label] <= self._feasible[label][0]
            if under
            else state.batch_size_by_model[label] >= self._feasible[label][-1]
            for label in self._models[dc]
        )
