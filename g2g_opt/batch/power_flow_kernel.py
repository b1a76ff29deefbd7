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

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from g2g_opt.batch.lanes import (
    WIDTH,
    aligned,
    any_less,
    at,
    fma,
    load,
    magnitude,
    root,
    spread,
    spread_at,
    store,
    where_less,
)
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

W = WIDTH
# Rounds of the port equations per network solve; a fixed number, so that lanes do not depend on each other.
PORT_ROUNDS = 3

# Rows of a port's law (see `load_law`), for one watt: squares of the window's edges, then the impedance pieces.
PORT_MIN, PORT_MAX, PORT_LOW, PORT_BELOW, PORT_AT_0, PORT_SLOPE, PORT_ABOVE = range(7)
PORT_COLUMNS = 7


class Pattern(NamedTuple):
    """Pattern of the factors and who injects where, in elimination order; node n is ground.

    Columns and loads are given by where their lanes begin in a chunk's arrays: 2 W times their number. `at_start`,
    `at_load` and `at_sign` list the load branches at each node, with the sign of what they bring.
    """

    lower_start: Ints
    lower_column: Ints
    upper_start: Ints
    upper_column: Ints
    at_start: Ints
    at_load: Ints
    at_sign: Floats
    source: Floats  # (node, 2), flat, A
    output: Ints  # node's place in OpenDSS's order
    inverse_base: Floats  # 1 / V of a node's base; 0 without one


class Loads(NamedTuple):
    """The circuit's own load branches: ends (times 2 W), laws, Jacobian blocks, reach of one ampere."""

    begin: Ints
    end: Ints
    law: Floats  # (branch, column), flat
    has_current: NDArray[np.bool_]  # is there a constant-current part?
    block: Floats  # (branch, 4), flat, S
    reach: Floats  # pu / A
    is_special: NDArray[np.bool_]  # no three coefficients: evaluated lane by lane
    is_watched: NDArray[np.bool_]  # constant power: is it served?
    inverse_base: Floats  # 1 / V


class Ports(NamedTuple):
    """Where sites, generators, loads and storage are attached, per chunk, port and lane; all ends in elimination order.

    `law` (chunk, port x column x lane) belongs to one watt; `thevenin` (chunk, port x port x 4 x lane) is in V / A.
    """

    begin: Ints
    end: Ints
    law: Floats
    reach: Floats  # (chunk, port, lane), flat
    thevenin: Floats
    at_node: NDArray[np.bool_]  # (chunk, node): does any port inject here?


class Factors(NamedTuple):
    """Factors of all settings (setting, entry, 4), and of chunks whose lanes differ (chunk, entry x 4 x lane)."""

    lower: Floats
    upper: Floats
    diagonal: Floats
    mixed_lower: Floats
    mixed_upper: Floats
    mixed_diagonal: Floats


class Ratings(NamedTuple):
    """Rated branches: rows (phase conductors) of each, entries of each row, as `loadings.Loadings` lays them out."""

    branch_start: Ints
    row_start: Ints
    node: Ints  # times 2 W
    inverse_rating: Floats  # 1 / A
    shared: Floats  # (setting, entry x 2) S
    mixed: Floats  # (chunk, entry x 2 x lane)


class State(NamedTuple):
    """What a chunk carries from flow to flow, flat within the chunk: (branch, 2, lane) and (port, 2, lane)."""

    remainder: Floats  # A
    port_v: Floats
    port_a: Floats


class Workspace(NamedTuple):
    """Arrays of one chunk, flat, that hold nothing between flows; see `workspace`."""

    x: Floats  # (node + 2, 2, lane) V: behind the nodes are ground and one volt
    rhs: Floats
    fresh: Floats  # (branch, 2, lane) A
    open_v: Floats  # (port, 2, lane)
    trial_v: Floats
    current: Floats
    done: Floats  # 1 in lanes that have converged
    rounds: Floats


def workspace(n_nodes: int, n_loads: int, n_ports: int) -> Workspace:
    """Room for one chunk."""
    x = aligned((n_nodes + 2) * 2 * W)
    # A volt across ports that a lane does not have.
    x[2 * W * (n_nodes + 1) : 2 * W * (n_nodes + 1) + W] = 1.0
    by_port = [aligned(n_ports * 2 * W) for _ in range(3)]
    return Workspace(x, aligned(len(x)), aligned(n_loads * 2 * W), *by_port, aligned(W), aligned(W))


class Solutions(NamedTuple):
    """What comes out, [.., scenario slot]: magnitudes (pu), solved or not, network solves it took, phasors if wanted,
    loadings if there are `Ratings`, and how the circuit's own constant-power loads were served.
    """

    voltage_pu: Floats
    solved: NDArray[np.bool_]
    iterations: Floats
    phasors: NDArray[np.complex128]
    loading_pu: Floats  # (branch, slot)
    own_share: Floats  # (slot,): served over asked power of the watched load that is farthest from 1
    own_load: Ints  # (slot,): that load
    own_voltage_pu: Floats  # (slot,): its voltage


@njit(inline="always")
def _substitute(
    x: Any,
    rhs: Any,
    remainder: Any,
    has_rhs: Any,
    p: Any,
    lower: Any,
    upper: Any,
    diagonal: Any,
    coefficient: Any,
    size: Any,
) -> None:
    """Node voltages of one chunk: y = b + L y forwards, x = D (y + U x) backwards.

    `coefficient(array, k)` hands out factor k: one for all lanes from (entry, 4), or one each from (entry, 4, lane),
    where `size` is 1 or the number of lanes.
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
        store(x, 2 * W * i + W, fma(coefficient(diagonal, q + 2 * size), re, coefficient(diagonal, q + 3 * size) * im))


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


@njit(cache=True, error_model="numpy")
def solve_chunks(
    p: Pattern,
    loads: Loads,
    ports: Ports,
    ratings: Ratings,
    factors: Factors,
    factor_of_chunk: Ints,
    power: Floats,
    state: State,
    tolerance_pu: float,
    max_iterations: int,
    work: Workspace,
    out: Solutions,
) -> None:
    """Power flows of all chunks for `power` (chunk, port, 2, lane), W and var, from and into `state`."""
    n_ports = ports.begin.shape[1]
    x, rhs, fresh, done, rounds = work.x, work.rhs, work.fresh, work.done, work.rounds
    open_v, trial_v, current = work.open_v, work.trial_v, work.current
    one, half, zero = spread(1.0), spread(0.5), spread(0.0)
    for c in range(len(factor_of_chunk)):
        begin, end, law = ports.begin[c], ports.end[c], ports.law[c]
        thevenin, has_rhs, s = ports.thevenin[c], ports.at_node[c], power[c]
        used, v, remainder = state.port_a[c], state.port_v[c], state.remainder[c]
        rhs[:] = 0.0
        done[:] = 0.0
        rounds[:] = 0.0
        which = factor_of_chunk[c]
        _port_rounds(v, used, s, law, thevenin, zero, open_v, trial_v, current)
        for _ in range(max_iterations):
            _write_ports(rhs, begin, end, used)
            if which >= 0:
                lower, upper, diagonal = factors.lower[which], factors.upper[which], factors.diagonal[which]
                _substitute(x, rhs, remainder, has_rhs, p, lower, upper, diagonal, spread_at, 1)
            else:
                own = -which - 1
                lower, upper, diagonal = factors.mixed_lower[own], factors.mixed_upper[own], factors.mixed_diagonal[own]
                _substitute(x, rhs, remainder, has_rhs, p, lower, upper, diagonal, load, W)
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
        remainder[:] = fresh
        _write_out(x, c, p, done, rounds, out)
        _watch_loads(x, c, loads, out)
        if len(ratings.inverse_rating):
            if which >= 0:
                _write_loadings(x, c, ratings, ratings.shared[which], spread_at, 1, out)
            else:
                _write_loadings(x, c, ratings, ratings.mixed[-which - 1], load, W, out)


@njit(error_model="numpy")
def _write_out(x: Any, c: Any, p: Any, done: Any, rounds: Any, out: Any) -> None:
    first = c * W
    n_slots = len(out.solved)
    flat = out.voltage_pu.reshape(-1)
    for i in range(len(p.output)):
        re, im = load(x, 2 * W * i), load(x, 2 * W * i + W)
        store(flat, at(p.output, i) * n_slots + first, root(fma(re, re, im * im)) * spread_at(p.inverse_base, i))
    for lane in range(W):
        out.solved[first + lane] = done[lane] > 0.5
        out.iterations[first + lane] = rounds[lane]
    if len(out.phasors):
        for i in range(len(p.output)):
            for lane in range(W):
                out.phasors[p.output[i], first + lane] = complex(x[2 * W * i + lane], x[2 * W * i + W + lane])


@njit(inline="always")
def _write_loadings(x: Any, c: Any, ratings: Any, y: Any, coefficient: Any, size: Any, out: Any) -> None:
    """Largest phase current of every rated branch over its rating."""
    n_slots, flat = len(out.solved), out.loading_pu.reshape(-1)
    for b in range(len(ratings.inverse_rating)):
        largest = spread(0.0)
        for row in range(at(ratings.branch_start, b), at(ratings.branch_start, b + 1)):
            re, im, re2, im2 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
            for k in range(at(ratings.row_start, row), at(ratings.row_start, row + 1)):
                place = at(ratings.node, k)
                g, s = coefficient(y, 2 * size * k), coefficient(y, 2 * size * k + size)
                v_re, v_im = load(x, place), load(x, place + W)
                re, re2 = fma(g, v_re, re), fma(s, v_im, re2)
                im, im2 = fma(g, v_im, im), fma(s, v_re, im2)
            re, im = re - re2, im + im2
            square = fma(re, re, im * im)
            largest = where_less(largest, square, square, largest)
        store(flat, b * n_slots + c * W, root(largest) * spread_at(ratings.inverse_rating, b))


@njit(error_model="numpy")
def _watch_loads(x: Any, c: Any, loads: Any, out: Any) -> None:
    """Which of the circuit's own constant-power loads got something else than their power."""
    for lane in range(W):
        out.own_share[c * W + lane] = 1.0
    for b in range(len(loads.reach)):
        if not loads.is_watched[b]:
            continue
        law, here, back = N_COLUMNS * b, at(loads.begin, b), at(loads.end, b)
        re, im = load(x, here) - load(x, back), load(x, here + W) - load(x, back + W)
        square = fma(re, re, im * im)
        least, most = spread_at(loads.law, law + MIN_SQUARED), spread_at(loads.law, law + MAX_SQUARED)
        if any_less(square, least) or any_less(most, square):
            _note_unserved(x, c, b, loads, out)


@njit(cache=True, error_model="numpy")
def _note_unserved(x: Floats, c: int, b: int, loads: Loads, out: Solutions) -> None:
    law = loads.law[N_COLUMNS * b : N_COLUMNS * (b + 1)]
    here, back = loads.begin[b], loads.end[b]
    for lane in range(W):
        re, im = x[here + lane] - x[back + lane], x[here + W + lane] - x[back + W + lane]
        m = np.sqrt(re * re + im * im)
        g_re, g_im = law_admittance(law, m)
        # |I| |v| over |S|; the law's constant-power coefficient is conj(S).
        served = np.sqrt(g_re * g_re + g_im * g_im) * m * m
        share = served / np.sqrt(law[CP] ** 2 + law[CP + 1] ** 2)
        if abs(share - 1.0) > abs(out.own_share[c * W + lane] - 1.0):
            out.own_share[c * W + lane] = share
            out.own_load[c * W + lane] = b
            out.own_voltage_pu[c * W + lane] = m * loads.inverse_base[b]
