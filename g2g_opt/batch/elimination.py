"""`Elimination`: in which order a network's nodes are eliminated, and the pattern of its factors."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Elimination:
    """Pattern of the factors: `order[i]` is the node eliminated i-th, `place` its inverse.

    `lower_start`, `lower_column` (and `upper_...`) list each row's entries left (and right) of the diagonal, columns
    rising, in elimination order. Rows from `first_moving` on are those that moving elements change: they come last, so
    that scenarios share all factors but those of `moving` entries, between these rows. `split` says where a row's
    entries in moving columns begin, `moving_start` how many of them the moving rows before have.
    """

    order: Ints
    place: Ints
    lower_start: Ints
    lower_column: Ints
    upper_start: Ints
    upper_column: Ints
    first_moving: int
    split: Ints
    moving_start: Ints

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.order)

    @staticmethod
    def of(rows: Ints, columns: Ints, n: int, moving: Ints, *, few_moving: bool = False) -> Elimination:
        """For a matrix with entries at (rows, columns), both ways and the diagonal added, with the nodes `moving`.

        The moving rows are those of `moving` and all that their elimination changes: the fewest entries in all. With
        `few_moving` they are those of `moving` alone: a few more entries in all, but far fewer that move.
        """
        # Sparse matrices are imported where a pattern is made: a process that makes none need not wait for them.
        from scipy.sparse import coo_matrix, csr_matrix

        ones = np.ones(len(rows))
        pattern = csr_matrix(coo_matrix((ones, (rows, columns)), shape=(n, n)))
        pattern = csr_matrix(pattern + pattern.T)
        pattern.data[:] = 1.0
        order, first = _moving_alone_last(pattern, moving) if few_moving else _moving_with_changed_last(pattern, moving)
        place = np.argsort(order)
        lower, upper = _fill(pattern, order, place)
        lower_start, lower_column = _flat(lower)
        split = np.array(
            [start + bisect_left(row, first) for start, row in zip(lower_start.tolist(), lower, strict=False)],
            dtype=np.int64,
        )
        moving_start = np.concatenate([[0], np.cumsum((lower_start[1:] - split)[first:])]).astype(np.int64)
        return Elimination(order, place, lower_start, lower_column, *_flat(upper), first, split, moving_start)


def _moving_alone_last(pattern: csr_matrix, moving: Ints) -> tuple[Ints, int]:
    """An order that ends with `moving`, and where these begin."""
    from scipy.sparse import csr_matrix

    n = pattern.shape[0]
    first = n - len(moving)
    leading = np.setdiff1d(np.arange(n), moving)
    order = np.concatenate([leading[_minimum_degree(pattern[leading][:, leading])], moving])
    # What the leading rows leave between the moving ones decides on the order of these.
    _, upper = _fill(pattern, order, np.argsort(order))
    left = pattern[moving][:, moving].tolil()
    for row in upper[:first]:
        if row and row[0] >= first:
            at = np.array(row) - first
            left[np.ix_(at, at)] = 1.0
    order[first:] = moving[_minimum_degree(csr_matrix(left))]
    return order, first


def _moving_with_changed_last(pattern: csr_matrix, moving: Ints) -> tuple[Ints, int]:
    """A minimum-degree order with `moving` and all rows that follow from them put last, which adds no entry."""
    order = _minimum_degree(pattern)
    place = np.argsort(order)
    _, upper = _fill(pattern, order, place)
    changed = np.zeros(len(order), dtype=np.bool_)
    changed[place[moving]] = True
    for i, row in enumerate(upper):
        if changed[i] and row:
            # The first of them hands the change on to the others.
            changed[row[0]] = True
    return np.concatenate([order[~changed], order[changed]]), int(len(order) - changed.sum())


def _minimum_degree(pattern: csr_matrix) -> Ints:
    """A minimum-degree order of a symmetric pattern."""
    n = pattern.shape[0]
    if n < 2:
        return np.arange(n)
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import splu

    # The figures do not matter for a minimum-degree order; a dominant diagonal keeps the library from pivoting.
    dominant = (eye_array(n) * (4.0 + float(pattern.sum(axis=1).max())) + pattern).tocsc()
    lu = splu(dominant, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.argsort(np.asarray(lu.perm_c, dtype=np.int64))


def _fill(pattern: csr_matrix, order: Ints, place: Ints) -> tuple[list[list[int]], list[list[int]]]:
    """Columns left and right of the diagonal in each row of the factors, rising."""
    n = len(order)
    upper: list[list[int]] = []
    lower: list[list[int]] = [[] for _ in range(n)]
    # Rows whose first entry right of the diagonal is this row: their patterns flow into it.
    children: list[list[int]] = [[] for _ in range(n)]
    for i in range(n):
        row = {int(place[j]) for j in pattern.indices[pattern.indptr[order[i]] : pattern.indptr[order[i] + 1]]}
        for child in children[i]:
            row.update(upper[child])
        right = sorted(j for j in row if j > i)
        upper.append(right)
        if right:
            children[right[0]].append(i)
        for j in right:
            lower[j].append(i)
    return lower, upper


def _flat(rows: list[list[int]]) -> tuple[Ints, Ints]:
    start = np.zeros(len(rows) + 1, dtype=np.int64)
    start[1:] = np.cumsum([len(row) for row in rows])
    return start, np.array([column for row in rows for column in row], dtype=np.int64)
