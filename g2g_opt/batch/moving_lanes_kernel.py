"""Factors of the rows that taps and banks move, compiled: sixteen lanes at a time, where they lie.

A lane has the same factors to the last bit, whichever of its neighbours move with it; so have scenarios that share one
setting, whose factors are those of a lane (`eliminate_moving`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from g2g_opt.batch.kernel_tables import W
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import load, spread, store, where_less
from g2g_opt.compiled.records import Complexes2, Floats1, Floats2, Ints1, Packed, pack, reader


class MovingSystem(NamedTuple):
    """The moving rows after elimination of all columns before them, and where admittances are added to them: those of
    row r from `entry_start[r]` on, in the columns `entry_column`.
    """

    first: int
    lower_start: Ints1
    lower_column: Ints1
    split: Ints1
    moving_start: Ints1
    upper_start: Ints1
    upper_column: Ints1
    reduced_lower: Floats2
    reduced_diagonal: Floats2
    reduced_upper: Floats2
    entry_start: Ints1
    entry_column: Ints1


class LaneWork(NamedTuple):
    """What is written on the way, flat (.., lane): `monomials` (element, monomial) of the lanes that `moved` (lane,),
    admittances `y` (entry, 2), factors (entry, 4), and a row (place, 4), which is left zero.
    """

    moved: Floats1
    monomials: Floats1
    y: Floats1
    lower: Floats1
    upper: Floats1
    diagonal: Floats1
    row: Floats1


class _AtSetting(NamedTuple):
    """The arguments of `eliminate_moving`."""

    system: MovingSystem
    work: LaneWork


class MovingLanes(NamedTuple):
    """Where the moving entries of lanes go (chunk, entry x 4 x lane), and admittances (chunk, entry x 2 x lane) of the
    `rated` branches among them; of what elements and coefficients (entry, monomial) both are made.
    """

    system: MovingSystem
    element: Ints1
    coefficient: Complexes2
    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    rated_element: Ints1
    rated_coefficient: Complexes2
    rated: Floats2
    work: LaneWork


_read, _read_at_setting = reader(MovingLanes), reader(_AtSetting)


@inner
def nothing_moved(t: MovingLanes) -> None:
    """Begin a chunk in which no lane has moved yet."""
    store(t.work.moved, 0, spread(0.0))


@inner
def _admittance(work: LaneWork, coefficient: Any, entry: int, element: int) -> Any:
    """An entry (S) of all lanes."""
    re, im = spread(0.0), spread(0.0)
    for m in range(coefficient.shape[1]):
        y, weight = coefficient[entry, m], load(work.monomials, (element * coefficient.shape[1] + m) * W)
        re, im = re + spread(y.real) * weight, im + spread(y.imag) * weight
    return re, im


@inner
def write_chunk(t: MovingLanes, c: int) -> None:
    """Put what differs from lane to lane into the tables of a chunk, of the lanes that have moved, at the monomials."""
    work = t.work
    for entry in range(len(t.element)):
        re, im = _admittance(work, t.coefficient, entry, t.element[entry])
        store(work.y, 2 * entry * W, re)
        store(work.y, (2 * entry + 1) * W, im)
    _eliminate(t.system, work)
    _put(t.lower[c], work.lower, work.moved)
    _put(t.upper[c], work.upper, work.moved)
    _put(t.diagonal[c], work.diagonal, work.moved)
    rated, half, moved = t.rated[c], spread(0.5), load(work.moved, 0)
    for entry in range(len(t.rated_element)):
        re, im = _admittance(work, t.rated_coefficient, entry, t.rated_element[entry])
        place = 2 * entry * W
        store(rated, place, where_less(half, moved, re, load(rated, place)))
        store(rated, place + W, where_less(half, moved, im, load(rated, place + W)))


@inner
def _put(table: Any, values: Any, moved: Any) -> None:
    half, is_moved = spread(0.5), load(moved, 0)
    for place in range(0, len(values), W):
        store(table, place, where_less(half, is_moved, load(values, place), load(table, place)))


@inner
def _eliminate(s: MovingSystem, work: LaneWork) -> None:
    first, row, minus, zero = s.first, work.row, spread(-1.0), spread(0.0)
    upper_start, upper_column = s.upper_start, s.upper_column
    first_upper = upper_start[first]
    for r in range(len(s.entry_start) - 1):
        i = first + r
        skipped = s.split[i] - s.moving_start[r]
        for k in range(s.moving_start[r], s.moving_start[r + 1]):
            at = 4 * (s.lower_column[skipped + k] - first)
            for q in range(4):
                store(row, (at + q) * W, spread(s.reduced_lower[k, q]))
        for q in range(4):
            store(row, (4 * r + q) * W, spread(s.reduced_diagonal[r, q]))
        for u in range(upper_start[i], upper_start[i + 1]):
            at = 4 * (upper_column[u] - first)
            for q in range(4):
                store(row, (at + q) * W, spread(s.reduced_upper[u - first_upper, q]))
        for k in range(s.entry_start[r], s.entry_start[r + 1]):
            re, im, at = load(work.y, 2 * k * W), load(work.y, (2 * k + 1) * W), 4 * (s.entry_column[k] - first)
            store(row, at * W, load(row, at * W) + re)
            store(row, (at + 1) * W, load(row, (at + 1) * W) - im)
            store(row, (at + 2) * W, load(row, (at + 2) * W) + im)
            store(row, (at + 3) * W, load(row, (at + 3) * W) + re)
        for k in range(s.moving_start[r], s.moving_start[r + 1]):
            _take_out(s, work, s.lower_column[skipped + k], k, first_upper)
        place = 4 * r * W
        a, b, c, d = load(row, place), load(row, place + W), load(row, place + 2 * W), load(row, place + 3 * W)
        determinant = a * d - b * c
        store(work.diagonal, place, d / determinant)
        store(work.diagonal, place + W, minus * b / determinant)
        store(work.diagonal, place + 2 * W, minus * c / determinant)
        store(work.diagonal, place + 3 * W, a / determinant)
        for q in range(4):
            store(row, place + q * W, zero)
        for u in range(upper_start[i], upper_start[i + 1]):
            at = 4 * (upper_column[u] - first)
            for q in range(4):
                store(work.upper, (4 * (u - first_upper) + q) * W, minus * load(row, (at + q) * W))
                store(row, (at + q) * W, zero)


@inner
def _take_out(s: MovingSystem, work: LaneWork, j: int, k: int, first_upper: int) -> None:
    """Take the entry of row j out of the row; its factor is the moving entry k of `lower`."""
    row, upper, minus, zero = work.row, work.upper, spread(-1.0), spread(0.0)
    p = 4 * (j - s.first) * W
    a, b, c, d = load(row, p), load(row, p + W), load(row, p + 2 * W), load(row, p + 3 * W)
    p00, p01 = load(work.diagonal, p), load(work.diagonal, p + W)
    p10, p11 = load(work.diagonal, p + 2 * W), load(work.diagonal, p + 3 * W)
    w00, w01, w10, w11 = a * p00 + b * p10, a * p01 + b * p11, c * p00 + d * p10, c * p01 + d * p11
    own = 4 * k * W
    store(work.lower, own, minus * w00)
    store(work.lower, own + W, minus * w01)
    store(work.lower, own + 2 * W, minus * w10)
    store(work.lower, own + 3 * W, minus * w11)
    for q in range(4):
        store(row, p + q * W, zero)
    for u in range(s.upper_start[j], s.upper_start[j + 1]):
        m, v = 4 * (s.upper_column[u] - s.first) * W, 4 * (u - first_upper) * W
        # `upper` holds minus the entry, so this subtracts.
        u00, u01, u10, u11 = load(upper, v), load(upper, v + W), load(upper, v + 2 * W), load(upper, v + 3 * W)
        store(row, m, load(row, m) + (w00 * u00 + w01 * u10))
        store(row, m + W, load(row, m + W) + (w00 * u01 + w01 * u11))
        store(row, m + 2 * W, load(row, m + 2 * W) + (w10 * u00 + w11 * u10))
        store(row, m + 3 * W, load(row, m + 3 * W) + (w10 * u01 + w11 * u11))


def at_setting(system: MovingSystem, work: LaneWork) -> Packed:
    """What `eliminate_moving` reads."""
    return pack(_AtSetting(system, work))


@kernel
def eliminate_moving(address: int) -> None:
    """Factors of the moving rows at the admittances `y`, of all lanes."""
    t = _read_at_setting(address)
    _eliminate(t.system, t.work)


@kernel
def write_lanes(address: int, slots: Any, monomials: Any) -> None:
    """`write_chunk` of `slots`, rising, at their monomials (slot, element, monomial)."""
    t = _read(address)
    n_elements, n_monomials = monomials.shape[1], monomials.shape[2]
    k = 0
    while k < len(slots):
        c = slots[k] // W
        nothing_moved(t)
        while k < len(slots) and slots[k] // W == c:
            lane = slots[k] % W
            t.work.moved[lane] = 1.0
            for e in range(n_elements):
                for m in range(n_monomials):
                    t.work.monomials[(e * n_monomials + m) * W + lane] = monomials[k, e, m]
            k += 1
        write_chunk(t, c)
