"""Systems of the zones of many records in a Newton step of training: net injections, and the prices that they meet.

Of every record, with `stiff` (zone,) the curvature that zones' generators leave, and weights of lines' limits (line,):

    stiff x + F' m + n = pushed,   F x - m / weight = 0,   sum of x = balance

x (zone,) are net injections, F transfer factors, m prices of lines, n that of the balance; F' m + n those of zones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from solvers.dispatch.lines import Lines
from solvers.policy_training.batch_ldl import BatchLdl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows that are not there (a line without a limit) weigh nothing; passes that bring rows of small systems to one size.
_WEIGHTLESS = 1e-14
_SCALINGS = 3


class ZoneStep(NamedTuple):
    """Net injections and prices (record, zone, right side), and the balance's price (record, right side)."""

    injected: Floats
    price: Floats
    balance_price: Floats


# Of `pushed` (record, zone, right side) and `balance` (record, right side).
ZoneSolve = Callable[[Floats, Floats], ZoneStep]


class FactorSystems:
    """By transfer factors (line, zone), dense: dozens of zones.

    Prices of lines are kept as unknowns: the weight of a full line would drown what little stiffness zones have.
    """

    def __init__(self, factors: Floats, n_records: int) -> None:
        self._factors, self._q = factors, n_records

    @property
    def memory_bytes(self) -> int:
        """Systems as they are, scaled and inverted."""
        return 4 * 8 * self._q * (sum(self._factors.shape) + 1) ** 2

    def solver(self, stiff: Floats, weight: Floats) -> ZoneSolve:
        """Of `stiff` (record, zone) and `weight` (record, line); `LinAlgError` if a system is singular."""
        n_lines, n_zones = self._factors.shape
        system = np.zeros((len(stiff), n_zones + n_lines + 1, n_zones + n_lines + 1))
        system[:, range(n_zones), range(n_zones)] = stiff
        at = range(n_zones, n_zones + n_lines)
        system[:, at, at] = -1.0 / np.maximum(weight, _WEIGHTLESS)
        system[:, at, :n_zones] = self._factors
        system[:, :n_zones, at] = self._factors.T
        system[:, -1, :n_zones] = system[:, :n_zones, -1] = 1.0
        systems = _DenseSystems(system)
        priced_by = np.vstack([self._factors, np.ones((1, n_zones))]).T

        def solve(pushed: Floats, balance: Floats) -> ZoneStep:
            nothing = np.zeros((len(pushed), n_lines, pushed.shape[2]))
            found = systems.solve(np.concatenate([pushed, nothing, balance[:, None]], axis=1))
            return ZoneStep(found[:, :n_zones], priced_by @ found[:, n_zones:], found[:, -1])

        return solve


class _DenseSystems:
    """Symmetric systems (record, n, n), their rows brought to a largest entry near one first."""

    def __init__(self, system: Floats) -> None:
        scale = np.ones(system.shape[:2])
        self._scaled = system
        for _ in range(_SCALINGS):
            scale = scale / np.sqrt(np.abs(self._scaled).max(axis=2))
            self._scaled = scale[:, :, None] * system * scale[:, None, :]
        self._scale = scale[:, :, None]
        self._inverse = np.linalg.inv(self._scaled)

    def solve(self, right: Floats) -> Floats:
        """Solutions of right sides (record, n, any), as good as by factors: an inverse alone leaves a residual."""
        scaled = self._scale * right
        found = self._inverse @ scaled
        found += self._inverse @ (scaled - self._scaled @ found)
        return np.asarray(self._scale * found)


class AngleSystems:
    """By angles, sparse: hundreds of zones, lines none of which is without reactance.

    With angles a (zone but the first) and L their net injections, x = L a + balance / n. What is left are angles and
    prices of zones: [curved, -L'; -L, -1 / stiff], whose pattern is that of one record, in an order that is found once.
    """

    def __init__(self, lines: Lines, limited: Ints, n_records: int) -> None:
        n = self._n = lines.n_zones
        self._q = n_records
        incidence = lines.incidence[:, 1:]
        flow = diags_array(lines.weight / float(np.median(np.abs(lines.weight)))) @ incidence
        injects = csr_array(lines.incidence.T @ flow)
        at_ends = csr_array(csr_array(flow)[limited])
        # Every entry of the pattern, once for each line, zone or constant that adds to it.
        row, column, value, of = _outer(at_ends)
        own = csr_array(injects).tocoo()
        zone, limited_end = np.arange(n), len(limited)
        # What the weight of no line holds is held all the same: every matrix has one pattern.
        rows = np.concatenate([row, own.row + n - 1, own.col, zone + n - 1, zone[:-1]])
        columns = np.concatenate([column, own.col, own.row + n - 1, zone + n - 1, zone[:-1]])
        values = np.concatenate([value, -own.data, -own.data, -np.ones(n), np.full(n - 1, _WEIGHTLESS)])
        constant = np.full(2 * own.nnz, limited_end)
        source = np.concatenate([of, constant, limited_end + 1 + zone, np.full(n - 1, limited_end)])
        self._ldl = BatchLdl(rows, columns, np.append(np.ones(n - 1), -np.ones(n)))
        kept = self._ldl.kept
        shape = (self._ldl.n_entries, limited_end + 1 + n)
        self._values = csr_array((values[kept], (self._ldl.entry, source[kept])), shape=shape)

    @property
    def memory_bytes(self) -> int:
        """Factors of all records, and what is on the way to them."""
        return 4 * 8 * self._q * self._ldl.n_entries

    def solver(self, stiff: Floats, weight: Floats) -> ZoneSolve:
        """Of `stiff` (record, zone) and `weight` (record, limited line); `LinAlgError` if a system is singular."""
        n = self._n
        soft = 1.0 / stiff
        sources = np.hstack([weight + _WEIGHTLESS, np.ones((len(stiff), 1)), soft])
        factors = self._ldl.factor(self._values @ sources.T)

        def solve(pushed: Floats, balance: Floats) -> ZoneStep:
            even = balance[:, None] / n
            right = np.pad(even - soft[:, :, None] * pushed, ((0, 0), (n - 1, 0), (0, 0)))
            found = factors.solve(np.ascontiguousarray(right.transpose(1, 2, 0)))
            price = found[n - 1 :].transpose(2, 0, 1)
            return ZoneStep(soft[:, :, None] * (pushed - price), price, price.mean(axis=1))

        return solve


def _outer(rows: csr_array) -> tuple[Ints, Ints, Floats, Ints]:
    """Entries of every row's outer product with itself: rows, columns, values, and of which row they are."""
    parts: list[tuple[Ints, Ints, Floats, Ints]] = []
    for k in range(rows.shape[0]):
        here = slice(rows.indptr[k], rows.indptr[k + 1])
        at, value = rows.indices[here].astype(np.int64), rows.data[here]
        n = len(at)
        parts.append((np.repeat(at, n), np.tile(at, n), np.outer(value, value).ravel(), np.full(n * n, k)))
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(0), nothing
    row, column, value, of = (np.concatenate(part) for part in zip(*parts, strict=True))
    return row, column, value, of
