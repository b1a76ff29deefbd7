"""Servers of a site: which phase each hangs on, and how it differs from the average server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.randomness import Key, keyed_generator


@dataclass(frozen=True, eq=False)
class ServerPool:
    """One shared pool. Server `r` of phase `p` has amplitude `amplitude[p][r]` and start offset `offset[p][r]`.

    Models claim, in alphabetical order, the next free ranks of each phase; ranks are exchangeable because
    amplitudes and offsets are drawn independently. Offsets are fractions of a template's period.
    """

    gpus_per_server: int
    amplitude: tuple[NDArray[np.float64], ...]
    offset: tuple[NDArray[np.float64], ...]

    @property
    def n_servers_by_phase(self) -> tuple[int, int, int]:
        """Servers on phases A, B, C."""
        a, b, c = (len(x) for x in self.amplitude)
        return a, b, c


@lru_cache(maxsize=64)
def draw_server_pool(
    n_servers: int, gpus_per_server: int, amplitude_range: tuple[float, float], seed: int, *key: Key
) -> ServerPool:
    """Lay out `n_servers` evenly over the phases and draw each server's amplitude a_s ~ U[lo, hi] and offset.

    The draws are keyed by `(seed, *key)`; server r of a phase is the same whatever the pool's size, so a larger
    site is the smaller one with servers added. A site stands in many runs: its pool is drawn once, not to be written
    to.
    """
    sizes = [n_servers // 3 + (1 if p < n_servers % 3 else 0) for p in range(3)]
    low, high = amplitude_range
    amplitude, offset = [], []
    for phase, size in enumerate(sizes):
        draws = keyed_generator(seed, *key, "layout", phase).random((size, 2))
        amplitude.append(low + (high - low) * draws[:, 0])
        offset.append(draws[:, 1])
        for drawn in (amplitude[-1], offset[-1]):
            drawn.setflags(write=False)
    return ServerPool(gpus_per_server, tuple(amplitude), tuple(offset))
