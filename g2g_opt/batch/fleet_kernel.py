"""One step of all fleets of a batch, compiled: sums over servers, power, latency and new batch sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, LEFT
from g2g_opt.compiled.records import Bools1, Floats1, Floats2, Floats3, Ints1, Ints2, part, reader
from g2g_opt.datacenter.fleet import claim_servers, rank_place, server_power_w
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
    """Steps laid out ahead: from `span[0]` up to `span[1]`.

    Few replicas draw from `uniforms` and `normals_few` (few_stream, step, replica).
    """

    span: Ints1
    wanted: Ints2  # (row, step): replicas
    standing_w: Floats2  # (step, fleet), each phase
    noise: Floats3  # (step, row, phase)
    latency: Floats2  # (step, row)
    few_stream: Ints1  # (row,)
    uniforms: Floats3
    normals_few: Floats3


class ClaimTable(NamedTuple):
    """What fleets claim of their pools' servers, worked out anew only where the wanted replicas change.

    `until` (fleet,) is the place in the stretch up to which they stay the same.
    """

    first_row: Ints1  # (fleet + 1,)
    pool_servers: Ints2  # (fleet, phase)
    gpus_per_replica: Ints1  # (row,)
    wanted: Ints1  # (row,): those that the claims are for; -1: none yet
    until: Ints1
    servers: Ints2  # (row, phase)
    low: Ints2  # first rank
    replicas: Ints1  # that run
    free: Ints1  # (3,), room


class SumTable(NamedTuple):
    """Sums over servers, worked out for several steps at a time while a row keeps its servers and its template.

    A member is a row and a phase, 3 row + phase. `until` (member,) is the place in the stretch up to which its sums are
    known: in `ahead` (place modulo its length, member) where it `moves`, else as they are in `total` and `square`.
    """

    until: Ints1
    moves: Bools1
    ahead: Floats2
    ahead_square: Floats2
    head: Ints1  # (template x pool,): members of every pair as a list, -1 between steps
    following: Ints1
    codes: Ints1
    running: Floats2  # (rank, place)
    running_square: Floats2


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
    claims: ClaimTable
    sums: SumTable
    commanded: Ints1
    place: Ints1
    batch: Ints1
    total: Floats2
    square: Floats2
    itl_s: Floats1
    power_w: Floats2


_read_step = reader(FleetStep)


@inner
def _claim_again(f: FleetStep, fleet: int, k: int) -> None:
    """Servers of a fleet's rows for what they want in a step, and how long they want it."""
    c, wanted = f.claims, f.stretch.wanted
    begin, end = c.first_row[fleet], c.first_row[fleet + 1]
    changed = False
    for r in range(begin, end):
        changed |= c.wanted[r] != wanted[r, k]
    last = f.stretch.span[1] - f.stretch.span[0]
    for r in range(begin, end):
        until = k + 1
        while until < last and wanted[r, until] == wanted[r, k]:
            until += 1
        last = until
    c.until[fleet] = last
    for member in range(3 * begin, 3 * end):
        f.sums.until[member] = 0
    if not changed:
        return
    for phase in range(3):
        c.free[phase] = c.pool_servers[fleet, phase]
    for r in range(begin, end):
        c.wanted[r] = wanted[r, k]
        n_gpus = c.wanted[r] * c.gpus_per_replica[r]
        n_servers = (n_gpus + f.gpus[r] - 1) // f.gpus[r]
        for phase in range(3):
            c.servers[r, phase] = 0
            c.low[r, phase] = c.pool_servers[fleet, phase] - c.free[phase]
        claim_servers(n_servers, c.free, c.servers[r])
        c.replicas[r] = n_servers * f.gpus[r] // c.gpus_per_replica[r]


@inner
def _sum_servers(f: FleetStep, k: int, step: int) -> None:
    """Sums over servers of a_r T(t), and of its square, into `total` and `square` (row, phase)."""
    servers, sums, claims, n_pools, n_ahead = f.servers, f.sums, f.claims, len(f.pool_begin), f.sums.ahead.shape[0]
    n_codes = 0
    for r in range(len(f.fleet)):
        for phase in range(3):
            member = 3 * r + phase
            if sums.until[member] > k:
                if sums.moves[member]:
                    f.total[r, phase] = sums.ahead[k % n_ahead, member]
                    f.square[r, phase] = sums.ahead_square[k % n_ahead, member]
                continue
            template, count, low = f.sizes.template[f.place[r]], claims.servers[r, phase], claims.low[r, phase]
            sums.until[member], sums.moves[member] = claims.until[f.fleet[r]], False
            f.total[r, phase] = 0.0
            f.square[r, phase] = 0.0
            if count == 0:
                continue
            if servers.template_length[template] == 1:
                a = f.pool_begin[f.pool[r, phase]] + low
                w = servers.templates_w[servers.template_begin[template]]
                f.total[r, phase] = w * (servers.amplitude_sum[a + count] - servers.amplitude_sum[a])
                f.square[r, phase] = w * w * (servers.square_sum[a + count] - servers.square_sum[a])
                continue
            code = template * n_pools + f.pool[r, phase]
            if sums.head[code] < 0:
                sums.codes[n_codes] = code
                n_codes += 1
            sums.following[member] = sums.head[code]
            sums.head[code] = member
    for i in range(n_codes):
        code = sums.codes[i]
        n, top, member = n_ahead, 0, sums.head[code]
        while member >= 0:
            r, phase = member // 3, member % 3
            n = min(n, claims.until[f.fleet[r]] - k)
            top = max(top, claims.low[r, phase] + claims.servers[r, phase])
            member = sums.following[member]
        _run_ahead(f, code // n_pools, f.pool_begin[code % n_pools], top, step, n)
        running, running_square, member = sums.running, sums.running_square, sums.head[code]
        while member >= 0:
            r, phase = member // 3, member % 3
            low = claims.low[r, phase]
            high = low + claims.servers[r, phase]
            sums.until[member], sums.moves[member] = k + n, True
            for s in range(n):
                sums.ahead[(k + s) % n_ahead, member] = running[high, s] - running[low, s]
                sums.ahead_square[(k + s) % n_ahead, member] = running_square[high, s] - running_square[low, s]
            f.total[r, phase] = running[high, 0] - running[low, 0]
            f.square[r, phase] = running_square[high, 0] - running_square[low, 0]
            member = sums.following[member]
        sums.head[code] = -1


@inner
def _run_ahead(f: FleetStep, template: int, pool: int, top: int, step: int, n: int) -> None:
    """Running sums over the first `top` ranks of a pool with one template, for `n` steps from `step` on.

    Every sum is one over the ranks in their order, so that it is the same number however many steps are summed at once.
    """
    servers, running, running_square = f.servers, f.sums.running, f.sums.running_square
    length, begin = servers.template_length[template], servers.template_begin[template]
    now = step % length
    for r in range(top):
        amplitude = servers.amplitude[pool + r]
        place = rank_place(servers.offset[pool + r], length, now)
        before, after = running[r], running[r + 1]
        before_square, after_square = running_square[r], running_square[r + 1]
        first = 0
        while first < n:
            # As far as the template goes before it begins anew.
            last = min(n, first + length - place)
            values = part(servers.templates_w, begin + place - first)
            for s in range(first, last):
                each = values[s] * amplitude
                after[s] = before[s] + each
                after_square[s] = before_square[s] + each * each
            first, place = last, 0


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
def advance_fleets(address: int, step: int) -> int:
    """A step, if it is laid out: batch sizes as commanded, power of every fleet, latency of every row."""
    f = _read_step(address)
    if not f.stretch.span[0] <= step < f.stretch.span[1]:
        return IN_PYTHON
    k = step - f.stretch.span[0]
    for fleet in range(len(f.claims.until)):
        if f.claims.until[fleet] <= k:
            _claim_again(f, fleet, k)
        for phase in range(3):
            f.power_w[fleet, phase] = f.stretch.standing_w[k, fleet]
    _sum_servers(f, k, step)
    for r in range(len(f.fleet)):
        f.batch[r] = f.commanded[r]
        for phase in range(3):
            noise = f.stretch.noise[k, r, phase] if f.noise_fraction[r] > 0.0 else 0.0
            f.power_w[f.fleet[r], phase] += server_power_w(
                f.total[r, phase], f.square[r, phase], f.gpus[r], f.noise_fraction[r], noise
            )
        n, place = f.claims.replicas[r], f.place[r]
        mean_s, variance_s2, mixture = f.sizes.mean_s[place], f.sizes.variance_s2[place], f.sizes.mixture[place]
        if n <= 0:
            f.itl_s[r] = np.nan
        elif mixture >= 0 and n <= EXACT_SAMPLING_MAX_REPLICAS:
            f.itl_s[r] = _mean_of_few(f, r, k, n, mixture)
        elif variance_s2 > 0.0:
            f.itl_s[r] = clt_itl_s(mean_s, variance_s2, float(n), f.stretch.latency[k, r])
        else:
            f.itl_s[r] = mean_s
    return DONE


class SizeCommand(NamedTuple):
    """New batch sizes `sizes` of the first `n` of some `rows`; `refused` is a row without a template for its own.

    The record of the fleets is packed anew with the command, and shares all that is written with theirs.
    """

    fleets: FleetStep
    n: Ints1
    rows: Ints1
    sizes: Ints1
    refused: Ints1


_read_command = reader(SizeCommand)


@kernel
def command_sizes(address: int, step: int) -> int:
    """Command batch sizes from the next step on, up to a row without a template for its size."""
    c = _read_command(address)
    f, rows, sizes = c.fleets, c.rows, c.sizes
    for i in range(c.n[0]):
        r, size = rows[i], sizes[i]
        if f.commanded[r] == size:
            continue
        place = f.sizes.first[r]
        end = place + f.sizes.n_sizes[r]
        while place < end and f.sizes.size[place] != size:
            place += 1
        if place == end:
            c.refused[0] = r
            return LEFT
        f.commanded[r] = size
        f.place[r] = place
        for phase in range(3):
            f.sums.until[3 * r + phase] = 0
    return DONE
