"""Rows of a tap problem that no other one implies, against their definition row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from solvers.taps.branching import binding_rows


def _implies(j: int, i: int, slopes: np.ndarray, floor: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Is row i no tighter than row j at every corner of the box?"""
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    return bool(((floor[i] - floor[j] + corners @ (slopes[i] - slopes[j])) >= 0.0).all())


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_bind_are_those_that_no_other_row_implies_and_the_first_of_equal_ones(seed: int) -> None:
    draw = np.random.default_rng(seed)
    n, r = 40, 3
    # Whole numbers, so that no corner rounds and rows are equal now and then.
    slopes = draw.integers(0, 3, (n, r)).astype(float)
    floor = draw.integers(0, 12, n).astype(float)
    low, high = -draw.integers(0, 4, r).astype(float), draw.integers(1, 4, r).astype(float)
    implied = np.array([[j != i and _implies(j, i, slopes, floor, low, high) for j in range(n)] for i in range(n)])
    counts = np.array([any(implied[i, j] and not (implied[j, i] and i < j) for j in range(n)) for i in range(n)])
    assert (binding_rows(slopes, floor, low, high) == ~counts).all()
    assert 0 < (~counts).sum() < n


def test_no_rows_have_none_that_bind() -> None:
    assert binding_rows(np.zeros((0, 2)), np.zeros(0), np.zeros(2), np.ones(2)).shape == (0,)
