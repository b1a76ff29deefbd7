"""The ports of a chunk, compiled: their currents, their Thevenin equations, and how they meet the network.

Where the sixteen scenarios of a chunk have the same port, as in a sweep of sizes at one bus, one Thevenin block serves
all lanes; where they differ every lane reads its own, sixteen times as much memory.
"""

from __future__ import annotations

from typing import Any

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
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import any_less, fma, higher, load, magnitude, root, spread, spread_at, store, where_less

# sqrt(2) - 1, rounded up: max + min times this is never below the root of the squares' sum.
_DIAGONAL = 0.414214


@inner
def length(re: Any, im: Any) -> Any:
    """Just above the length of a complex number, at most 8 % too long; NaN if either part is."""
    a, b = magnitude(re), magnitude(im)
    return fma(spread(_DIAGONAL), a + b, spread(1.0 - _DIAGONAL) * higher(a, b))


@inner
def port_currents(v: Any, current: Any, power: Any, law: Any, n_ports: Any) -> None:
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


@inner
def _couple(v: Any, change: Any, shared: Any, mixed: Any, is_alike: Any, out: Any, n_ports: Any) -> None:
    """out = v - Z change over the ports of a chunk."""
    all_alike = True
    for j in range(n_ports):
        all_alike = all_alike and is_alike[j]
    for j in range(n_ports):
        re, im, re2, im2 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        # A loop of its own for the chunks that most batches have: nothing is asked within it.
        for k in range(n_ports if all_alike else 0):
            a, b, z = load(change, 2 * W * k), load(change, 2 * W * k + W), 4 * (j * n_ports + k)
            re, re2 = fma(spread_at(shared, z), a, re), fma(spread_at(shared, z + 1), b, re2)
            im, im2 = fma(spread_at(shared, z + 2), a, im), fma(spread_at(shared, z + 3), b, im2)
        for k in range(0 if all_alike else n_ports):
            a, b, z = load(change, 2 * W * k), load(change, 2 * W * k + W), 4 * (j * n_ports + k)
            if is_alike[j] and is_alike[k]:
                re, re2 = fma(spread_at(shared, z), a, re), fma(spread_at(shared, z + 1), b, re2)
                im, im2 = fma(spread_at(shared, z + 2), a, im), fma(spread_at(shared, z + 3), b, im2)
            else:
                z *= W
                re, re2 = fma(load(mixed, z), a, re), fma(load(mixed, z + W), b, re2)
                im, im2 = fma(load(mixed, z + 2 * W), a, im), fma(load(mixed, z + 3 * W), b, im2)
        store(out, 2 * W * j, load(v, 2 * W * j) - (re + re2))
        store(out, 2 * W * j + W, load(v, 2 * W * j + W) - (im + im2))


@inner
def _settle(v: Any, used: Any, power: Any, law: Any, ports: Any, c: Any, done: Any, work: Any) -> None:
    n_ports = len(used) // (2 * W)
    change, trial_v, current = work.change, work.trial_v, work.current
    port_currents(v, current, power, law, n_ports)
    for place in range(0, 2 * W * n_ports, W):
        store(change, place, load(current, place) - load(used, place))
    shared, mixed = ports.shared_blocks[ports.shared_of_chunk[c]], ports.mixed_blocks[ports.mixed_of_chunk[c]]
    _couple(v, change, shared, mixed, ports.is_alike[c], trial_v, n_ports)
    # One round: a second one costs more than the network solves that it spares.
    port_currents(trial_v, current, power, law, n_ports)
    half = spread(0.5)
    for place in range(0, 2 * W * n_ports, W):
        store(used, place, where_less(done, half, load(current, place), load(used, place)))


@inner
def settle_ports(v: Any, used: Any, power: Any, law: Any, ports: Any, c: Any, done: Any, work: Any) -> None:
    """Currents `used` for `power` if the rest of the network answers linearly, in the lanes where `done` < 0.5
    (equation 5.7).

    That costs the square of the number of ports. Lanes of many take the currents at the voltages as they are, and the
    network's next solution answers them.
    """
    n_many, many = ports.n_many[c], load(ports.many[c], 0)
    if n_many < W:
        _settle(v, used, power, law, ports, c, higher(done, many), work)
    if n_many > 0:
        half, left = spread(0.5), higher(done, spread(1.0) - many)
        port_currents(v, work.current, power, law, len(used) // (2 * W))
        for place in range(0, len(used), W):
            store(used, place, where_less(left, half, load(work.current, place), load(used, place)))


@inner
def bound_ports(current: Any, used: Any, reach: Any, n_ports: Any, bound_0: Any, bound_1: Any, bound_2: Any) -> Any:
    """Adds to the bounds of the three groups of nodes what a change from `used` to `current` can do."""
    for j in range(n_ports):
        place = 2 * W * j
        change = length(load(current, place) - load(used, place), load(current, place + W) - load(used, place + W))
        bound_0 = fma(load(reach, 3 * W * j), change, bound_0)
        bound_1 = fma(load(reach, 3 * W * j + W), change, bound_1)
        bound_2 = fma(load(reach, 3 * W * j + 2 * W), change, bound_2)
    return bound_0, bound_1, bound_2


@inner
def read_ports(x: Any, begin: Any, end: Any, v: Any, is_alike: Any) -> None:
    """Voltages across the ports of a chunk: a port of all lanes `is_alike`, or is one of its own for each."""
    for j in range(len(begin)):
        if is_alike[j]:
            a, b = 2 * W * begin[j, 0], 2 * W * end[j, 0]
            store(v, 2 * W * j, load(x, a) - load(x, b))
            store(v, 2 * W * j + W, load(x, a + W) - load(x, b + W))
        else:
            for lane in range(W):
                a, b = 2 * W * begin[j, lane] + lane, 2 * W * end[j, lane] + lane
                v[2 * W * j + lane] = x[a] - x[b]
                v[2 * W * j + W + lane] = x[a + W] - x[b + W]


@inner
def write_ports(rhs: Any, begin: Any, end: Any, current: Any, is_alike: Any) -> None:
    """What the ports of a chunk take out of the nodes, into `rhs`."""
    zero = spread(0.0)
    for j in range(len(begin)):
        for ends in (begin, end):
            if is_alike[j]:
                store(rhs, 2 * W * ends[j, 0], zero)
                store(rhs, 2 * W * ends[j, 0] + W, zero)
            else:
                for lane in range(W):
                    rhs[2 * W * ends[j, lane] + lane] = 0.0
                    rhs[2 * W * ends[j, lane] + W + lane] = 0.0
    for j in range(len(begin)):
        place = 2 * W * j
        if is_alike[j]:
            a, b = 2 * W * begin[j, 0], 2 * W * end[j, 0]
            re, im = load(current, place), load(current, place + W)
            store(rhs, a, load(rhs, a) - re)
            store(rhs, a + W, load(rhs, a + W) - im)
            store(rhs, b, load(rhs, b) + re)
            store(rhs, b + W, load(rhs, b + W) + im)
        else:
            for lane in range(W):
                a, b = 2 * W * begin[j, lane] + lane, 2 * W * end[j, lane] + lane
                rhs[a] -= current[place + lane]
                rhs[a + W] -= current[place + W + lane]
                rhs[b] += current[place + lane]
                rhs[b + W] += current[place + W + lane]
