"""The policy's part of a Newton step: what is decided of it, how records press on it, and the sums that are kept.

A policy is a matrix B (datacenter, 1 + feature), the difference of two parts that are >= 0. Eliminating them leaves

    stiff B + sum_i K_i B x_i x_i' + (of_size / rank) <lean, B> lean + price of the sums = right,   sums of B's columns

with K_i (datacenter, datacenter) what record i tells: a dense system of all entries of B but one of each feature, which
follows from its sum, or one for each datacenter where all records tell the same of each (least squares). Where records
are few, what they tell has a low rank; it is not made use of, because the curvature of entries that are free is next to
nothing, and its inverse drowns the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, lu_factor, lu_solve
from scipy.linalg.lapack import dpotrf, dpotri

Floats = NDArray[np.float64]
# By how much a diagonal of ones is made larger, one after the other, where it leaves no root.
_LARGER = (1e-13, 1e-11)
# Matrices of fewer rows are inverted together.
_SMALL = 100
# Of a right side (datacenter, 1 + feature) and of sums (1 + feature,): B, and the price of the sums.
SumsSolve = Callable[[Floats, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class PolicyTerms:
    """What is decided of a policy: its matrix (datacenter, 1 + feature) as the difference of two parts that are >= 0.

    `x` (record, 1 + feature) is what it multiplies; `size` (part, datacenter, 1 + feature) sums to at most `size_max`;
    `squares` and `linear` (part, datacenter, 1 + feature) are its own terms of the objective, a mean over records.
    """

    x: Floats
    size: Floats
    size_max: float
    squares: Floats
    linear: Floats

    @property
    def n_entries(self) -> int:
        """Entries of both parts."""
        return self.size.size


class PolicyStep:
    """Steps of both parts, with `told` (record, datacenter, datacenter) and curvatures `curved` as `size` is.

    `of_size` is the weight of the bound on the size. `same` says that every record tells the same multiple of one.
    Raises `numpy.linalg.LinAlgError` if the system is singular.
    """

    def __init__(
        self, x: Floats, told: Floats, curved: Floats, size: Floats, of_size: float, *, same: bool = False
    ) -> None:
        self._soft, self._size, self._of_size = 1.0 / curved, size, of_size
        self._stiff = 1.0 / self._soft.sum(axis=0)
        self._tilt = self._soft[0] * size[0] - self._soft[1] * size[1]
        self._lean = self._stiff * self._tilt
        self._rank = 1.0 + of_size * float(((self._soft * size * size).sum(axis=0) - self._lean * self._tilt).sum())
        lean = np.sqrt(of_size / self._rank) * self._lean
        if not (np.isfinite(told).all() and np.isfinite(self._stiff).all() and np.isfinite(lean).all()):
            raise np.linalg.LinAlgError("the policy's system has entries that are no numbers")
        if same:
            self._sums = _leaning(_by_center(x, float(told[0, 0, 0]), self._stiff), lean)
        else:
            self._sums = _by_entries(x, told, self._stiff, lean)

    def solve(self, a: Floats, told: Floats, sums: Floats) -> tuple[Floats, Floats]:
        """Steps of the parts and prices of the sums, where records ask for `told` (datacenter, 1 + feature)."""
        eased = self._soft * a
        difference = eased[0] - eased[1]
        ease = float((self._size * eased).sum()) - float((self._lean * difference).sum())
        right = self._stiff * difference - told - (self._of_size * ease / self._rank) * self._lean
        matrix, price = self._sums(right, sums)
        size = (ease + float((self._lean * matrix).sum())) / self._rank
        pull = self._of_size * size
        pressed = self._stiff * (difference - pull * self._tilt - matrix)
        sides = np.stack([pressed, -pressed])
        return eased - self._soft * (pull * self._size + sides), price


def _by_entries(x: Floats, told: Floats, stiff: Floats, lean: Floats) -> SumsSolve:
    """One dense system of all entries but one of every feature, which follows from the others and the sum."""
    n_centers, n_features = stiff.shape
    n = stiff.size
    by_pair = np.empty((n_centers, n_features, n_centers, n_features))
    for one in range(n_centers):
        for other in range(one + 1):
            by_pair[one, :, other] = (x.T * told[:, one, other]) @ x
            by_pair[other, :, one] = by_pair[one, :, other].T
    system = by_pair.reshape(n, n)
    system[range(n), range(n)] += stiff.ravel()
    system += lean.reshape(-1, 1) * lean.ravel()

    def act(matrix: Floats) -> Floats:
        by_record = each_times(told, x @ matrix.T).T @ x
        return np.asarray(stiff * matrix + by_record + float((lean * matrix).sum()) * lean)

    try:
        return _by_roots(system, stiff, act)
    except np.linalg.LinAlgError:
        # Features that hardly differ leave rounding with the sign of a pivot.
        return _bordered(system, n_features)


def _by_roots(system: Floats, stiff: Floats, act: Callable[[Floats], Floats]) -> SumsSolve:
    """By Cholesky, without the softest entry of each feature: a stiffer one would drown the others' own stiffness.

    `act` multiplies by the system.
    """
    n_centers, n_features = stiff.shape
    of, softest = np.arange(n_features), stiff.argmin(axis=0)
    kept = np.argsort(np.arange(n_centers)[:, None] == softest, axis=0, kind="stable")[:-1]
    at, last = kept * n_features + of, softest * n_features + of
    # Rows, then columns as rows: whole rows are moved faster.
    by_rows = system[at] - system[last]
    by_rows = np.ascontiguousarray(by_rows.reshape(at.size, len(system)).T)
    reduced = (by_rows[at] - by_rows[last]).reshape(at.size, at.size)
    if not (np.diag(reduced) > 0.0).all():
        raise np.linalg.LinAlgError("an entry has no curvature left")
    scale = 1.0 / np.sqrt(np.diag(reduced))
    reduced *= scale
    reduced *= scale[:, None]
    factor = _root(reduced)

    def solve(right: Floats, sums: Floats) -> tuple[Floats, Floats]:
        matrix = np.zeros_like(right)
        matrix[softest, of] = sums
        left = (right - act(matrix)).ravel()
        found = scale * cho_solve(factor, scale * (left[at] - left[last]).ravel(), check_finite=False)
        found = found.reshape(kept.shape)
        matrix[kept, of] += found
        matrix[softest, of] -= found.sum(axis=0)
        return matrix, (right - act(matrix))[softest, of]

    return solve


def _root(system: Floats) -> tuple[Floats, bool]:
    """Cholesky of a symmetric system whose diagonal is one, made a little larger where rounding makes pivots negative.

    What that changes is put right by whoever refines steps. The system is overwritten.
    """
    for more in (*_LARGER, None):
        try:
            # Its transpose is itself, in the order that is factored in place: below the diagonal it stays as it was.
            root, lower = cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
            return root, bool(lower)
        except np.linalg.LinAlgError:
            if more is None:
                raise
            below = np.tril(system, -1)
            np.add(below, below.T, out=system)
            system[range(len(system)), range(len(system))] = 1.0 + more
    raise AssertionError("the last try returns or raises")


def _bordered(system: Floats, n_features: int) -> SumsSolve:
    """All entries and the sums' prices at once, with pivots that are searched."""
    n = len(system)
    scale = 1.0 / np.sqrt(np.diag(system))
    # B's columns: entries of one feature, as scaled; equations of the sums in the size of what they border.
    border = np.tile(np.eye(n_features), n // n_features) * scale
    size = 1.0 / np.sqrt((border**2).sum(axis=1))
    sums_rows = border * size[:, None]
    whole = scale[:, None] * system * scale
    factor = lu_factor(np.block([[whole, sums_rows.T], [sums_rows, np.zeros((len(size), len(size)))]]))

    def solve(right: Floats, sums: Floats) -> tuple[Floats, Floats]:
        found = lu_solve(factor, np.append(scale * right.ravel(), size * sums))
        return (scale * found[:n]).reshape(right.shape), size * found[n:]

    return solve


def _by_center(x: Floats, told: float, stiff: Floats) -> SumsSolve:
    """A system for each datacenter, and one of the sums' prices."""
    n_features = stiff.shape[1]
    scale = 1.0 / np.sqrt(told * (x * x).sum(axis=0) + stiff)
    systems = scale[:, :, None] * (told * (x.T @ x)) * scale[:, None, :]
    systems[:, range(n_features), range(n_features)] += stiff * scale**2
    inverse = scale[:, :, None] * _inverses(systems) * scale[:, None, :]
    size = np.sqrt(np.einsum("cff->f", inverse))
    # Features of one direction leave rounding with the sign of a pivot: pivots are searched.
    sums_factor = lu_factor(inverse.sum(axis=0) / size[:, None] / size, check_finite=False)

    def solve(right: Floats, sums: Floats) -> tuple[Floats, Floats]:
        free = each_times(inverse, right)
        price = lu_solve(sums_factor, (free.sum(axis=0) - sums) / size, check_finite=False) / size
        return free - inverse @ price, price

    return solve


def _inverses(systems: Floats) -> Floats:
    """Of symmetric matrices (matrix, n, n), by Cholesky where rounding leaves their pivots positive."""
    if systems.shape[1] < _SMALL:
        return np.asarray(np.linalg.inv(systems))
    inverses = np.empty_like(systems)
    for own, inverse in zip(systems, inverses, strict=True):
        factor, failed = dpotrf(own.T, lower=True)
        if failed:
            inverse[:] = np.linalg.inv(own)
            continue
        half, _ = dpotri(factor, lower=True, overwrite_c=True)
        # The other half is left as it was.
        inverse[:] = np.tril(half) + np.tril(half, -1).T
    return inverses


def _leaning(plain: SumsSolve, lean: Floats) -> SumsSolve:
    """With a rank of one more."""
    leaned, its_price = plain(lean, np.zeros(lean.shape[1]))
    rank = 1.0 + float((lean * leaned).sum())

    def solve(right: Floats, sums: Floats) -> tuple[Floats, Floats]:
        matrix, price = plain(right, sums)
        share = float((lean * matrix).sum()) / rank
        return matrix - share * leaned, price - share * its_price

    return solve


def each_times(matrix: Floats, vector: Floats) -> Floats:
    """Every record's matrix times its vector."""
    return np.asarray((matrix @ vector[:, :, None])[:, :, 0])
