"""Power of a fleet of servers (formulations 2): the arithmetic, once, for one site and for many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
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


def claims(n_servers: Ints, pool: ServerPool) -> Ints:
    """Server counts (step, model, 3) for server needs (step, model), worked out once per stretch without change."""
    changes = np.flatnonzero(np.any(n_servers[1:] != n_servers[:-1], axis=1)) + 1
    begins = np.concatenate([[0], changes])
    claimed = np.array([claim_servers(n_servers[begin].tolist(), pool) for begin in begins], dtype=np.int64)
    lengths = np.diff(np.append(begins, len(n_servers)))
    return np.repeat(claimed, lengths, axis=0)


def first_ranks(servers: Ints) -> Ints:
    """Rank of each model's first server (step, model, 3) for server counts of that shape."""
    return np.asarray(np.cumsum(servers, axis=-2) - servers)


@inner
def server_power_w(total: float, square: float, gpus: int, noise_fraction: float, noise: float) -> float:
    """Power (W) of servers whose GPUs draw `total` W per GPU in all, with squares summing to `square`.

    Server noise is drawn as the sum over a phase's servers, which has the same distribution as a draw per server:
    variance sigma^2 sum (g a_s T)^2. `noise` is a standard normal.
    """
    power_w: float = gpus * total + noise_fraction * gpus * np.sqrt(square) * noise
    return power_w


@kernel
def _steps_power_w(
    total: Floats, square: Floats, gpus: int, noise_fraction: float, noise: Floats, power_w: Floats
) -> None:
    """`server_power_w` at many steps."""
    for step in range(len(total)):
        power_w[step] = server_power_w(total[step], square[step], gpus, noise_fraction, noise[step])


@kernel
def fleet_rows_power_w(
    total: Floats,
    square: Floats,
    gpus: Ints,
    noise_fraction: Floats,
    noise: Floats,
    fleet: Ints,
    standing_w: Floats,
    power_w: Floats,
) -> None:
    """Power (fleet, 3) of sites from their models' rows: sums as in `server_power_w` (row, 3) and standing power."""
    for f in range(len(power_w)):
        for phase in range(3):
            power_w[f, phase] = standing_w[f, phase]
    for r in range(len(fleet)):
        for phase in range(3):
            power_w[fleet[r], phase] += server_power_w(
                total[r, phase], square[r, phase], gpus[r], noise_fraction[r], noise[r, phase]
            )


def fleet_power_w(
    templates_w: Sequence[Floats],
    servers: Ints,
    pool: ServerPool,
    first_step: int,
    noise_fraction: float,
    normal_draws: Floats | None,
) -> tuple[Floats, Floats]:
    """Power of all models' servers over a block of steps.

    `templates_w[model]` is the per-GPU template at the model's batch size, `servers` are counts (step, model, 3),
    `normal_draws` (step, model, 3) standard normals or None. Returns power (step, model, 3) in W and its sum over
    models (step, 3).
    """
    first_rank = first_ranks(servers)
    power = np.zeros(servers.shape)
    for model, template_w in enumerate(templates_w):
        for phase in range(3):
            count = servers[:, model, phase]
            if not count.any():
                continue
            low = first_rank[:, model, phase]
            total, square = ranked_power_sum(
                template_w,
                first_step,
                pool.amplitude[phase],
                pool.offset[phase],
                low,
                low + count,
                normal_draws is not None,
            )
            noise = normal_draws[:, model, phase] if normal_draws is not None else np.zeros(len(count))
            _steps_power_w(total, square, pool.gpus_per_server, noise_fraction, noise, power[:, model, phase])
    return power, power.sum(axis=1)


def ranked_power_sum(
    template_w: Floats, first_step: int, amplitude: Floats, offset: Floats, low: Ints, high: Ints, squares: bool
) -> tuple[Floats, Floats]:
    """Sums over the servers of ranks low <= r < high, per step, of a_r T(t) (W per GPU) and of its square (W^2).

    `template_w` is periodic, `offset` gives each server's start as a fraction of its period. The squares are zeros
    unless asked for.
    """
    n = len(low)
    total, square = np.empty(n), np.zeros(n)
    zeros = np.zeros(n, dtype=np.int64)
    ranked_sums(
        np.ascontiguousarray(template_w),
        amplitude,
        offset,
        zeros,
        np.full(n, len(template_w)),
        first_step + np.arange(n),
        zeros,
        np.arange(n + 1),
        np.ascontiguousarray(low),
        np.ascontiguousarray(high),
        squares,
        total,
        square,
    )
    return total, square


@kernel
def ranked_sums(
    templates_w: Floats,
    amplitude: Floats,
    offset: Floats,
    template_begin: Ints,
    template_length: Ints,
    step: Ints,
    pool_begin: Ints,
    member_start: Ints,
    low: Ints,
    high: Ints,
    squares: bool,
    total: Floats,
    square: Floats,
) -> None:
    """Sums of a_r T(t) and of its square over ranks, for groups of members that share template, pool and step.

    Group g replays the template at `templates_w[template_begin[g]:][:template_length[g]]` at `step[g]` on the servers
    from `pool_begin[g]` of `amplitude` and `offset` on. Its members, `member_start[g]` to `member_start[g + 1]`, ask
    for ranks low <= r < high. Every sum is a difference of running sums from rank 0, so that it is the same number
    whoever else asks.
    """
    most = 0
    for m in range(len(high)):
        most = max(most, high[m])
    running, running_square = np.zeros(most + 1), np.zeros(most + 1)
    for g in range(len(step)):
        top = 0
        for m in range(member_start[g], member_start[g + 1]):
            top = max(top, high[m])
        template, length, pool = template_begin[g], template_length[g], pool_begin[g]
        now = step[g] % length
        for r in range(top):
            place = int(offset[pool + r] * length) + now
            if place >= length:
                place -= length
            each = templates_w[template + place] * amplitude[pool + r]
            running[r + 1] = running[r] + each
            if squares:
                running_square[r + 1] = running_square[r] + each * each
        for m in range(member_start[g], member_start[g + 1]):
            total[m] = running[high[m]] - running[low[m]]
            if squares:
                square[m] = running_square[high[m]] - running_square[low[m]]
