"""Batch sizes by a neural policy that was trained by proximal policy optimisation (OpenG2G paper, appendix B.3).

At every control step each model at each site goes one feasible batch size down, stays, or goes one up. The policy is
shown voltages (all monitored bus-phases, or their lowest, highest and sum of exceedances by zone or as a whole) and of
every model five figures: log2 of its batch size between the smallest (0) and the largest (1), latency over its target
(at most `LATENCY_SHARE_MAX`; 0 where nothing is served), share of its replicas that is active, its site's power (MW),
and the last change of log2 of its batch size, between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import FeasibleTable, changed_command
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.ppo_policy import N_ACTIONS, ObservationMode, PPOOutput, PPOPolicy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LATENCY_SHARE_MAX = 2.0


class PPOSite(NamedTuple):
    """A site as the policy acts on it: the component, its models, and their batch sizes and replicas as planned."""

    datacenter: LLMBatchSizeControlledDatacenter[LLMDatacenterState]
    specs: tuple[InferenceModelSpec, ...]
    start_batch_sizes: Mapping[str, int]
    n_replicas: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class PPOModels:
    """Every model at every site, in the order of a policy's outputs: sizes (model, size), the rest (model,).

    `site` is the place of a model's site among the run's; `start` the place of its first size in `sizes`.
    """

    outputs: tuple[PPOOutput, ...]
    sizes: Ints
    last: Ints
    log2: Floats
    deadline_s: Floats
    n_replicas: Floats
    site: Ints
    start: Ints

    @staticmethod
    def of(sites: Sequence[PPOSite]) -> PPOModels:
        """All models of all sites; `InputError` for one that starts at a size that is not feasible."""
        rows = [(k, site, spec) for k, site in enumerate(sites) for spec in site.specs]
        feasible = [tuple(sorted(spec.feasible_batch_sizes)) for _, _, spec in rows]
        start = []
        for (_, site, spec), sizes in zip(rows, feasible, strict=True):
            size = int(site.start_batch_sizes[spec.model_label])
            if size not in sizes:
                raise InputError(
                    f"model {spec.model_label!r} at site {site.datacenter.name!r} begins at batch size {size}, from "
                    f"which a PPO policy cannot step; feasible: {list(sizes)}"
                )
            start.append(sizes.index(size))
        sizes_table = FeasibleTable.of(feasible).sizes
        return PPOModels(
            tuple(PPOOutput(s.datacenter.name, m.model_label, f) for (_, s, m), f in zip(rows, feasible, strict=True)),
            sizes_table,
            np.array([len(sizes) - 1 for sizes in feasible], dtype=np.int64),
            np.log2(sizes_table),
            np.array([spec.itl_deadline_s for _, _, spec in rows]),
            np.array([float(max(1, site.n_replicas[spec.model_label])) for _, site, spec in rows]),
            np.array([k for k, _, _ in rows], dtype=np.int64),
            np.array(start, dtype=np.int64),
        )

    def batch(self, place: Ints) -> Ints:
        """Batch sizes at places in `sizes`, both (scenario, model)."""
        found: Ints = self.sizes[np.arange(len(self.sizes)), place]
        return found

    def moved(self, place: Ints, action: Ints) -> tuple[Ints, Floats]:
        """Places after actions (0: down, 1: hold, 2: up), and changes of log2 of batch sizes, (scenario, model)."""
        after = np.clip(place + action - 1, 0, self.last)
        row = np.arange(len(self.sizes))
        return after, self.log2[row, after] - self.log2[row, place]


class PPOState(NamedTuple):
    """What models do in so many scenarios, shape (scenario, model); `site_power_w` (scenario, site)."""

    place: Ints
    change: Floats
    itl_s: Floats
    replicas: Ints
    site_power_w: Floats


def exceedance_pu(voltage_pu: Floats, v_min: float, v_max: float) -> Floats:
    """How far voltages lie outside the band (pu), of their shape; 0 for NaN, which is no voltage."""
    return np.fmax(np.fmax(v_min - voltage_pu, voltage_pu - v_max), 0.0)


def observation(
    voltage_pu: Floats,
    state: PPOState,
    models: PPOModels,
    mode: ObservationMode,
    zones: Sequence[Ints],
    band_pu: tuple[float, float],
) -> Floats:
    """What a policy is shown (equation 4.12), shape (scenario, figure), of voltages (scenario, node).

    `zones` are columns of nodes.
    """
    outside = exceedance_pu(voltage_pu, *band_pu)
    seen = np.where(np.isnan(voltage_pu), 1.0, voltage_pu)
    blocks = [seen] if mode == "full-voltage" else []
    for nodes in zones if mode == "zone-summary" else [slice(None)]:
        of_zone = seen[:, nodes]
        blocks.append(np.stack([of_zone.min(axis=1), of_zone.max(axis=1), outside[:, nodes].sum(axis=1)], axis=1))
    row = np.arange(len(models.sizes))
    lowest, highest = models.log2[:, 0], models.log2[row, models.last]
    level = (models.log2[row, state.place] - lowest) / np.maximum(highest - lowest, 1e-12)
    latency = np.clip(np.nan_to_num(state.itl_s / models.deadline_s, nan=0.0), 0.0, LATENCY_SHARE_MAX)
    of_models = np.stack(
        [
            level,
            latency,
            state.replicas / models.n_replicas,
            state.site_power_w[:, models.site] / 1e6,
            np.clip(state.change, -1.0, 1.0),
        ],
        axis=2,
    )
    return np.concatenate([*blocks, of_models.reshape(len(of_models), -1)], axis=1)


class PPONetwork:
    """A policy's network as arrays (equation 4.13), for any number of scenarios at once."""

    def __init__(self, policy: PPOPolicy) -> None:
        self._mean, self._scale, self._clip = np.array(policy.mean), np.array(policy.scale), policy.clip
        self._layers = [(np.array(layer.weight).T, np.array(layer.bias)) for layer in policy.layers]

    def logits(self, observed: Floats) -> Floats:
        """Logits (scenario, output, action) of observations (scenario, figure)."""
        hidden = np.clip((observed - self._mean) / self._scale, -self._clip, self._clip)
        for weight, bias in self._layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        logits: Floats = (hidden @ weight + bias).reshape(len(observed), -1, N_ACTIONS)
        return logits

    def actions(self, observed: Floats) -> Ints:
        """The likeliest action of every output, (scenario, output): 0 down, 1 hold, 2 up; of equals the first."""
        return np.asarray(self.logits(observed).argmax(axis=2), dtype=np.int64)


class PPOBatchSizeController(
    Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid],
):
    """Runs a `PPOPolicy` at all sites of a run; `band_pu` is the voltage band whose exceedances it is shown.

    Raises `InputError` for a policy of another feeder, of other sites, models or batch sizes, or of another period.
    """

    def __init__(
        self,
        policy: PPOPolicy,
        sites: Sequence[PPOSite],
        grid: OpenDSSGrid,
        *,
        band_pu: tuple[float, float],
        dt_s: Fraction = Fraction(1),
    ) -> None:
        self.policy, self.grid, self.band_pu, self._dt_s = policy, grid, band_pu, dt_s
        if policy.feeder != grid.feeder.name:
            raise InputError(f"the PPO policy was trained on feeder {policy.feeder}, and this is {grid.feeder.name}")
        if policy.step_s != dt_s:
            raise InputError(
                f"the PPO policy was trained to act every {policy.step_s} s; in this run controllers act every {dt_s} s"
            )
        for zone in policy.zones:
            if zone not in grid.feeder.zones:
                raise unknown_name("zone", zone, grid.feeder.zones, "that the PPO policy observes")
        self.models = PPOModels.of(sites)
        _check_outputs(policy.outputs, self.models.outputs)
        self.network = PPONetwork(policy)
        self.sites = [site.datacenter for site in sites]
        self.labels = [[spec.model_label for spec in site.specs] for site in sites]
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._place = self.models.start[None, :].copy()
        self._change = np.zeros(self._place.shape)
        self._seen: tuple[Ints, list[Ints]] | None = None

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        if self._seen is None:
            nodes = self.grid.v_index
            self._seen = columns_seen(self.policy, nodes, self.grid.feeder.zones)
        columns, zones = self._seen
        observed = [site.observe(labels) for site, labels in zip(self.sites, self.labels, strict=True)]
        state = PPOState(
            self._place,
            self._change,
            np.concatenate([itl_s for _, itl_s in observed])[None, :],
            np.concatenate([replicas for replicas, _ in observed])[None, :],
            np.array([[sum(site.latest_power_w) for site in self.sites]]),
        )
        voltage_pu = self.grid.voltages_vector()[None, columns]
        shown = observation(voltage_pu, state, self.models, self.policy.observation, zones, self.band_pu)
        self._place, self._change = self.models.moved(self._place, self.network.actions(shown))
        batch = self.models.batch(self._place)[0]
        commands: list[DatacenterCommand | GridCommand] = []
        for k, (site, labels) in enumerate(zip(self.sites, self.labels, strict=True)):
            changed = changed_command(site, labels, batch[self.models.site == k])
            if changed:
                about = {"site": site.name, "batch_size_by_model": changed[0].batch_size_by_model}
                events.emit("controller.ppo.step", about)
            commands += changed
        return commands


def _check_outputs(trained: Sequence[PPOOutput], present: Sequence[PPOOutput]) -> None:
    """`InputError` that names the first output that a policy does not share with a run."""
    if len(trained) != len(present):
        raise InputError(f"the PPO policy moves {len(trained)} models, and the sites of this run serve {len(present)}")
    for one, other in zip(trained, present, strict=True):
        if one != other:
            raise InputError(
                f"the PPO policy moves {one.model!r} at {one.site!r} along {list(one.batch_sizes)}; this run has "
                f"{other.model!r} at {other.site!r} with {list(other.batch_sizes)}"
            )


def columns_seen(
    policy: PPOPolicy, nodes: Sequence[tuple[str, int]], zones: Mapping[str, Sequence[str]]
) -> tuple[Ints, list[Ints]]:
    """Columns of monitored `nodes` (bus, phase) that a policy reads, and which of those lie in each of its zones.

    Raises `InputError` for a bus-phase that is not monitored here, and for a zone without any that is.
    """
    if policy.observation != "full-voltage":
        return np.arange(len(nodes)), zone_columns(nodes, {zone: zones[zone] for zone in policy.zones})
    place = {node_name(node): k for k, node in enumerate(nodes)}
    for name in policy.nodes:
        if name not in place:
            raise unknown_name("bus-phase", name, place, "that the PPO policy reads among those monitored")
    return np.array([place[name] for name in policy.nodes], dtype=np.int64), []


def zone_columns(nodes: Sequence[tuple[str, int]], zones: Mapping[str, Sequence[str]]) -> list[Ints]:
    """Columns of monitored nodes in each zone; `InputError` for a zone without any."""
    found = [
        np.array([k for k, (bus, _) in enumerate(nodes) if bus in set(buses)], dtype=np.int64)
        for buses in zones.values()
    ]
    for name, columns in zip(zones, found, strict=True):
        if not len(columns):
            raise InputError(f"zone {name!r} has no monitored bus-phase to observe")
    return found


def node_name(node: tuple[str, int]) -> str:
    """A bus-phase as a policy names it: "671.1"."""
    return f"{node[0]}.{node[1]}"
