"""Factors of the rows that taps and banks move, by setting: worked out once, kept, and written to lanes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import Factors, Leading, MovingSystem, eliminate_moving
from g2g_opt.batch.moving_elements import Entries, MovingElements, Setting, entry_values
from g2g_opt.compiled.records import pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Bytes of kept factors beyond which those of settings that a call does not ask for are forgotten.
_KEPT_BYTES = 48 * 2**20
# Settings whose entries are worked out together.
_TOGETHER = 64


class MovingFactors:
    """Factors of the moving entries, rows and columns of a matrix, at settings of its moving elements.

    `entries` are its moving entries, of row r those from `entry_start[r]` on, in the columns `entry_column`.
    `monomials` (kept, element, monomial), `lower` (kept, entry x 4), `upper` and `diagonal` are those of the settings
    that `rows` told the places of last.
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
        self._y = np.zeros((len(entries.element), 2))
        e = elimination
        self._last = Factors(
            np.empty_like(leading.reduced_lower),
            np.empty_like(leading.reduced_upper),
            np.empty_like(leading.reduced_diagonal),
        )
        # Packed once: a record of so many arrays takes longer to pack than its system to eliminate.
        self._system = pack(
            MovingSystem(
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
                self._y,
                self._last.lower,
                self._last.upper,
                self._last.diagonal,
                np.zeros((e.n - e.first_moving, 4)),
            )
        )
        self._row: dict[Setting, int] = {}
        self.monomials = np.zeros((0, len(elements.elements), elements.n_monomials))
        self.lower, self.upper, self.diagonal = (
            np.zeros((0, part.size)) for part in (self._last.lower, self._last.upper, self._last.diagonal)
        )

    def at(self, setting: Setting) -> Factors:
        """Factors at a setting, entries of shape (entry, 4)."""
        row = self.rows([setting])[0]
        return Factors(*(part[row].reshape(-1, 4) for part in (self.lower, self.upper, self.diagonal)))

    def rows(self, settings: Sequence[Setting]) -> Ints:
        """Where in the tables those of each setting are, until the next call."""
        missing = [one for one in dict.fromkeys(settings) if one not in self._row]
        if missing:
            self._make_room(settings, missing)
            for k in range(0, len(missing), _TOGETHER):
                self._work_out(missing[k : k + _TOGETHER])
        return np.array([self._row[one] for one in settings], dtype=np.int64)

    def _make_room(self, settings: Sequence[Setting], missing: Sequence[Setting]) -> None:
        """Rows for what is missing: longer tables, or without the settings that are not asked for now."""
        kept, n_bytes = self._row, 8 * (self._last.lower.size + self._last.upper.size + self._last.diagonal.size)
        if (len(kept) + len(missing)) * n_bytes > _KEPT_BYTES:
            asked = set(settings)
            kept = {one: row for one, row in kept.items() if one in asked}
        n_wanted = len(kept) + len(missing)
        if len(kept) == len(self._row) and n_wanted <= len(self.lower):
            return
        rows = np.array(list(kept.values()), dtype=np.int64)
        self._row = {one: k for k, one in enumerate(kept)}
        for name in ("monomials", "lower", "upper", "diagonal"):
            before = getattr(self, name)
            longer = np.empty((max(n_wanted, 2 * len(kept)), *before.shape[1:]))
            longer[: len(kept)] = before[rows]
            setattr(self, name, longer)

    def _work_out(self, missing: Sequence[Setting]) -> None:
        monomials = np.array([self._elements.monomials(setting) for setting in missing])
        y = entry_values(self._entries, monomials)
        for setting, of_setting, own_y in zip(missing, monomials, y, strict=True):
            row = self._row.setdefault(setting, len(self._row))
            self.monomials[row] = of_setting
            self._y[:] = own_y
            eliminate_moving(self._system.words)
            for name in ("lower", "upper", "diagonal"):
                getattr(self, name)[row] = getattr(self._last, name).reshape(-1)
