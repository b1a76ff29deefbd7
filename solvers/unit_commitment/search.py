"""Branch and bound over commitments, with one linear program that is solved again and again from its last basis.

Few units decide a day, each in few hours. What cuts most is to ask of such a unit and hour what the day would cost
with the unit off: where that is too much the unit is on, for good. So a node first asks this for every undecided hour
of the unit whose fractional starts and stops buy most (by the duals of the ramps they widen), and only then branches.
Where many units decide together (minimum outputs and times that bind) this is the wrong way: `SearchEnd.LONG`.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass
from enum import Enum

import numpy as np

from solvers.highs import RepeatedLinearProgram, RepeatedSolution, SparseProgram
from solvers.unit_commitment.matrices import CommitmentColumns
from solvers.unit_commitment.problem import Bools, CommitmentPlan, Floats, Ints, UnitCommitmentProblem, cost_of

_WHOLE = 1e-6
# Hours of a node of which both branches are tried before one is chosen.
_TRIED_BOTH_WAYS = 4


@dataclass(frozen=True, eq=False)
class Node:
    """Bounds of u (hour, decided unit), and a lower bound of what is below."""

    low: Floats
    high: Floats
    bound: float

    def fixed(self, hours: Ints, unit: int, value: float, bound: float) -> Node:
        """The same with u of a unit fixed in some hours."""
        low, high = self.low.copy(), self.high.copy()
        low[hours, unit] = high[hours, unit] = value
        return Node(low, high, bound)


class SearchEnd(Enum):
    """Why a search ended: all is known; too many programs for this way of searching; the deadline."""

    DONE = "done"
    LONG = "long"
    NO_TIME = "no time"


class CommitmentSearch:
    """Improves `plan` and `bound` until they are within `mip_gap` or time is up.

    Costs of plans are true; bounds are those of the program with tangents, so below the true ones.
    """

    def __init__(
        self,
        problem: UnitCommitmentProblem,
        program: SparseProgram,
        columns: CommitmentColumns,
        *,
        mip_gap: float,
        deadline_s: float,
        threads: int,
        seed: int = 0,
    ) -> None:
        self.plan: CommitmentPlan | None = None
        self.x: Floats | None = None  # columns of the plan
        self.cost = np.inf
        self.bound = -np.inf
        self.solved = 0
        self.outputs_mw: list[Floats] = []  # of plans that tangents judge too cheap
        self._problem, self._columns, self._mip_gap, self._deadline_s = problem, columns, mip_gap, deadline_s
        self._program = RepeatedLinearProgram(program, threads=threads, seed=seed)
        self._low, self._high = np.zeros(columns.u.shape), np.ones(columns.u.shape)
        self._tried: set[bytes] = set()

    @property
    def cutoff(self) -> float:
        """What a lower bound has to reach to be of no more interest."""
        return self.cost * (1.0 - self._mip_gap) if np.isfinite(self.cost) else np.inf

    @property
    def is_closed(self) -> bool:
        """Whether the plan is within the gap."""
        return bool(self.bound >= self.cutoff)

    def try_commitment(self, on: Bools) -> None:
        """Dispatch this commitment (hour, decided unit); keep the plan if it is the best one."""
        key = on.tobytes()
        if key in self._tried:
            return
        self._tried.add(key)
        found = self._solve(on.astype(float), on.astype(float), np.inf)
        if found is None:
            return
        plan = self._columns.plan(self._problem, found.x)
        cost = cost_of(self._problem, plan).total
        if cost < self.cost:
            self.plan, self.cost, self.x = plan, cost, found.x

    def run(self, known: list[Bools], programs_max: int) -> SearchEnd:
        """Branch and bound, with commitments known before."""
        try:
            return self._run(known, programs_max)
        except TimeoutError:
            return SearchEnd.NO_TIME

    def _run(self, known: list[Bools], programs_max: int) -> SearchEnd:
        root = Node(np.zeros_like(self._low), np.ones_like(self._high), -np.inf)
        found = self._solve(root.low, root.high, np.inf)
        if found is None:
            self.bound = np.inf
            return SearchEnd.DONE
        self.bound = found.objective
        for on in (*known, np.ones(self._low.shape, dtype=np.bool_)):
            self.try_commitment(on)
        count = itertools.count()
        opened = [(found.objective, next(count), root)]
        closed = np.inf  # the least bound of nodes that have no more branches
        while opened:
            # What was cut off costs at least what the cutoff was then, and that only falls.
            self.bound = max(found.objective, min(opened[0][0], closed, self.cutoff))
            if self.is_closed:
                return SearchEnd.DONE
            if self.solved > programs_max:
                return SearchEnd.LONG
            _, _, node = heapq.heappop(opened)
            if node.bound >= self.cutoff:
                continue
            children, reached = self._branch(node)
            closed = min(closed, reached)
            for child in children:
                heapq.heappush(opened, (child.bound, next(count), child))
        self.bound = max(found.objective, min(closed, self.cutoff))
        return SearchEnd.DONE

    # --- a node

    def _branch(self, node: Node) -> tuple[list[Node], float]:
        """Its branches, and the bound of what needs none: infinite if that is beyond the cutoff."""
        while True:
            found = self._solve(node.low, node.high, self.cutoff)
            if found is None or found.objective >= self.cutoff:
                return [], np.inf
            u = found.x[self._columns.u]
            node = Node(node.low, node.high, max(node.bound, found.objective))
            worth = self._worth(found, u)
            self._round(u, worth)
            if found.objective >= self.cutoff:
                return [], np.inf
            fractional = (u > _WHOLE) & (u < 1.0 - _WHOLE)
            if not fractional.any():
                self.outputs_mw.append(found.x[self._columns.p])
                return [], found.objective
            if not (worth[fractional.any(axis=0)] > _WHOLE * abs(found.objective)).any():
                worth = self._rounding_cost(node, u, fractional)
            unit = int(np.argmax(np.where(fractional.any(axis=0), worth, -1.0)))
            hours = np.flatnonzero(fractional[:, unit])
            off = {t: self._value(node.fixed(np.array([t]), unit, 0.0, 0.0)) for t in hours.tolist()}
            must_be_on = np.array([t for t, value in off.items() if value >= self.cutoff], dtype=np.int64)
            if len(must_be_on) == 0:
                self._try_levels(u, unit)
                return self._two(node, unit, off), np.inf
            node = node.fixed(must_be_on, unit, 1.0, node.bound)

    def _two(self, node: Node, unit: int, off: dict[int, float]) -> list[Node]:
        """The two branches of the hour in which both raise the bound most."""
        dearest = sorted(off, key=lambda t: -off[t])[:_TRIED_BOTH_WAYS]
        on = {t: self._value(node.fixed(np.array([t]), unit, 1.0, 0.0)) for t in dearest}
        tiny = 1e-6 * abs(node.bound)

        def gain(t: int) -> float:
            return max(min(off[t], self.cutoff) - node.bound, tiny) * max(min(on[t], self.cutoff) - node.bound, tiny)

        best = max(dearest, key=gain)
        both = [node.fixed(np.array([best]), unit, whole, side[best]) for whole, side in ((0.0, off), (1.0, on))]
        return [child for child in both if child.bound < self.cutoff]

    def _worth(self, found: RepeatedSolution, u: Floats) -> Floats:
        """What fractional starts and stops of each decided unit buy, by the duals of (1f) and (1g), in $."""
        columns = self._columns
        v = found.x[columns.v]
        stops = v.copy()
        stops[1:] += u[:-1] - u[1:]
        if (before := self._problem.before) is not None:
            stops[0] += before.on[columns.decided] - u[0]
        relief = [
            np.where(rows >= 0, np.maximum(-found.row_dual[rows], 0.0), 0.0)
            for rows in (columns.rise_rows, columns.fall_rows)
        ]
        started = relief[0] * np.maximum(columns.start_offer, 0.0) * v * (1.0 - v)
        stopped = relief[1] * np.maximum(columns.stop_offer, 0.0) * stops * (1.0 - stops)
        return np.asarray((started + stopped).sum(axis=0))

    def _rounding_cost(self, node: Node, u: Floats, fractional: Bools) -> Floats:
        """By how much the bound rises (decided unit,) if one unit is on wherever it is not off.

        Where a fractional u only keeps p <= max u, duals may stand there and not at the ramps.
        """
        cost = np.zeros(u.shape[1])
        for unit in np.flatnonzero(fractional.any(axis=0)).tolist():
            low, high = node.low.copy(), node.high.copy()
            low[:, unit] = high[:, unit] = u[:, unit] > _WHOLE
            cost[unit] = min(self._value(Node(low, high, 0.0)), self.cutoff) - node.bound
        return cost

    def _round(self, u: Floats, worth: Floats) -> None:
        """Try commitments near u: on wherever it is not off, by the half, and that only for units that matter."""
        up, nearest = u > _WHOLE, u > 0.5
        for on in (up, nearest, np.where(worth > 0.0, nearest, up)):
            self.try_commitment(on)

    def _try_levels(self, u: Floats, unit: int) -> None:
        """Try the unit off in the hours in which u is below a level, for its levels; others on unless they are off."""
        on = u > _WHOLE
        for level in np.unique(np.minimum(u[:, unit], 1.0 - _WHOLE).round(2)):
            on[:, unit] = u[:, unit] > level + 0.005
            self.try_commitment(on.copy())

    # --- the program

    def _value(self, node: Node) -> float:
        """The bound of a node; infinite if it is beyond the cutoff."""
        found = self._solve(node.low, node.high, self.cutoff)
        return np.inf if found is None else found.objective

    def _solve(self, low: Floats, high: Floats, cutoff: float) -> RepeatedSolution | None:
        left_s = self._deadline_s - time.perf_counter()
        if left_s <= 0.0:
            raise TimeoutError
        other = (low != self._low) | (high != self._high)
        if other.any():
            self._program.bound(self._columns.u[other], low[other], high[other])
            self._low, self._high = low.copy(), high.copy()
        self.solved += 1
        return self._program.solve(cutoff=cutoff, time_limit_s=left_s)
