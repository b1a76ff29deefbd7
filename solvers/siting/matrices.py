"""The siting program as matrices for HiGHS, its network rows generated as they are broken (see `siting`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.highs import SparseProgram
from solvers.siting.columns import Columns, RowStack, add_choices, add_storage
from solvers.siting.problem import Placement, SitingPlan, SitingProblem

# Of equation 8.2: row, point, +1 upper or -1 lower.
ProgramRow = tuple[int, int, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A row is broken when G is outside by more than this (pu).
ROW_TOLERANCE = 1e-6
NOTHING_KW = 1e-3
# How near to a whole number is whole: as HiGHS takes it.
_WHOLE_WITHIN = 1e-6
CURTAIL_TOLERANCE_KW = 1e-4
# What a tap step costs at the least ($): where steps are free they would wander, and the linear network with them.
STEP_COST_MIN = 1e-5
# Rows of a point and side that are taken in because they are near.
_NEAR_ROWS = 4


class SitingMatrices:
    """The program of a problem with the rows generated so far: (row, point, +1 upper or -1 lower).

    `skip` (2, point) marks points whose upper, lower rows cannot be broken if all others hold. `excluded` placements
    are not wanted again.
    """

    def __init__(
        self,
        problem: SitingProblem,
        known: Sequence[ProgramRow] = (),
        excluded: Sequence[Placement] = (),
        skip: NDArray[np.bool_] | None = None,
    ) -> None:
        self.problem, self.columns, self.excluded = problem, Columns(problem), tuple(excluded)
        self.skip = skip if skip is not None else np.zeros((2, problem.n_points), dtype=np.bool_)
        self._always = RowStack()
        add_choices(self._always, problem, self.columns)
        add_storage(self._always, problem, self.columns)
        self.generated: dict[ProgramRow, None] = {}
        self.curtailed: dict[int, int] = {}  # point -> which block of curtailment columns
        self.capped: dict[tuple[int, int], None] = {}  # (bus, point) where c <= S sun is a row
        for i, p, side in known:
            self._take(i, p, side)

    def _take(self, i: int, p: int, side: int) -> None:
        self.generated[i, p, side] = None
        pv = self.problem.pv
        if side > 0 and pv.may_curtail and pv.sun[p] > 0.0 and p not in self.curtailed:
            self.curtailed[p] = len(self.curtailed)

    # --- the program

    def program(self, whole_taps: bool, fixed: SitingPlan | None = None) -> SparseProgram:
        """Matrices with all rows generated so far; with a `fixed` plan, only sizes and curtailment are left open."""
        problem, at = self.problem, self.columns
        n_slack = len(self.generated) if problem.penalty is not None else 0
        n = at.n_fixed + len(self.curtailed) * at.n_pv + n_slack
        cost, low, high = np.zeros(n), np.zeros(n), np.full(n, np.inf)
        whole = np.zeros(n, dtype=np.bool_)
        self._set_choices(cost, low, high, whole, whole_taps)
        self._set_storage(cost)
        if fixed is not None:
            self._fix(low, high, fixed)
        rows = self._always.copy()
        self._add_network(rows, cost, high)
        self._add_cuts(rows)
        return SparseProgram(cost, rows.matrix(n), np.array(rows.low), np.array(rows.high), low, high, whole)

    def is_whole(self, x: Floats, whole_taps: bool) -> bool:
        """Is a point of the program without wholeness whole all the same?"""
        at = self.columns
        last = at.change if whole_taps else at.tap
        decided = np.concatenate([x[: at.size], x[at.y : at.z], x[at.tap : last]])
        return bool(np.abs(decided - np.rint(decided)).max(initial=0.0) <= _WHOLE_WITHIN)

    def _set_choices(self, cost: Floats, low: Floats, high: Floats, whole: NDArray[np.bool_], whole_taps: bool) -> None:
        problem, at = self.problem, self.columns
        pv, sites, taps, calendar = problem.pv, problem.sites, problem.taps, problem.calendar
        low[: pv.n], high[: pv.n], whole[: pv.n] = float(pv.must_build), 1.0, True
        kwh_value = float((calendar.hours * calendar.price_per_kwh) @ pv.sun)
        cost[at.size : at.size + pv.n] = pv.cost_per_kw - kwh_value
        high[at.size : at.size + pv.n] = pv.size_max_kw
        high[at.y : at.z], whole[at.y : at.z] = 1.0, True
        high[at.z : at.tap] = [sites.size_max_kw[k] for k, _ in at.pairs]
        cost[at.z : at.tap] = -sites.value_per_kw
        low[at.tap : at.change] = np.repeat(taps.low, at.n_slots)
        high[at.tap : at.change] = np.repeat(taps.high, at.n_slots)
        whole[at.tap : at.change] = whole_taps
        step_cost = max(taps.switch_cost, STEP_COST_MIN)
        cost[at.change : at.power] = step_cost * np.tile(calendar.slot_days, taps.n)

    def _set_storage(self, cost: Floats) -> None:
        storage, at, calendar = self.problem.storage, self.columns, self.problem.calendar
        if storage is None:
            return
        cost[at.power : at.energy], cost[at.energy : at.charge] = storage.cost_per_kw, storage.cost_per_kwh
        if storage.schedule is not None:
            cost[at.power : at.energy] -= storage.schedule.value_per_kw
            return
        worth = np.tile(calendar.hours * calendar.price_per_kwh, at.n_pv)
        cost[at.charge : at.discharge], cost[at.discharge : at.content] = worth, -worth

    def _fix(self, low: Floats, high: Floats, plan: SitingPlan) -> None:
        """What is built, where the sites are, and the taps."""
        at = self.columns
        low[: at.n_pv] = high[: at.n_pv] = plan.pv_kw > 0.0
        here = np.array([plan.site_bus[k] == b for k, b in at.pairs], dtype=np.float64)
        low[at.y : at.z] = high[at.y : at.z] = here
        low[at.tap : at.change] = high[at.tap : at.change] = plan.tap_steps.ravel()

    def _add_network(self, rows: RowStack, cost: Floats, high: Floats) -> None:
        """(4) where it was broken, and curtailment at its points."""
        at, problem = self.columns, self.problem
        pv, calendar, network, n_pv = problem.pv, problem.calendar, problem.rows, problem.pv.n
        for p, block in self.curtailed.items():
            columns = slice(at.n_fixed + block * n_pv, at.n_fixed + (block + 1) * n_pv)
            cost[columns] = calendar.hours[p] * calendar.price_per_kwh[p]
            high[columns] = pv.size_max_kw * pv.sun[p]
        for j, p in self.capped:
            of_bus = at.n_fixed + self.curtailed[p] * n_pv + j
            rows.add({of_bus: 1.0, at.size + j: -float(pv.sun[p])}, -np.inf, 0.0)
        if not self.generated:
            return
        i, p, side = np.array(list(self.generated), dtype=np.int64).T
        g = np.arange(len(i))
        parts: list[tuple[Ints, Ints, Floats]] = []

        def add(columns: Ints, values: Floats, of: Ints = g) -> None:
            """A block of `values` (generated row, column of it)."""
            shape = values.shape
            parts.append(
                (np.broadcast_to(of[:, None], shape).ravel(), np.broadcast_to(columns, shape).ravel(), values.ravel())
            )

        if problem.penalty is not None:
            slack = at.n_fixed + len(self.curtailed) * n_pv + g
            cost[slack] = problem.penalty * calendar.hours[p]
            add(slack[:, None], -side.astype(np.float64)[:, None])
        slopes = network.pv[i, :, p]
        add(at.size + np.arange(n_pv), slopes * pv.sun[p][:, None])
        block_of = np.array([self.curtailed.get(int(point), -1) for point in p])
        some = np.flatnonzero(block_of >= 0)
        add((at.n_fixed + block_of[some] * n_pv)[:, None] + np.arange(n_pv), -slopes[some], some)
        if problem.storage is not None and problem.storage.schedule is not None:
            add(at.power + np.arange(n_pv), slopes * problem.storage.schedule.share[p][:, None])
        elif problem.storage is not None:
            of_bus = np.arange(n_pv) * problem.n_points + p[:, None]
            add(at.discharge + of_bus, slopes)
            add(at.charge + of_bus, -slopes)
        if at.pairs:
            site, bus = np.array(at.pairs).T
            drawn = network.site[i[:, None], bus, p[:, None]] * problem.sites.demand[site][:, p].T
            add(at.z + np.arange(len(at.pairs)), drawn)
        add(
            at.tap + np.arange(problem.taps.n) * at.n_slots + calendar.slot[p][:, None],
            network.tap[i, :, p],
        )
        row = np.concatenate([part[0] for part in parts])
        column = np.concatenate([part[1] for part in parts])
        value = np.concatenate([part[2] for part in parts])
        constant = network.constant[i, p]
        upper = side > 0
        low = np.where(upper, -np.inf, network.low[i, p] - constant)
        rows.add_block(row, column, value, low, np.where(upper, network.high[i, p] - constant, np.inf))

    def _add_cuts(self, rows: RowStack) -> None:
        """Placements that are not wanted again."""
        at = self.columns
        for built, buses in self.excluded:
            entries = {at.x + j: (1.0 if j in built else -1.0) for j in range(at.n_pv)}
            entries |= {at.y + m: 1.0 for m, (k, b) in enumerate(at.pairs) if buses[k] == b}
            rows.add(entries, -np.inf, float(len(built) + len(buses) - 1))

    # --- what a point of it means

    def plan(self, x: Floats) -> SitingPlan:
        """The decisions in a solution; whole numbers are rounded, sizes of what is not built are 0."""
        at, problem = self.columns, self.problem
        pv, sites = problem.pv, problem.sites
        built = x[: pv.n] > 0.5
        size = np.where(built, np.clip(x[at.size : at.size + pv.n], 0.0, pv.size_max_kw), 0.0)
        size[size < NOTHING_KW] = 0.0
        bus, kw = np.zeros(sites.n, dtype=np.int64), np.zeros(sites.n)
        for k in range(sites.n):
            members = [m for m, (site, _) in enumerate(at.pairs) if site == k]
            best = max(members, key=lambda m: x[at.y + m])
            bus[k], kw[k] = at.pairs[best][1], np.clip(x[at.z + best], sites.size_min_kw[k], sites.size_max_kw[k])
        tap = np.rint(x[at.tap : at.change]).astype(np.int64).reshape(problem.taps.n, at.n_slots)
        power, energy, discharge = np.zeros(pv.n), np.zeros(pv.n), np.zeros((pv.n, problem.n_points))
        if problem.storage is not None:
            keep = (size > 0.0) & (x[at.power : at.energy] > NOTHING_KW)
            power, energy = np.where(keep, x[at.power : at.energy], 0.0), np.where(keep, x[at.energy : at.charge], 0.0)
            discharge = np.where(keep[:, None], self._discharged(x), 0.0)
        return SitingPlan(size, bus, kw, tap, self._curtailed(x, size), power, energy, discharge)

    def _curtailed(self, x: Floats, size: Floats) -> Floats:
        at, problem = self.columns, self.problem
        found = np.zeros((problem.pv.n, problem.n_points))
        for p, block in self.curtailed.items():
            first = at.n_fixed + block * problem.pv.n
            found[:, p] = np.clip(x[first : first + problem.pv.n], 0.0, size * problem.pv.sun[p])
        return found

    def _discharged(self, x: Floats) -> Floats:
        """What storage gives less what it takes (bus, point)."""
        at, shape = self.columns, (self.problem.pv.n, self.problem.n_points)
        storage = self.problem.storage
        if storage is None:
            return np.zeros(shape)
        if storage.schedule is not None:
            return np.asarray(x[at.power : at.energy, None] * storage.schedule.share)
        return np.asarray(x[at.discharge : at.content] - x[at.charge : at.discharge]).reshape(shape)

    def predicted(self, x: Floats) -> Floats:
        """G (row, point) of a point of the program, whole or not."""
        at, problem = self.columns, self.problem
        pv, sites, network = problem.pv, problem.sites, problem.rows
        size = x[at.size : at.size + pv.n]
        injected = size[:, None] * pv.sun - self._curtailed(x, size) + self._discharged(x)
        g = network.constant.copy()
        for j in np.flatnonzero(injected.any(axis=1)):
            g += network.pv[:, j] * injected[j]
        drawn = np.zeros((network.site.shape[1], problem.n_points))
        for m, (k, b) in enumerate(at.pairs):
            if x[at.z + m] > 0.0:
                drawn[b] += x[at.z + m] * sites.demand[k]
        g += sum(network.site[:, bus] * drawn[bus] for bus in np.flatnonzero(drawn.any(axis=1)))
        tap = x[at.tap : at.change].reshape(problem.taps.n, at.n_slots)[:, problem.calendar.slot]
        for r in range(problem.taps.n):
            g += network.tap[:, r] * tap[r]
        return g

    def generate(self, x: Floats, near_pu: float = 0.0) -> int:
        """Take in what a point of the program breaks; returns how much that is.

        That is the worst row of every point and side, and curtailment of more than there is. With `near_pu` the worst
        rows that are so near to their limits come in too, uncounted.
        """
        problem = self.problem
        n_broken = self._cap_curtailment(x)
        g, network = self.predicted(x), problem.rows
        points = np.arange(problem.n_points)
        for side, over in ((1, g - network.high), (-1, network.low - g)):
            for i, p, of_side in self.generated:
                if of_side == side:
                    over[i, p] = -np.inf  # it holds, or is paid for
            over[:, self.skip[0 if side > 0 else 1]] = -np.inf
            for k in range(_NEAR_ROWS if near_pu else 1):
                worst = over.argmax(axis=0)
                most = over[worst, points]
                n_broken += int((most > ROW_TOLERANCE).sum()) if k == 0 else 0
                for point in np.flatnonzero(most > ROW_TOLERANCE - near_pu):
                    self._take(int(worst[point]), int(point), side)
                over[worst, points] = -np.inf
        return n_broken

    def _cap_curtailment(self, x: Floats) -> int:
        """Take in c <= S sun where a point of the program curtails more; returns how often."""
        before = len(self.capped)
        n_pv = self.columns.n_pv
        size = x[self.columns.size : self.columns.size + n_pv]
        for p, block in self.curtailed.items():
            first = self.columns.n_fixed + block * n_pv
            more = x[first : first + n_pv] - size * self.problem.pv.sun[p]
            for j in np.flatnonzero(more > CURTAIL_TOLERANCE_KW):
                self.capped[int(j), p] = None
        return len(self.capped) - before
