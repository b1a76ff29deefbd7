"""Replicas move between sites when batch sizes alone no longer help (equation 4.9)."""

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
from g2g_opt.quantities import GpuCount, check_quantities


@dataclass(frozen=True)
class LoadShiftConfig:
    """Whether shifting is on, and how many GPUs' worth of replicas move at a step."""

    enabled: bool = False
    gpus_per_shift: GpuCount = 8

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class SiteView:
    """A site as load shift sees it: voltages at its bus (pu), whether all its models are at their smallest and at
    their largest batch size, free GPUs, and running replicas of the models it may shift, by label.
    """

    lowest_pu: float
    highest_pu: float
    at_limit: tuple[bool, bool]
    free_gpus: int
    running: Mapping[str, int]


@dataclass(frozen=True)
class Shift:
    """`count` replicas of a model move from site `source` to site `target` (places in the list of sites)."""

    model_label: str
    count: int
    source: int
    target: int


def decide_shifts(
    sites: Sequence[SiteView], gpus_per_replica: Mapping[str, int], config: LoadShiftConfig, v_min: float, v_max: float
) -> list[Shift]:
    """The shifts of one step, site by site in order; free GPUs and replicas are counted as they will be after it."""
    free = [site.free_gpus for site in sites]
    running = [dict(site.running) for site in sites]
    shifts: list[Shift] = []
    for here, site in enumerate(sites):
        under, over = site.lowest_pu < v_min, site.highest_pu > v_max
        if not (under or over) or not site.at_limit[0 if under else 1]:
            continue
        others = [k for k in range(len(sites)) if k != here and set(running[k]) & set(running[here])]
        source: int | None
        target: int | None
        if under:
            source, others = here, [k for k in others if free[k] >= config.gpus_per_shift]
            target = max(others, key=lambda k: sites[k].lowest_pu, default=None)
        else:
            source = min(others, key=lambda k: sites[k].highest_pu, default=None)
            target = here if free[here] >= config.gpus_per_shift else None
        if source is None or target is None:
            continue
        label = max(sorted(set(running[source]) & set(running[target])), key=gpus_per_replica.__getitem__)
        count = max(1, config.gpus_per_shift // gpus_per_replica[label])
        gpus = count * gpus_per_replica[label]
        if running[source][label] < count or free[target] < gpus:
            continue
        running[source][label] -= count
        running[target][label] += count
        free[target] -= gpus
        shifts.append(Shift(label, count, source, target))
    return shifts


class LoadShiftController(Controller[OfflineDatacenter, OpenDSSGrid]):
    """Put it after the batch-size controllers. A site acts only if every model there sits at its batch limit and
    its own bus is outside the band: under-voltage sends replicas to the site with the highest minimum voltage,
    over-voltage pulls them from the site with the lowest maximum voltage. Both sites must run the model, and the
    receiver must have free GPUs; the model with the most GPUs per replica goes first. With `beside_schedule` only GPUs
    that the receiver's own schedule does not need later are free.
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
        beside_schedule: bool = False,
    ) -> None:
        if not v_min < v_max:
            raise InputError(f"load shift needs v_min < v_max, got {v_min} and {v_max}")
        self.config, self._dt_s = config, dt_s
        self.sites = list(datacenters)
        self.grid = grid
        self._bus = {dc: grid.dc_bus(dc) for dc in self.sites}
        self.models = {dc: tuple(models_by_dc.get(dc, ())) for dc in self.sites}
        self.gpus_per_replica = dict(gpus_per_replica_by_model)
        self.feasible = {label: sorted(sizes) for label, sizes in feasible_batch_sizes_by_model.items()}
        for dc, labels in self.models.items():
            for label in labels:
                if label not in dc.model_labels:
                    raise unknown_name("model", label, dc.model_labels, f"at site {dc.name!r}")
                if label not in self.gpus_per_replica or not self.feasible.get(label):
                    raise InputError(f"give GPUs per replica and feasible batch sizes of model {label!r}")
        self.v_min, self.v_max, self.beside_schedule = v_min, v_max, beside_schedule

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        """Nothing to clear: it decides from the present states alone."""

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        if not self.config.enabled:
            return []
        lowest, highest = self._site_voltages()
        seen = [
            SiteView(lowest[dc], highest[dc], self._at_limit(dc), self._free_gpus(dc), self._running(dc))
            for dc in self.sites
        ]
        commands: list[DatacenterCommand | GridCommand] = []
        for shift in decide_shifts(seen, self.gpus_per_replica, self.config, self.v_min, self.v_max):
            source, target = self.sites[shift.source], self.sites[shift.target]
            commands += [
                ShiftReplicas(shift.model_label, -shift.count, target=source),
                ShiftReplicas(shift.model_label, shift.count, target=target),
            ]
            events.emit(
                "controller.load_shift",
                {
                    "model_label": shift.model_label,
                    "replicas": shift.count,
                    "source": source.name,
                    "target": target.name,
                },
            )
        return commands

    def _site_voltages(self) -> tuple[dict[OfflineDatacenter, float], dict[OfflineDatacenter, float]]:
        """Lowest and highest voltage (pu) at each site's own bus."""
        at_bus: dict[str, list[float]] = {}
        state = self.grid.state
        assert state is not None
        for bus in set(self._bus.values()):
            at_bus[bus] = list(state.voltages[bus])
        return (
            {dc: min(at_bus[bus]) for dc, bus in self._bus.items()},
            {dc: max(at_bus[bus]) for dc, bus in self._bus.items()},
        )

    def _free_gpus(self, dc: OfflineDatacenter) -> int:
        return dc.gpus_free_beside_schedule() if self.beside_schedule else dc.available_gpu_capacity()

    def _running(self, dc: OfflineDatacenter) -> dict[str, int]:
        replicas, _ = dc.observe(self.models[dc])
        return dict(zip(self.models[dc], replicas.tolist(), strict=True))

    def _at_limit(self, dc: OfflineDatacenter) -> tuple[bool, bool]:
        state = dc.state
        assert state is not None
        return self.at_limit(dc, state.batch_size_by_model)

    def at_limit(self, dc: OfflineDatacenter, batch_size_by_model: Mapping[str, int]) -> tuple[bool, bool]:
        """Are all models of a site at their smallest, and are all at their largest feasible batch size?"""
        labels = self.models[dc]
        return (
            all(batch_size_by_model[label] <= self.feasible[label][0] for label in labels),
            all(batch_size_by_model[label] >= self.feasible[label][-1] for label in labels),
        )
