"""Batch sizes as an affine function of published context: no voltage is measured, no feeder model is run.

x = clip(offset + gain z, 0, 1), z = (context - center) / scale, batch = the feasible size whose level is next to x
(equation 9.5, with batch sizes in the place of shifts; 9.6: a policy sees what was published before it acts).
The level of a size is its power between that of the smallest (0) and of the largest (1).
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import DAY_S, SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import changed_command
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.feeder_policy import FeederPolicy, PolicyFeature, Rounding
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# What the sites of a run show, by name: power (W, three phases together) and active replicas by model.
SiteFigures = Callable[[str], tuple[float, Ints]]


def affine_level(context: Floats, center: Floats, scale: Floats, offset: Floats, gain: Floats) -> Floats:
    """x = clip(offset + gain (context - center) / scale, 0, 1), shape (scenario, output) (equation 4.10).

    `context` has shape (scenario, feature), in raw units; `gain` (output, feature); the rest (feature,) or (output,).
    """
    return np.clip(offset + ((context - center) / scale) @ gain.T, 0.0, 1.0)


def batch_at_level(level: Floats, sizes: Sequence[Ints], levels: Sequence[Floats], rounding: Rounding) -> Ints:
    """Batch size at each level, shape (scenario, output) (equation 4.11); `sizes` and `levels` are by output.

    Of two equally near sizes it is the smaller one; a level that is met up to rounding counts as met.
    """
    batch = np.empty(level.shape, dtype=np.int64)
    for k, (size, own) in enumerate(zip(sizes, levels, strict=True)):
        if rounding == "down":
            place = (level[:, k, None] + 1e-9 >= own[1:]).sum(axis=1)
        else:
            place = (level[:, k, None] - 1e-9 > (own[1:] + own[:-1]) / 2.0).sum(axis=1)
        batch[:, k] = size[place]
    return batch


class PolicySite(NamedTuple):
    """A site as the policy acts on it: the component, its models, and their batch sizes without coordination."""

    datacenter: LLMBatchSizeControlledDatacenter[LLMDatacenterState]
    specs: tuple[InferenceModelSpec, ...]
    start_batch_sizes: Mapping[str, int]


class PublicContext:
    """What is published of a run, at the age at which it is: figures of `features`, in their order.

    A site publishes its power (kW, three phases), and `site_demand_kw`: what its active replicas draw at the batch
    sizes without coordination by its own power curves, which no command changes. The operator publishes the share of
    the circuit's loads, PV, other loads and nothing about voltages. `day_start_s` is the time of day at t = 0.
    `InputError` for a feature of a site that is not there.
    """

    def __init__(
        self,
        features: Sequence[PolicyFeature],
        sites: Sequence[PolicySite],
        grid: OpenDSSGrid,
        curves: LogisticModelStore,
        day_start_s: float = 0.0,
    ) -> None:
        self.features = tuple(features)
        self._grid, self._day_start_s = grid, float(day_start_s)
        self._sites = {site.datacenter.name: site for site in sites}
        self._demand_w = {}
        for feature in self.features:
            if feature.site and feature.site not in self._sites:
                raise unknown_name("site", feature.site, self._sites, f"that publishes feature {feature.name!r}")
        for name, site in self._sites.items():
            self._demand_w[name] = np.array(
                [
                    float(curves.power(spec.model_label).eval(site.start_batch_sizes[spec.model_label]))
                    for spec in site.specs
                ]
            )
        self.reset()

    def anew(self) -> PublicContext:
        """The same, of another run: nothing is published yet."""
        other = copy.copy(self)
        other.reset()
        return other

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites of the run."""
        return tuple(self._sites)

    def site(self, name: str) -> PolicySite:
        """A site that publishes, by its name."""
        return self._sites[name]

    def reset(self) -> None:
        """Forget what was published."""
        self._times_s: list[float] = []
        self._noted: list[list[float]] = []

    def publish(self, time_s: float, figures_of: SiteFigures | None = None) -> None:
        """Note the sites' present figures: those of their components, unless told otherwise."""
        shown = figures_of or self._shown_by
        self._times_s.append(time_s)
        self._noted.append([self._site_figure(f, shown) if f.site else math.nan for f in self.features])

    def seen(self, time_s: float) -> Floats | None:
        """The figures as old as their lag, shape (feature,); None while a site has published none of that age.

        The operator's are those of its profiles, which hold their first value before a run: it published then, too.
        """
        # A time a rounding error short of the lag has it.
        places = [bisect_right(self._times_s, time_s - f.lag_s + 1e-9) - 1 for f in self.features if f.site]
        if any(place < 0 for place in places):
            return None
        place = iter(places)
        values = [
            self._noted[next(place)][k] if feature.site else self._feeder_figure(feature.name, time_s - feature.lag_s)
            for k, feature in enumerate(self.features)
        ]
        outdated = min(places, default=len(self._times_s))
        del self._times_s[:outdated], self._noted[:outdated]
        return np.array(values)

    def _feeder_figure(self, name: str, time_s: float) -> float:
        setup = self._grid.setup
        match name:
            case "own_load_share":
                share = setup.own_load_share
                return 1.0 if share is None else float(share.of_all.at(np.array([time_s]))[0])
            case "pv_kw" | "other_load_kw":
                sign = -1.0 if name == "pv_kw" else 1.0
                return 3.0 * sum(a.profile.power_kw(time_s) for a in setup.attached.profiles if a.sign == sign)
            case "time_of_day_sin":
                return math.sin(2.0 * math.pi * (self._day_start_s + time_s) / DAY_S)
            case _:
                return math.cos(2.0 * math.pi * (self._day_start_s + time_s) / DAY_S)

    def _site_figure(self, feature: PolicyFeature, shown: SiteFigures) -> float:
        power_w, replicas = shown(feature.site)
        return (
            power_w / 1e3 if feature.name == "site_power_kw" else float(replicas @ self._demand_w[feature.site]) / 1e3
        )

    def _shown_by(self, name: str) -> tuple[float, Ints]:
        site = self._sites[name]
        replicas, _ = site.datacenter.observe([spec.model_label for spec in site.specs])
        return sum(site.datacenter.latest_power_w), replicas


class ContextualBatchSizeController(
    Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid],
):
    """Runs a `FeederPolicy` at all its sites; `day_start_s` is the time of day (s) at the start of the run.

    It acts on figures that are `lag_s` old. Until there are such figures of every site the sites keep their batch
    sizes. Raises `InputError` for a lag shorter than a control step, for a site
    or model of the policy that is not in the run, for a feature of a site that is not, and for a policy of another
    feeder.
    """

    def __init__(
        self,
        policy: FeederPolicy,
        sites: Sequence[PolicySite],
        grid: OpenDSSGrid,
        curves: LogisticModelStore,
        *,
        dt_s: Fraction = Fraction(1),
        day_start_s: float = 0.0,
    ) -> None:
        self.policy, self._dt_s = policy, dt_s
        if policy.feeder and policy.feeder != grid.feeder.name:
            raise InputError(f"the policy was made for feeder {policy.feeder}, and this is {grid.feeder.name}")
        for feature in policy.features:
            if feature.lag_s < dt_s:
                raise InputError(
                    f"feature {feature.name!r} has a lag of {feature.lag_s:g} s; a policy that acts every {dt_s} s "
                    f"sees figures of the step before or older: give it lag_s >= {dt_s}"
                )
        self.context = PublicContext(policy.features, sites, grid, curves, day_start_s)
        by_name = {site.datacenter.name: site for site in sites}
        for output in policy.outputs:
            if output.site not in by_name:
                raise unknown_name("site", output.site, by_name, "that the policy decides for")
            models = {spec.model_label: spec for spec in by_name[output.site].specs}
            if output.model not in models:
                raise unknown_name("model", output.model, models, f"at site {output.site!r}")
            feasible = models[output.model].feasible_batch_sizes
            if strangers := sorted(set(output.batch_sizes) - set(feasible)):
                raise InputError(f"batch sizes {strangers} of {output.model!r} are not feasible; feasible: {feasible}")
        self.rows = {
            name: [k for k, output in enumerate(policy.outputs) if output.site == name]
            for name in dict.fromkeys(output.site for output in policy.outputs)
        }
        self._datacenters = {name: by_name[name].datacenter for name in self.rows}
        self._center = np.array([feature.center for feature in policy.features])
        self._scale = np.array([feature.scale for feature in policy.features])
        self._offset = np.array(policy.offset)
        self._gain = np.array(policy.gain).reshape(len(policy.outputs), len(policy.features))
        self._sizes = [np.array(output.batch_sizes, dtype=np.int64) for output in policy.outputs]
        self._levels = [np.array(output.levels) for output in policy.outputs]

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self.context.reset()

    def decide(self, context: Floats) -> Ints:
        """Batch sizes for context in raw units: (scenario, feature) -> (scenario, output)."""
        level = affine_level(context, self._center, self._scale, self._offset, self._gain)
        return batch_at_level(level, self._sizes, self._levels, self.policy.rounding)

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        seen = self.context.seen(clock.time_s)
        self.context.publish(clock.time_s)
        if seen is None:
            return []
        batch = self.decide(seen[None, :])[0]
        commands: list[DatacenterCommand | GridCommand] = []
        for name, rows in self.rows.items():
            labels = [self.policy.outputs[k].model for k in rows]
            changed = changed_command(self._datacenters[name], labels, batch[rows])
            if changed:
                events.emit(
                    "controller.contextual.step",
                    {"site": name, "batch_size_by_model": changed[0].batch_size_by_model},
                )
            commands += changed
        return commands
