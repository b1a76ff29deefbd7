"""Power of servers over a window of steps, compiled: sums over replayed templates, with noise, as vectors of steps."""

from __future__ import annotations

from typing import Any, NamedTuple

from g2g_opt.batch.fleet_draws_kernel import WINDOW_STEPS
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import WIDTH, load, root, spread, spread_at, store
from g2g_opt.compiled.records import Floats1, Floats2, Floats3, Ints1
from g2g_opt.datacenter.fleet import rank_place


class ServerTable(NamedTuple):
    """Templates (W per GPU, periodic) and pools, one after the other.

    A template that moves goes on for `WINDOW_STEPS` behind its period. Server r of the pool that begins at b has
    `amplitude[b + r]` and `offset[b + r]`; `amplitude_sum[b + r]` and `square_sum[b + r]` are the sums over those
    before it, so pools lie one place apart.
    """

    template_begin: Ints1
    template_length: Ints1
    templates_w: Floats1
    amplitude: Floats1
    offset: Floats1
    amplitude_sum: Floats1
    square_sum: Floats1


class PowerTable(NamedTuple):
    """Power of rows by phase (row, 3, step of the window) and fleets (fleet, 3, ...), W, and latencies (row, ...), s.

    `until` (row,) is the place in the stretch up to which a row's are known, `fleet_until` that of a fleet's. A member
    is a row and a phase, 3 row + phase; those with one template and one pool are a list in `head` (template x pool,; -1
    between steps) and `following`. `running` and `running_square` (rank, step of the window) are room for sums over the
    servers before each, the rest is room, too.
    """

    until: Ints1
    fleet_until: Ints1
    row_w: Floats3
    fleet_w: Floats3
    itl_s: Floats2
    due: Ints1
    head: Ints1
    following: Ints1
    codes: Ints1
    running: Floats2
    running_square: Floats2


@inner
def sum_ranks(servers: ServerTable, p: PowerTable, template: int, pool: int, top: int, now: int) -> None:
    """Running sums of a_r T(t), and of its square, over the first `top` ranks of a pool, in the window from step `now`.

    Every sum is one over the ranks in their order, so that it is the same number whoever else asks.
    """
    length, begin = servers.template_length[template], servers.template_begin[template]
    zero, now = spread(0.0), now % length
    a, b, a_square, b_square = zero, zero, zero, zero
    for first in range(0, WINDOW_STEPS, WIDTH):
        store(p.running, first, zero)
        store(p.running_square, first, zero)
    for r in range(top):
        amplitude = spread_at(servers.amplitude, pool + r)
        place, own = begin + rank_place(servers.offset[pool + r], length, now), WINDOW_STEPS * (r + 1)
        each, next_each = load(servers.templates_w, place), load(servers.templates_w, place + WIDTH)
        each, next_each = each * amplitude, next_each * amplitude
        a, b = a + each, b + next_each
        a_square, b_square = a_square + each * each, b_square + next_each * next_each
        store(p.running, own, a)
        store(p.running, own + WIDTH, b)
        store(p.running_square, own, a_square)
        store(p.running_square, own + WIDTH, b_square)


@inner
def write_moving(p: PowerTable, member: int, low: int, high: int, gpus: int, noise_fraction: float, noise: Any) -> None:
    """Power of a member's servers, ranks low to high, of the sums that `sum_ranks` has left (equation 2.5).

    `noise` are its standard normals (step of the window,).
    """
    own, whole, part = WINDOW_STEPS * member, spread(float(gpus)), spread(noise_fraction * gpus)
    for first in range(0, WINDOW_STEPS, WIDTH):
        up, down = WINDOW_STEPS * high + first, WINDOW_STEPS * low + first
        total = load(p.running, up) - load(p.running, down)
        if noise_fraction > 0.0:
            square = load(p.running_square, up) - load(p.running_square, down)
            store(p.row_w, own + first, whole * total + part * root(square) * load(noise, first))
        else:
            store(p.row_w, own + first, whole * total)


@inner
def write_flat(
    p: PowerTable, member: int, total: float, square: float, gpus: int, noise_fraction: float, noise: Any
) -> None:
    """As `write_moving`, of servers whose sums are the same at every step."""
    own, whole, part = WINDOW_STEPS * member, spread(gpus * total), spread(noise_fraction * gpus)
    for first in range(0, WINDOW_STEPS, WIDTH):
        if noise_fraction > 0.0:
            store(p.row_w, own + first, whole + part * root(spread(square)) * load(noise, first))
        else:
            store(p.row_w, own + first, whole)


@inner
def write_fleet(p: PowerTable, fleet: int, begin: int, end: int, standing_w: Floats2, at: int) -> None:
    """Power of a fleet with rows `begin` to `end`: what stands from `standing_w[fleet, at]` on, and then row by row."""
    row = fleet * standing_w.shape[1] + at
    for phase in range(3):
        for first in range(0, WINDOW_STEPS, WIDTH):
            total = load(standing_w, row + first)
            for r in range(begin, end):
                total = total + load(p.row_w, WINDOW_STEPS * (3 * r + phase) + first)
            store(p.fleet_w, WINDOW_STEPS * (3 * fleet + phase) + first, total)
