"""Compiled voltage unbalance of a solved chunk: negative over positive sequence and NEMA's, bus by bus.

With d = v1 - v2 and e = v2 - v3, half the sum of the squared line voltages and sqrt(3) times twice the area of their
triangle, |d x e|, add up to the square of one rotation's voltage and differ by that of the other (both times 4.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from g2g_opt.batch.kernel_tables import W
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import at, fma, higher, load, magnitude, root, spread, store

_ROOT_3 = float(np.sqrt(3.0))


@inner
def write_unbalance(x: Any, c: Any, node: Any, out: Any) -> None:
    """Both shares of every bus of a chunk; `node` has three places (times 2 W) for each bus. NaN without voltage."""
    n_slots, flat = len(out.solved), out.unbalance
    n_buses = len(node) // 3
    half, zero, third, three = spread(0.5), spread(0.0), spread(1.0 / 3.0), spread(_ROOT_3)
    for b in range(n_buses):
        one, two, other = at(node, 3 * b), at(node, 3 * b + 1), at(node, 3 * b + 2)
        two_re, two_im = load(x, two), load(x, two + W)
        d_re, d_im = load(x, one) - two_re, load(x, one + W) - two_im
        e_re, e_im = two_re - load(x, other), two_im - load(x, other + W)
        f_re, f_im = d_re + e_re, d_im + e_im
        p, q, r = fma(d_re, d_re, d_im * d_im), fma(e_re, e_re, e_im * e_im), fma(f_re, f_re, f_im * f_im)
        squares = half * (p + q + r)
        area = three * magnitude(fma(d_re, e_im, zero - d_im * e_re))
        negative = root(higher(squares - area, zero) / (squares + area))
        p, q, r = root(p), root(q), root(r)
        mean = third * (p + q + r)
        farthest = higher(magnitude(p - mean), higher(magnitude(q - mean), magnitude(r - mean)))
        place = b * n_slots + c * W
        store(flat, place, negative)
        store(flat, place + n_buses * n_slots, farthest / mean)
