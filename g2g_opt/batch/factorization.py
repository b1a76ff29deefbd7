"""LU factors of a network's real Jacobian in blocks of two by two, one pattern for all tap and capacitor settings.

A complex equation is two real ones, so an entry of the matrix is a real block [[a, b], [c, d]] acting on (re, im).
That costs what a complex product costs, and can hold what no complex number can: how a load's current answers to the
voltage's magnitude (5.1). Rows are eliminated in a minimum-degree order without pivoting; a network's diagonal blocks
carry all that hangs on the node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, eye_array
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Elimination:
    """Pattern of the factors: `order[i]` is the node eliminated i-th, `place` its inverse.

    `lower_start`, `lower_column` (and `upper_...`) list each row's entries left (and right) of the diagonal, columns
    rising, in elimination order.
    """

    order: Ints
    place: Ints
    lower_start: Ints
    lower_column: Ints
    upper_start: Ints
    upper_column: Ints

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.order)

    @staticmethod
    def of(rows: Ints, columns: Ints, n: int) -> Elimination:
        """For a matrix with entries at (rows, columns), both ways and the diagonal added."""
        ones = np.ones(len(rows))
        pattern = csr_matrix(coo_matrix((ones, (rows, columns)), shape=(n, n)))
        pattern = csr_matrix(pattern + pattern.T)
        pattern.data[:] = 1.0
        # The figures do not matter for a minimum-degree order; a dominant diagonal keeps the library from pivoting.
        dominant = (eye_array(n) * (4.0 + float(pattern.sum(axis=1).max())) + pattern).tocsc()
        lu = splu(dominant, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        place = np.asarray(lu.perm_c, dtype=np.int64)
        order = np.argsort(place)
        lower, upper = _fill(pattern, order, place)
        return Elimination(order, place, *_flat(lower), *_flat(upper))


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


@dataclass(frozen=True, eq=False)
class Factors:
    """Blocks (entry, 4) of one matrix, minus signs taken in: y = b + L y, then x = D (y + U x)."""

    lower: Floats
    upper: Floats
    diagonal: Floats


def factorize(elimination: Elimination, rows: Ints, columns: Ints, blocks: Floats) -> Factors:
    """Factors of the matrix whose blocks (entry, 4) at (rows, columns), in node numbers, add up."""
    e = elimination
    in_order = np.lexsort((e.place[columns], e.place[rows]))
    row = e.place[rows][in_order]
    start = np.searchsorted(row, np.arange(e.n + 1))
    lower, upper = np.empty((len(e.lower_column), 4)), np.empty((len(e.upper_column), 4))
    diagonal = np.empty((e.n, 4))
    _factorize(
        e.lower_start,
        e.lower_column,
        e.upper_start,
        e.upper_column,
        start,
        e.place[columns][in_order],
        np.ascontiguousarray(blocks[in_order]),
        lower,
        upper,
        diagonal,
    )
    return Factors(lower, upper, diagonal)


@njit(cache=True)
def _factorize(
    lower_start: Ints,
    lower_column: Ints,
    upper_start: Ints,
    upper_column: Ints,
    start: Ints,
    column: Ints,
    block: Floats,
    lower: Floats,
    upper: Floats,
    diagonal: Floats,
) -> None:
    n = len(diagonal)
    work = np.zeros((n, 4))
    for i in range(n):
        for k in range(start[i], start[i + 1]):
            for q in range(4):
                work[column[k], q] += block[k, q]
        for k in range(lower_start[i], lower_start[i + 1]):
            j = lower_column[k]
            # The row's entry times the inverse of the pivot above it.
            a, b, c, d = work[j, 0], work[j, 1], work[j, 2], work[j, 3]
            p00, p01, p10, p11 = diagonal[j, 0], diagonal[j, 1], diagonal[j, 2], diagonal[j, 3]
            w00, w01, w10, w11 = a * p00 + b * p10, a * p01 + b * p11, c * p00 + d * p10, c * p01 + d * p11
            lower[k, 0], lower[k, 1], lower[k, 2], lower[k, 3] = -w00, -w01, -w10, -w11
            for q in range(4):
                work[j, q] = 0.0
            for u in range(upper_start[j], upper_start[j + 1]):
                m = upper_column[u]
                # `upper` holds minus the entry, so this subtracts.
                work[m, 0] += w00 * upper[u, 0] + w01 * upper[u, 2]
                work[m, 1] += w00 * upper[u, 1] + w01 * upper[u, 3]
                work[m, 2] += w10 * upper[u, 0] + w11 * upper[u, 2]
                work[m, 3] += w10 * upper[u, 1] + w11 * upper[u, 3]
        a, b, c, d = work[i, 0], work[i, 1], work[i, 2], work[i, 3]
        determinant = a * d - b * c
        diagonal[i, 0], diagonal[i, 1] = d / determinant, -b / determinant
        diagonal[i, 2], diagonal[i, 3] = -c / determinant, a / determinant
        for q in range(4):
            work[i, q] = 0.0
        for u in range(upper_start[i], upper_start[i + 1]):
            m = upper_column[u]
            for q in range(4):
                upper[u, q] = -work[m, q]
                work[m, q] = 0.0


@njit(cache=True)
def solve_columns(
    lower_start: Ints,
    lower_column: Ints,
    upper_start: Ints,
    upper_column: Ints,
    lower: Floats,
    upper: Floats,
    diagonal: Floats,
    x: Floats,
) -> None:
    """Solve for many right-hand sides in place: `x` has shape (row, 2, column), rows in elimination order."""
    n, _, width = x.shape
    for i in range(n):
        for k in range(lower_start[i], lower_start[i + 1]):
            j = lower_column[k]
            a, b, c, d = lower[k, 0], lower[k, 1], lower[k, 2], lower[k, 3]
            for q in range(width):
                x[i, 0, q] += a * x[j, 0, q] + b * x[j, 1, q]
                x[i, 1, q] += c * x[j, 0, q] + d * x[j, 1, q]
    for i in range(n - 1, -1, -1):
        for k in range(upper_start[i], upper_start[i + 1]):
            j = upper_column[k]
            a, b, c, d = upper[k, 0], upper[k, 1], upper[k, 2], upper[k, 3]
            for q in range(width):
                x[i, 0, q] += a * x[j, 0, q] + b * x[j, 1, q]
                x[i, 1, q] += c * x[j, 0, q] + d * x[j, 1, q]
        a, b, c, d = diagonal[i, 0], diagonal[i, 1], diagonal[i, 2], diagonal[i, 3]
        for q in range(width):
            re, im = x[i, 0, q], x[i, 1, q]
            x[i, 0, q] = a * re + b * im
            x[i, 1, q] = c * re + d * im
