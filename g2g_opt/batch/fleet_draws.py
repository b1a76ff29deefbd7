"""Streams of random numbers of all rows of a batch, and their keys for the chunk of steps that a stretch is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleet_draws_kernel import WINDOW_STEPS, DrawTable, FewDraws, WindowDraws
from g2g_opt.compiled.generator import Ziggurat
from g2g_opt.compiled.lanes import aligned
from g2g_opt.datacenter.draws import CHUNK_STEPS, COMPONENT, LATENCY, LATENCY_MEAN, SERVER_NOISE, VALUE, StepDraws
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS
from g2g_opt.randomness import key_bytes

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class FleetDraws:
    """Streams of rows that each have `draws` and a model `label`; `table` is what kernels read.

    `noisy` and `draws_latency` (row,) say which rows draw noise, and latencies.
    """

    def __init__(self, draws: Sequence[StepDraws], labels: Sequence[str], noisy: Bools, draws_latency: Bools) -> None:
        # Rows of equal streams draw the same numbers at every step.
        number: dict[tuple[Any, ...], int] = {}
        rows = [(*one.key, label) for one, label in zip(draws, labels, strict=True)]
        stream = np.array([number.setdefault(row, len(number)) for row in rows], dtype=np.int64)
        self._keys = list(number)
        self._noisy = np.unique(stream[noisy])
        n_noisy, n_latency = (len(number) if some.any() else 0 for some in (noisy, draws_latency))
        # Purposes, with the chunk that each stream's key is for.
        self._chunk = {
            purpose: np.full(n, -1)
            for purpose, n in (
                (SERVER_NOISE, n_noisy),
                (LATENCY_MEAN, n_latency),
                (LATENCY + COMPONENT, n_latency),
                (LATENCY + VALUE, n_latency),
            )
        }
        width = EXACT_SAMPLING_MAX_REPLICAS
        self.table = DrawTable(
            stream=stream,
            noise=_window_draws(n_noisy, 3),
            latency=_window_draws(n_latency, 1),
            few=FewDraws(
                uniform_key=np.zeros((n_latency, 2), dtype=np.int64),
                normal_key=np.zeros((n_latency, 2), dtype=np.int64),
                n_used=np.zeros(n_latency, dtype=np.int64),
                step=np.full(n_latency, -1),
                n_uniforms=np.zeros(n_latency, dtype=np.int64),
                uniforms=np.zeros((n_latency, width)),
                normals=np.zeros((n_latency, width)),
            ),
            ziggurat=Ziggurat.of_numpy(),
            room=np.zeros(3 * WINDOW_STEPS),
        )

    def lay_out(self, first: int, few: Ints, many: Ints) -> None:
        """Keys for the chunk that step `first` is in; rows `few` draw latencies replica by replica in some step of it,
        rows `many` mean ones.
        """
        chunk, table = first // CHUNK_STEPS, self.table
        self._write(SERVER_NOISE, table.noise.key, self._noisy, chunk)
        self._write(LATENCY_MEAN, table.latency.key, np.unique(table.stream[many]), chunk)
        of_few = np.unique(table.stream[few])
        self._write(LATENCY + COMPONENT, table.few.uniform_key, of_few, chunk)
        self._write(LATENCY + VALUE, table.few.normal_key, of_few, chunk)

    def _write(self, purpose: str, keys: Ints, streams: Ints, chunk: int) -> None:
        new = streams[self._chunk[purpose][streams] != chunk]
        words = b"".join(key_bytes(*self._keys[stream], purpose, chunk) for stream in new.tolist())
        keys[new] = np.frombuffer(words, dtype=np.int64).reshape(-1, 2)
        self._chunk[purpose][new] = chunk


def _window_draws(n: int, width: int) -> WindowDraws:
    """Nothing drawn yet."""
    key, n_used = np.zeros((n, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
    return WindowDraws(key, n_used, np.full(n, -1), aligned(n, width, WINDOW_STEPS))
