"""Scenarios drawn around a study case: sun and loads, training beside the replicas, ramps of every site's demand.

The ranges are those of the OpenG2G paper's appendix D where it states them, else of its public code (gpu2grid/openg2g,
examples/rl_controller/scenarios.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from g2g_opt.clock import HOUR_S
from g2g_opt.datacenter.workloads.training import TrainingShape
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.power_shape import PowerShape
from g2g_opt.quantities import BatchSize, LoadShare, Share, WattPerGpu, check_quantities
from g2g_opt.randomness import keyed_generator
from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
from g2g_opt.site import Site
from g2g_opt.study_case import StudyCase

# All times are parts of an hour's run, and scale with its duration.
# Ramps begin in this window and take so long (s of an hour).
_RAMP_WINDOW_S, _RAMP_S = (500.0, 3000.0), (300.0, 800.0)
_TRAINING_S = (500.0, 1200.0)
_CLOUDS_MAX, _CLOUD_HALF_WIDTH_S, _CLOUD_DEPTH = 3, (60.0, 300.0), (0.30, 0.70)
_FLICKER = (0.02, 0.06)


@dataclass(frozen=True)
class ScenarioRanges:
    """What scenarios are drawn from: uniformly within (low, high), independently of each other.

    PV and time-varying load are scaled by a common factor each; every plant and load has a course of its own shape. At
    every site one ramp or two lead the replicas from the case's start to a share of it, below or (with
    `ramp_up_share`, as far as the site's GPUs reach) above. Training takes the case's share of every site's GPUs.

    Models begin at 128 and ramps go down, since this is what the paper's figures come from: it says the first, and
    with both the tokens without coordination, the violation and the mix of the published libraries are met best
    (benchmarks/RESULTS.md). Its public code can draw start sizes and ramps up as well.
    """

    generation_scale: Annotated[
        tuple[LoadShare, LoadShare], Flag("--pv-scale", "range of the factor on PV peaks", metavar="LOW,HIGH")
    ] = (0.5, 2.0)
    load_scale: Annotated[
        tuple[LoadShare, LoadShare],
        Flag("--load-scale", "range of the factor on peaks of time-varying loads", metavar="LOW,HIGH"),
    ] = (0.5, 2.0)
    ramp_down: Annotated[
        tuple[Share, Share],
        Flag("--ramp-down", "range of the share of its start that a site ramps down to", metavar="LOW,HIGH"),
    ] = (0.15, 0.5)
    ramp_up: Annotated[
        tuple[LoadShare, LoadShare],
        Flag("--ramp-up", "range of the multiple of its start that a site ramps up to", metavar="LOW,HIGH"),
    ] = (1.05, 1.5)
    ramp_up_share: Annotated[Share, Flag("--ramp-up-share", "share of ramps that go up")] = 0.0
    two_ramps_share: Annotated[Share, Flag("--two-ramps-share", "share of sites with two ramps instead of one")] = 0.5
    start_batch_sizes: Annotated[
        tuple[BatchSize, ...],
        Flag("--start-batch-sizes", "one of these is drawn for every model, at which it begins"),
    ] = (128,)
    training_probability: Annotated[Share, Flag("--training-probability", "that training runs beside the replicas")] = (
        1.0
    )
    training_peak_w_per_gpu: Annotated[WattPerGpu, Flag("--training-peak-w-per-gpu", "its peak power")] = 400.0
    training_shape: Annotated[
        TrainingShape,
        Flag("--training-shape", "its course: steps (mean 84 % of the peak) or plateaus (61 %, as published)"),
    ] = "plateaus"

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.start_batch_sizes:
            raise InputError("models begin at a batch size: name at least one (start_batch_sizes)")
        for name in ("generation_scale", "load_scale", "ramp_down", "ramp_up"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"{name} must be a range that rises, got {low:g} to {high:g}")


def draw_scenario(case: StudyCase, base: Scenario, ranges: ScenarioRanges, name: str, seed: int) -> Scenario:
    """The scenario of a seed, which follows `base` in length, steps and servers; always the same."""
    generator = keyed_generator(seed, case.name, "scenario")
    stretch = base.duration_s / HOUR_S
    generation_scale, load_scale = _uniform(generator, ranges.generation_scale), _uniform(generator, ranges.load_scale)
    suns = tuple(_sun(generator, generation_scale, stretch) for _ in case.feeder.standing_generators)
    course = _load(generator, load_scale, stretch)
    training = _training(generator, case, ranges, stretch)
    return Scenario(
        name,
        duration_s=base.duration_s,
        dt_s=base.dt_s,
        control_dt_s=base.control_dt_s,
        server_spread=base.server_spread,
        server_noise=base.server_noise,
        seed=seed,
        own_load_share=base.own_load_share,
        replica_ramps=(),
        training=training,
        site_shares=tuple(
            _site_shares(generator, site, shares, ranges, stretch, training)
            for site, shares in zip(case.plan.sites, case.at_start, strict=True)
        ),
        generation_shapes=suns if case.feeder.standing_generators else (),
        load_shapes=(course,) if case.feeder.standing_loads else (),
    )


def _uniform(generator: np.random.Generator, ends: Sequence[float]) -> float:
    """A draw with six figures, which files hold exactly."""
    return round(float(generator.uniform(ends[0], ends[1])), 6)


def _site_shares(
    generator: np.random.Generator,
    site: Site,
    start: ReplicaShares,
    ranges: ScenarioRanges,
    stretch: float,
    training: Sequence[TrainingOverlay],
) -> ReplicaShares:
    """One ramp, or two in a half of the window each; and the batch sizes at the start."""
    sizes = []
    for deployment in site.deployments:
        wanted = int(generator.choice(ranges.start_batch_sizes))
        # The nearest that was measured and is fast enough.
        feasible = deployment.spec.feasible_batch_sizes
        sizes.append((deployment.spec.model_label, min(feasible, key=lambda size: abs(size - wanted))))
    n_ramps = 2 if generator.random() < ranges.two_ramps_share else 1
    first_s, last_s = _RAMP_WINDOW_S
    band_s = (last_s - first_s) / n_ramps
    free = site.n_gpus - sum(job.gpus_of(site.n_gpus) for job in training)
    most = min(ranges.ramp_up[1], free / (start.start * site.n_gpus))
    ramps = []
    for k in range(n_ramps):
        length_s = _uniform(generator, (_RAMP_S[0], min(_RAMP_S[1], band_s)))
        # The last may end after the window.
        latest_s = first_s + (k + 1) * band_s - (length_s if k + 1 < n_ramps else 0.0)
        begin_s = _uniform(generator, (first_s + k * band_s, latest_s))
        up = most > ranges.ramp_up[0] and generator.random() < ranges.ramp_up_share
        factor = _uniform(generator, (ranges.ramp_up[0], most) if up else ranges.ramp_down)
        end_s = min(begin_s + length_s, HOUR_S)
        reached = round(min(1.0, factor * start.start), 6)
        ramps.append((round(begin_s * stretch, 3), round(end_s * stretch, 3), reached))
    return ReplicaShares(start.site, start.start, tuple(ramps), tuple(sizes))


def _training(
    generator: np.random.Generator, case: StudyCase, ranges: ScenarioRanges, stretch: float
) -> tuple[TrainingOverlay, ...]:
    if not case.training_gpu_share or generator.random() >= ranges.training_probability:
        return ()
    length_s = _uniform(generator, _TRAINING_S)
    begin_s = _uniform(generator, (0.0, HOUR_S - length_s))
    share = _uniform(generator, case.training_gpu_share)
    return (
        TrainingOverlay(
            round(begin_s * stretch, 3),
            round((begin_s + length_s) * stretch, 3),
            gpu_share=share,
            peak_w_per_gpu=ranges.training_peak_w_per_gpu,
            shape=ranges.training_shape,
        ),
    )


def _sun(generator: np.random.Generator, scale: float, stretch: float) -> PowerShape:
    """A level, a bump, a rise, a fall or a dip, with clouds."""

    def at(ends: Sequence[float]) -> float:
        return _uniform(generator, [end * stretch for end in ends])

    clouds = [
        (at((120.0, 3480.0)), at(_CLOUD_HALF_WIDTH_S), -_uniform(generator, _CLOUD_DEPTH))
        for _ in range(int(generator.integers(_CLOUDS_MAX + 1)))
    ]
    kind = int(generator.integers(5))
    low = _uniform(generator, (0.15, 0.55) if kind == 1 else (0.15, 0.45))
    high = _uniform(generator, (low + 0.2, 1.0))
    ramps: list[tuple[float, float, float]] = []
    level, pulses = low, list(clouds)
    if kind == 0:
        level = _uniform(generator, (0.75, 0.95))
    elif kind == 1:
        pulses.append((at((900.0, 2700.0)), at((800.0, 1500.0)), round(high - low, 6)))
    elif kind == 2:
        ramps.append((at((0.0, 400.0)), at((800.0, 1800.0)), round(high - low, 6)))
    elif kind == 3:
        level = high
        ramps.append((at((1800.0, 2800.0)), at((3200.0, 3600.0)), round(low - high, 6)))
    else:
        level = _uniform(generator, (0.30, 1.00))
        pulses.append((at((1200.0, 2400.0)), at((500.0, 1000.0)), -_uniform(generator, (0.20, 0.55))))
    return PowerShape(scale, level, tuple(ramps), tuple(pulses), *_flicker(generator))


def _load(generator: np.random.Generator, scale: float, stretch: float) -> PowerShape:
    """A level, a rise, a fall, a peak or a valley."""
    kind = int(generator.integers(5))
    low, high = _uniform(generator, (0.10, 0.30)), _uniform(generator, (0.65, 0.95))
    centre_s, width_s = (
        _uniform(generator, (800.0 * stretch, 2800.0 * stretch)),
        _uniform(generator, (800.0 * stretch, 1800.0 * stretch)),
    )
    whole_s = HOUR_S * stretch
    shapes: tuple[tuple[float, tuple[tuple[float, float, float], ...], tuple[tuple[float, float, float], ...]], ...] = (
        (_uniform(generator, (0.5, 0.85)), (), ()),
        (low, ((0.0, whole_s, round(high - low, 6)),), ()),
        (high, ((0.0, whole_s, round(low - high, 6)),), ()),
        (low, (), ((centre_s, width_s, _uniform(generator, (0.55, 0.90))),)),
        (high, (), ((centre_s, width_s, -_uniform(generator, (0.40, 0.70))),)),
    )
    level, ramps, pulses = shapes[kind]
    return PowerShape(scale, level, ramps, pulses, *_flicker(generator))


def _flicker(generator: np.random.Generator) -> tuple[float, float]:
    return _uniform(generator, _FLICKER), _uniform(generator, (0.0, 2.0 * math.pi))
