"""Servers over phases, and their power: against a dumb loop, and moments by hand (equations, section 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.datacenter.fleet import (
    active_replicas,
    claims,
    fleet_power_w,
    ranked_power_sum,
    servers_needed,
)
from g2g_opt.datacenter.layout import ServerPool, draw_server_pool

FREE = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))


def dealt_one_by_one(n_servers: int, free: tuple[int, int, int]) -> tuple[int, int, int]:
    taken, phase = [0, 0, 0], 0
    while n_servers:
        if taken[phase] < free[phase]:
            taken[phase] += 1
            n_servers -= 1
        phase = (phase + 1) % 3
    return taken[0], taken[1], taken[2]


def claimed(n_servers: int, free: tuple[int, int, int]) -> tuple[int, ...]:
    pool = ServerPool(8, tuple(np.ones(n) for n in free), tuple(np.zeros(n) for n in free))
    return tuple(claims(np.array([[n_servers]]), pool)[0, 0].tolist())


@settings(max_examples=300)
@given(free=FREE, share=st.floats(0, 1))
def test_round_robin_is_dealing_one_by_one(free: tuple[int, int, int], share: float) -> None:
    n = round(share * sum(free))
    assert claimed(n, free) == dealt_one_by_one(n, free)


def test_round_robin_by_hand() -> None:
    assert claimed(0, (1, 1, 1)) == (0, 0, 0)
    assert claimed(4, (9, 9, 9)) == (2, 1, 1)
    assert claimed(5, (9, 0, 9)) == (3, 0, 2)
    assert claimed(7, (1, 2, 9)) == (1, 2, 4)
    assert claimed(5, (0, 1, 4)) == (0, 1, 4)


@settings(max_examples=200)
@given(size=st.integers(0, 60), wishes=st.lists(st.integers(0, 30), max_size=5))
def test_models_never_claim_more_of_a_phase_than_there_is(size: int, wishes: list[int]) -> None:
    pool = draw_server_pool(size, 8, (1.0, 1.0), 0, "s")
    asked, left = [], size
    for wish in wishes:
        asked.append(min(wish, left))
        left -= asked[-1]
    counts = claims(np.array(asked, dtype=np.int64).reshape(1, -1), pool)[0]
    assert counts.shape == (len(asked), 3)
    assert counts.sum(axis=1).tolist() == asked
    assert (counts.sum(axis=0) <= pool.n_servers_by_phase).all()
    free = pool.n_servers_by_phase
    for row, n in zip(counts.tolist(), asked, strict=True):  # each model in turn, from what the others left
        assert tuple(row) == dealt_one_by_one(n, free)
        free = (free[0] - row[0], free[1] - row[1], free[2] - row[2])


@given(
    n=st.lists(st.integers(0, 900), min_size=1, max_size=4),
    per_replica=st.integers(1, 16),
    per_server=st.integers(1, 16),
)
def test_replicas_fit_their_servers_and_would_not_fit_one_less(n: list[int], per_replica: int, per_server: int) -> None:
    replicas, each = np.array([n]), np.full(len(n), per_replica)
    servers = servers_needed(replicas, each, per_server)
    gpus = replicas * per_replica
    assert (servers * per_server >= gpus).all()
    assert ((servers - 1) * per_server < gpus).all() or (servers[gpus == 0] == 0).all()
    active = active_replicas(servers, each, per_server)
    assert (active >= replicas).all()
    assert (active * per_replica <= servers * per_server).all()


# --- the pool


@given(small=st.integers(0, 50), more=st.integers(0, 50), seed=st.integers(0, 5))
def test_a_larger_site_is_the_smaller_one_with_servers_added(small: int, more: int, seed: int) -> None:
    a = draw_server_pool(small, 8, (0.8, 1.2), seed, "summer", "dc")
    b = draw_server_pool(small + more, 8, (0.8, 1.2), seed, "summer", "dc")
    assert sum(a.n_servers_by_phase) == small
    assert sum(b.n_servers_by_phase) == small + more
    for phase in range(3):
        n = a.n_servers_by_phase[phase]
        np.testing.assert_array_equal(a.amplitude[phase], b.amplitude[phase][:n])
        np.testing.assert_array_equal(a.offset[phase], b.offset[phase][:n])


def test_servers_are_laid_out_evenly_and_drawn_in_their_ranges() -> None:
    assert draw_server_pool(11, 8, (1.0, 1.0), 0).n_servers_by_phase == (4, 4, 3)
    pool = draw_server_pool(9000, 8, (0.8, 1.2), 3, "s")
    amplitude, offset = np.concatenate(pool.amplitude), np.concatenate(pool.offset)
    assert 0.8 <= amplitude.min() < 0.801
    assert 1.199 < amplitude.max() <= 1.2
    assert (offset >= 0).all()
    assert (offset < 1).all()
    # Means of 9,000 uniforms, to five standard errors.
    assert amplitude.mean() == pytest.approx(1.0, abs=5 * 0.4 / np.sqrt(12 * 9000))
    assert offset.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * 9000))
    assert abs(np.corrcoef(amplitude, offset)[0, 1]) < 5 / np.sqrt(9000)
    assert len({pool.amplitude[p][0] for p in range(3)}) == 3  # phases have streams of their own


# --- power


def even_pool(n: int, amplitude_range: tuple[float, float] = (1.0, 1.0), gpus: int = 8) -> ServerPool:
    return draw_server_pool(n, gpus, amplitude_range, 0, "s")


def power_and_claims(
    templates: list[np.ndarray], n_servers: np.ndarray, pool: ServerPool, *rest: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    servers = claims(n_servers, pool)
    return (*fleet_power_w(templates, servers, pool, *rest), servers)


def test_servers_of_one_flat_template_draw_n_g_T() -> None:
    n_servers = np.array([[7, 4], [7, 4], [10, 2]])
    power, total, counts = power_and_claims(
        [np.array([300.0]), np.array([500.0])], n_servers, even_pool(12), 0, 0.0, None
    )
    np.testing.assert_allclose(power.sum(axis=2), n_servers * 8 * np.array([300.0, 500.0]), rtol=1e-12)
    np.testing.assert_allclose(power, counts * 8 * np.array([300.0, 500.0])[:, None], rtol=1e-12)
    np.testing.assert_allclose(total, power.sum(axis=1))
    assert counts[0].tolist() == [[3, 2, 2], [1, 2, 1]]
    assert counts[2].tolist() == [[4, 3, 3], [0, 1, 1]]


def test_power_is_the_sum_over_servers_one_by_one() -> None:
    pool = even_pool(14, (0.7, 1.3), gpus=4)
    templates = [np.random.default_rng(1).uniform(100, 700, 17), np.random.default_rng(2).uniform(100, 700, 5)]
    n_servers = np.array([[6, 5]] * 4 + [[3, 5]] * 3 + [[9, 5]] * 4)
    first = 23
    power, _, _ = power_and_claims(templates, n_servers, pool, first, 0.0, None)
    for step, wanted in enumerate(n_servers):
        rank = [0, 0, 0]
        free = pool.n_servers_by_phase
        for model, template in enumerate(templates):
            counts = dealt_one_by_one(int(wanted[model]), free)
            free = (free[0] - counts[0], free[1] - counts[1], free[2] - counts[2])
            for phase in range(3):
                expected = 0.0
                for _ in range(counts[phase]):
                    a, start = pool.amplitude[phase][rank[phase]], pool.offset[phase][rank[phase]]
                    place = (int(start * len(template)) + first + step) % len(template)
                    expected += 4 * a * template[place]
                    rank[phase] += 1
                assert power[step, model, phase] == pytest.approx(expected, rel=1e-12)


def test_a_block_in_two_parts_is_the_block() -> None:
    pool, template = even_pool(9, (0.7, 1.3)), [np.random.default_rng(1).uniform(100, 700, 13)]
    n_servers = np.array([[5]] * 6 + [[8]] * 6)
    whole, _, _ = power_and_claims(template, n_servers, pool, 40, 0.0, None)
    parts = [
        power_and_claims(template, n_servers[cut], pool, 40 + (cut.start or 0), 0.0, None)[0]
        for cut in (slice(0, 4), slice(4, 12))
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_the_sum_of_squares_belongs_to_the_same_servers() -> None:
    template, a, offset = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0]), np.array([0.0, 0.7])
    both = np.zeros(3, dtype=int), np.full(3, 2)
    total, square = ranked_power_sum(template, 1, a, offset, *both, squares=True)
    assert total.tolist() == [2 + 3 * 1, 4 + 3 * 2, 1 + 3 * 4]  # the second starts at place 2
    assert square.tolist() == [4 + 9, 16 + 36, 1 + 144]
    second_then_none, _ = ranked_power_sum(template, 1, a, offset, np.array([1, 1, 2]), np.full(3, 2), squares=False)
    assert second_then_none.tolist() == [3 * 1, 3 * 2, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 60))
def test_a_steps_power_does_not_depend_on_the_block_it_is_computed_in(seed: int, n_ranks: int, n_steps: int) -> None:
    rng = np.random.default_rng(seed)
    template, a, offset = rng.random(17), rng.random(n_ranks), rng.random(n_ranks)
    low = rng.integers(0, n_ranks + 1, n_steps)
    high = np.maximum(low, rng.integers(0, n_ranks + 1, n_steps))
    whole, squares = ranked_power_sum(template, 3, a, offset, low, high, squares=True)
    for k in range(n_steps):
        alone = ranked_power_sum(template, 3 + k, a, offset, low[k : k + 1], high[k : k + 1], squares=True)
        assert (alone[0][0], alone[1][0]) == (whole[k], squares[k])
        each = a * template[((offset * 17).astype(int) + 3 + k) % 17]
        assert whole[k] == pytest.approx(each[low[k] : high[k]].sum(), rel=1e-12, abs=1e-12)


def test_noise_has_the_variance_of_a_draw_per_server() -> None:
    n_steps, sigma = 20000, 0.04
    pool = even_pool(10, (0.5, 1.5))
    normals = np.random.default_rng(5).standard_normal((n_steps, 1, 3))
    n_servers = np.full((n_steps, 1), 10)
    quiet, _, _ = power_and_claims([np.array([400.0])], n_servers, pool, 0, 0.0, None)
    noisy, _, _ = power_and_claims([np.array([400.0])], n_servers, pool, 0, sigma, normals)
    for phase in range(3):
        deviation = (noisy - quiet)[:, 0, phase]
        variance = sigma**2 * np.sum((8 * pool.amplitude[phase] * 400.0) ** 2)
        assert deviation.mean() == pytest.approx(0.0, abs=5 * np.sqrt(variance / n_steps))
        assert deviation.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / n_steps))


def test_a_model_without_servers_draws_nothing_even_with_noise() -> None:
    power, _, counts = power_and_claims(
        [np.array([400.0]), np.array([400.0])], np.array([[0, 3]]), even_pool(6), 0, 0.1, np.ones((1, 2, 3))
    )
    assert power[0, 0].tolist() == [0.0, 0.0, 0.0]
    assert counts[0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert (power[0, 1] > 8 * 400.0).all()
