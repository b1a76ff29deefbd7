"""What a site is told to run: models and their hardware, replica schedules, training runs, facility figures."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.model_spec import InferenceModelSpec as InferenceModelSpec
from g2g_opt.datacenter.model_spec import ModelDeployment as ModelDeployment
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError
from g2g_opt.quantities import (
    Count,
    GpuCount,
    PowerFactor,
    PowerKw,
    RelativeStd,
    ReplicaCount,
    Scale,
    ScheduleTimeS,
    WattPerGpu,
    check_quantities,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReplicaSchedule:
    """Replicas of a model over time: `initial`, then linear ramps; a ramp of no length is a step.

    Build it by chaining: `ReplicaSchedule(initial=720).ramp_to(360, t_start=2500.0, t_end=3000.0)`. `ramps` holds
    (target, t_start, t_end) in order of time; they may touch but not overlap. Times in s.
    """

    initial: ReplicaCount
    ramps: tuple[tuple[ReplicaCount, ScheduleTimeS, ScheduleTimeS], ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        for _, t_start, t_end in self.ramps:
            _require_window("ReplicaSchedule: ramp", t_start, t_end)
        in_order = sorted(self.ramps, key=lambda ramp: ramp[1:])
        for (_, _, before_end), (_, t_start, t_end) in pairwise(in_order):
            if t_start < before_end:
                raise InputError(
                    f"ReplicaSchedule: the ramp of {t_start:g} to {t_end:g} s starts before the one until "
                    f"{before_end:g} s has ended; let it start at {before_end:g} s or later"
                )
        windows = [ramp[1:] for ramp in in_order]
        if len(set(windows)) < len(windows):
            raise InputError("ReplicaSchedule: two steps at the same time leave the level undefined; keep one")
        object.__setattr__(self, "ramps", tuple((int(n), float(a), float(b)) for n, a, b in in_order))

    def ramp_to(self, target: int, *, t_start: float, t_end: float) -> ReplicaSchedule:
        """A new schedule that also moves linearly from its level at `t_start` to `target` at `t_end` (s)."""
        return ReplicaSchedule(self.initial, (*self.ramps, (target, t_start, t_end)))

    @overload
    def count_at(self, t: float) -> float: ...
    @overload
    def count_at(self, t: Floats) -> Floats: ...
    def count_at(self, t: float | Floats) -> float | Floats:
        """Replicas at time `t` (s), not rounded (equation 2.9); the target holds from the instant of a step on."""
        times = np.asarray(t, dtype=np.float64)
        first, last = (times.min(), times.max()) if times.size else (0.0, 0.0)
        # Only the ramps in between: a year of hours has thousands.
        over = bisect_right(self.ramps, first, key=lambda ramp: ramp[2])
        level = self.ramps[over - 1][0] if over else self.initial
        until = bisect_right(self.ramps, last, key=lambda ramp: ramp[1])
        starts = [t_start for _, t_start, t_end in self.ramps[over:until] if t_start == t_end]
        if len(starts) == until - over:
            # Steps alone, of which a year of hours has thousands.
            levels = np.array([level, *(target for target, _, _ in self.ramps[over:until])], dtype=np.float64)
            held = levels[np.searchsorted(starts, times, side="right")]
            return held if times.ndim else float(held)
        count = np.full(times.shape, float(level))
        for target, t_start, t_end in self.ramps[over:until]:
            # A ramp is over before the next one starts, so the levels add up to whole numbers exactly.
            if t_end > t_start:
                done = np.clip(times - t_start, 0.0, t_end - t_start) / (t_end - t_start)
            else:
                done = (times >= t_start).astype(np.float64)
            count += done * (target - level)
            level = target
        return count if times.ndim else float(count)

    def level_over(self, first_s: float, last_s: float) -> int | None:
        """Replicas from `first_s` to `last_s` (s) if they are the same all along, else None."""
        level = self.initial
        for target, t_start, t_end in self.ramps:
            if t_end <= first_s:
                level = target
            elif t_start <= last_s:
                return None
        return int(level)

    def max_count_from(self, t: float) -> int:
        """Most replicas at time `t` (s) or later, rounded up."""
        later = [target for target, _, t_end in self.ramps if t_end > t]
        return max(math.ceil(self.count_at(t)), *later, 0)

    def max_count(self) -> int:
        """Most replicas at any time."""
        return max(self.initial, *(target for target, _, _ in self.ramps), 0)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training job: `trace` (one GPU) scaled so that its peak is `target_peak_W_per_gpu`, times `n_gpus`."""

    n_gpus: GpuCount
    trace: TrainingTrace
    target_peak_W_per_gpu: WattPerGpu = 400.0

    def __post_init__(self) -> None:
        check_quantities(self)

    def at(self, *, t_start: float, t_end: float) -> TrainingSchedule:
        """A schedule in which the run lasts from `t_start` to `t_end` (s)."""
        return TrainingSchedule(((self, t_start, t_end),))

    def eval_power(self, t: float | Floats, t_start: float, t_end: float) -> float | Floats:
        """Power of all its GPUs (W) at time `t` (s) if it runs from `t_start` to `t_end` (equation 2.10); 0 outside.

        The trace begins at `t_start` and repeats.
        """
        times = np.asarray(t, dtype=np.float64)
        running = (times >= t_start) & (times <= t_end)
        scale_w = self.n_gpus * self.target_peak_W_per_gpu / self.trace.peak_w
        power = np.where(running, scale_w * self.trace.power_at(times - t_start), 0.0)
        return power if times.ndim else float(power)


@dataclass(frozen=True)
class TrainingSchedule:
    """Training runs with their times: `(run, t_start, t_end)`, s. Join two with `|`. Empty: no training."""

    runs: tuple[tuple[TrainingRun, ScheduleTimeS, ScheduleTimeS], ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        for _, t_start, t_end in self.runs:
            _require_window("TrainingSchedule: run", t_start, t_end)

    def __or__(self, other: TrainingSchedule) -> TrainingSchedule:
        return TrainingSchedule((*self.runs, *other.runs))

    def __iter__(self) -> Iterator[tuple[TrainingRun, float, float]]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def power_w(self, t: float | Floats) -> float | Floats:
        """Power of all runs together (W, all phases) at time `t` (s), of the shape of `t`."""
        times = np.asarray(t, dtype=np.float64)
        power = np.zeros(times.shape)
        for run, t_start, t_end in self.runs:
            power = power + run.eval_power(times, t_start, t_end)
        return power if times.ndim else float(power)


@dataclass(frozen=True)
class DatacenterConfig:
    """Facility figures: GPUs of a server, base load per phase (kW, always on), power factor (lagging)."""

    gpus_per_server: Count = 8
    base_kw_per_phase: PowerKw = 0.0
    power_factor: PowerFactor = 0.95

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class PowerAugmentationConfig:
    """Spread between servers: amplitude ~ U[low, high] per server, noise of relative size `noise_fraction`."""

    amplitude_scale_range: tuple[Scale, Scale] = field(default=(1.0, 1.0))
    noise_fraction: RelativeStd = 0.0

    def __post_init__(self) -> None:
        check_quantities(self)
        low, high = (float(x) for x in self.amplitude_scale_range)
        if low > high:
            raise InputError(
                f"PowerAugmentationConfig: amplitude_scale_range must be (low, high) with low <= high, "
                f"got {self.amplitude_scale_range!r}"
            )
        object.__setattr__(self, "amplitude_scale_range", (low, high))


def _require_window(what: str, t_start: float, t_end: float) -> None:
    if not t_start <= t_end:
        raise InputError(f"{what} needs t_start <= t_end (s), got t_start={t_start!r}, t_end={t_end!r}")
