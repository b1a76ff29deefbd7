"""Power of a fleet of servers as array functions over [step, server] (formulations 2): the arithmetic, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.layout import ServerPool, round_robin_by_phase

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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


def server_power_sum(
    template_w: Floats, first_step: int, n_steps: int, amplitude: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """Sum over servers of a_s T(t) and of its square, per step: shapes (n_steps,), W per GPU and W^2.

    `template_w` is periodic; `offset` gives each server's start as a fraction of the period.
    """
    length = len(template_w)
    if length == 1:
        return (
            np.full(n_steps, template_w[0] * amplitude.sum()),
            np.full(n_steps, template_w[0] ** 2 * (amplitude**2).sum()),
        )
    start = (offset * length).astype(np.int64) + first_step % length
    index = (start[None, :] + np.arange(n_steps)[:, None]) % length
    each = template_w[index] * amplitude[None, :]
    return each.sum(axis=1), np.einsum("ts,ts->t", each, each)


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
    n_steps, n_models = n_servers.shape
    power = np.zeros((n_steps, n_models, 3))
    counts = np.zeros((n_steps, n_models, 3), dtype=np.int64)
    gpus = pool.gpus_per_server
    changes = np.flatnonzero(np.any(n_servers[1:] != n_servers[:-1], axis=1)) + 1
    for begin, end in zip([0, *changes], [*changes, n_steps], strict=True):
        claimed = claim_servers(n_servers[begin], pool)
        counts[begin:end] = claimed
        first_rank = np.zeros(3, dtype=np.int64)
        for model in range(n_models):
            for phase in range(3):
                ranks = slice(first_rank[phase], first_rank[phase] + claimed[model, phase])
                if ranks.start == ranks.stop:
                    continue
                total, square = server_power_sum(
                    templates_w[model],
                    first_step + int(begin),
                    int(end - begin),
                    pool.amplitude[phase][ranks],
                    pool.offset[phase][ranks],
                )
                power[begin:end, model, phase] = gpus * total
                if normal_draws is not None:
                    deviation = noise_fraction * gpus * np.sqrt(square)
                    power[begin:end, model, phase] += deviation * normal_draws[begin:end, model, phase]
            first_rank += claimed[model]
    return power, power.sum(axis=1), counts
