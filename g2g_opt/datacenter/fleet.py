"""Power of a fleet of servers (equations, section 2): the arithmetic, once, for one site and for many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Ints1, Ints2, Ints3, pack, reader
from g2g_opt.datacenter.layout import ServerPool

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Steps that sums over servers are worked out for at a time.
_AHEAD_STEPS = 32


def servers_needed(n_replicas: Ints, gpus_per_replica: Ints, gpus_per_server: int) -> Ints:
    """Whole servers ceil(n_i k_i / g) per [step, model] (equation 2.3)."""
    return -(-(n_replicas * gpus_per_replica) // gpus_per_server)


def active_replicas(n_servers: Ints, gpus_per_replica: Ints, gpus_per_server: Ints | int) -> Ints:
    """Replicas that run on `n_servers` whole servers per [step, model] (equation 2.4): one that is on is filled."""
    return n_servers * gpus_per_server // gpus_per_replica


def claims(n_servers: Ints, pool: ServerPool) -> Ints:
    """Server counts (step, model, 3) for server needs (step, model) (equation 2.3).

    Models claim in the order given (alphabetical), each taking from phase A, B, C, A, ... and passing over a phase that
    is used up (equations, section 2). The caller checks that there are enough.
    """
    claimed = np.zeros((*n_servers.shape, 3), dtype=np.int64)
    by_phase, free = np.array(pool.n_servers_by_phase), np.zeros(3, dtype=np.int64)
    _claim(pack(_Claims(np.ascontiguousarray(n_servers), by_phase, free, claimed)).words)
    return claimed


class _Claims(NamedTuple):
    needed: Ints2
    pool: Ints1
    free: Ints1
    claimed: Ints3


_read_claims = reader(_Claims)


@kernel
def _claim(packed: Ints) -> None:
    t = _read_claims(packed)
    needed, free, claimed = t.needed, t.free, t.claimed
    for step in range(len(needed)):
        same = step > 0
        for model in range(needed.shape[1]):
            same = same and needed[step, model] == needed[step - 1, model]
        for phase in range(3):
            free[phase] = t.pool[phase]
        for model in range(needed.shape[1]):
            if same:
                for phase in range(3):
                    claimed[step, model, phase] = claimed[step - 1, model, phase]
                continue
            claim_servers(needed[step, model], free, claimed[step, model])


@inner
def claim_servers(left: int, free: Any, claimed: Any) -> None:
    """Take `left` servers out of `free` (3,) and add them to `claimed` (3,): as many whole rounds as every phase with a
    server left can give, or the last part of one.
    """
    while left > 0:
        n_open, least = 0, left
        for phase in range(3):
            if free[phase] > 0:
                n_open += 1
                least = min(least, free[phase])
        if n_open == 0:
            break
        rounds = min(left // n_open, least)
        for phase in range(3):
            if free[phase] > 0 and (rounds > 0 or left > 0):
                taken = rounds if rounds > 0 else 1
                free[phase] -= taken
                claimed[phase] += taken
                left -= taken


def first_ranks(servers: Ints) -> Ints:
    """Rank of each model's first server (step, model, 3) for server counts of that shape."""
    return np.asarray(np.cumsum(servers, axis=-2) - servers)


@inner
def server_power_w(total: float, square: float, gpus: int, noise_fraction: float, noise: float) -> float:
    """Power (W) of servers whose GPUs draw `total` W per GPU in all, with squares summing to `square` (equation 2.5).

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
    """Sums over the servers of ranks low <= r < high, per step, of a_r T(t) (W per GPU) and of its square (W^2)
    (equation 2.5).

    `template_w` is periodic, `offset` gives each server's start as a fraction of its period. The squares are zeros
    unless asked for.
    """
    if len(template_w) == 1:
        # What is flat needs no sum over servers at every step.
        w, amplitudes, squared = float(template_w[0]), sums_before(amplitude), sums_before(amplitude * amplitude)
        return w * (amplitudes[high] - amplitudes[low]), w * w * (squared[high] - squared[low]) * float(squares)
    total, square = np.empty(len(low)), np.zeros(len(low))
    # Of one kind each, so that the kernel is compiled once.
    template_w, offset = np.ascontiguousarray(template_w), np.ascontiguousarray(offset)
    low, high = np.ascontiguousarray(low), np.ascontiguousarray(high)
    _ranked_sums(template_w, first_step, amplitude, offset, low, high, squares, total, square)
    return total, square


def sums_before(values: Floats) -> Floats:
    """Sum of all values before each place, and of all of them behind the last."""
    return np.append(0.0, np.cumsum(values))


@inner
def rank_place(offset: float, length: int, now: int) -> int:
    """Place in a periodic template of a server that began at `offset` (share of its period), `now` places later."""
    place = int(offset * length) + now
    return place - length if place >= length else place


@kernel
def _ranked_sums(
    template_w: Floats,
    first_step: int,
    amplitude: Floats,
    offset: Floats,
    low: Ints,
    high: Ints,
    squares: bool,
    total: Floats,
    square: Floats,
) -> None:
    """Sums of a_r T(t) and of its square over ranks low <= r < high, several steps at a time.

    Every sum is a difference of running sums from rank 0, so that it is the same number whoever else asks.
    """
    length, n = len(template_w), len(low)
    shape = len(amplitude) + 1, _AHEAD_STEPS
    running, running_square = np.zeros(shape), np.zeros(shape)
    for begin in range(0, n, _AHEAD_STEPS):
        end, top = min(begin + _AHEAD_STEPS, n), 0
        for k in range(begin, end):
            top = max(top, high[k])
        now = (first_step + begin) % length
        for r in range(top):
            place, first, a = rank_place(offset[r], length, now), 0, amplitude[r]
            before, after = running[r], running[r + 1]
            before_square, after_square = running_square[r], running_square[r + 1]
            while first < end - begin:
                # As far as the template goes before it begins anew.
                last = min(end - begin, first + length - place)
                values = template_w[place : place + last - first]
                for s in range(first, last):
                    each = values[s - first] * a
                    after[s] = before[s] + each
                    after_square[s] = before_square[s] + each * each
                first, place = last, 0
        for k in range(begin, end):
            total[k] = running[high[k], k - begin] - running[low[k], k - begin]
            if squares:
                square[k] = running_square[high[k], k - begin] - running_square[low[k], k - begin]
