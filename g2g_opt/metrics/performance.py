"""Service metrics of the sites (equations, section 3): throughput, latency misses, batch switching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.base import LLMDatacenterState
from g2g_opt.datacenter.record import OfflineDatacenterRecord
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.simulation_log import MergedStates

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PerformanceStats:
    """Fleet totals over a run; means are over (step, site) samples.

    `mean_throughput_tps` (tokens/s) is summed over sites and models and averaged over time;
    `integrated_throughput_tokens` is that times the span between first and last step;
    `itl_deadline_fraction` is the share of (step, model, site) samples with latency above its target.
    """

    mean_throughput_tps: float
    integrated_throughput_tokens: float
    throughput_by_model_tps: dict[str, float] = field(default_factory=dict)
    mean_batch_by_model: dict[str, float] = field(default_factory=dict)
    mean_replicas_by_model: dict[str, float] = field(default_factory=dict)
    mean_itl_s_by_model: dict[str, float] = field(default_factory=dict)
    itl_deadline_fraction: float = 0.0
    itl_deadline_fraction_by_model: dict[str, float] = field(default_factory=dict)
    batch_switches: int = 0


@dataclass(frozen=True)
class _Series:
    """One model at one site over time."""

    label: str
    batch: Floats
    replicas: Floats
    itl_s: Floats


def throughput_tps(batch: Floats, replicas: Floats, itl_s: Floats) -> Floats:
    """n batch / ITL (tokens/s), 0 where a model has no replica or no latency (equation 2.8); arrays of one shape."""
    serving = (replicas > 0) & (batch > 0) & np.isfinite(itl_s) & (itl_s > 0)
    return np.divide(batch * replicas, itl_s, out=np.zeros(np.shape(batch)), where=serving)


def compute_performance_stats(
    dc_states: Sequence[LLMDatacenterState], *, itl_deadline_s_by_model: Mapping[str, float]
) -> PerformanceStats:
    """Service metrics of `SimulationLog.dc_states` (all sites) or of one site's states (equation 3.3).

    Raises `InputError` if there are no states or a served model has no deadline.
    """
    times, series = _split(dc_states)
    span_s = float(times.max() - times.min()) or 1.0
    tps: dict[str, float] = {}
    samples: dict[str, list[_Series]] = {}
    switches = 0
    for one in series:
        if one.label not in itl_deadline_s_by_model:
            raise unknown_name("model", one.label, itl_deadline_s_by_model, "in itl_deadline_s_by_model")
        rate = throughput_tps(one.batch, one.replicas, one.itl_s)
        tps[one.label] = tps.get(one.label, 0.0) + float(rate.mean())
        samples.setdefault(one.label, []).append(one)
        switches += int(np.count_nonzero(np.diff(one.batch)))
    misses, counted, itl = {}, {}, {}
    for label, parts in samples.items():
        valid = np.concatenate([p.itl_s[(p.replicas > 0) & np.isfinite(p.itl_s)] for p in parts])
        counted[label] = len(valid)
        misses[label] = int(np.count_nonzero(valid > itl_deadline_s_by_model[label]))
        itl[label] = float(valid.mean()) if len(valid) else float("nan")
    total = sum(tps.values())
    return PerformanceStats(
        mean_throughput_tps=total,
        integrated_throughput_tokens=total * span_s,
        throughput_by_model_tps=tps,
        mean_batch_by_model={k: float(np.concatenate([p.batch for p in v]).mean()) for k, v in samples.items()},
        mean_replicas_by_model={k: float(np.concatenate([p.replicas for p in v]).mean()) for k, v in samples.items()},
        mean_itl_s_by_model={k: v for k, v in itl.items() if counted[k]},
        itl_deadline_fraction=sum(misses.values()) / max(sum(counted.values()), 1),
        itl_deadline_fraction_by_model={k: misses[k] / counted[k] for k in misses if counted[k]},
        batch_switches=switches,
    )


def _split(dc_states: Sequence[LLMDatacenterState]) -> tuple[Floats, list[_Series]]:
    """Times of all samples, and one series per (site, model)."""
    if len(dc_states) == 0:
        raise InputError("service metrics need at least one datacenter state; did the run have any steps?")
    records = dc_states.records if isinstance(dc_states, MergedStates) else [dc_states]
    arrays = [record for record in records if isinstance(record, OfflineDatacenterRecord)]
    if len(arrays) == len(records):
        times = np.concatenate([record.time_s for record in arrays])
        return times, [
            _Series(label, *(a[:, i].astype(float) for a in (record.batch_size, record.replicas, record.itl_s)))
            for record in arrays
            for i, label in enumerate(record.labels)
        ]
    times = np.array([state.time_s for state in dc_states])
    # A flat list of several sites' states tells them apart only by their order at one time.
    return times, [one for states in _by_site(list(dc_states), times) for one in _series_of(states)]


def _by_site(states: list[LLMDatacenterState], times: Floats) -> list[list[LLMDatacenterState]]:
    if np.any(np.diff(times) < 0):
        raise InputError("datacenter states must be in order of time")
    sites: list[list[LLMDatacenterState]] = []
    place, before = 0, float("nan")
    for state in states:
        place = place + 1 if state.time_s == before else 0
        before = state.time_s
        if place == len(sites):
            sites.append([])
        sites[place].append(state)
    return sites


def _series_of(states: list[LLMDatacenterState]) -> list[_Series]:
    labels = sorted({label for state in states for label in state.batch_size_by_model})
    return [
        _Series(
            label,
            np.array([state.batch_size_by_model.get(label, 0) for state in states], dtype=float),
            np.array([state.active_replicas_by_model.get(label, 0) for state in states], dtype=float),
            np.array([state.observed_itl_s_by_model.get(label, np.nan) for state in states], dtype=float),
        )
        for label in labels
    ]
