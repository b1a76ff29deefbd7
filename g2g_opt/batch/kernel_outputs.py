"""What the compiled batch power flow tells of a solved chunk: magnitudes, loadings, and who was not served."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.kernel_tables import PORT_COLUMNS, PORT_MAX, PORT_MIN, W
from g2g_opt.batch.load_kernel import beyond_window
from g2g_opt.batch.load_law import CP, MAX_SQUARED, MIN_SQUARED, N_COLUMNS
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import (
    any_less,
    at,
    fma,
    higher,
    load,
    lower,
    magnitude,
    root,
    spread,
    spread_at,
    store,
    where_less,
)

Floats = NDArray[np.float64]

# Rounds in which loads fall out of those that may be on the other side of an edge.
JUMP_ROUNDS = 12
# Farther than any voltage from any edge.
EVERYWHERE_PU = 1e9


def _branch_writer(coefficient: Any, size: int) -> Any:
    """The loading of one branch with one way of handing out admittances."""

    @inner
    def _write_branch(x: Any, c: Any, b: Any, ratings: Any, y: Any, skipped: Any, out: Any) -> None:
        """Largest phase current of a rated branch over its rating, and its phase; entry k lies at k - `skipped`."""
        n_slots, flat, flat_phase = len(out.solved), out.loading_pu, out.loading_phase
        largest, phase = spread(-1.0), spread(0.0)
        for row in range(at(ratings.branch_start, b), at(ratings.branch_start, b + 1)):
            re, im, re2, im2 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
            for k in range(at(ratings.row_start, row), at(ratings.row_start, row + 1)):
                place, own = at(ratings.node, k), 2 * size * (k - skipped)
                g, s = coefficient(y, own), coefficient(y, own + size)
                v_re, v_im = load(x, place), load(x, place + W)
                re, re2 = fma(g, v_re, re), fma(s, v_im, re2)
                im, im2 = fma(g, v_im, im), fma(s, v_re, im2)
            re, im = re - re2, im + im2
            square = fma(re, re, im * im)
            phase = where_less(largest, square, spread_at(ratings.phase, row), phase)
            largest = where_less(largest, square, square, largest)
        store(flat, b * n_slots + c * W, root(largest) * spread_at(ratings.inverse_rating, b))
        store(flat_phase, b * n_slots + c * W, phase)

    return _write_branch


# One admittance for all sixteen lanes, or one for each.
_write_branch_shared, _write_branch_each = _branch_writer(spread_at, 1), _branch_writer(load, W)


@inner
def write_loadings(x: Any, c: Any, ratings: Any, which: Any, out: Any) -> None:
    """Loadings of a chunk whose lanes share the setting `which`, or have one each (negative: of the chunk's own)."""
    shared = ratings.shared[max(which, 0)]
    for b in range(len(ratings.inverse_rating)):
        first = at(ratings.branch_start, b)
        if which < 0 and ratings.first_moving[b] >= 0:
            skipped = at(ratings.row_start, first) - ratings.first_moving[b]
            _write_branch_each(x, c, b, ratings, ratings.mixed[-which - 1], skipped, out)
        else:
            _write_branch_shared(x, c, b, ratings, shared, 0, out)


@inner
def write_out(x: Any, c: Any, p: Any, done: Any, rounds: Any, out: Any) -> None:
    """Magnitudes of a chunk's voltages, which lanes converged, and phasors where they are wanted."""
    first = c * W
    n_slots = len(out.solved)
    flat = out.voltage_pu
    for i in range(len(p.output)):
        other = at(p.reference, i)
        re, im = load(x, 2 * W * i) - load(x, other), load(x, 2 * W * i + W) - load(x, other + W)
        store(flat, at(p.output, i) * n_slots + first, root(fma(re, re, im * im)) * spread_at(p.inverse_base, i))
    sensed = out.sensed_v
    for i in range(len(out.sensed_place)):
        place = at(out.sensed_place, i)
        store(sensed, 2 * i * n_slots + first, load(x, place))
        store(sensed, (2 * i + 1) * n_slots + first, load(x, place + W))
    for lane in range(W):
        out.solved[first + lane] = done[lane] > 0.5
        out.iterations[first + lane] = rounds[lane]
    if len(out.phasors):
        for i in range(len(p.output)):
            for lane in range(W):
                out.phasors[p.output[i], first + lane] = complex(x[2 * W * i + lane], x[2 * W * i + W + lane])


@inner
def watch_ports(v: Any, power: Any, law: Any, c: Any, n_ports: Any, out: Any) -> None:
    """Which scenarios have a port that draws power outside its window."""
    for lane in range(c * W, (c + 1) * W):
        out.outside[lane] = False
    for j in range(n_ports):
        place, own = 2 * W * j, PORT_COLUMNS * W * j
        re, im = load(v, place), load(v, place + W)
        square = fma(re, re, im * im)
        if any_less(square, load(law, own + PORT_MIN * W)) or any_less(load(law, own + PORT_MAX * W), square):
            for lane in range(W):
                re_v, im_v = v[place + lane], v[place + W + lane]
                m2 = re_v * re_v + im_v * im_v
                inside = m2 >= law[own + PORT_MIN * W + lane] and m2 <= law[own + PORT_MAX * W + lane]
                draws = power[place + lane] != 0.0 or power[place + W + lane] != 0.0
                out.outside[c * W + lane] |= draws and not inside


@inner
def _note_unserved(square: Any, least: Any, most: Any, c: Any, b: Any, loads: Any, out: Any) -> None:
    """What a constant-power load gets of its power, where its voltage is outside its window and it is farthest off."""
    law, one, first = N_COLUMNS * b, spread(1.0), c * W
    c_re, c_im = spread_at(loads.law, law + CP), spread_at(loads.law, law + CP + 1)
    inverse = one / square
    g_re, g_im = beyond_window(square, inverse, least, most, loads.law, law, c_re * inverse, c_im * inverse)
    # |I| |v| over |S|; the law's constant-power coefficient is conj(S).
    share = square * root(fma(g_re, g_re, g_im * g_im) / fma(c_re, c_re, c_im * c_im))
    share = where_less(square, least, share, where_less(most, square, share, one))
    known = load(out.own_share, first)
    off, farthest = magnitude(share - one), magnitude(known - one)
    volts = root(square) * spread_at(loads.inverse_base, b)
    store(out.own_share, first, where_less(farthest, off, share, known))
    store(out.own_load, first, where_less(farthest, off, spread(float(b)), load(out.own_load, first)))
    store(out.own_voltage_pu, first, where_less(farthest, off, volts, load(out.own_voltage_pu, first)))


@inner
def _watch_jumps(x: Any, c: Any, loads: Any, share: Any, out: Any) -> None:
    """How far (pu) the jumps of all loads that are within this distance of their windows' edges reach together.

    In another solution loads would be on the other side of their edges, and that, together, would keep them there. The
    distance begins at the reach of all and shrinks as loads fall out; what is left bounds how far such a solution is.
    """
    nothing, one = spread(0.0), spread(1.0)
    reach = spread(EVERYWHERE_PU)
    for _ in range(JUMP_ROUNDS):
        if not any_less(nothing, reach):
            break
        left_0, left_1, left_2, nearest = nothing, nothing, nothing, spread(EVERYWHERE_PU)
        for j in range(len(loads.jump_branch)):
            b = at(loads.jump_branch, j)
            here, back = at(loads.begin, b), at(loads.end, b)
            re, im = load(x, here) - load(x, back), load(x, here + W) - load(x, back + W)
            volts = root(fma(re, re, im * im)) * spread_at(loads.inverse_base, b)
            off = magnitude(volts - spread_at(loads.jump_edge_pu, j))
            nearest = lower(off, nearest)
            own = one
            if loads.varies[b]:
                own = load(share, at(loads.share_place, b))
            own = where_less(off, reach, own, nothing)
            left_0 = fma(own, spread_at(loads.jump_reach_pu, 3 * j), left_0)
            left_1 = fma(own, spread_at(loads.jump_reach_pu, 3 * j + 1), left_1)
            left_2 = fma(own, spread_at(loads.jump_reach_pu, 3 * j + 2), left_2)
        reach = higher(left_0, higher(left_1, left_2))
        # Where not even the nearest edge is within this distance the next round would leave none.
        reach = where_less(nearest, reach, reach, nothing)
    store(out.second_pu, c * W, reach)


@inner
def watch_loads(x: Any, c: Any, loads: Any, share: Any, out: Any) -> None:
    """Which of the circuit's own constant-power loads got something else than their power."""
    _watch_jumps(x, c, loads, share, out)
    store(out.own_share, c * W, spread(1.0))
    for b in range(len(loads.is_special)):
        if not loads.is_watched[b]:
            continue
        law, here, back = N_COLUMNS * b, at(loads.begin, b), at(loads.end, b)
        re, im = load(x, here) - load(x, back), load(x, here + W) - load(x, back + W)
        square = fma(re, re, im * im)
        least, most = spread_at(loads.law, law + MIN_SQUARED), spread_at(loads.law, law + MAX_SQUARED)
        if any_less(square, least) or any_less(most, square):
            _note_unserved(square, least, most, c, b, loads, out)
