"""Vector operations of compiled kernels against numpy, and the block factors against a dense solve."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import eliminate_leading, solve_columns
from g2g_opt.compiled.lanes import (
    WIDTH,
    aligned,
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

N_RESULTS = 14


@njit
def every_operation(a: Any, b: Any, c: Any, d: Any, out: Any, x: float, places: Any, place: int) -> bool:
    """All operations on the lanes from `place` on of four arrays, each into a row of `out` (flat)."""
    p, q, r, s = load(a, place), load(b, place), load(c, place), load(d, place)
    store(out, 0 * WIDTH, p + q)
    store(out, 1 * WIDTH, p - q)
    store(out, 2 * WIDTH, p * q)
    store(out, 3 * WIDTH, p / q)
    store(out, 4 * WIDTH, fma(p, q, r))
    store(out, 5 * WIDTH, root(p))
    store(out, 6 * WIDTH, magnitude(p))
    store(out, 7 * WIDTH, lower(p, q))
    store(out, 8 * WIDTH, higher(p, q))
    store(out, 9 * WIDTH, where_less(p, q, r, s))
    store(out, 10 * WIDTH, spread(x))
    store(out, 11 * WIDTH, spread_at(a, place))
    store(out, 12 * WIDTH, spread(float(at(places, 1))))
    store(out, 13 * WIDTH, p)
    return any_less(p, q)


def rounded_once(a: float, b: float, c: float) -> float:
    """a b + c of finite numbers, exact before it is rounded."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def operate(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, place: int = 0) -> tuple[np.ndarray, bool]:
    out = aligned(N_RESULTS, WIDTH)
    less = every_operation(a, b, c, d, out.reshape(-1), 2.5, np.array([3, -7]), place)
    return out, bool(less)


ordinary = st.floats(-1e6, 1e6, allow_subnormal=False)
lanes = st.lists(ordinary, min_size=WIDTH, max_size=WIDTH).map(np.array)


@settings(max_examples=60)
@given(lanes, lanes, lanes, lanes)
def test_operations_are_those_of_numpy_lane_by_lane(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    out, less = operate(a, b, c, d)
    with np.errstate(all="ignore"):
        expected = [
            a + b,
            a - b,
            a * b,
            a / b,
            [rounded_once(*each) for each in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)],
            np.sqrt(a),
            np.abs(a),
            np.minimum(a, b),
            np.maximum(a, b),
            np.where(a < b, c, d),
            np.full(WIDTH, 2.5),
            np.full(WIDTH, a[0]),
            np.full(WIDTH, -7.0),
            a,
        ]
    np.testing.assert_array_equal(out, expected)
    assert less == bool((a < b).any())


def test_a_product_and_sum_is_rounded_once() -> None:
    a = np.full(WIDTH, 1.0 + 2.0**-30)
    out, _ = operate(a, a, -a * a, a)
    assert (out[4] == 2.0**-60).all(), "the product was rounded before the sum"


def test_what_is_not_a_number_is_never_less() -> None:
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]
    pairs = [(x, y) for x in special for y in special]
    pairs += [(np.nan, np.nan)] * (-len(pairs) % WIDTH)
    all_a, all_b = np.array(pairs).T
    c, d = np.arange(WIDTH) + 100.0, np.arange(WIDTH) + 200.0
    for first in range(0, len(pairs), WIDTH):
        a, b = all_a[first : first + WIDTH].copy(), all_b[first : first + WIDTH].copy()
        out, less = operate(a, b, c, d)
        np.testing.assert_array_equal(out[7], np.where(a < b, a, b))  # b where either is NaN
        np.testing.assert_array_equal(out[8], np.where(b < a, a, b))
        np.testing.assert_array_equal(out[9], np.where(a < b, c, d))
        assert less == bool((a < b).any())
        np.testing.assert_array_equal(np.signbit(out[6]), np.zeros(WIDTH))
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(out[:4], [a + b, a - b, a * b, a / b])
    for a, b in ((np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan), (1.0, 1.0), (0.0, -0.0)):
        _, less = operate(np.full(WIDTH, a), np.full(WIDTH, b), c, d)
        assert not less


@pytest.mark.parametrize("lane", range(WIDTH))
def test_any_lane_that_is_less_is_noticed(lane: int) -> None:
    a, b = np.ones(WIDTH), np.ones(WIDTH)
    a[lane] = np.nextafter(1.0, 0.0)
    assert operate(a, b, a, b)[1]
    assert not operate(b, a, a, b)[1]
    a[(lane + 1) % WIDTH] = np.nan
    assert operate(a, b, a, b)[1]


def test_lanes_may_begin_anywhere_and_leave_what_lies_beside_them() -> None:
    values = np.arange(3.0 * WIDTH)
    for place in (0, 1, 7, WIDTH, 2 * WIDTH):
        out, _ = operate(values, values + 1, values, values, place)
        np.testing.assert_array_equal(out[13], values[place : place + WIDTH])
        assert out[11, 0] == place
    padded = np.zeros(3 * WIDTH)

    @njit
    def write(out: Any, place: int) -> None:
        store(out, place, spread(1.0))

    write(padded, 5)
    np.testing.assert_array_equal(np.flatnonzero(padded), np.arange(5, 5 + WIDTH))


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4), (0,), (4, 0), (1000,)])
def test_aligned_arrays_are_zeros_that_begin_at_a_cache_line(shape: tuple[int, ...]) -> None:
    for _ in range(5):
        array = aligned(*shape)
        assert array.shape == shape
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.any()
        assert array.size == 0 or array.ctypes.data % 64 == 0


# --- factors


@settings(max_examples=60)
@given(st.integers(1, 25), st.integers(0, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_factors_solve_what_a_dense_solver_solves(n: int, n_entries: int, n_columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Entries of one place add up; the pattern need not be symmetric.
    rows, columns = rng.integers(n, size=(2, n_entries))
    blocks = rng.uniform(-1.0, 1.0, (n_entries, 4))
    node = np.arange(n)
    strength = 2.5 * (1 + np.bincount(rows, minlength=n) + np.bincount(columns, minlength=n))
    own = rng.uniform(-1.0, 1.0, (n, 4)) + strength[:, None] * np.array([1.0, -0.5, 0.5, 1.0])
    rows, columns, blocks = np.append(rows, node), np.append(columns, node), np.vstack([blocks, own])
    dense = np.zeros((n, 2, n, 2))
    np.add.at(dense, (rows, slice(None), columns), blocks.reshape(-1, 2, 2))
    b = rng.normal(size=(n, 2, n_columns))
    expected = np.linalg.solve(dense.reshape(2 * n, 2 * n), b.reshape(2 * n, -1)).reshape(b.shape)

    e = Elimination.of(rows, columns, n, np.zeros(0, dtype=np.int64))
    assert sorted(e.order) == list(range(n))
    np.testing.assert_array_equal(e.place[e.order], node)
    factors = eliminate_leading(e, rows, columns, blocks)
    x = np.ascontiguousarray(b[e.order])
    solve_columns(
        e.lower_start,
        e.lower_column,
        e.upper_start,
        e.upper_column,
        factors.lower,
        factors.upper,
        factors.diagonal,
        x,
    )
    np.testing.assert_allclose(x[e.place], expected, rtol=1e-9, atol=1e-11)


def test_a_pattern_holds_entries_that_elimination_fills_in() -> None:
    # A ring of four: taking any node out joins its two neighbours.
    ring = np.arange(4)
    e = Elimination.of(ring, (ring + 1) % 4, 4, np.zeros(0, dtype=np.int64))
    assert len(e.upper_column) == len(e.lower_column) == 5
    for start, column, side in ((e.lower_start, e.lower_column, -1), (e.upper_start, e.upper_column, 1)):
        for i in range(4):
            row = column[start[i] : start[i + 1]]
            assert (np.diff(row) > 0).all()
            assert ((row - i) * side > 0).all()
