"""Where the variables of the siting program lie, and how its rows are put together (see `siting`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from solvers.siting.problem import SitingProblem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Columns:
    """First columns of x, S, y, z, t, d and the storage's P, E, a, b, e; what is generated comes behind `n_fixed`.

    By a schedule a and b are so many times P: they have no columns, nor has e.
    """

    def __init__(self, problem: SitingProblem) -> None:
        self.pairs = problem.sites.pairs
        self.n_pv, self.n_points, self.n_slots = problem.pv.n, problem.n_points, len(problem.calendar.slot_day)
        n_moves = problem.taps.n * self.n_slots
        self.x, self.size, self.y = 0, self.n_pv, 2 * self.n_pv
        self.z = self.y + len(self.pairs)
        self.tap = self.z + len(self.pairs)
        self.change = self.tap + n_moves
        self.power = self.change + n_moves
        stored = self.n_pv if problem.storage is not None else 0
        self.energy = self.power + stored
        self.charge = self.energy + stored
        flows = 0 if problem.storage is None or problem.storage.schedule is not None else stored * self.n_points
        self.discharge = self.charge + flows
        self.content = self.discharge + flows
        self.n_fixed = self.content + flows

    def tap_at(self, r: int, h: int) -> int:
        """Column of a regulator's steps in a slot."""
        return self.tap + r * self.n_slots + h


class RowStack:
    """Rows as they are put together."""

    def __init__(self) -> None:
        self._row: list[Ints] = []
        self._column: list[Ints] = []
        self._value: list[Floats] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, entries: dict[int, float], low: float, high: float) -> None:
        """One row; entries by column."""
        columns = np.fromiter(entries.keys(), dtype=np.int64, count=len(entries))
        values = np.fromiter(entries.values(), dtype=np.float64, count=len(entries))
        self.add_block(np.zeros(len(entries), dtype=np.int64), columns, values, [low], [high])

    def add_block(
        self, row: Ints, column: Ints, value: Floats, low: Sequence[float] | Floats, high: Sequence[float] | Floats
    ) -> None:
        """Several rows; `row` counts from 0 within them."""
        self._row.append(row + len(self.low))
        self._column.append(column)
        self._value.append(value)
        self.low += [float(v) for v in low]
        self.high += [float(v) for v in high]

    def copy(self) -> RowStack:
        """The same rows, to which others can be added without changing these."""
        other = RowStack()
        for name, entries in vars(self).items():
            setattr(other, name, list(entries))
        return other

    def matrix(self, n_columns: int) -> csr_matrix:
        """All rows."""
        if not self._row:
            return csr_matrix((0, n_columns))
        row, column, value = (np.concatenate(part) for part in (self._row, self._column, self._value))
        filled = value != 0.0
        return csr_matrix((value[filled], (row[filled], column[filled])), shape=(len(self.low), n_columns))


def add_choices(rows: RowStack, problem: SitingProblem, at: Columns) -> None:
    """(1), (2) and (3) (equations 8.3 and 8.4)."""
    pv, sites, taps = problem.pv, problem.sites, problem.taps
    for j in range(pv.n):
        rows.add({at.size + j: 1.0, at.x + j: -float(pv.size_max_kw[j])}, -np.inf, 0.0)
        if pv.size_min_kw[j] > 0.0:
            rows.add({at.size + j: 1.0, at.x + j: -float(pv.size_min_kw[j])}, 0.0, np.inf)
    for zone in pv.zones:
        rows.add({at.x + j: 1.0 for j in zone.buses}, -np.inf, float(zone.count_max))
        if np.isfinite(zone.total_max_kw):
            rows.add({at.size + j: 1.0 for j in zone.buses}, -np.inf, zone.total_max_kw)
    of_site: dict[int, list[int]] = {}
    at_bus: dict[int, list[int]] = {}
    for m, (k, b) in enumerate(at.pairs):
        of_site.setdefault(k, []).append(m)
        at_bus.setdefault(b, []).append(m)
        rows.add({at.z + m: 1.0, at.y + m: -float(sites.size_max_kw[k])}, -np.inf, 0.0)
        rows.add({at.z + m: 1.0, at.y + m: -float(sites.size_min_kw[k])}, 0.0, np.inf)
    for members in of_site.values():
        rows.add({at.y + m: 1.0 for m in members}, 1.0, 1.0)
    for members in at_bus.values():
        if len(members) > 1:
            rows.add({at.y + m: 1.0 for m in members}, -np.inf, 1.0)
    day = problem.calendar.slot_day
    for r in range(taps.n):
        for h in range(1, at.n_slots):
            if day[h] != day[h - 1]:
                continue
            change = at.change + r * at.n_slots + h
            now, before = at.tap_at(r, h), at.tap_at(r, h - 1)
            rows.add({change: 1.0, now: -1.0, before: 1.0}, 0.0, np.inf)
            rows.add({change: 1.0, now: 1.0, before: -1.0}, 0.0, np.inf)


def add_storage(rows: RowStack, problem: SitingProblem, at: Columns) -> None:
    """(5) (equation 8.5)."""
    storage, calendar = problem.storage, problem.calendar
    if storage is None:
        return
    for j in range(problem.pv.n):
        rows.add({at.power + j: 1.0, at.x + j: -float(storage.power_max_kw[j])}, -np.inf, 0.0)
        rows.add({at.energy + j: 1.0, at.x + j: -float(storage.energy_max_kwh[j])}, -np.inf, 0.0)
        if storage.schedule is not None:
            rows.add({at.energy + j: 1.0, at.power + j: -storage.schedule.duration_h}, 0.0, 0.0)
            rows.add({at.power + j: 1.0, at.size + j: -storage.schedule.share_max}, -np.inf, 0.0)
    if storage.schedule is not None:
        return
    step_h, day = problem.step_h, calendar.slot_day[calendar.slot]
    points = np.arange(problem.n_points)
    # The step after, within a day; the last one is followed by the first.
    after = points + 1
    firsts = {int(d): int(np.flatnonzero(day == d)[0]) for d in np.unique(day)}
    lasts = {int(d): int(np.flatnonzero(day == d)[-1]) for d in np.unique(day)}
    for d, last in lasts.items():
        after[last] = firsts[d]
    n, one = problem.n_points, np.ones(problem.n_points)
    for j in range(problem.pv.n):
        charge, discharge, content = (first + j * n + points for first in (at.charge, at.discharge, at.content))
        for flow, size in ((charge, at.power), (discharge, at.power), (content, at.energy)):
            rows.add_block(
                np.tile(points, 2),
                np.concatenate([flow, np.full(n, size + j)]),
                np.concatenate([one, -one]),
                np.full(n, -np.inf),
                np.zeros(n),
            )
        rows.add_block(
            np.tile(points, 4),
            np.concatenate([content[after], content, charge, discharge]),
            np.concatenate([one, -one, -step_h * storage.efficiency, step_h / storage.efficiency]),
            np.zeros(n),
            np.zeros(n),
        )
