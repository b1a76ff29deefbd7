"""Draws belong to a step and a key: nothing that happens elsewhere, or before, may change them."""

from __future__ import annotations

import hashlib
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.command import SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, PowerAugmentationConfig, ReplicaSchedule
from g2g_opt.datacenter.draws import StepDraws
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData, InferenceTemplateStore
from g2g_opt.datacenter.workloads.latency import ITLFitStore, LatencyMixture
from g2g_opt.events import EventEmitter
from g2g_opt.randomness import keyed_generator

BLOCKS = st.lists(st.tuples(st.integers(0, 3500), st.integers(1, 700)), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(blocks=BLOCKS)
def test_draws_of_a_step_do_not_depend_on_the_blocks_asked_for(blocks: list[tuple[int, int]]) -> None:
    draws = StepDraws(7, "summer", "dc")
    for first, n in blocks:
        fresh = StepDraws(7, "summer", "dc")
        got = draws.normals(["a", "b"], "noise", first, n, 3)
        assert got.shape == (n, 2, 3)
        middle = n // 2
        np.testing.assert_array_equal(
            got[middle : middle + 1], fresh.normals(["a", "b"], "noise", first + middle, 1, 3)
        )
        np.testing.assert_array_equal(got[:, 1], draws.normals(["b"], "noise", first, n, 3)[:, 0])
        uniforms, values = draws.pairs("a", "latency", first, n, 4)
        alone = fresh.pairs("a", "latency", first + n - 1, 1, 4)
        np.testing.assert_array_equal(uniforms[-1:], alone[0])
        np.testing.assert_array_equal(values[-1:], alone[1])


def test_a_block_longer_than_two_chunks_is_what_its_steps_are() -> None:
    whole = StepDraws(1, "", "dc").normals(["m"], "noise", 1000, 4000, 1)[:, 0, 0]
    step_by_step = StepDraws(1, "", "dc")
    for k in (0, 23, 24, 1047, 1048, 3999):
        assert step_by_step.normals(["m"], "noise", 1000 + k, 1, 1)[0, 0, 0] == whole[k]
    assert len(np.unique(whole)) == 4000


def test_draws_have_the_distributions_they_claim() -> None:
    draws = StepDraws(3, "", "dc")
    normals = draws.normals(["m"], "noise", 0, 10000, 3).ravel()
    uniforms, values = draws.pairs("m", "latency", 0, 10000, 3)
    n = normals.size
    for sample in (normals, values.ravel()):
        assert sample.mean() == pytest.approx(0.0, abs=5 / np.sqrt(n))
        assert sample.var() == pytest.approx(1.0, abs=5 * np.sqrt(2 / n))
    assert uniforms.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * n))
    assert uniforms.min() >= 0.0
    assert uniforms.max() < 1.0
    assert abs(np.corrcoef(uniforms.ravel(), values.ravel())[0, 1]) < 5 / np.sqrt(n)


def test_every_part_of_the_key_of_draws_counts() -> None:
    def first_draw(seed: int, scenario: str, site: str, label: str, purpose: str, step: int) -> float:
        return float(StepDraws(seed, scenario, site).normals([label], purpose, step, 1, 1)[0, 0, 0])

    base: list[Any] = [1, "summer", "dc", "m", "noise", 0]
    others: list[Any] = [2, "winter", "dc2", "n", "other", 1024]
    seen = {first_draw(*base)}
    for i, other in enumerate(others):
        seen.add(first_draw(*base[:i], other, *base[i + 1 :]))
    assert len(seen) == 7


KEYS = st.lists(st.one_of(st.text(max_size=6), st.integers(-5, 20)), max_size=4)


@given(seed=st.integers(0, 9), key=KEYS, other_seed=st.integers(0, 9), other=KEYS)
def test_two_generators_agree_exactly_if_their_keys_do(
    seed: int, key: list[str | int], other_seed: int, other: list[str | int]
) -> None:
    same = (seed, key) == (other_seed, other)
    a, b = keyed_generator(seed, *key).random(4), keyed_generator(other_seed, *other).random(4)
    assert (a == b).all() if same else (a != b).all()


def test_strings_and_numbers_and_joints_are_told_apart() -> None:
    keys: list[tuple[str | int, ...]] = [(1,), ("1",), ("a", "b"), ("ab",), ("a b",), ("a', 'b",), ("b", "a"), ()]
    assert len({float(keyed_generator(0, *key).random()) for key in keys}) == len(keys)


def test_numbers_of_a_key_may_be_numpys_own() -> None:
    assert keyed_generator(3, 5).random() == keyed_generator(np.int64(3), np.int64(5)).random()  # type: ignore[arg-type]


# --- sites

MIXED = {
    b: LatencyMixture(weight=0.6, mu_1=float(np.log(0.02 * f)), sigma_1=0.3, mu_2=float(np.log(0.05 * f)), sigma_2=0.5)
    for b, f in ((8, 1.0), (16, 1.4))
}


def spec(label: str) -> InferenceModelSpec:
    return InferenceModelSpec(
        model_label=label, model_id="x/" + label, gpu_model="H100", task="t", itl_deadline_s=0.1, batch_sizes=(8, 16)
    )


def a_site(name: str = "dc", seed: int = 0, scenario: str = "s", n_a: int = 40, **options: Any) -> OfflineDatacenter:
    rows = {b: 300.0 + b + 50.0 * np.sin(np.arange(37)) for b in (8, 16)}
    data = InferenceData(
        [spec("a"), spec("b")],
        power_templates=InferenceTemplateStore({"a": rows, "b": rows}),
        itl_fits=ITLFitStore({"a": MIXED, "b": MIXED}),
    )
    schedules = {"a": ReplicaSchedule(n_a).ramp_to(n_a // 2, t_start=20, t_end=40), "b": ReplicaSchedule(12)}
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=4),
        OfflineWorkload(data, schedules, {"a": 8, "b": 8}),
        name=name,
        dt_s=Fraction(1),
        total_gpu_capacity=80,
        seed=seed,
        scenario=scenario,
        power_augmentation=PowerAugmentationConfig(amplitude_scale_range=(0.9, 1.1), noise_fraction=0.02),
        **options,
    )


class _Nowhere:
    def emit(self, event: object) -> None:
        pass


def ran(site: OfflineDatacenter, n_steps: int = 90, commands: dict[int, list[Any]] | None = None) -> OfflineDatacenter:
    """Steps a site; `commands` are given to it after the step of that number."""
    clock = SimulationClock(Fraction(1))
    events = EventEmitter(clock, _Nowhere(), "datacenter")
    for step in range(n_steps):
        site.do_step(clock, events)
        for command in (commands or {}).get(step, []):
            site.apply_control(command, events)
        clock.advance()
    return site


def test_two_runs_are_identical_and_another_seed_scenario_or_name_is_not() -> None:
    base, again = ran(a_site()), ran(a_site())
    np.testing.assert_array_equal(base.record.power_w, again.record.power_w)
    np.testing.assert_array_equal(base.record.itl_s, again.record.itl_s)
    for other in (a_site(seed=1), a_site(scenario="t"), a_site(name="dc2")):
        ran(other)
        assert (base.record.power_w != other.record.power_w).all()
        assert (base.record.itl_s != other.record.itl_s).all()


def test_a_reset_site_repeats_its_run() -> None:
    site = ran(a_site())
    before = site.record
    site.do_reset()
    ran(site)
    assert site.record is not before
    np.testing.assert_array_equal(before.power_w, site.record.power_w)
    np.testing.assert_array_equal(before.itl_s, site.record.itl_s)


def test_a_site_alone_and_beside_another_is_the_same() -> None:
    alone = ran(a_site())
    one, two = a_site(), a_site("other")
    clock = SimulationClock(Fraction(1))
    events = EventEmitter(clock, _Nowhere(), "datacenter")
    for _ in range(90):
        two.do_step(clock, events)
        one.do_step(clock, events)
        clock.advance()
    np.testing.assert_array_equal(alone.record.power_w, one.record.power_w)
    np.testing.assert_array_equal(alone.record.itl_s, one.record.itl_s)


@pytest.mark.parametrize("at_step", [0, 3, 15, 16, 17, 60])
def test_a_batch_change_at_one_model_leaves_the_other_model_as_it_was(at_step: int) -> None:
    plain, changed = ran(a_site()), a_site()
    ran(changed, commands={at_step: [SetBatchSize({"a": 16}, target=changed)]})
    mine, theirs = plain.record, changed.record
    after = at_step + 1
    np.testing.assert_array_equal(mine.power_by_model_w[:, 1], theirs.power_by_model_w[:, 1])
    np.testing.assert_array_equal(mine.itl_s[:, 1], theirs.itl_s[:, 1])
    np.testing.assert_array_equal(mine.power_w[:after], theirs.power_w[:after])
    assert (theirs.power_by_model_w[after:, 0] != mine.power_by_model_w[after:, 0]).all()
    assert (theirs.batch_size[:after, 0] == 8).all()
    assert (theirs.batch_size[after:, 0] == 16).all()


def test_a_change_taken_back_leaves_no_trace() -> None:
    plain, changed = ran(a_site()), a_site()
    ran(
        changed,
        commands={5: [SetBatchSize({"a": 16}, target=changed)], 30: [SetBatchSize({"a": 8}, target=changed)]},
    )
    np.testing.assert_array_equal(plain.record.power_w[31:], changed.record.power_w[31:])
    np.testing.assert_array_equal(plain.record.itl_s[31:], changed.record.itl_s[31:])
    assert (plain.record.power_w[6:31] != changed.record.power_w[6:31]).all()


def test_a_command_that_changes_nothing_changes_nothing() -> None:
    plain, told = ran(a_site()), a_site()
    ran(told, commands={k: [SetBatchSize({"a": 8, "b": 8}, target=told)] for k in range(0, 90, 7)})
    np.testing.assert_array_equal(plain.record.power_w, told.record.power_w)


def test_replicas_shifted_away_and_back_leave_no_trace() -> None:
    plain, moved = ran(a_site()), a_site()
    ran(
        moved,
        commands={50: [ShiftReplicas("a", -8, target=moved)], 60: [ShiftReplicas("a", 8, target=moved)]},
    )
    assert (moved.record.replicas[51:61, 0] == plain.record.replicas[51:61, 0] - 8).all()
    np.testing.assert_array_equal(plain.record.power_w[61:], moved.record.power_w[61:])
    np.testing.assert_array_equal(plain.record.itl_s[61:], moved.record.itl_s[61:])


def test_latency_drawn_for_few_replicas_has_the_mean_of_its_mixture() -> None:
    # 20 replicas of model a and 12 of model b are drawn replica by replica; 40 by the central limit theorem.
    site = ran(a_site(n_a=40), 20000)
    for rows, column in ((slice(0, 20), 0), (slice(41, None), 0), (slice(0, None), 1)):
        sample = site.record.itl_s[rows, column]
        n = site.record.replicas[rows, column].astype(float)
        error = np.sqrt(MIXED[8].variance_s2 / n.mean() / len(sample))
        assert sample.mean() == pytest.approx(MIXED[8].mean_s, abs=5 * error)
        if len(sample) > 1000:
            assert sample.var() == pytest.approx(MIXED[8].variance_s2 / n.mean(), rel=0.1)


def test_phase_power_is_shared_as_the_servers_are() -> None:
    site = ran(a_site(), 10)
    shares = site.phase_share_by_model
    assert shares["a"] == pytest.approx([0.4, 0.3, 0.3])  # 10 servers of 4 GPUs
    assert shares["b"] == pytest.approx([1 / 3, 1 / 3, 1 / 3])  # 3 servers of 4 GPUs


def test_a_key_is_the_stream_that_numpy_gives_it() -> None:
    # The first draws of Philox with the first 128 bits of sha256("(7, 'summer', 3)") as its key.
    words = np.frombuffer(hashlib.sha256(b"(7, 'summer', 3)").digest()[:16], dtype=np.uint64)
    expected = np.random.Generator(np.random.Philox(key=words))
    drawn = keyed_generator(7, "summer", np.int64(3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn.random(9), expected.random(9))
    np.testing.assert_array_equal(drawn.standard_normal(5), expected.standard_normal(5))
    again = pickle.loads(pickle.dumps(keyed_generator(7, "summer", 3)))
    np.testing.assert_array_equal(again.random(3), keyed_generator(7, "summer", 3).random(3))
    # A key has no children; they have keys of their own.
    with pytest.raises(TypeError):
        keyed_generator(7).spawn(1)
