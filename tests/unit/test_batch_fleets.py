"""Fleets of a batch beside single sites: the same servers, noise and latencies over chunks of draws and commands."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from g2g_opt.batch.fleets import Fleets
from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.command import SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, PowerAugmentationConfig, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData, InferenceTemplateStore
from g2g_opt.datacenter.workloads.latency import ITLFitStore, LatencyMixture
from g2g_opt.events import EventEmitter

N_STEPS = 1200
SIZES = (8, 16)


class _Nowhere:
    def emit(self, event: object) -> None:
        pass


def a_site(name: str, period: int) -> OfflineDatacenter:
    """Model a has many replicas, then few; model b few, then many. Templates of `period` steps (1: flat)."""
    specs = [
        InferenceModelSpec(
            model_label=label, model_id=f"x/{label}", gpu_model="H100", task="t", itl_deadline_s=0.1, batch_sizes=SIZES
        )
        for label in ("a", "b")
    ]
    rows = {b: 300.0 + b + 50.0 * np.sin(np.arange(period)) for b in SIZES}
    mixtures = {b: LatencyMixture(0.6, -4.0 + 0.01 * b, 0.3, -3.0, 0.5) for b in SIZES}
    data = InferenceData(
        specs,
        power_templates=InferenceTemplateStore({"a": rows, "b": rows}),
        itl_fits=ITLFitStore({"a": mixtures, "b": mixtures}),
    )
    schedules = {
        "a": ReplicaSchedule(60).ramp_to(20, t_start=1000, t_end=1050),
        "b": ReplicaSchedule(8).ramp_to(40, t_start=1060, t_end=1100),
    }
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=4),
        OfflineWorkload(data, schedules, {"a": 8, "b": 8}),
        name=name,
        dt_s=Fraction(1),
        total_gpu_capacity=120,
        scenario="s",
        power_augmentation=PowerAugmentationConfig(amplitude_scale_range=(0.9, 1.1), noise_fraction=0.02),
    )


@pytest.mark.parametrize("period", [1, 7, 32, 37, 100])
def test_fleets_do_what_single_sites_do(period: int) -> None:
    fleets = Fleets([[a_site("one", period)], [a_site("two", period)]], Fraction(1), N_STEPS)
    singles = [a_site("one", period), a_site("two", period)]
    clock = SimulationClock(Fraction(1))
    events = EventEmitter(clock, _Nowhere(), "datacenter")
    power, itl = np.empty((N_STEPS, 2, 3)), np.empty((N_STEPS, 4))
    for step in range(N_STEPS):
        fleets.advance(step)
        power[step], itl[step] = fleets.power_w, fleets.itl_s
        for single in singles:
            single.do_step(clock, events)
        # Within a window of steps, at its end, and beside the end of a chunk of draws.
        if step in (5, 31, 40, 1022, 1024):
            size = SIZES[step % 2]
            fleets.set_batch(np.array([0, 3]), np.array([size, size]))
            singles[0].apply_control(SetBatchSize({"a": size}, target=singles[0]), events)
            singles[1].apply_control(SetBatchSize({"b": size}, target=singles[1]), events)
        if step in (700, 1030):
            fleets.shift_replicas(1, "b", 3, step)
            singles[1].apply_control(ShiftReplicas("b", 3, target=singles[1]), events)
        clock.advance()
    for fleet, single in enumerate(singles):
        np.testing.assert_allclose(power[:, fleet], single.record.power_w[:N_STEPS], rtol=1e-13)
        # A compiled exponential may end in another bit than numpy's.
        np.testing.assert_allclose(itl[:, 2 * fleet : 2 * fleet + 2], single.record.itl_s[:N_STEPS], rtol=1e-13)
    assert len(np.unique(itl)) == itl.size
