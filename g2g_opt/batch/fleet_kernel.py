"""One step of all fleets of a batch, compiled: sums over servers, power, latency and new batch sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Floats1, Floats2, Floats3, Ints1, Ints2, Ints3, reader
from g2g_opt.datacenter.fleet import rank_place, server_power_w
from g2g_opt.datacenter.observe import clt_itl_s
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS

Ints = NDArray[np.int64]


class SizeTable(NamedTuple):
    """Batch sizes that have a template, those of one row from `first[row]` to `first[row] + n_sizes[row]`, rising.

    `mixture` is a row of `mixtures` (weight, mu_1, sigma_1, mu_2, sigma_2), -1 for a fixed latency or none.
    """

    first: Ints1
    n_sizes: Ints1
    size: Ints1
    template: Ints1
    mean_s: Floats1  # NaN: no latency
    variance_s2: Floats1
    mixture: Ints1
    mixtures: Floats2


class ServerTable(NamedTuple):
    """Templates (W per GPU, periodic) and pools, one after the other.

    Server r of the pool that begins at b has `amplitude[b + r]` and `offset[b + r]`; `amplitude_sum[b + r]` and
    `square_sum[b + r]` are the sums over those before it, so pools lie one place apart.
    """

    template_begin: Ints1
    template_length: Ints1
    templates_w: Floats1
    amplitude: Floats1
    offset: Floats1
    amplitude_sum: Floats1
    square_sum: Floats1


class StretchTable(NamedTuple):
    """Steps laid out ahead. Few replicas draw from `uniforms` and `normals_few` (few_stream, step, replica)."""

    replicas: Ints2  # (step, row)
    servers: Ints3  # (step, row, phase)
    low: Ints3  # first rank
    standing_w: Floats3  # (step, fleet, phase)
    noise: Floats3  # (step, row, phase)
    latency: Floats2  # (step, row)
    few_stream: Ints1  # (row,)
    uniforms: Floats3
    normals_few: Floats3


class SumWork(NamedTuple):
    """Room for sums: members of every (template, pool) pair as a list, and running sums over ranks."""

    head: Ints1  # (template x pool,), -1 between steps
    following: Ints1  # (row x phase,)
    codes: Ints1
    running: Floats1
    running_square: Floats1


class FleetStep(NamedTuple):
    """Rows, what they were commanded, and what `advance_fleets` writes: `batch`, `itl_s`, `power_w` (fleet, 3).

    `pool` (row, 3) are places in `pool_begin`; `place` is each row's commanded size in `SizeTable`.
    """

    fleet: Ints1
    gpus: Ints1
    noise_fraction: Floats1
    pool: Ints2
    pool_begin: Ints1
    sizes: SizeTable
    servers: ServerTable
    stretch: StretchTable
    work: SumWork
    commanded: Ints1
    place: Ints1
    batch: Ints1
    total: Floats2
    square: Floats2
    itl_s: Floats1
    power_w: Floats2


_read_step = reader(FleetStep)


@inner
def _sum_servers(f: FleetStep, k: int, step: int) -> None:
    """Sums over servers of a_r T(t), and of its square, into `total` and `square` (row, phase)."""
    servers, work, n_pools = f.servers, f.work, len(f.pool_begin)
    n_codes = 0
    for r in range(len(f.fleet)):
        template = f.sizes.template[f.place[r]]
        flat = servers.template_length[template] == 1
        for phase in range(3):
            count, low = f.stretch.servers[k, r, phase], f.stretch.low[k, r, phase]
            f.total[r, phase] = 0.0
            f.square[r, phase] = 0.0
            if count == 0:
                continue
            if flat:
                a = f.pool_begin[f.pool[r, phase]] + low
                w = servers.templates_w[servers.template_begin[template]]
                f.total[r, phase] = w * (servers.amplitude_sum[a + count] - servers.amplitude_sum[a])
                f.square[r, phase] = w * w * (servers.square_sum[a + count] - servers.square_sum[a])
                continue
            code = template * n_pools + f.pool[r, phase]
            if work.head[code] < 0:
                work.codes[n_codes] = code
                n_codes += 1
            work.following[3 * r + phase] = work.head[code]
            work.head[code] = 3 * r + phase
    running, running_square = work.running, work.running_square
    for i in range(n_codes):
        code = work.codes[i]
        template, pool = code // n_pools, f.pool_begin[code % n_pools]
        length, begin = servers.template_length[template], servers.template_begin[template]
        top, member = 0, work.head[code]
        while member >= 0:
            r, phase = member // 3, member % 3
            top = max(top, f.stretch.low[k, r, phase] + f.stretch.servers[k, r, phase])
            member = work.following[member]
        now = step % length
        for r in range(top):
            each = servers.templates_w[begin + rank_place(servers.offset[pool + r], length, now)]
            each *= servers.amplitude[pool + r]
            running[r + 1] = running[r] + each
            running_square[r + 1] = running_square[r] + each * each
        member = work.head[code]
        while member >= 0:
            r, phase = member // 3, member % 3
            low = f.stretch.low[k, r, phase]
            high = low + f.stretch.servers[k, r, phase]
            f.total[r, phase] = running[high] - running[low]
            f.square[r, phase] = running_square[high] - running_square[low]
            member = work.following[member]
        work.head[code] = -1


@inner
def _mean_of_few(f: FleetStep, r: int, k: int, n: int, mixture: int) -> float:
    """Mean latency (s) over a row's n replicas, drawn one by one."""
    m, stream = f.sizes.mixtures[mixture], f.stretch.few_stream[r]
    uniforms, normals = f.stretch.uniforms[stream, k], f.stretch.normals_few[stream, k]
    total = 0.0
    for i in range(n):
        first = uniforms[i] < m[0]
        total += np.exp(m[1] + m[2] * normals[i] if first else m[3] + m[4] * normals[i])
    return total / n


@kernel
def advance_fleets(packed: Ints, k: int, step: int) -> None:
    """A step, the k-th of its stretch: batch sizes as commanded, power of every fleet, latency of every row."""
    f = _read_step(packed)
    for r in range(len(f.fleet)):
        f.batch[r] = f.commanded[r]
    _sum_servers(f, k, step)
    for fleet in range(f.power_w.shape[0]):
        for phase in range(3):
            f.power_w[fleet, phase] = f.stretch.standing_w[k, fleet, phase]
    for r in range(len(f.fleet)):
        for phase in range(3):
            f.power_w[f.fleet[r], phase] += server_power_w(
                f.total[r, phase], f.square[r, phase], f.gpus[r], f.noise_fraction[r], f.stretch.noise[k, r, phase]
            )
        n, place = f.stretch.replicas[k, r], f.place[r]
        mean_s, variance_s2, mixture = f.sizes.mean_s[place], f.sizes.variance_s2[place], f.sizes.mixture[place]
        if n <= 0:
            f.itl_s[r] = np.nan
        elif mixture >= 0 and n <= EXACT_SAMPLING_MAX_REPLICAS:
            f.itl_s[r] = _mean_of_few(f, r, k, n, mixture)
        elif variance_s2 > 0.0:
            f.itl_s[r] = clt_itl_s(mean_s, variance_s2, float(n), f.stretch.latency[k, r])
        else:
            f.itl_s[r] = mean_s


@kernel
def command_sizes(packed: Ints, rows: Ints, sizes: Ints) -> int:
    """New batch sizes of some rows from the next step on; the first row without a template for its size, or -1."""
    f = _read_step(packed)
    for i in range(len(rows)):
        r, size = rows[i], sizes[i]
        if f.commanded[r] == size:
            continue
        place = f.sizes.first[r]
        end = place + f.sizes.n_sizes[r]
        while place < end and f.sizes.size[place] != size:
            place += 1
        if place == end:
            return int(r)
        f.commanded[r] = size
        f.place[r] = place
    return -1
