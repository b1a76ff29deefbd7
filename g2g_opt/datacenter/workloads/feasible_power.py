"""Feasible power range of a configuration and sizing to a common peak (equation 2.2)."""

from __future__ import annotations

import math

from g2g_opt.datacenter.model_spec import InferenceModelSpec
from g2g_opt.datacenter.workloads.measurements import Interpolation, Measurement, spec_measurements
from g2g_opt.errors import InputError


def measurements_meeting_deadline(
    spec: InferenceModelSpec, interpolation: Interpolation = None
) -> tuple[Measurement, ...]:
    """Measurements at the feasible batch sizes whose mean latency is at most the target, by batch size.

    Raises `InputError` if there is none.
    """
    rows = spec_measurements(spec, interpolation)
    kept = tuple(rows[b] for b in spec.feasible_batch_sizes if rows[b].mean_itl_s <= spec.itl_deadline_s)
    if not kept:
        shortest = min(rows[b].mean_itl_s for b in spec.feasible_batch_sizes)
        raise InputError(
            f"model {spec.model_label!r}: no feasible batch size meets itl_deadline_s={spec.itl_deadline_s:g}; the "
            f"shortest mean latency is {shortest:.4g} s"
        )
    return kept


def feasible_power_range_kw(spec: InferenceModelSpec, n_replicas: int, interpolation: Interpolation = None) -> float:
    """Feasible power range (equation 2.2) of `n_replicas`, kW: the span of `feasible_power_span_kw`."""
    low_kw, high_kw = feasible_power_span_kw(spec, n_replicas, interpolation)
    return high_kw - low_kw


def feasible_power_span_kw(
    spec: InferenceModelSpec, n_replicas: int, interpolation: Interpolation = None
) -> tuple[float, float]:
    """Least and largest power (kW, GPUs alone) of `n_replicas` over the batch sizes that meet the target (equation
    2.2).

    Power is not monotone in the batch size: they need not be those of the smallest and of the largest one.
    """
    if n_replicas < 0:
        raise InputError(f"model {spec.model_label!r}: n_replicas must be 0 or more, got {n_replicas!r}")
    power_w = [row.avg_power_w for row in measurements_meeting_deadline(spec, interpolation)]
    return n_replicas * min(power_w) / 1e3, n_replicas * max(power_w) / 1e3


def match_peak_replicas(spec: InferenceModelSpec, peak_mw: float, interpolation: Interpolation = None) -> int:
    """Replicas whose largest power over the batch sizes that meet the target is nearest to `peak_mw` (equation 2.2).

    GPUs alone, without base load. Raises `InputError` if the peak is less than half a replica's power.
    """
    if not (math.isfinite(peak_mw) and peak_mw > 0):
        raise InputError(f"model {spec.model_label!r}: peak_mw must be positive, got {peak_mw!r}")
    per_replica_w = max(row.avg_power_w for row in measurements_meeting_deadline(spec, interpolation))
    n_replicas = math.floor(peak_mw * 1e6 / per_replica_w + 0.5)
    if n_replicas < 1:
        raise InputError(
            f"model {spec.model_label!r}: one replica draws {per_replica_w / 1e6:.4g} MW, more than twice "
            f"peak_mw={peak_mw:g}"
        )
    return n_replicas
