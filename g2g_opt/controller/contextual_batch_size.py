"""Batch sizes as an affine function of published context: no voltage is measured, no feeder model is run.

x = clip(offset + gain z, 0, 1), z = (context - center) / scale, batch = the feasible size whose level is next to x
(formulations 9.5, with batch sizes in the place of shifts; 9.6: a policy sees what was published before it acts).
The level of a size is its power between that of the smallest (0) and of the largest (1).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import changed_command
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.quantities import BatchSize, DurationS, Figure, FigureScale, Level, LevelGain, check_quantities
from g2g_opt.reading import finite_number, list_value, parse_json, text_value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rounding = Literal["nearest", "down"]

DAY_S = 86400.0
# What is published, and its unit; those of `SITE_FEATURES` are published per site.
FEEDER_FEATURES = {
    "own_load_share": "share of the loads in the circuit's data",
    "pv_kw": "kW",
    "other_load_kw": "kW",
    "time_of_day_sin": "1",
    "time_of_day_cos": "1",
}
SITE_FEATURES = {"site_power_kw": "kW", "site_demand_kw": "kW"}


@dataclass(frozen=True)
class PolicyFeature:
    """One published figure: its name and unit, whose it is (`site`, empty for the feeder's), and how it is scaled.

    `lag_s` is the age (s) at which it is published. The policy uses (value - `center`) / `scale`.
    """

    name: str
    unit: str
    site: str = ""
    lag_s: DurationS = 1.0
    center: Figure = 0.0
    scale: FigureScale = 1.0

    def __post_init__(self) -> None:
        check_quantities(self)
        known = {**FEEDER_FEATURES, **SITE_FEATURES}
        if self.name not in known:
            raise unknown_name("feature", self.name, known, "among what is published")
        if self.unit != known[self.name]:
            raise InputError(f"feature {self.name!r} is published in {known[self.name]!r}, not {self.unit!r}")
        if (self.name in SITE_FEATURES) != bool(self.site):
            raise InputError(f"feature {self.name!r}: site={self.site!r}; only {list(SITE_FEATURES)} are of a site")


@dataclass(frozen=True)
class PolicyOutput:
    """What one row of the policy decides: the level of `model` at `site`, by which it takes one of `batch_sizes`.

    `levels` are those of the sizes: power of a replica, 0 at the first size and 1 at the last. Both rise.
    """

    site: str
    model: str
    batch_sizes: tuple[BatchSize, ...]
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        check_quantities(self)
        where = f"output {self.model!r} at {self.site!r}"
        if len(self.batch_sizes) < 2 or len(self.levels) != len(self.batch_sizes):
            raise InputError(f"{where} needs two batch sizes or more and a level for each")
        rising = all(a < b for pair in (self.batch_sizes, self.levels) for a, b in pairwise(pair))
        if not rising or self.levels[0] != 0.0 or self.levels[-1] != 1.0:
            raise InputError(f"{where} needs rising batch sizes, and levels that rise from 0 to 1, got {self.levels}")


@dataclass(frozen=True)
class FeederPolicy:
    """An affine policy as plain data: `offset` (level, by output) and `gain` (level per scaled feature).

    `rounding` "down" takes the largest size up to the level x instead of the nearest; `about` says how it came to be.
    Raises `InputError` for shapes that do not fit, figures that are not finite, and outputs or features named
    twice.
    """

    features: tuple[PolicyFeature, ...]
    outputs: tuple[PolicyOutput, ...]
    offset: tuple[LevelGain, ...]
    gain: tuple[tuple[LevelGain, ...], ...]
    rounding: Rounding = "nearest"
    about: str = ""

    def __post_init__(self) -> None:
        check_quantities(self)
        n, f = len(self.outputs), len(self.features)
        if n == 0 or len(self.offset) != n or [len(row) for row in self.gain] != [f] * n:
            raise InputError(
                f"a policy of {n} outputs (at least 1) and {f} features needs {n} offsets and {n} rows of {f} "
                f"coefficients (gain), got {len(self.offset)} and {[len(row) for row in self.gain]}"
            )
        if self.rounding not in get_args(Rounding):
            raise InputError(f"rounding {self.rounding!r} is unknown; known: {list(get_args(Rounding))}")
        keys = [(feature.name, feature.site) for feature in self.features]
        if len(set(keys)) < f or len(set(self.outputs)) < n:
            raise InputError("a policy's features must differ from each other, and so must its outputs")

    def to_json(self) -> str:
        """All of it as text."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> FeederPolicy:
        """The policy of a text that `to_json` made; `InputError` names what is missing or unknown in it."""
        parts = _fields_of(FeederPolicy, parse_json(text, "a feeder policy"), "a feeder policy")
        parts["features"] = tuple(_feature(x, at) for x, at in _items(parts["features"], "features"))
        parts["outputs"] = tuple(_output(x, at) for x, at in _items(parts["outputs"], "outputs"))
        parts["offset"] = _numbers(parts["offset"], "offset")
        parts["gain"] = tuple(_numbers(row, at) for row, at in _items(parts["gain"], "gain"))
        for name in ("rounding", "about"):
            if name in parts:
                text_value(parts[name], f"a feeder policy, {name}")
        return FeederPolicy(**parts)


def _items(value: object, key: str) -> list[tuple[Any, str]]:
    """Items of a list in the JSON of a policy, each with its key."""
    return [(item, f"{key}[{k}]") for k, item in enumerate(list_value(value, f"a feeder policy, {key}"))]


def _numbers(value: object, key: str) -> tuple[float, ...]:
    return tuple(finite_number(item, f"a feeder policy, {at}") for item, at in _items(value, key))


def _feature(found: object, key: str) -> PolicyFeature:
    where = f"a feeder policy, {key}"
    parts: dict[str, Any] = {
        name: (text_value if name in ("name", "unit", "site") else finite_number)(value, f"{where}.{name}")
        for name, value in _fields_of(PolicyFeature, found, where).items()
    }
    return PolicyFeature(**parts)


def _output(found: object, key: str) -> PolicyOutput:
    where = f"a feeder policy, {key}"
    parts = _fields_of(PolicyOutput, found, where)
    sizes = _items(parts["batch_sizes"], f"{key}.batch_sizes")
    for size, at in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"a feeder policy, {at}: {shown(size)} is no batch size")
    return PolicyOutput(
        text_value(parts["site"], f"{where}.site"),
        text_value(parts["model"], f"{where}.model"),
        tuple(size for size, _ in sizes),
        _numbers(parts["levels"], f"{key}.levels"),
    )


def _fields_of(kind: type[FeederPolicy | PolicyFeature | PolicyOutput], found: object, where: str) -> dict[str, Any]:
    """The entries of a JSON object that is to become a `kind`, checked by name."""
    if not isinstance(found, dict):
        raise InputError(f"{where}: a {kind.__name__} is a JSON object, got {shown(found)}")
    known = [field.name for field in fields(kind)]
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if missing := sorted(needed - set(found)):
        raise InputError(f"{where}: a {kind.__name__} in JSON lacks {missing}")
    for name in found:
        if name not in known:
            raise unknown_name("entry", name, known, f"of a {kind.__name__}")
    return dict(found)


def affine_level(context: Floats, center: Floats, scale: Floats, offset: Floats, gain: Floats) -> Floats:
    """x = clip(offset + gain (context - center) / scale, 0, 1), shape (scenario, output).

    `context` has shape (scenario, feature), in raw units; `gain` (output, feature); the rest (feature,) or (output,).
    """
    return np.clip(offset + ((context - center) / scale) @ gain.T, 0.0, 1.0)


def batch_at_level(level: Floats, sizes: Sequence[Ints], levels: Sequence[Floats], rounding: Rounding) -> Ints:
    """Batch size at each level, shape (scenario, output); `sizes` and `levels` are by output.

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

    def reset(self) -> None:
        """Forget what was published."""
        self._times_s: list[float] = []
        self._noted: list[list[float]] = []

    def publish(self, time_s: float) -> None:
        """Note the sites' present figures."""
        self._times_s.append(time_s)
        self._noted.append([self._site_figure(feature) if feature.site else math.nan for feature in self.features])

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
                return 1.0 if share is None else float(share.at(np.array([time_s]))[0])
            case "pv_kw" | "other_load_kw":
                sign = -1.0 if name == "pv_kw" else 1.0
                return 3.0 * sum(a.profile.power_kw(time_s) for a in setup.attached.profiles if a.sign == sign)
            case "time_of_day_sin":
                return math.sin(2.0 * math.pi * (self._day_start_s + time_s) / DAY_S)
            case _:
                return math.cos(2.0 * math.pi * (self._day_start_s + time_s) / DAY_S)

    def _site_figure(self, feature: PolicyFeature) -> float:
        site = self._sites[feature.site]
        if feature.name == "site_power_kw":
            return sum(site.datacenter.latest_power_w) / 1e3
        replicas, _ = site.datacenter.observe([spec.model_label for spec in site.specs])
        return float(replicas @ self._demand_w[feature.site]) / 1e3


class ContextualBatchSizeController(
    Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid],
):
    """Runs a `FeederPolicy` at all its sites; `day_start_s` is the time of day (s) at the start of the run.

    It acts on figures that are `lag_s` old. Until there are such figures of every site the sites keep their batch
    sizes. Raises `InputError` for a lag shorter than a control step, for a site
    or model of the policy that is not in the run, and for a feature of a site that is not.
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
        self._rows = {
            name: [k for k, output in enumerate(policy.outputs) if output.site == name]
            for name in dict.fromkeys(output.site for output in policy.outputs)
        }
        self._datacenters = {name: by_name[name].datacenter for name in self._rows}
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
        for name, rows in self._rows.items():
            labels = [self.policy.outputs[k].model for k in rows]
            changed = changed_command(self._datacenters[name], labels, batch[rows])
            if changed:
                events.emit(
                    "controller.contextual.step",
                    {"site": name, "batch_size_by_model": changed[0].batch_size_by_model},
                )
            commands += changed
        return commands
