"""The compiled batch power flow: sixteen scenarios at a time through load currents, ports and triangular solves.

One power flow of a chunk of scenarios, in elimination order (see `power_flow` for the method):

    ports   port currents for the new powers, from the Thevenin equivalent of everything else (a few cheap rounds)
    solve   node voltages from sources, load remainders and port currents: y = b + L y, x = D (y + U x)
    judge   load remainders and port currents at these voltages; what their change can move any voltage by, at most
    freeze  lanes in which that is less than the tolerance; the others go round again

A frozen lane keeps the currents it was solved with, so its voltages stay bit for bit the same while its neighbours go
on: a scenario's result does not depend on its chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from g2g_opt.batch.kernel_bundle import Bundle
from g2g_opt.batch.kernel_outputs import (
    watch_loads,
    watch_ports,
    write_loadings_each,
    write_loadings_shared,
    write_out,
)
from g2g_opt.batch.kernel_tables import (
    PORT_ABOVE,
    PORT_AT_0,
    PORT_BELOW,
    PORT_COLUMNS,
    PORT_LOW,
    PORT_MAX,
    PORT_MIN,
    PORT_SLOPE,
    W,
)
from g2g_opt.batch.lanes import any_less, at, fma, load, magnitude, root, spread, spread_at, store, where_less
from g2g_opt.batch.load_law import (
    CI,
    CP,
    CURRENT_AT_0,
    CURRENT_SLOPE,
    CZ,
    EDGE_LOW,
    MAX_SQUARED,
    MIN_SQUARED,
    N_COLUMNS,
    Y_ABOVE,
    Y_BELOW,
    law_admittance,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rounds of the port equations per network solve; a fixed number, so that lanes do not depend on each other.
PORT_ROUNDS = 2


def _substitution(coefficient: Any, size: int) -> Any:
    """The triangular solves with one way of handing out factors."""

    @njit(error_model="numpy")
    def _substitute(
        x: Any,
        rhs: Any,
        remainder: Any,
        has_rhs: Any,
        p: Any,
        lower: Any,
        upper: Any,
        diagonal: Any,
    ) -> None:
        """Node voltages of one chunk: y = b + L y forwards, x = D (y + U x) backwards.

        `coefficient(array, k)` hands out factor k: one for all lanes from (entry, 4), or one each from
        (entry, 4, lane), where `size` is 1 or the number of lanes.
        """
        n = len(p.output)
        zero = spread(0.0)
        for i in range(n):
            re, im, re2, im2 = spread_at(p.source, 2 * i), spread_at(p.source, 2 * i + 1), zero, zero
            if has_rhs[i]:
                re, im = re + load(rhs, 2 * W * i), im + load(rhs, 2 * W * i + W)
            for k in range(at(p.at_start, i), at(p.at_start, i + 1)):
                place, sign = at(p.at_load, k), spread_at(p.at_sign, k)
                re, im = fma(sign, load(remainder, place), re), fma(sign, load(remainder, place + W), im)
            for k in range(at(p.lower_start, i), at(p.lower_start, i + 1)):
                place, q = at(p.lower_column, k), 4 * size * k
                a, b = load(x, place), load(x, place + W)
                re, re2 = fma(coefficient(lower, q), a, re), fma(coefficient(lower, q + size), b, re2)
                im, im2 = fma(coefficient(lower, q + 2 * size), a, im), fma(coefficient(lower, q + 3 * size), b, im2)
            store(x, 2 * W * i, re + re2)
            store(x, 2 * W * i + W, im + im2)
        for i in range(n - 1, -1, -1):
            re, im, re2, im2 = load(x, 2 * W * i), load(x, 2 * W * i + W), zero, zero
            for k in range(at(p.upper_start, i), at(p.upper_start, i + 1)):
                place, q = at(p.upper_column, k), 4 * size * k
                a, b = load(x, place), load(x, place + W)
                re, re2 = fma(coefficient(upper, q), a, re), fma(coefficient(upper, q + size), b, re2)
                im, im2 = fma(coefficient(upper, q + 2 * size), a, im), fma(coefficient(upper, q + 3 * size), b, im2)
            re, im = re + re2, im + im2
            q = 4 * size * i
            store(x, 2 * W * i, fma(coefficient(diagonal, q), re, coefficient(diagonal, q + size) * im))
            store(
                x, 2 * W * i + W, fma(coefficient(diagonal, q + 2 * size), re, coefficient(diagonal, q + 3 * size) * im)
            )

    return _substitute


@njit(error_model="numpy")
def _load_remainders(x: Any, fresh: Any, used: Any, loads: Any, bound: Any) -> Any:
    """Remainders A v - I(v) of the circuit's own loads into `fresh`; adds to `bound` what their change can do."""
    one = spread(1.0)
    for b in range(len(loads.reach)):
        law, block, place = N_COLUMNS * b, 4 * b, 2 * W * b
        here, back = at(loads.begin, b), at(loads.end, b)
        re, im = load(x, here) - load(x, back), load(x, here + W) - load(x, back + W)
        square = fma(re, re, im * im)
        inverse = one / square
        g_re = fma(spread_at(loads.law, law + CP), inverse, spread_at(loads.law, law + CZ))
        g_im = fma(spread_at(loads.law, law + CP + 1), inverse, spread_at(loads.law, law + CZ + 1))
        if loads.has_current[b]:
            per_volt = root(inverse)
            g_re = fma(spread_at(loads.law, law + CI), per_volt, g_re)
            g_im = fma(spread_at(loads.law, law + CI + 1), per_volt, g_im)
        least, most = spread_at(loads.law, law + MIN_SQUARED), spread_at(loads.law, law + MAX_SQUARED)
        if any_less(square, least) or any_less(most, square):
            per_volt = root(inverse)
            low = spread_at(loads.law, law + EDGE_LOW)
            y_re, y_im = spread_at(loads.law, law + Y_BELOW), spread_at(loads.law, law + Y_BELOW + 1)
            s_re, s_im = spread_at(loads.law, law + CURRENT_SLOPE), spread_at(loads.law, law + CURRENT_SLOPE + 1)
            s_re = fma(spread_at(loads.law, law + CURRENT_AT_0), per_volt, s_re)
            s_im = fma(spread_at(loads.law, law + CURRENT_AT_0 + 1), per_volt, s_im)
            volts = square * per_volt
            s_re, s_im = where_less(low, volts, s_re, y_re), where_less(low, volts, s_im, y_im)
            g_re, g_im = where_less(square, least, s_re, g_re), where_less(square, least, s_im, g_im)
            g_re = where_less(most, square, spread_at(loads.law, law + Y_ABOVE), g_re)
            g_im = where_less(most, square, spread_at(loads.law, law + Y_ABOVE + 1), g_im)
        a00, a01 = spread_at(loads.block, block), spread_at(loads.block, block + 1)
        a10, a11 = spread_at(loads.block, block + 2), spread_at(loads.block, block + 3)
        out_re = fma(a00 - g_re, re, (a01 + g_im) * im)
        out_im = fma(a10 - g_im, re, (a11 - g_re) * im)
        if loads.is_special[b]:
            _special(x, here, back, loads.law[law : law + N_COLUMNS], loads.block[block : block + 4], fresh, place)
            out_re, out_im = load(fresh, place), load(fresh, place + W)
        store(fresh, place, out_re)
        store(fresh, place + W, out_im)
        change = magnitude(out_re - load(used, place)) + magnitude(out_im - load(used, place + W))
        bound = fma(spread_at(loads.reach, b), change, bound)
    return bound


@njit(cache=True, error_model="numpy")
def _special(x: Floats, here: int, back: int, law: Floats, block: Floats, fresh: Floats, place: int) -> None:
    """Remainders of a load branch whose law has no three coefficients, lane by lane."""
    for lane in range(W):
        re, im = x[here + lane] - x[back + lane], x[here + W + lane] - x[back + W + lane]
        g_re, g_im = law_admittance(law, np.sqrt(re * re + im * im))
        fresh[place + lane] = (block[0] - g_re) * re + (block[1] + g_im) * im
        fresh[place + W + lane] = (block[2] - g_im) * re + (block[3] - g_re) * im


@njit(error_model="numpy")
def _port_currents(v: Any, current: Any, power: Any, law: Any, n_ports: Any) -> None:
    """Currents I = conj(S) h(m) v of the ports of a chunk at voltages `v`, all flat (port, 2, lane)."""
    one = spread(1.0)
    for j in range(n_ports):
        place, own = 2 * W * j, PORT_COLUMNS * W * j
        re, im = load(v, place), load(v, place + W)
        square = fma(re, re, im * im)
        h = one / square
        least, most = load(law, own + PORT_MIN * W), load(law, own + PORT_MAX * W)
        if any_less(square, least) or any_less(most, square):
            per_volt = root(h)
            low = load(law, own + PORT_LOW * W)
            below = fma(load(law, own + PORT_AT_0 * W), per_volt, load(law, own + PORT_SLOPE * W))
            below = where_less(low, square * per_volt, below, load(law, own + PORT_BELOW * W))
            h = where_less(square, least, below, h)
            h = where_less(most, square, load(law, own + PORT_ABOVE * W), h)
        p, q = load(power, place) * h, load(power, place + W) * h
        store(current, place, fma(p, re, q * im))
        store(current, place + W, p * im - q * re)


@njit(error_model="numpy")
def _couple(base: Any, current: Any, thevenin: Any, sign: Any, out: Any, n_ports: Any) -> None:
    """out = base + sign Z I over the ports of a chunk."""
    for j in range(n_ports):
        re, im, re2, im2 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        for k in range(n_ports):
            a, b, z = load(current, 2 * W * k), load(current, 2 * W * k + W), 4 * W * (j * n_ports + k)
            re, re2 = fma(load(thevenin, z), a, re), fma(load(thevenin, z + W), b, re2)
            im, im2 = fma(load(thevenin, z + 2 * W), a, im), fma(load(thevenin, z + 3 * W), b, im2)
        store(out, 2 * W * j, fma(spread(sign), re + re2, load(base, 2 * W * j)))
        store(out, 2 * W * j + W, fma(spread(sign), im + im2, load(base, 2 * W * j + W)))


@njit(error_model="numpy")
def _port_rounds(
    v: Any, used: Any, power: Any, law: Any, thevenin: Any, done: Any, open_v: Any, trial_v: Any, current: Any
) -> None:
    """Currents `used` for `power` if the rest of the network answers linearly, in the lanes where `done` < 0.5."""
    n_ports = len(used) // (2 * W)
    _couple(v, used, thevenin, 1.0, open_v, n_ports)
    _port_currents(v, current, power, law, n_ports)
    for _ in range(PORT_ROUNDS):
        _couple(open_v, current, thevenin, -1.0, trial_v, n_ports)
        _port_currents(trial_v, current, power, law, n_ports)
    half = spread(0.5)
    for place in range(0, 2 * W * n_ports, W):
        store(used, place, where_less(done, half, load(current, place), load(used, place)))


@njit(error_model="numpy")
def _read_ports(x: Any, begin: Any, end: Any, v: Any) -> None:
    """Voltages across the ports of a chunk."""
    for j in range(len(begin)):
        for lane in range(W):
            a, b = 2 * W * begin[j, lane] + lane, 2 * W * end[j, lane] + lane
            v[2 * W * j + lane] = x[a] - x[b]
            v[2 * W * j + W + lane] = x[a + W] - x[b + W]


@njit(error_model="numpy")
def _write_ports(rhs: Any, begin: Any, end: Any, current: Any) -> None:
    """What the ports of a chunk take out of the nodes, into `rhs`."""
    for j in range(len(begin)):
        for lane in range(W):
            for ends in (begin, end):
                rhs[2 * W * ends[j, lane] + lane] = 0.0
                rhs[2 * W * ends[j, lane] + W + lane] = 0.0
    for j in range(len(begin)):
        for lane in range(W):
            a, b = 2 * W * begin[j, lane] + lane, 2 * W * end[j, lane] + lane
            rhs[a] -= current[2 * W * j + lane]
            rhs[a + W] -= current[2 * W * j + W + lane]
            rhs[b] += current[2 * W * j + lane]
            rhs[b + W] += current[2 * W * j + W + lane]


# One factor for all sixteen lanes, or one for each.
_substitute_shared, _substitute_each = _substitution(spread_at, 1), _substitution(load, W)


@njit(cache=True, error_model="numpy")
def solve_chunks(tables: Bundle, tolerance_pu: float, max_iterations: int) -> bool:
    """Power flows of all chunks for `power` (chunk, port, 2, lane), W and var, from and into `state`.

    Returns whether all of them were solved with every port inside its window.
    """
    p, loads, ports, ratings, factors = tables.pattern, tables.loads, tables.ports, tables.ratings, tables.factors
    factor_of_chunk, power, state, work, out = (
        tables.factor_of_chunk,
        tables.power,
        tables.state,
        tables.work,
        tables.out,
    )
    n_ports = ports.begin.shape[1]
    x, rhs, fresh, done, rounds = work.x, work.rhs, work.fresh, work.done, work.rounds
    open_v, trial_v, current = work.open_v, work.trial_v, work.current
    one, half, zero = spread(1.0), spread(0.5), spread(0.0)
    for c in range(len(factor_of_chunk)):
        begin, end, law = ports.begin[c], ports.end[c], ports.law[c]
        thevenin, has_rhs, s = ports.thevenin[c], ports.at_node[c], power[c]
        used, v, remainder = state.port_a[c], state.port_v[c], state.remainder[c]
        for place in range(0, len(rhs), W):
            store(rhs, place, zero)
        store(done, 0, zero)
        store(rounds, 0, zero)
        which = factor_of_chunk[c]
        _port_rounds(v, used, s, law, thevenin, zero, open_v, trial_v, current)
        for _ in range(max_iterations):
            _write_ports(rhs, begin, end, used)
            if which >= 0:
                lower, upper, diagonal = factors.lower[which], factors.upper[which], factors.diagonal[which]
                _substitute_shared(x, rhs, remainder, has_rhs, p, lower, upper, diagonal)
            else:
                own = -which - 1
                lower, upper, diagonal = factors.mixed_lower[own], factors.mixed_upper[own], factors.mixed_diagonal[own]
                _substitute_each(x, rhs, remainder, has_rhs, p, lower, upper, diagonal)
            store(rounds, 0, load(rounds, 0) + one - load(done, 0))
            bound = _load_remainders(x, fresh, remainder, loads, zero)
            _read_ports(x, begin, end, v)
            _port_currents(v, current, s, law, n_ports)
            for j in range(n_ports):
                place = 2 * W * j
                change = magnitude(load(current, place) - load(used, place))
                change = change + magnitude(load(current, place + W) - load(used, place + W))
                bound = fma(load(ports.reach[c], W * j), change, bound)
            store(done, 0, where_less(bound, spread(tolerance_pu), one, load(done, 0)))
            if not any_less(load(done, 0), half):
                break
            for place in range(0, len(fresh), W):
                store(remainder, place, where_less(load(done, 0), half, load(fresh, place), load(remainder, place)))
            _port_rounds(v, used, s, law, thevenin, load(done, 0), open_v, trial_v, current)
        # The next flow starts from the remainders at these voltages.
        for place in range(0, len(fresh), W):
            store(remainder, place, load(fresh, place))
        write_out(x, c, p, done, rounds, out)
        watch_ports(v, s, law, c, n_ports, out)
        watch_loads(x, c, loads, out)
        if len(ratings.inverse_rating):
            if which >= 0:
                write_loadings_shared(x, c, ratings, ratings.shared[which], out)
            else:
                write_loadings_each(x, c, ratings, ratings.mixed[-which - 1], out)
    all_well = True
    for slot in range(len(out.solved)):
        all_well = all_well and out.solved[slot] and not out.outside[slot]
    return all_well
