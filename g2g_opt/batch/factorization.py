"""LU factors of a network's real Jacobian in blocks of two by two, one pattern for all tap and capacitor settings.

A complex equation is two real ones, so an entry of the matrix is a real block [[a, b], [c, d]] acting on (re, im).
That costs what a complex product costs, and can hold what no complex number can: how a load's current answers to the
voltage's magnitude (equation 5.1). Rows are eliminated in a minimum-degree order without pivoting; a network's diagonal
blocks carry all that hangs on the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.elimination import Elimination
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Floats2, Floats3, Ints1, pack, reader

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Factors:
    """Blocks (entry, 4) of one matrix, minus signs taken in: y = b + L y, then x = D (y + U x)."""

    lower: Floats
    upper: Floats
    diagonal: Floats


@dataclass(frozen=True, eq=False)
class Leading:
    """The part of the factors that no moving element changes, and what is left of the other rows when it is done.

    `lower`, `upper` and `diagonal` are as in `Factors`, with room for the rest; `reduced_lower` (moving entry, 4),
    `reduced_diagonal` and `reduced_upper` are the moving rows after elimination of all columns before them.
    """

    lower: Floats
    upper: Floats
    diagonal: Floats
    reduced_lower: Floats
    reduced_diagonal: Floats
    reduced_upper: Floats


def eliminate_leading(elimination: Elimination, rows: Ints, columns: Ints, blocks: Floats) -> Leading:
    """`Leading` of the matrix whose blocks (entry, 4) at (rows, columns), in node numbers, add up."""
    e = elimination
    in_order = np.lexsort((e.place[columns], e.place[rows]))
    row = e.place[rows][in_order]
    start = np.searchsorted(row, np.arange(e.n + 1))
    n_moving, first_upper = e.n - e.first_moving, int(e.upper_start[e.first_moving])
    found = Leading(
        np.zeros((len(e.lower_column), 4)),
        np.zeros((len(e.upper_column), 4)),
        np.zeros((e.n, 4)),
        np.zeros((int(e.moving_start[-1]), 4)),
        np.zeros((n_moving, 4)),
        np.zeros((len(e.upper_column) - first_upper, 4)),
    )
    work = np.zeros((e.n, 4))
    system = _RowSystem(
        e.first_moving,
        e.lower_start,
        e.lower_column,
        e.split,
        e.moving_start,
        e.upper_start,
        e.upper_column,
        start,
        e.place[columns][in_order],
        np.ascontiguousarray(blocks[in_order]),
        found.lower,
        found.upper,
        found.diagonal,
        found.reduced_lower,
        found.reduced_diagonal,
        found.reduced_upper,
        work,
    )
    _eliminate_rows(pack(system).words)
    return found


class _RowSystem(NamedTuple):
    """The arguments of `eliminate_rows`, in their order."""

    first: int
    lower_start: Ints1
    lower_column: Ints1
    split: Ints1
    moving_start: Ints1
    upper_start: Ints1
    upper_column: Ints1
    start: Ints1
    column: Ints1
    block: Floats2
    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    reduced_lower: Floats2
    reduced_diagonal: Floats2
    reduced_upper: Floats2
    work: Floats2


_read_rows = reader(_RowSystem)


@kernel
def _eliminate_rows(packed: Ints) -> None:
    s = _read_rows(packed)
    eliminate_rows(
        s.first,
        s.lower_start,
        s.lower_column,
        s.split,
        s.moving_start,
        s.upper_start,
        s.upper_column,
        s.start,
        s.column,
        s.block,
        s.lower,
        s.upper,
        s.diagonal,
        s.reduced_lower,
        s.reduced_diagonal,
        s.reduced_upper,
        s.work,
    )


@inner
def eliminate_rows(
    first: int,
    lower_start: Ints,
    lower_column: Ints,
    split: Ints,
    moving_start: Ints,
    upper_start: Ints,
    upper_column: Ints,
    start: Ints,
    column: Ints,
    block: Floats,
    lower: Floats,
    upper: Floats,
    diagonal: Floats,
    reduced_lower: Floats,
    reduced_diagonal: Floats,
    reduced_upper: Floats,
    work: Floats,
) -> None:
    """Factors of the rows before `first`, and what is left of the others in the `reduced` arrays (see `Leading`).

    `work` (row, 4) is zero before and after.
    """
    n = len(diagonal)
    first_upper = upper_start[first]
    for i in range(n):
        for k in range(start[i], start[i + 1]):
            for q in range(4):
                work[column[k], q] += block[k, q]
        for k in range(lower_start[i], split[i]):
            j = lower_column[k]
            _eliminate(work, j, lower, k, j, diagonal, upper, upper_start, upper_column, 0, 0)
        if i < first:
            _pivot(work, i, diagonal, i)
            for u in range(upper_start[i], upper_start[i + 1]):
                m = upper_column[u]
                for q in range(4):
                    upper[u, q] = -work[m, q]
                    work[m, q] = 0.0
            continue
        r = i - first
        for k in range(moving_start[r], moving_start[r + 1]):
            m = lower_column[split[i] + k - moving_start[r]]
            for q in range(4):
                reduced_lower[k, q] = work[m, q]
                work[m, q] = 0.0
        for q in range(4):
            reduced_diagonal[r, q] = work[i, q]
            work[i, q] = 0.0
        for u in range(upper_start[i], upper_start[i + 1]):
            m = upper_column[u]
            for q in range(4):
                reduced_upper[u - first_upper, q] = work[m, q]
                work[m, q] = 0.0


@inner
def _eliminate(
    work: Floats,
    at: int,
    lower: Floats,
    k: int,
    j: int,
    diagonal: Floats,
    upper: Floats,
    upper_start: Ints,
    upper_column: Ints,
    first: int,
    first_upper: int,
) -> None:
    """Take the entry of row j out of the row in `work`, where it stands at `at`; its factor goes to `lower[k]`.

    `work`, `diagonal` and `upper` begin at row, column and entry `first`, `first` and `first_upper` of the matrix.
    """
    # The row's entry times the inverse of the pivot above it.
    a, b, c, d = work[at, 0], work[at, 1], work[at, 2], work[at, 3]
    p = j - first
    p00, p01, p10, p11 = diagonal[p, 0], diagonal[p, 1], diagonal[p, 2], diagonal[p, 3]
    w00, w01, w10, w11 = a * p00 + b * p10, a * p01 + b * p11, c * p00 + d * p10, c * p01 + d * p11
    lower[k, 0], lower[k, 1], lower[k, 2], lower[k, 3] = -w00, -w01, -w10, -w11
    for q in range(4):
        work[at, q] = 0.0
    for u in range(upper_start[j], upper_start[j + 1]):
        m, v = upper_column[u] - first, u - first_upper
        # `upper` holds minus the entry, so this subtracts.
        work[m, 0] += w00 * upper[v, 0] + w01 * upper[v, 2]
        work[m, 1] += w00 * upper[v, 1] + w01 * upper[v, 3]
        work[m, 2] += w10 * upper[v, 0] + w11 * upper[v, 2]
        work[m, 3] += w10 * upper[v, 1] + w11 * upper[v, 3]


@inner
def _pivot(work: Floats, at: int, diagonal: Floats, i: int) -> None:
    """Write the inverse of the block at `at` to `diagonal[i]`."""
    a, b, c, d = work[at, 0], work[at, 1], work[at, 2], work[at, 3]
    determinant = a * d - b * c
    diagonal[i, 0], diagonal[i, 1] = d / determinant, -b / determinant
    diagonal[i, 2], diagonal[i, 3] = -c / determinant, a / determinant
    for q in range(4):
        work[at, q] = 0.0


class _ColumnSystem(NamedTuple):
    """The arguments of `solve_columns`, in their order."""

    lower_start: Ints1
    lower_column: Ints1
    upper_start: Ints1
    upper_column: Ints1
    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    x: Floats3


_read_columns = reader(_ColumnSystem)


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
    system = _ColumnSystem(lower_start, lower_column, upper_start, upper_column, lower, upper, diagonal, x)
    _solve_columns(pack(system).words)


@kernel
def _solve_columns(packed: Ints) -> None:
    s = _read_columns(packed)
    lower_start, lower_column, upper_start, upper_column = s.lower_start, s.lower_column, s.upper_start, s.upper_column
    lower, upper, diagonal, x = s.lower, s.upper, s.diagonal, s.x
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
