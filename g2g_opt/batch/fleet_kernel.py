"""One step of all fleets of a batch, compiled: sums over servers, power, latency and new batch sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleet_draws_kernel import WINDOW_STEPS, DrawTable, draw_few, draw_window
from g2g_opt.batch.server_power_kernel import (
    PowerTable,
    ServerTable,
    sum_ranks,
    write_flat,
    write_fleet,
    write_moving,
)
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, LEFT
from g2g_opt.compiled.records import Bools1, Floats1, Floats2, Ints1, Ints2, reader
from g2g_opt.datacenter.fleet import claim_servers
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


class StretchTable(NamedTuple):
    """Steps laid out ahead: from `span[0]` up to `span[1]`. `standing_w` has `WINDOW_STEPS` more before and behind."""

    span: Ints1
    wanted: Ints2  # (row, step): replicas
    standing_w: Floats2  # (fleet, step), each phase


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
    draws: DrawTable
    powers: PowerTable
    commanded: Ints1
    place: Ints1
    batch: Ints1
    draws_few: Bools1  # latency replica by replica, now
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
    for r in range(begin, end):
        f.powers.until[r] = 0
    f.powers.fleet_until[fleet] = 0
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
def _begin_row(f: FleetStep, r: int, step: int, n_codes: int) -> int:
    """Power of a row's servers in the window of a step where it needs no sums, and its latency; else note its members.

    Returns the number of pairs of template and pool that have members.
    """
    servers, p, claims, d, n_pools = f.servers, f.powers, f.claims, f.draws, len(f.pool_begin)
    stream, window, fraction = d.stream[r], step // WINDOW_STEPS, f.noise_fraction[r]
    if fraction > 0.0:
        draw_window(d.noise, stream, window, d.room, d.ziggurat)
    template = f.sizes.template[f.place[r]]
    for phase in range(3):
        member, count, low = 3 * r + phase, claims.servers[r, phase], claims.low[r, phase]
        if count == 0:
            write_flat(p, member, 0.0, 0.0, f.gpus[r], 0.0, d.room)
        elif servers.template_length[template] == 1:
            a = f.pool_begin[f.pool[r, phase]] + low
            w = servers.templates_w[servers.template_begin[template]]
            total = w * (servers.amplitude_sum[a + count] - servers.amplitude_sum[a])
            square = w * w * (servers.square_sum[a + count] - servers.square_sum[a])
            write_flat(p, member, total, square, f.gpus[r], fraction, _noise_of(f, r, phase))
        else:
            code = template * n_pools + f.pool[r, phase]
            if p.head[code] < 0:
                p.codes[n_codes] = code
                n_codes += 1
            p.following[member] = p.head[code]
            p.head[code] = member
    _begin_latency(f, r, window)
    return n_codes


@inner
def _noise_of(f: FleetStep, r: int, phase: int) -> Any:
    """Normals of a row's servers in the present window; any numbers for one without noise."""
    return f.draws.noise.values[f.draws.stream[r], phase] if f.noise_fraction[r] > 0.0 else f.draws.room


@inner
def _begin_latency(f: FleetStep, r: int, window: int) -> None:
    """A row's latency in a window, but for one that is drawn replica by replica."""
    place, n, d, itl_s = f.place[r], f.claims.replicas[r], f.draws, f.powers.itl_s[r]
    mean_s, variance_s2, mixture = f.sizes.mean_s[place], f.sizes.variance_s2[place], f.sizes.mixture[place]
    f.draws_few[r] = mixture >= 0 and 0 < n <= EXACT_SAMPLING_MAX_REPLICAS
    if f.draws_few[r]:
        return
    if n > 0 and variance_s2 > 0.0:
        draw_window(d.latency, d.stream[r], window, d.room, d.ziggurat)
        normals = d.latency.values[d.stream[r], 0]
        for s in range(WINDOW_STEPS):
            itl_s[s] = clt_itl_s(mean_s, variance_s2, float(n), normals[s])
        return
    for s in range(WINDOW_STEPS):
        itl_s[s] = mean_s if n > 0 else np.nan


@inner
def _sum_members(f: FleetStep, code: int, step: int) -> None:
    """Power of all members of a pair of template and pool in the window of a step."""
    p, claims, n_pools = f.powers, f.claims, len(f.pool_begin)
    top, member = 0, p.head[code]
    while member >= 0:
        r, phase = member // 3, member % 3
        top = max(top, claims.low[r, phase] + claims.servers[r, phase])
        member = p.following[member]
    sum_ranks(f.servers, p, code // n_pools, f.pool_begin[code % n_pools], top, step - step % WINDOW_STEPS)
    member = p.head[code]
    while member >= 0:
        r, phase = member // 3, member % 3
        low = claims.low[r, phase]
        high, noise = low + claims.servers[r, phase], _noise_of(f, r, phase)
        write_moving(p, member, low, high, f.gpus[r], f.noise_fraction[r], noise)
        member = p.following[member]
    p.head[code] = -1


@inner
def _look_ahead(f: FleetStep, k: int, step: int) -> None:
    """Powers and latencies to the end of the window, of what is not known for this step."""
    p, claims = f.powers, f.claims
    n_codes, n_due, place = 0, 0, step % WINDOW_STEPS
    for fleet in range(len(claims.until)):
        if claims.until[fleet] <= k:
            _claim_again(f, fleet, k)
        if p.fleet_until[fleet] > k:
            continue
        p.fleet_until[fleet] = min(k + WINDOW_STEPS - place, claims.until[fleet])
        p.due[n_due] = fleet
        n_due += 1
        for r in range(claims.first_row[fleet], claims.first_row[fleet + 1]):
            if p.until[r] <= k:
                p.until[r] = p.fleet_until[fleet]
                n_codes = _begin_row(f, r, step, n_codes)
    for i in range(n_codes):
        _sum_members(f, p.codes[i], step)
    for i in range(n_due):
        fleet = p.due[i]
        begin, end = claims.first_row[fleet], claims.first_row[fleet + 1]
        write_fleet(p, fleet, begin, end, f.stretch.standing_w, WINDOW_STEPS + k - place)


@inner
def _mean_of_few(f: FleetStep, r: int, step: int, n: int, mixture: int) -> float:
    """Mean latency (s) over a row's n replicas, drawn one by one."""
    m, d, stream = f.sizes.mixtures[mixture], f.draws.few, f.draws.stream[r]
    draw_few(d, stream, step, n, f.draws.ziggurat)
    uniforms, normals = d.uniforms[stream], d.normals[stream]
    total = 0.0
    for i in range(n):
        component = 1 if uniforms[i] < m[0] else 3
        total += np.exp(m[component] + m[component + 1] * normals[i])
    return total / n


@kernel
def advance_fleets(address: int, step: int) -> int:
    """A step, if it is laid out: batch sizes as commanded, power of every fleet, latency of every row."""
    f = _read_step(address)
    if not f.stretch.span[0] <= step < f.stretch.span[1]:
        return IN_PYTHON
    _look_ahead(f, step - f.stretch.span[0], step)
    place = step % WINDOW_STEPS
    for fleet in range(len(f.claims.until)):
        for phase in range(3):
            f.power_w[fleet, phase] = f.powers.fleet_w[fleet, phase, place]
    for r in range(len(f.fleet)):
        f.batch[r] = f.commanded[r]
        if f.draws_few[r]:
            f.itl_s[r] = _mean_of_few(f, r, step, f.claims.replicas[r], f.sizes.mixture[f.place[r]])
        else:
            f.itl_s[r] = f.powers.itl_s[r, place]
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
        f.powers.until[r] = 0
        f.powers.fleet_until[f.fleet[r]] = 0
    return DONE
