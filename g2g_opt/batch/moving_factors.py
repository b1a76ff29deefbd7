"""Factors of the rows that taps and banks move: at a setting, or of every lane that moves, worked out where it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import Factors, Leading, MovingSystem, eliminate_moving
from g2g_opt.batch.kernel_tables import FactorTables, W
from g2g_opt.batch.moving_elements import Entries, MovingElements, Setting, entry_values
from g2g_opt.batch.moving_lanes_kernel import LaneWork, MovingLanes
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.records import pack

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
            np.zeros((len(entries.element), 2)),
            np.empty_like(leading.reduced_lower),
            np.empty_like(leading.reduced_upper),
            np.empty_like(leading.reduced_diagonal),
            np.zeros((e.n - e.first_moving, 4)),
        )
        self._packed = pack(self._system)

    def at(self, setting: Setting) -> Factors:
        """Factors at a setting, entries of shape (entry, 4)."""
        system = self._system
        system.y[:] = entry_values(self._entries, self._elements.monomials(setting))
        eliminate_moving(self._packed.words)
        return Factors(system.lower.copy(), system.upper.copy(), system.diagonal.copy())

    def lanes(self, factors: FactorTables, rated: Entries, of_rated: Floats) -> MovingLanes:
        """Where `moving_lanes_kernel` puts the moving entries of factors, and of `rated` branches."""
        own, mixed = self._entries, (factors.mixed_lower, factors.mixed_upper, factors.mixed_diagonal)
        # What is written on the way is each flow's own: flows of one network may be solved at the same time.
        s = self._system
        as_compiled = self._elements.monomials(Setting()).ravel()
        sizes = as_compiled.size, s.y.size, s.lower.size, s.upper.size, s.diagonal.size, s.work.size
        work = LaneWork(aligned(W), *(aligned(size * W) for size in sizes))
        work.monomials[:] = np.repeat(as_compiled, W)
        return MovingLanes(s, own.element, own.coefficient, *mixed, *rated, of_rated, work)
