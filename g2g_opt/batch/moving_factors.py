"""Factors of the rows that taps and banks move: at a setting, or of every lane that moves, worked out where it lies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import Factors, Leading, MovingSystem, eliminate, eliminate_moving
from g2g_opt.batch.kernel_tables import FactorTables, W
from g2g_opt.batch.moving_elements import Entries, MovingElements, Setting, entry_values
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Complexes2, Floats2, Ints1, pack, reader

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class MovingLanes(NamedTuple):
    """Where the moving entries of lanes go (chunk, entry x 4 x lane), and admittances (chunk, entry x 2 x lane) of the
    `rated` branches among them; of what elements and coefficients (entry, monomial) both are made.
    """

    system: MovingSystem
    element: Ints1
    coefficient: Complexes2
    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    rated_element: Ints1
    rated_coefficient: Complexes2
    rated: Floats2


_read = reader(MovingLanes)


@inner
def _admittance(element: Any, coefficient: Any, entry: int, monomials: Any, k: int) -> complex:
    """An entry (S) at the monomials of scenario k."""
    re, im = 0.0, 0.0
    for m in range(coefficient.shape[1]):
        y, weight = coefficient[entry, m], monomials[k, element[entry], m]
        re, im = re + y.real * weight, im + y.imag * weight
    return complex(re, im)


@inner
def _put(table: Any, c: int, lane: int, values: Any) -> None:
    """Values (entry, 4) into a lane of a chunk."""
    for entry in range(len(values)):
        for q in range(4):
            table[c, (4 * entry + q) * W + lane] = values[entry, q]


@inner
def write_lane(t: MovingLanes, slot: int, monomials: Any, k: int) -> None:
    """Put what differs from lane to lane into the tables, of a slot at monomials k (.., element, monomial)."""
    system, c, lane = t.system, slot // W, slot % W
    for entry in range(len(t.element)):
        y = _admittance(t.element, t.coefficient, entry, monomials, k)
        system.y[entry, 0], system.y[entry, 1] = y.real, y.imag
    eliminate(system)
    _put(t.lower, c, lane, system.lower)
    _put(t.upper, c, lane, system.upper)
    _put(t.diagonal, c, lane, system.diagonal)
    for entry in range(len(t.rated_element)):
        y = _admittance(t.rated_element, t.rated_coefficient, entry, monomials, k)
        t.rated[c, 2 * entry * W + lane], t.rated[c, (2 * entry + 1) * W + lane] = y.real, y.imag


@kernel
def write_lanes(address: int, slots: Ints, monomials: Floats) -> None:
    """`write_lane` of `slots` at their monomials (slot, element, monomial)."""
    t = _read(address)
    for k in range(len(slots)):
        write_lane(t, slots[k], monomials, k)


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
        """Where `write_lanes` puts the moving entries of factors, and of `rated` branches."""
        own, mixed = self._entries, (factors.mixed_lower, factors.mixed_upper, factors.mixed_diagonal)
        # What is written on the way is each flow's own: flows of one network may be solved at the same time.
        s = self._system
        system = s._replace(
            y=np.zeros_like(s.y),
            lower=np.empty_like(s.lower),
            upper=np.empty_like(s.upper),
            diagonal=np.empty_like(s.diagonal),
            work=np.zeros_like(s.work),
        )
        return MovingLanes(system, own.element, own.coefficient, *mixed, *rated, of_rated)
