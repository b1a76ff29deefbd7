"""Factors of the rows that taps and banks move: at a setting, or of every lane that moves, worked out where it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import Factors, Leading
from g2g_opt.batch.kernel_tables import FactorTables, W
from g2g_opt.batch.moving_elements import Entries, MovingElements, Setting, entry_values
from g2g_opt.batch.moving_lanes_kernel import (
    LaneWork,
    MovingLanes,
    MovingSystem,
    at_setting,
    eliminate_moving,
)
from g2g_opt.compiled.lanes import aligned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class MovingFactors:
    """Factors of the moving entries, rows and columns of a matrix, at settings of its moving elements.

    `entries` are its moving entries, of row r those from `entry_start[r]` on, in the columns `entry_column`.
    """

    def __init__(
        self,
        elimination: Elimination,
        leading: Leading,
        elements: MovingElements,
        entries: Entries,
        entry_start: Ints,
        entry_column: Ints,
    ) -> None:
        self._elements, self._entries = elements, entries
        e = elimination
        self._system = MovingSystem(
            e.first_moving,
            e.lower_start,
            e.lower_column,
            e.split,
            e.moving_start,
            e.upper_start,
            e.upper_column,
            leading.reduced_lower,
            leading.reduced_diagonal,
            leading.reduced_upper,
            entry_start,
            entry_column,
        )
        self._work = self._new_work()
        self._packed = at_setting(self._system, self._work)

    def _new_work(self) -> LaneWork:
        """What is written on the way, each user's own; the monomials are those of the circuit as compiled."""
        s, as_compiled = self._system, self._elements.monomials(Setting()).ravel()
        factors = s.reduced_lower.size, s.reduced_upper.size, s.reduced_diagonal.size
        sizes = as_compiled.size, 2 * len(self._entries.element), *factors, s.reduced_diagonal.size
        work = LaneWork(aligned(W), *(aligned(size * W) for size in sizes))
        work.monomials[:] = np.repeat(as_compiled, W)
        return work

    def at(self, setting: Setting) -> Factors:
        """Factors at a setting, entries of shape (entry, 4)."""
        work = self._work
        work.y[:] = np.repeat(entry_values(self._entries, self._elements.monomials(setting)).ravel(), W)
        eliminate_moving(self._packed.address)
        return Factors(*(part.reshape(-1, 4, W)[:, :, 0].copy() for part in (work.lower, work.upper, work.diagonal)))

    def lanes(self, factors: FactorTables, rated: Entries, of_rated: Floats) -> MovingLanes:
        """Where `moving_lanes_kernel` puts the moving entries of factors, and of `rated` branches."""
        own, mixed = self._entries, (factors.mixed_lower, factors.mixed_upper, factors.mixed_diagonal)
        # Flows of one network may be solved at the same time.
        return MovingLanes(self._system, own.element, own.coefficient, *mixed, *rated, of_rated, self._new_work())
