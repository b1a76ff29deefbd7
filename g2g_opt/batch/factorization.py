"""LU factors of a network's real Jacobian in blocks of two by two, one pattern for all tap and capacitor settings.

A complex equation is two real ones, so an entry of the matrix is a real block [[a, b], [c, d]] acting on (re, im).
That costs what a complex product costs, and can hold what no complex number can: how a load's current answers to the
voltage's magnitude (equation 5.1). Rows are eliminated in a minimum-degree order without pivoting; a network's diagonal
blocks carry all that hangs on the node.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Floats2, Floats3, Ints1, pack, reader

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
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


class MovingSystem(NamedTuple):
    """The moving rows after elimination of all columns before them, and admittances `y` (entry, 2), S, that
    are added; `lower` (moving entry, 4), `upper` and `diagonal` are written. `work` (row, 4) is zero.
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
    y: Floats2
    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    work: Floats2


_read_moving = reader(MovingSystem)


@kernel
def eliminate_moving(packed: Ints) -> None:
    """Factors of the moving rows of a `MovingSystem`."""
    s = _read_moving(packed)
    first, work, diagonal, upper = s.first, s.work, s.diagonal, s.upper
    upper_start, upper_column = s.upper_start, s.upper_column
    first_upper = upper_start[first]
    for r in range(len(diagonal)):
        i = first + r
        skipped = s.split[i] - s.moving_start[r]
        for k in range(s.moving_start[r], s.moving_start[r + 1]):
            for q in range(4):
                work[s.lower_column[skipped + k] - first, q] = s.reduced_lower[k, q]
        for q in range(4):
            work[r, q] = s.reduced_diagonal[r, q]
        for u in range(upper_start[i], upper_start[i + 1]):
            for q in range(4):
                work[upper_column[u] - first, q] = s.reduced_upper[u - first_upper, q]
        for k in range(s.entry_start[r], s.entry_start[r + 1]):
            re, im, m = s.y[k, 0], s.y[k, 1], s.entry_column[k] - first
            work[m, 0] += re
            work[m, 1] -= im
            work[m, 2] += im
            work[m, 3] += re
        for k in range(s.moving_start[r], s.moving_start[r + 1]):
            j = s.lower_column[skipped + k]
            _eliminate(work, j - first, s.lower, k, j, diagonal, upper, upper_start, upper_column, first, first_upper)
        _pivot(work, r, diagonal, r)
        for u in range(upper_start[i], upper_start[i + 1]):
            m = upper_column[u] - first
            for q in range(4):
                upper[u - first_upper, q] = -work[m, q]
                work[m, q] = 0.0


class _ColumnSystem(NamedTuple):
    """The arguments of `substitute_columns`, in their order."""

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
    substitute_columns(s.lower_start, s.lower_column, s.upper_start, s.upper_column, s.lower, s.upper, s.diagonal, s.x)


@inner
def substitute_columns(
    lower_start: Ints,
    lower_column: Ints,
    upper_start: Ints,
    upper_column: Ints,
    lower: Floats,
    upper: Floats,
    diagonal: Floats,
    x: Floats,
) -> None:
    """`solve_columns` within a kernel."""
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
