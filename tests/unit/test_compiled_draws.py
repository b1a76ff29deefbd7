"""Draws of compiled kernels are numpy's, to the last bit, wherever a stream is gone on with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from g2g_opt.batch.fleet_draws import FleetDraws
from g2g_opt.batch.fleet_draws_kernel import WINDOW_STEPS, DrawTable, draw_few, draw_window
from g2g_opt.compiled.generator import WORDS, Ziggurat, draw_normals, draw_uniforms
from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.program import DONE
from g2g_opt.compiled.records import Floats1, Ints1, pack, part, reader
from g2g_opt.datacenter.draws import CHUNK_STEPS, LATENCY, LATENCY_MEAN, SERVER_NOISE, StepDraws
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS
from g2g_opt.randomness import key_bytes, keyed_generator


class Request(NamedTuple):
    """`n_at_once` numbers of a stream at a time, until `out` is full."""

    key: Ints1
    n_at_once: int
    normals: Floats1
    uniforms: Floats1
    ziggurat: Ziggurat


_read = reader(Request)


@kernel
def fill(address: int, step: int) -> int:
    t, n_used, done = _read(address), 0, 0
    while done < len(t.normals):
        n = min(t.n_at_once, len(t.normals) - done)
        n_used = draw_normals(part(t.normals, done), n, n_used, t.key, t.ziggurat)
        draw_uniforms(part(t.uniforms, done), done, n, t.key, t.ziggurat)
        done += n
    return DONE


@pytest.mark.parametrize("n_at_once", [1, 3, 30, 96, WORDS, 1000])
def test_kernels_draw_what_numpys_generator_draws(n_at_once: int) -> None:
    # A million normals leave the next layer 12,000 times, and lie in the tail 270 times.
    n = 1_000_000 if n_at_once == 1000 else 50_000
    for seed in range(3):
        key = np.frombuffer(key_bytes(seed, "stream"), dtype=np.int64)
        request = Request(key.copy(), n_at_once, np.zeros(n), np.zeros(n), Ziggurat.of_numpy())
        fill(pack(request).address, 0)
        np.testing.assert_array_equal(request.normals, keyed_generator(seed, "stream").standard_normal(n))
        np.testing.assert_array_equal(request.uniforms, keyed_generator(seed, "stream").random(n))
        if n == 1_000_000:
            assert np.abs(request.normals).max() > 4.0


class Asked(NamedTuple):
    """All numbers of a row's stream in a step, `n_few` of them for its replicas."""

    draws: DrawTable
    row: Ints1
    n_few: Ints1


_read_asked = reader(Asked)


@kernel
def ask(address: int, step: int) -> int:
    a = _read_asked(address)
    d = a.draws
    stream = d.stream[a.row[0]]
    draw_window(d.noise, stream, step // WINDOW_STEPS, d.room, d.ziggurat)
    draw_window(d.latency, stream, step // WINDOW_STEPS, d.room, d.ziggurat)
    draw_few(d.few, stream, step, a.n_few[0], d.ziggurat)
    return DONE


def test_rows_draw_what_their_sites_draw_whatever_was_asked_before() -> None:
    yes = np.ones(3, dtype=np.bool_)
    steps = [StepDraws(4, "summer", "dc"), StepDraws(4, "summer", "dc"), StepDraws(4, "summer", "other")]
    draws = FleetDraws(steps, ["a", "b", "a"], yes, yes)
    # Rows of one site are told apart by their models, and sites by their names.
    np.testing.assert_array_equal(draws.table.stream, [0, 1, 2])
    asked = Asked(draws.table, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    packed, rows = pack(asked), np.arange(3)
    shuffled: Any = np.random.default_rng(5)
    at = sorted({0, 1, 31, 32, 33, 700, 1023, 1024, 1025, 1090, 3000, *shuffled.integers(0, 3100, 60).tolist()})
    for step in at:
        draws.lay_out(step, rows, rows)
        for row in shuffled.permutation(3)[: 1 + step % 3].tolist():
            for n in sorted(shuffled.integers(1, EXACT_SAMPLING_MAX_REPLICAS + 1, 2).tolist()):
                asked.row[0], asked.n_few[0] = row, n
                ask(packed.address, step)
                label, place, fresh = "aba"[row], step % WINDOW_STEPS, StepDraws(*steps[row].key)
                noise = fresh.normals([label], SERVER_NOISE, step, 1, 3)[0, 0]
                np.testing.assert_array_equal(draws.table.noise.values[row, :, place], noise)
                mean = fresh.normals([label], LATENCY_MEAN, step, 1, 1)[0, 0, 0]
                assert draws.table.latency.values[row, 0, place] == mean
                uniforms, values = fresh.pairs(label, LATENCY, step, 1, EXACT_SAMPLING_MAX_REPLICAS)
                np.testing.assert_array_equal(draws.table.few.uniforms[row, :n], uniforms[0, :n])
                np.testing.assert_array_equal(draws.table.few.normals[row], values[0])


def test_going_back_in_a_stream_gives_what_it_gave() -> None:
    yes = np.ones(1, dtype=np.bool_)
    draws = FleetDraws([StepDraws(1, "", "dc")], ["a"], yes, yes)
    asked = Asked(draws.table, np.zeros(1, dtype=np.int64), np.full(1, 7))
    packed, seen = pack(asked), {}
    for step in (5, CHUNK_STEPS + 3, 4, 5):
        draws.lay_out(step, np.arange(1), np.arange(1))
        ask(packed.address, step)
        now = draws.table.noise.values.copy(), draws.table.few.normals.copy()
        for one, other in zip(now, seen.setdefault(step, now), strict=True):
            np.testing.assert_array_equal(one, other)
