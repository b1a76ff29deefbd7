"""Specs, replica schedules, training schedules: values by hand, bad input refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2g_opt.datacenter.config import (
    DatacenterConfig,
    InferenceModelSpec,
    ModelDeployment,
    PowerAugmentationConfig,
    ReplicaSchedule,
    TrainingRun,
    TrainingSchedule,
)
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError

SPEC = InferenceModelSpec(
    model_label="m",
    model_id="x/m",
    gpu_model="H100",
    task="chat",
    itl_deadline_s=0.1,
    batch_sizes=(8, 16, 96),
    feasible_batch_sizes=(8, 16),
)


def test_spec_is_hashable_and_its_hash_names_the_configuration_only() -> None:
    assert SPEC.spec is SPEC
    assert hash(SPEC) == hash(replace(SPEC))
    assert len(SPEC.cache_hash()) == 16
    assert int(SPEC.cache_hash(), 16) >= 0
    renamed = replace(SPEC, model_label="n", itl_deadline_s=0.2, feasible_batch_sizes=(8,))
    assert renamed.cache_hash() == SPEC.cache_hash()
    hashes = {replace(SPEC, **change).cache_hash() for change in ({"task": "q"}, {"gpus_per_replica": 2}, {})}
    assert len(hashes) == 3


@pytest.mark.parametrize("nothing", [None, ()])
def test_all_batch_sizes_are_feasible_unless_said_otherwise(nothing: object) -> None:
    assert replace(SPEC, feasible_batch_sizes=nothing).feasible_batch_sizes == (8, 16, 96)
    assert replace(SPEC, batch_sizes=[8, 16]).batch_sizes == (8, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sizes": ()}, "batch_sizes is empty"),
        ({"batch_sizes": (16, 8)}, r"write \(8, 16\)"),
        ({"batch_sizes": (8, 8)}, "rise without repeats"),
        ({"batch_sizes": (0, 8)}, "whole number of at least 1"),
        ({"feasible_batch_sizes": (8, 32)}, r"\[32\]"),
        ({"fit_exclude_batch_sizes": (7,)}, "fit_exclude_batch_sizes"),
        ({"itl_deadline_s": 0.0}, "itl_deadline_s"),
        ({"gpus_per_replica": 0}, "gpus_per_replica"),
        ({"model_id": " "}, "model_id"),
    ],
)
def test_spec_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SPEC, **change)


def test_deployment_starts_at_a_batch_size_of_its_spec() -> None:
    deployment = ModelDeployment(SPEC, initial_batch_size=96)
    assert deployment.spec is SPEC
    assert (deployment.model_label, deployment.gpus_per_replica) == ("m", 1)
    assert deployment.feasible_batch_sizes == (8, 16)
    with pytest.raises(InputError, match="initial_batch_size 32"):
        ModelDeployment(SPEC, 32)


def test_schedule_interpolates_between_its_levels() -> None:
    schedule = ReplicaSchedule(initial=720).ramp_to(360, t_start=2500.0, t_end=3000.0)
    assert schedule.count_at(0.0) == 720.0
    assert schedule.count_at(2625.0) == 630.0
    np.testing.assert_array_equal(schedule.count_at(np.array([2500.0, 2750.0, 3000.0, 9e9])), [720, 540, 360, 360])
    assert schedule.max_count() == 720
    assert schedule.ramps == ((360, 2500.0, 3000.0),)


def test_ramps_may_touch_and_may_be_given_in_any_order() -> None:
    schedule = ReplicaSchedule(initial=10).ramp_to(0, t_start=20.0, t_end=40.0).ramp_to(30, t_start=10.0, t_end=20.0)
    assert [schedule.count_at(t) for t in (10.0, 15.0, 20.0, 30.0, 40.0)] == [10.0, 20.0, 30.0, 15.0, 0.0]
    assert schedule.max_count() == 30
    assert schedule == ReplicaSchedule(10).ramp_to(30, t_start=10, t_end=20).ramp_to(0, t_start=20, t_end=40)


def test_a_ramp_of_no_length_is_a_step() -> None:
    schedule = ReplicaSchedule(initial=4).ramp_to(9, t_start=5.0, t_end=5.0)
    assert schedule.count_at(np.nextafter(5.0, 0.0)) == 4.0
    assert schedule.count_at(5.0) == 9.0


@given(
    at=st.lists(st.integers(0, 60), min_size=1, max_size=40, unique=True),
    lengths=st.lists(st.sampled_from([0, 0, 0, 1]), min_size=40, max_size=40),
    asked=st.lists(st.floats(-1.0, 130.0), min_size=1, max_size=8),
)
def test_steps_and_ramps_are_read_alike_at_one_time_and_at_many(
    at: list[int], lengths: list[int], asked: list[float]
) -> None:
    ramps = tuple(
        (7 * k % 11, 2.0 * start, 2.0 * start + length)
        for k, (start, length) in enumerate(zip(sorted(at), lengths, strict=False))
    )
    schedule, times = ReplicaSchedule(3, ramps), np.array([*asked, *(2.0 * start for start in at)])

    def level(t: float) -> float:
        """By going through all that was planned."""
        held = 3.0
        for target, start, end in ramps:
            if t >= end:
                held = target
            elif t > start:
                return held + (t - start) / (end - start) * (target - held)
        return held

    np.testing.assert_allclose(schedule.count_at(times), [level(t) for t in times], rtol=0.0, atol=1e-12)
    assert [schedule.count_at(float(t)) for t in times] == list(schedule.count_at(times))


def test_schedule_refuses() -> None:
    schedule = ReplicaSchedule(initial=4).ramp_to(9, t_start=5.0, t_end=10.0)
    with pytest.raises(InputError, match="starts before"):
        schedule.ramp_to(1, t_start=9.0, t_end=12.0)
    with pytest.raises(InputError, match="same time"):
        ReplicaSchedule(initial=4, ramps=((1, 3.0, 3.0), (2, 3.0, 3.0)))
    with pytest.raises(InputError, match="t_start <= t_end"):
        schedule.ramp_to(1, t_start=12.0, t_end=11.0)
    with pytest.raises(InputError, match=r"ramps\[1\]\[0\] must be a whole number in \[0, 10000000\] replicas"):
        schedule.ramp_to(-1, t_start=12.0, t_end=13.0)
    with pytest.raises(InputError, match="initial"):
        ReplicaSchedule(initial=2.5)  # type: ignore[arg-type]


@given(
    initial=st.integers(0, 1000),
    targets=st.lists(st.integers(0, 1000), min_size=1, max_size=5),
    cuts=st.lists(st.floats(0.0, 1e4), min_size=10, max_size=10, unique=True),
)
def test_schedule_stays_between_its_levels_and_is_monotone_in_each_ramp(
    initial: int, targets: list[int], cuts: list[float]
) -> None:
    times = sorted(cuts)
    schedule, level = ReplicaSchedule(initial=initial), initial
    for number, target in enumerate(targets):
        schedule = schedule.ramp_to(target, t_start=times[2 * number], t_end=times[2 * number + 1])
    for number, target in enumerate(targets):
        inside = schedule.count_at(np.linspace(times[2 * number], times[2 * number + 1], 7))
        assert ((inside >= min(level, target)) & (inside <= max(level, target))).all()
        steps = np.diff(inside) * np.sign(target - level)
        assert (steps >= 0).all()
        assert inside[-1] == target
        level = target


TRIANGLE = TrainingTrace(np.array([0.0, 1.0, 2.0, 3.0]), np.array([100.0, 200.0, 100.0, 0.0]))  # period 4 s


def test_training_run_is_scaled_to_its_peak_and_repeats() -> None:
    run = TrainingRun(n_gpus=10, trace=TRIANGLE, target_peak_W_per_gpu=400.0)
    # The peak of 200 W becomes 400 W on each of 10 GPUs: a factor of 20.
    times = np.array([9.9, 10.0, 10.5, 11.0, 13.5, 14.0, 15.0, 20.0, 20.1])
    expected = np.array([0.0, 2000.0, 3000.0, 4000.0, 1000.0, 2000.0, 4000.0, 2000.0, 0.0])
    np.testing.assert_allclose(run.eval_power(times, 10.0, 20.0), expected)
    schedule = run.at(t_start=10.0, t_end=20.0)
    np.testing.assert_allclose(schedule.power_w(times), expected)
    assert schedule.power_w(11.0) == 4000.0


def test_training_schedules_join_and_add_up() -> None:
    run = TrainingRun(n_gpus=1, trace=TRIANGLE, target_peak_W_per_gpu=200.0)
    both = run.at(t_start=0.0, t_end=8.0) | run.at(t_start=4.0, t_end=12.0)
    assert [(t_start, t_end) for _, t_start, t_end in both] == [(0.0, 8.0), (4.0, 12.0)]
    assert [both.power_w(t) for t in (1.0, 5.0, 9.0, 13.0)] == [200.0, 400.0, 200.0, 0.0]
    assert TrainingSchedule().power_w(3.0) == 0.0
    np.testing.assert_array_equal(TrainingSchedule().power_w(np.zeros(3)), np.zeros(3))


def test_other_configurations_refuse() -> None:
    assert DatacenterConfig() == DatacenterConfig(gpus_per_server=8, base_kw_per_phase=0.0, power_factor=0.95)
    for bad in ({"gpus_per_server": 0}, {"base_kw_per_phase": -1.0}, {"power_factor": 1.1}, {"power_factor": 0.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            DatacenterConfig(**bad)
    with pytest.raises(InputError, match="amplitude_scale_range"):
        PowerAugmentationConfig(amplitude_scale_range=(1.1, 0.9))
    with pytest.raises(InputError, match="noise_fraction"):
        PowerAugmentationConfig(noise_fraction=-0.1)
    with pytest.raises(InputError, match="n_gpus"):
        TrainingRun(n_gpus=0, trace=TRIANGLE)
    with pytest.raises(InputError, match="t_start <= t_end"):
        TrainingRun(n_gpus=1, trace=TRIANGLE).at(t_start=2.0, t_end=1.0)


def test_a_level_over_some_time_is_what_the_schedule_says_at_every_step_of_it() -> None:
    schedule = ReplicaSchedule(initial=7).ramp_to(3, t_start=10.0, t_end=20.0).ramp_to(9, t_start=20.0, t_end=20.0)
    for first in range(26):
        for last in range(first, 26):
            counts = schedule.count_at(np.linspace(first, last, 101))
            level = schedule.level_over(float(first), float(last))
            if level is not None:
                assert set(counts.tolist()) == {float(level)}
            else:
                # A ramp touches it: 10 s and 20 s themselves may be said to move.
                assert first <= 20
                assert last >= 10
    assert [schedule.level_over(a, b) for a, b in ((0.0, 9.0), (21.0, 25.0), (20.0, 25.0))] == [7, 9, 9]


def test_levels_at_some_times_are_those_of_every_ramp_summed_up() -> None:
    draw = np.random.default_rng(11)
    for _ in range(40):
        edges = np.sort(draw.choice(200, 2 * draw.integers(1, 12), replace=False)).astype(float).reshape(-1, 2)
        schedule = ReplicaSchedule(int(draw.integers(0, 50)))
        for begin, end in edges:
            end = begin if draw.random() < 0.3 else end
            schedule = schedule.ramp_to(int(draw.integers(0, 50)), t_start=begin, t_end=end)
        times = np.sort(draw.uniform(-5.0, 210.0, 30))
        expected = np.full(30, float(schedule.initial))
        level = schedule.initial
        for target, begin, end in schedule.ramps:
            done = np.clip(times - begin, 0.0, end - begin) / (end - begin) if end > begin else times >= begin
            expected += done * (target - level)
            level = target
        for part in (slice(None), slice(4, 9), slice(20, 21)):
            assert np.array_equal(schedule.count_at(times[part]), expected[part])
        assert [schedule.count_at(edge) for edge in edges[:, 0]] == schedule.count_at(edges[:, 0]).tolist()
        assert schedule.count_at(np.zeros(0)).shape == (0,)
