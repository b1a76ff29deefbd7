"""Power of a fleet of servers as array functions over [step, server] (formulations 2): the arithmetic, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.layout import ServerPool, round_robin_by_phase

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Cells of [step, server] worked on at once: small enough for a processor's cache.
_CELLS_AT_ONCE = 65_536


def servers_needed(n_replicas: Ints, gpus_per_replica: Ints, gpus_per_server: int) -> Ints:
    """Whole servers ceil(n_i k_i / g) per [step, model]."""
    return -(-(n_replicas * gpus_per_replica) // gpus_per_server)


def active_replicas(n_servers: Ints, gpus_per_replica: Ints, gpus_per_server: int) -> Ints:
    """Replicas that run on `n_servers` whole servers per [step, model]: a server that is on is filled."""
    return n_servers * gpus_per_server // gpus_per_replica


def claim_servers(n_servers: Sequence[int], pool: ServerPool) -> Ints:
    """Server counts per [model, phase]; models claim in the order given (alphabetical, formulations 2)."""
    free = list(pool.n_servers_by_phase)
    counts = np.zeros((len(n_servers), 3), dtype=np.int64)
    for model, n in enumerate(n_servers):
        taken = round_robin_by_phase(int(n), (free[0], free[1], free[2]))
        counts[model] = taken
        free = [f - t for f, t in zip(free, taken, strict=True)]
    return counts


def fleet_power_w(
    templates_w: Sequence[Floats],
    n_servers: Ints,
    pool: ServerPool,
    first_step: int,
    noise_fraction: float,
    normal_draws: Floats | None,
) -> tuple[Floats, Floats, Ints]:
    """Power of all models' servers over a block of steps.

    `templates_w[model]` is the per-GPU template at the model's batch size, `n_servers` has shape (step, model),
    `normal_draws` (step, model, 3) standard normals or None. Server noise is drawn as the phase's sum, which
    has the same distribution as a draw per server: variance sigma^2 sum (g a_s T)^2.

    Returns power (step, model, 3) in W, its sum over models (step, 3), and server counts (step, model, 3).
    """
    counts = _claims(n_servers, pool)
    first_rank = np.cumsum(counts, axis=1) - counts
    power = np.zeros(counts.shape)
    gpus = pool.gpus_per_server
    for model, template_w in enumerate(templates_w):
        for phase in range(3):
            low, high = first_rank[:, model, phase], first_rank[:, model, phase] + counts[:, model, phase]
            if not counts[:, model, phase].any():
                continue
            total, square = ranked_power_sum(
                template_w, first_step, pool.amplitude[phase], pool.offset[phase], low, high, normal_draws is not None
            )
            power[:, model, phase] = gpus * total
            if normal_draws is not None:
                power[:, model, phase] += noise_fraction * gpus * np.sqrt(square) * normal_draws[:, model, phase]
    return power, power.sum(axis=1), counts


def _claims(n_servers: Ints, pool: ServerPool) -> Ints:
    """Server counts (step, model, 3) for server needs (step, model), worked out once per stretch without change."""
    changes = np.flatnonzero(np.any(n_servers[1:] != n_servers[:-1], axis=1)) + 1
    begins = np.concatenate([[0], changes])
    claimed = np.array([claim_servers(n_servers[begin].tolist(), pool) for begin in begins], dtype=np.int64)
    lengths = np.diff(np.append(begins, len(n_servers)))
    return np.repeat(claimed, lengths, axis=0)


def ranked_power_sum(
    template_w: Floats, first_step: int, amplitude: Floats, offset: Floats, low: Ints, high: Ints, squares: bool
) -> tuple[Floats, Floats]:
    """Sums over the servers of ranks low <= r < high, per step, of a_r T(t) (W per GPU) and of its square (W^2).

    `template_w` is periodic, `offset` gives each server's start as a fraction of its period. Sums are differences of
    running sums from rank 0, so that a step's figure does not depend on the block it is computed in. The squares are
    zeros unless asked for.
    """
    top, length = int(high.max()), len(template_w)
    total, square = np.empty(len(low)), np.zeros(len(low))
    start = (offset[:top] * length).astype(np.int64) + first_step % length
    rows = max(1, _CELLS_AT_ONCE // max(top, 1))
    if length == 1:
        running = _running(template_w[0] * amplitude[None, :top])[0]
        total = running[high] - running[low]
        if squares:
            running = _running((template_w[0] * amplitude[None, :top]) ** 2)[0]
            square = running[high] - running[low]
        return total, square
    for begin in range(0, len(low), rows):
        steps = np.arange(begin, min(begin + rows, len(low)))
        each = template_w[(start[None, :] + steps[:, None]) % length] * amplitude[None, :top]
        at = np.arange(len(steps))
        running = _running(each)
        total[steps] = running[at, high[steps]] - running[at, low[steps]]
        if squares:
            running = _running(each * each)
            square[steps] = running[at, high[steps]] - running[at, low[steps]]
    return total, square


def _running(values: Floats) -> Floats:
    """Running sums along the last axis with a leading zero."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
