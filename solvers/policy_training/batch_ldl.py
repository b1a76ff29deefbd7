"""L D L' of many sparse symmetric matrices of one pattern at once: an entry is an array over the matrices.

Pivots are taken in one order that is found once, so that nothing is searched for a matrix. This asks for matrices that
have factors in any order (quasi-definite ones, whose pivots' signs are known: Vanderbei, 1995), and costs digits where
a pivot is small beside its row. So factors are tried on a right side, and matrices whose factors miss it get others,
whose pivots are searched one matrix at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of matrices whose diagonal is one.
_PIVOT_MIN = 1e-13
# What a right side of ones and minus ones may be missed by, as a share of the terms that it is a sum of; passes that
# bring rows to one size.
_MISSED_MAX = 1e-2
_SCALINGS = 3


class BatchLdl:
    """Matrices with entries at `row` and `column` (entry,), both of every pair, that add up where they meet.

    `sign` (n,) are those of the pivots.
    """

    def __init__(self, row: Ints, column: Ints, sign: Floats) -> None:
        n = self._n = len(sign)
        pattern = csc_array((np.ones(len(row)), (row, column)), shape=(n, n))
        solvable = csc_array(pattern + diags_array(np.full(n, 10.0 * n)))
        self._order = np.argsort(splu(solvable, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).perm_c)
        place = np.argsort(self._order)
        self._sign = sign[self._order]
        below = _below(place[row], place[column], n)
        self._rows = [np.array(sorted(rows), dtype=np.int64) for rows in below]
        begin = np.cumsum([0, *(len(rows) for rows in self._rows)])
        self._slices = [slice(begin[j], begin[j + 1]) for j in range(n)]
        self.n_entries = n + int(begin[-1])
        where = {(int(r), j): n + int(begin[j]) + k for j, rows in enumerate(self._rows) for k, r in enumerate(rows)}
        where |= {(j, j): j for j in range(n)}
        # Entries that a column changes, and of which two of its own each is the product.
        self._changes: list[tuple[Ints, Ints, Ints]] = []
        for rows in self._rows:
            low, high = np.tril_indices(len(rows))
            at = [where[int(rows[a]), int(rows[b])] for a, b in zip(low, high, strict=True)]
            self._changes.append((np.array(at, dtype=np.int64), low, high))
        lower = place[row] >= place[column]
        self.kept = np.flatnonzero(lower)
        pairs = zip(place[row[lower]], place[column[lower]], strict=True)
        self.entry = np.array([where[int(r), int(c)] for r, c in pairs], dtype=np.int64)
        # Entries of the whole matrices, column by column.
        entry, first = np.unique(self.entry, return_index=True)
        low, high = place[row[lower]][first], place[column[lower]][first]
        off = low != high
        rows_of, columns_of = np.append(low, high[off]), np.append(high, low[off])
        by_column = np.lexsort((rows_of, columns_of))
        self._whole = np.append(entry, entry[off])[by_column]
        self._row, self._column = rows_of[by_column].astype(np.int32), columns_of[by_column].astype(np.int32)
        self._begin = np.searchsorted(self._column, np.arange(n + 1)).astype(np.int32)
        self._tried = np.random.default_rng(0).choice([-1.0, 1.0], n)

    def factor(self, values: Floats) -> BatchFactors:
        """Factors of matrices whose `values` (of `n_entries`, matrix) sum entries that are `kept`, by their `entry`."""
        if not np.isfinite(values).all():
            raise np.linalg.LinAlgError("a system has entries that are no numbers")
        # Where pivots are bad, figures run away: that is seen below.
        with np.errstate(all="ignore"):
            n = self._n
            scale = 1.0 / np.sqrt(np.maximum(np.abs(values[:n]), 1e-300))
            lower = values[n:].copy()
            for j, rows in enumerate(self._rows):
                lower[self._slices[j]] *= scale[rows] * scale[j]
            pivots = values[:n] * scale**2
            work = np.concatenate([pivots, lower])
            for j, (at, low, high) in enumerate(self._changes):
                sign = self._sign[j]
                work[j] = sign * np.maximum(sign * work[j], _PIVOT_MIN)
                if len(at):
                    own = work[n + self._slices[j].start : n + self._slices[j].stop]
                    carried = own / work[j]
                    work[at] -= carried[low] * own[high]
                    own[:] = carried
            found = BatchFactors(self._order, self._rows, self._slices, work[:n], work[n:], scale)
            whole = values[self._whole]
            tried = np.empty((n, 1, 1))
            tried[self._order, 0, 0] = self._tried
            solved = found.solve(np.broadcast_to(tried, (n, 1, values.shape[1])))[self._order, 0]
            met = np.add.reduceat(whole * solved[self._row], self._begin[:-1], axis=0)
            sizes = np.add.reduceat(np.abs(whole * solved[self._row]), self._begin[:-1], axis=0) + 1.0
            missed = (np.abs(met - self._tried[:, None]) / sizes).max(axis=0)
        for k in np.flatnonzero(~(missed <= _MISSED_MAX)):
            found.searched[int(k)] = self._searched(whole[:, k])
        return found

    def _searched(self, whole: Floats) -> Callable[[Floats], Floats]:
        """Solutions of right sides (n, any), ordered, by factors of one matrix whose pivots are searched."""
        scale, scaled = np.ones(self._n), whole
        for _ in range(_SCALINGS):
            most = np.maximum.reduceat(np.abs(scaled), self._begin[:-1])
            scale = scale / np.sqrt(np.maximum(most, 1e-300))
            scaled = whole * scale[self._row] * scale[self._column]
        matrix = csc_array((scaled, self._row, self._begin), shape=(self._n, self._n))
        try:
            factor = splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.1)
        except RuntimeError as error:
            raise np.linalg.LinAlgError(str(error)) from error
        return lambda right: scale[:, None] * factor.solve(scale[:, None] * right)


class BatchFactors:
    """Factors of matrices (matrix last), as `BatchLdl` makes them."""

    def __init__(
        self, order: Ints, rows: list[Ints], slices: list[slice], pivots: Floats, lower: Floats, scale: Floats
    ) -> None:
        self._order, self._rows, self._slices = order, rows, slices
        self._pivots, self._lower, self._scale = pivots[:, None], lower[:, None], scale[:, None]
        # Of matrices that have other factors: their solutions of ordered right sides.
        self.searched: dict[int, Callable[[Floats], Floats]] = {}

    def solve(self, right: Floats) -> Floats:
        """Solutions of right sides (n, any, matrix)."""
        # Of matrices with other factors, figures may run away here: they are not taken.
        with np.errstate(all="ignore"):
            found = right[self._order] * self._scale
            for j, rows in enumerate(self._rows):
                if len(rows):
                    found[rows] -= self._lower[self._slices[j]] * found[j]
            found /= self._pivots
            for j in range(len(self._rows) - 1, -1, -1):
                rows = self._rows[j]
                if len(rows):
                    found[j] -= (self._lower[self._slices[j]] * found[rows]).sum(axis=0)
            found *= self._scale
        for k, solve in self.searched.items():
            found[:, :, k] = solve(right[self._order, :, k])
        back = np.empty_like(found)
        back[self._order] = found
        return back


def _below(row: Ints, column: Ints, n: int) -> list[set[int]]:
    """Rows of every column of L, filled: those of the matrix, and those of the columns that end in it."""
    below: list[set[int]] = [set() for _ in range(n)]
    for r, c in zip(row.tolist(), column.tolist(), strict=True):
        if r > c:
            below[c].add(r)
    for j in range(n):
        if below[j]:
            parent = min(below[j])
            below[parent] |= below[j] - {parent}
    return below
