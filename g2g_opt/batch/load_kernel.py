"""The circuit's own loads, compiled: what sixteen scenarios at a time draw, and what their slopes leave over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.kernel_tables import W
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
    SERIES_DEGREE,
    Y_ABOVE,
    Y_BELOW,
    law_admittance,
)
from g2g_opt.batch.port_kernel import length
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import any_less, at, fma, load, root, spread, spread_at, store, where_less
from g2g_opt.compiled.records import part

Floats = NDArray[np.float64]


@inner
def follow_shares(remainder: Any, before: Any, now: Any, loads: Any) -> None:
    """Remainders that belong to shares `before` of the circuit's own loads, at the shares `now` (equation 5.3).

    Loads draw what they would at the circuit's own voltages: the flow that begins here finds out the rest. A lane that
    belongs to none (NaN), as it begins anew, keeps its remainders.
    """
    is_same = True
    for place in range(0, len(now), W):
        was, share = load(before, place), load(now, place)
        is_same = is_same and not any_less(was, share) and not any_less(share, was)
    if is_same:
        return
    nowhere, zero = spread(-np.inf), spread(0.0)
    for b in range(len(loads.varies)):
        if loads.varies[b]:
            place, own = 2 * W * b, at(loads.share_place, b)
            was = load(before, own)
            less = where_less(nowhere, was, was - load(now, own), zero)
            store(remainder, place, fma(less, spread_at(loads.drawn, 2 * b), load(remainder, place)))
            store(remainder, place + W, fma(less, spread_at(loads.drawn, 2 * b + 1), load(remainder, place + W)))


@inner
def load_remainders(x: Any, fresh: Any, used: Any, loads: Any, share: Any) -> Any:
    """Remainders A v - I(v) of the circuit's own loads into `fresh`.

    Returns how far their change from `used` can move any node's voltage (pu), for each of three groups of nodes.
    """
    one = spread(1.0)
    bound_0, bound_1, bound_2 = spread(0.0), spread(0.0), spread(0.0)
    for b in range(len(loads.is_special)):
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
        if loads.series_at[b] >= 0:
            g_re, g_im = _in_series(square * root(inverse), loads.series, loads.series_at[b])
        if any_less(square, least) or any_less(most, square):
            g_re, g_im = beyond_window(square, inverse, least, most, loads.law, law, g_re, g_im)
        if loads.varies[b]:
            scale = load(share, at(loads.share_place, b))
            g_re, g_im = g_re * scale, g_im * scale
        a00, a01 = spread_at(loads.block, block), spread_at(loads.block, block + 1)
        a10, a11 = spread_at(loads.block, block + 2), spread_at(loads.block, block + 3)
        out_re = fma(a00 - g_re, re, (a01 + g_im) * im)
        out_im = fma(a10 - g_im, re, (a11 - g_re) * im)
        if loads.is_special[b]:
            own_law, own_block = part(loads.law, law), part(loads.block, block)
            own_share = part(share, loads.share_place[b])
            _special(x, here, back, own_law, own_block, fresh, place, own_share, loads.varies[b])
            out_re, out_im = load(fresh, place), load(fresh, place + W)
        store(fresh, place, out_re)
        store(fresh, place + W, out_im)
        change = length(out_re - load(used, place), out_im - load(used, place + W))
        bound_0 = fma(spread_at(loads.reach, 3 * b), change, bound_0)
        bound_1 = fma(spread_at(loads.reach, 3 * b + 1), change, bound_1)
        bound_2 = fma(spread_at(loads.reach, 3 * b + 2), change, bound_2)
    return bound_0, bound_1, bound_2


@inner
def beyond_window(
    square: Any, inverse: Any, least: Any, most: Any, laws: Any, law: Any, g_re: Any, g_im: Any
) -> tuple[Any, Any]:
    """Admittance of a branch at the voltage whose `square` and its `inverse` are given, `g` where it is inside."""
    per_volt = root(inverse)
    low = spread_at(laws, law + EDGE_LOW)
    y_re, y_im = spread_at(laws, law + Y_BELOW), spread_at(laws, law + Y_BELOW + 1)
    s_re, s_im = spread_at(laws, law + CURRENT_SLOPE), spread_at(laws, law + CURRENT_SLOPE + 1)
    s_re = fma(spread_at(laws, law + CURRENT_AT_0), per_volt, s_re)
    s_im = fma(spread_at(laws, law + CURRENT_AT_0 + 1), per_volt, s_im)
    volts = square * per_volt
    s_re, s_im = where_less(low, volts, s_re, y_re), where_less(low, volts, s_im, y_im)
    g_re, g_im = where_less(square, least, s_re, g_re), where_less(square, least, s_im, g_im)
    g_re = where_less(most, square, spread_at(laws, law + Y_ABOVE), g_re)
    return g_re, where_less(most, square, spread_at(laws, law + Y_ABOVE + 1), g_im)


@inner
def _in_series(volts: Any, series: Any, first: Any) -> Any:
    """Conductance and susceptance of a law that is a Chebyshev series in the voltage (Clenshaw's recurrence)."""
    u = (volts - spread_at(series, first)) * spread_at(series, first + 1)
    twice = u + u
    re, im, re2, im2 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for k in range(SERIES_DEGREE, 0, -1):
        own = first + 2 + k
        re, re2 = fma(twice, re, spread_at(series, own) - re2), re
        im, im2 = fma(twice, im, spread_at(series, own + SERIES_DEGREE + 1) - im2), im
    re = fma(u, re, spread_at(series, first + 2) - re2)
    im = fma(u, im, spread_at(series, first + 2 + SERIES_DEGREE + 1) - im2)
    return re, im


@inner
def _special(
    x: Floats,
    here: int,
    back: int,
    law: Floats,
    block: Floats,
    fresh: Floats,
    place: int,
    share: Floats,
    varies: bool,
) -> None:
    """Remainders of a load branch whose law has no three coefficients, lane by lane."""
    for lane in range(W):
        re, im = x[here + lane] - x[back + lane], x[here + W + lane] - x[back + W + lane]
        g_re, g_im = law_admittance(law, np.sqrt(re * re + im * im))
        if varies:
            g_re, g_im = g_re * share[lane], g_im * share[lane]
        fresh[place + lane] = (block[0] - g_re) * re + (block[1] + g_im) * im
        fresh[place + W + lane] = (block[2] - g_im) * re + (block[3] - g_re) * im
