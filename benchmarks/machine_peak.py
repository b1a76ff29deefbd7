"""What a core does with the vectors of `g2g_opt.compiled.lanes`, and what a batch power flow asks of it at least."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from g2g_opt.batch.load_law import CI
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.compiled.lanes import WIDTH, aligned, fma, load, root, spread, store

W = WIDTH
VECTOR_BYTES = 8 * W
LEVEL_1_KIB, LEVEL_2_KIB = 16, 256  # well inside the usual 32 KiB and 1 MiB
LEVEL_1_BYTES = 32 * 1024


@njit
def _multiply_add(x, n):
    a, b, c = load(x, 0), load(x, W), spread(0.0)
    d, e, f, g, h = c, c, c, c, c
    for _ in range(n):
        c, d, e = fma(a, b, c), fma(a, b, d), fma(a, b, e)
        f, g, h = fma(a, b, f), fma(a, b, g), fma(a, b, h)
    store(x, 0, (c + d) + (e + f) + (g + h))


@njit
def _divide(x, n):
    a, b = load(x, 0), load(x, W)
    c, d = a, b
    for _ in range(n):
        c, d = a / c, b / d
    store(x, 0, c + d)


@njit
def _root(x, n):
    c, d = load(x, 0), load(x, W)
    for _ in range(n):
        c, d = root(c), root(d)
    store(x, 0, c + d)


@njit
def _read(x, n):
    a = spread(0.0)
    b, c, d = a, a, a
    for _ in range(n):
        for k in range(0, len(x), 4 * W):
            a, b = a + load(x, k), b + load(x, k + W)
            c, d = c + load(x, k + 2 * W), d + load(x, k + 3 * W)
    store(x, 0, (a + b) + (c + d))


@dataclass(frozen=True)
class Peak:
    """Rates of one core per nanosecond: multiply-adds, divisions and roots of single lanes, bytes read."""

    multiply_adds: float
    divisions: float
    roots: float
    bytes_level_1: float
    bytes_level_2: float


def _rate(kernel: Callable[..., None], x: np.ndarray, n: int, each: float) -> float:
    kernel(x, 1)
    best = np.inf
    for _ in range(3):
        began = time.process_time()
        kernel(x, n)
        best = min(best, time.process_time() - began)
    return n * each / best / 1e9


def measure_peak() -> Peak:
    """Best of three short loops each, at the machine's present speed."""
    x = aligned(2 * W)
    x[:] = 1.0
    small, large = (aligned(kib * 1024 // 8) for kib in (LEVEL_1_KIB, LEVEL_2_KIB))
    return Peak(
        _rate(_multiply_add, x, 300_000, 6 * W),
        _rate(_divide, x, 50_000, 2 * W),
        _rate(_root, x, 50_000, 2 * W),
        _rate(_read, small, 8_000, small.nbytes),
        _rate(_read, large, 500, large.nbytes),
    )


@dataclass(frozen=True)
class Work:
    """What one power flow of one scenario needs: operations of a lane, bytes touched, bytes of the arrays it sweeps.

    `touched` counts every vector read or written once per use, and figures that all lanes share once per chunk;
    `swept` counts each array once per sweep over it, which is what has to come from beyond the first cache level when
    a chunk's arrays (`resident`, bytes) do not fit there.
    """

    multiply_adds: float  # an addition or a multiplication alone counts as one
    divisions: float
    roots: float
    touched: float
    swept: float
    resident: float

    def bound_us(self, peak: Peak) -> dict[str, float]:
        """Least microseconds per power flow by each resource; nothing of it overlaps with itself."""
        return {
            "arithmetic": self.multiply_adds / peak.multiply_adds / 1e3,
            "divisions and roots": (self.divisions / peak.divisions + self.roots / peak.roots) / 1e3,
            "level 1": self.touched / peak.bytes_level_1 / 1e3,
            "level 2": (self.swept / peak.bytes_level_2 / 1e3) if self.resident > LEVEL_1_BYTES else 0.0,
        }


def count_work(flow: BatchPowerFlow, solves: float, blocks_by_lane: bool = False) -> Work:
    """Counted from the pattern, for `solves` network solves per power flow; all scenarios with the same factors.

    Per network solve: an entry takes 4 multiply-adds on one voltage (2 vectors) and 4 shared factors; a load branch
    2 voltages, its law, block and remainders. Per solve once all pairs of ports, whose blocks all lanes share, as they
    do where scenarios have the same ports, or come lane by lane (`blocks_by_lane`). Once per flow: magnitudes of all
    voltages, and another look at the loads.
    """
    jacobian = flow.jacobian
    n, ports = jacobian.network.n_nodes, flow.ports.n_ports
    entries = len(jacobian.elimination.lower_column) + len(jacobian.elimination.upper_column)
    ends, branches = len(jacobian.pattern.at_load), len(jacobian.load_places)
    laws = jacobian.network.load_law[jacobian.load_places]
    with_current = int(np.count_nonzero(np.any(laws[:, CI : CI + 2], axis=1)))
    couplings, evaluations = ports**2, 3 * ports
    block_vectors, block_shared = (4, 0) if blocks_by_lane else (0, 4)
    # Operations of one lane, then vectors and shared figures (8 bytes) of one chunk.
    adds = 4 * entries + 8 * n + 2 * ends + 22 * branches + 4 * couplings + 12 * evaluations
    divisions, roots = branches + evaluations, with_current
    vectors = 2 * entries + 6 * n + 2 * ends + 8 * branches + (2 + block_vectors) * couplings + 6 * evaluations
    shared = 5 * entries + 8 * n + 2 * ends + 13 * branches + block_shared * couplings
    # Sweeps: forwards, backwards, loads (voltages, remainders before and after), blocks of the ports.
    swept = VECTOR_BYTES * (10 * n + 6 * branches + block_vectors * couplings)
    swept += 8 * (5 * entries + 6 * n + 13 * branches + block_shared * couplings)
    resident = VECTOR_BYTES * (6 * n + 4 * branches + block_vectors * ports**2)
    resident += 8 * (5 * entries + 6 * n + 13 * branches + block_shared * ports**2)
    out_vectors, out_adds = 3 * n + 4 * branches, 3 * n + 5 * branches
    return Work(
        multiply_adds=solves * adds + out_adds,
        divisions=solves * divisions,
        roots=solves * roots + n,
        touched=(solves * (VECTOR_BYTES * vectors + 8 * shared) + VECTOR_BYTES * out_vectors) / W,
        swept=(solves * swept + VECTOR_BYTES * out_vectors) / W,
        resident=resident,
    )
