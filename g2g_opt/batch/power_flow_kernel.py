"""The compiled batch power flow: sixteen scenarios at a time through load currents, ports and triangular solves.

One power flow of a chunk of scenarios, in elimination order (see `power_flow` for the method):

    ports   port currents for the new powers, from the Thevenin equivalent of everything else (one cheap round)
    solve   node voltages from sources, load remainders and port currents: y = b + L y, x = D (y + U x)
    hold    vars of generators that hold a voltage, corrected by what is missing there
    judge   load remainders and port currents at these voltages; what their change can move any voltage by, at most
    freeze  lanes in which that is less than the tolerance; the others go round again

A frozen lane keeps the currents it was solved with, so its voltages stay bit for bit the same while its neighbours go
on: a scenario's result does not depend on its chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.held_kernel import keep_held, restore_held
from g2g_opt.batch.kernel_outputs import (
    watch_loads,
    watch_ports,
    write_loadings,
    write_out,
)
from g2g_opt.batch.kernel_tables import CORRECT_HELD, KEEP_LANES, PUT_LANES_BACK, W, read_call
from g2g_opt.batch.load_kernel import follow_shares, load_remainders
from g2g_opt.batch.port_kernel import bound_ports, port_currents, read_ports, settle_ports, write_ports
from g2g_opt.batch.unbalance_kernel import write_unbalance
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import any_less, at, fma, higher, load, spread, spread_at, store, where_less
from g2g_opt.compiled.program import DONE, IN_PYTHON, LEFT, call

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of a lane whose state is a solution that somebody else has found, the bound (pu) has only to tell gross errors,
# whatever the tolerance: rounding in thousands of branches adds up in it.
_GROSS_PU = 1e-3


def _row_solver(coefficient: Any, size: int) -> tuple[Any, Any]:
    """One row forwards and one backwards with one way of handing out factors.

    `coefficient(array, k)` hands out factor k: one for all lanes from (entry, 4), or one each from (entry, 4, lane),
    where `size` is 1 or the number of lanes. Entry k of the pattern lies at k - `skipped` of the array.
    """

    @inner
    def _add_lower(x: Any, p: Any, lower: Any, begin: Any, end: Any, skipped: Any, sums: Any) -> Any:
        re, im, re2, im2 = sums
        for k in range(begin, end):
            place, q = at(p.lower_column, k), 4 * size * (k - skipped)
            a, b = load(x, place), load(x, place + W)
            re, re2 = fma(coefficient(lower, q), a, re), fma(coefficient(lower, q + size), b, re2)
            im, im2 = fma(coefficient(lower, q + 2 * size), a, im), fma(coefficient(lower, q + 3 * size), b, im2)
        return re, im, re2, im2

    @inner
    def _backwards(x: Any, p: Any, i: Any, upper: Any, diagonal: Any, skipped: Any, first: Any) -> None:
        re, im, re2, im2 = load(x, 2 * W * i), load(x, 2 * W * i + W), spread(0.0), spread(0.0)
        for k in range(at(p.upper_start, i), at(p.upper_start, i + 1)):
            place, q = at(p.upper_column, k), 4 * size * (k - skipped)
            a, b = load(x, place), load(x, place + W)
            re, re2 = fma(coefficient(upper, q), a, re), fma(coefficient(upper, q + size), b, re2)
            im, im2 = fma(coefficient(upper, q + 2 * size), a, im), fma(coefficient(upper, q + 3 * size), b, im2)
        re, im = re + re2, im + im2
        q = 4 * size * (i - first)
        store(x, 2 * W * i, fma(coefficient(diagonal, q), re, coefficient(diagonal, q + size) * im))
        store(x, 2 * W * i + W, fma(coefficient(diagonal, q + 2 * size), re, coefficient(diagonal, q + 3 * size) * im))

    return _add_lower, _backwards


# One factor for all sixteen lanes, or one for each.
_add_lower_shared, _backwards_shared = _row_solver(spread_at, 1)
_add_lower_each, _backwards_each = _row_solver(load, W)


@inner
def _substitute(x: Any, rhs: Any, remainder: Any, has_rhs: Any, p: Any, f: Any, which: Any) -> None:
    """Node voltages of one chunk: y = b + L y forwards, x = D (y + U x) backwards.

    Its lanes share the factors `which`; or, where that is negative, all but those of moving entries.
    """
    n, zero, first = len(p.output), spread(0.0), p.first_moving
    lower, upper, diagonal = f.lower[max(which, 0)], f.upper[max(which, 0)], f.diagonal[max(which, 0)]
    own = max(-which - 1, 0)
    for i in range(n):
        re, im = spread_at(p.source, 2 * i), spread_at(p.source, 2 * i + 1)
        if has_rhs[i]:
            re, im = re + load(rhs, 2 * W * i), im + load(rhs, 2 * W * i + W)
        for k in range(at(p.at_start, i), at(p.at_start, i + 1)):
            place, sign = at(p.at_load, k), spread_at(p.at_sign, k)
            re, im = fma(sign, load(remainder, place), re), fma(sign, load(remainder, place + W), im)
        begin, end = at(p.lower_start, i), at(p.lower_start, i + 1)
        sums = re, im, zero, zero
        if which >= 0 or i < first:
            sums = _add_lower_shared(x, p, lower, begin, end, 0, sums)
        else:
            middle = at(p.split, i)
            sums = _add_lower_shared(x, p, lower, begin, middle, 0, sums)
            skipped = middle - at(p.moving_start, i - first)
            sums = _add_lower_each(x, p, f.mixed_lower[own], middle, end, skipped, sums)
        re, im, re2, im2 = sums
        store(x, 2 * W * i, re + re2)
        store(x, 2 * W * i + W, im + im2)
    last = n
    if which < 0:
        last, skipped = first, at(p.upper_start, first)
        for i in range(n - 1, first - 1, -1):
            _backwards_each(x, p, i, f.mixed_upper[own], f.mixed_diagonal[own], skipped, first)
    for i in range(last - 1, -1, -1):
        _backwards_shared(x, p, i, upper, diagonal, 0, 0)


@kernel
def solve_chunks(address: int, step: int) -> int:
    """Power flows of all lanes asked for at `power` (chunk, port, 2, lane), W and var, from and into `state`.

    Something is left where not all of them were solved with every port inside its window.
    """
    asked = read_call(address)
    tables, tolerance_pu, max_iterations, rare = asked.flow, asked.tolerance_pu[0], asked.max_iterations[0], asked.rare
    if asked.begins:
        for c in range(len(tables.state.stubborn)):
            if any_less(spread(0.0), load(tables.state.stubborn, W * c)):
                return IN_PYTHON
            store(tables.work.trusted, W * c, spread(0.0))
    p, loads, ports, ratings, factors = tables.pattern, tables.loads, tables.ports, tables.ratings, tables.factors
    factor_of_chunk, power, load_share, state, work, out = (
        tables.factor_of_chunk,
        tables.power,
        tables.load_share,
        tables.state,
        tables.work,
        tables.out,
    )
    n_ports = ports.begin.shape[1]
    x, rhs, done, rounds = work.x, work.rhs, work.done, work.rounds
    current = work.current
    one, half, zero, tolerance = spread(1.0), spread(0.5), spread(0.0), spread(tolerance_pu)
    for c in range(len(factor_of_chunk)):
        n_asked = 0
        for lane in range(W):
            is_asked = tables.asked[c * W + lane]
            n_asked += is_asked
            work.wanted[lane] = 1.0 if is_asked else 0.0
        if n_asked == 0:
            continue
        if n_asked < W:
            call(rare[KEEP_LANES], address, c)
        begin, end, law = ports.begin[c], ports.end[c], ports.law[c]
        reach, has_rhs, s = ports.reach[c], ports.at_node[c], power[c]
        is_alike = ports.is_alike[c]
        used, v = state.port_a[c], state.port_v[c]
        remainder, fresh = state.remainder[c], work.fresh
        follow_shares(remainder, state.share[c], load_share[c], loads)
        for place in range(0, len(rhs), W):
            store(rhs, place, zero)
        store(done, 0, one - load(work.wanted, 0))
        store(rounds, 0, zero)
        which = factor_of_chunk[c]
        for place in range(0, len(used), W):
            store(work.began_v, place, load(v, place))
            store(work.began_a, place, load(used, place))
        trusted = load(work.trusted, W * c)
        settle_ports(v, used, s, law, ports, c, trusted, work)
        keep_held(load_share[c], tables.held)
        for turn in range(max_iterations):
            write_ports(rhs, begin, end, used, is_alike)
            _substitute(x, rhs, remainder, has_rhs, p, factors, which)
            store(rounds, 0, load(rounds, 0) + one - load(done, 0))
            if rare[CORRECT_HELD] != 0:
                call(rare[CORRECT_HELD], address, c)
            bound_0, bound_1, bound_2 = load_remainders(x, fresh, remainder, loads, load_share[c])
            read_ports(x, begin, end, v, is_alike)
            port_currents(v, current, s, law, n_ports)
            bound_0, bound_1, bound_2 = bound_ports(current, used, reach, n_ports, bound_0, bound_1, bound_2)
            near, allowed = one, where_less(half, trusted, spread(_GROSS_PU), tolerance)
            for bound in (bound_0, bound_1, bound_2):
                near = where_less(bound, allowed, near, zero)
            store(done, 0, higher(near, load(done, 0)))
            if not any_less(load(done, 0), half) or turn + 1 == max_iterations:
                break
            if any_less(half, load(done, 0)):
                for place in range(0, len(fresh), W):
                    store(fresh, place, where_less(load(done, 0), half, load(fresh, place), load(remainder, place)))
            # Those that the flow began from stay where they are.
            remainder, fresh = fresh, work.other if turn == 0 else remainder
            settle_ports(v, used, s, law, ports, c, load(done, 0), work)
        # The next flow starts from the remainders at these voltages; where there are none, from where this one began.
        began = state.remainder[c]
        for place in range(0, len(fresh), W):
            store(began, place, where_less(load(done, 0), half, load(began, place), load(fresh, place)))
        if any_less(load(done, 0), half):
            restore_held(load_share[c], done, tables.held)
            for place in range(0, len(used), W):
                store(v, place, where_less(load(done, 0), half, load(work.began_v, place), load(v, place)))
                store(used, place, where_less(load(done, 0), half, load(work.began_a, place), load(used, place)))
        was, share = state.share[c], load_share[c]
        for place in range(0, len(was), W):
            store(was, place, where_less(half, load(work.wanted, 0), load(share, place), load(was, place)))
        write_out(x, c, p, done, rounds, out)
        watch_ports(v, s, law, c, n_ports, out)
        watch_loads(x, c, loads, load_share[c], out)
        write_loadings(x, c, ratings, which, out)
        if len(tables.bus_nodes):
            write_unbalance(x, c, tables.bus_nodes, out)
        if n_asked < W:
            call(rare[PUT_LANES_BACK], address, c)
    all_well = True
    for slot in range(len(out.solved)):
        all_well = all_well and out.solved[slot] and not (asked.watched[slot] and out.outside[slot])
    return DONE if all_well else LEFT
