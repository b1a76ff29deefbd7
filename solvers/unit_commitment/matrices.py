"""The program of `problem` as a sparse matrix, with tangents for the quadratic cost.

Starts stand as columns, stops are o_t = v_t - u_t + u_t-1. A unit of which nothing is gained by stopping (its minimum
output is zero, an hour on costs nothing, and a start or stop lets it move no further than its ramp does) is simply on.
The quadratic cost of unit g in hour t is the upper envelope of its tangents at points 0 = x_1 < ... < x_k = max: p is
split into pieces between the points where neighbouring tangents meet, each at the slope of its tangent. With points h
apart it undershoots by at most quadratic h^2 / 4, so optima are lower bounds of the true problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from solvers.highs import SparseProgram
from solvers.unit_commitment.problem import Bools, CommitmentPlan, Floats, Ints, UnitCommitmentProblem

# Points at which tangents are taken: [hour][unit], none for a unit without quadratic cost.
Tangents = list[list[Floats]]


def even_tangents(problem: UnitCommitmentProblem, error_usd: float, n_max: int = 32) -> Tangents:
    """The same points in all hours, so near that each unit undershoots by at most `error_usd` an hour (or `n_max`)."""
    units = problem.units
    by_unit = []
    for top, bend in zip(units.max_mw, units.quadratic_usd_per_mw2h, strict=True):
        steps = int(np.clip(np.ceil(top * np.sqrt(bend / (4.0 * error_usd))), 1, n_max))
        by_unit.append(np.linspace(0.0, top, steps + 1) if bend > 0.0 and top > 0.0 else np.empty(0))
    return [list(by_unit) for _ in range(problem.n_hours)]


def refine(tangents: Tangents, output_mw: Floats, apart_mw: float = 1e-3) -> Tangents:
    """More tangents: at these outputs (hour, unit), unless there is one."""
    finer = []
    for row, outputs in zip(tangents, output_mw, strict=True):
        finer.append(
            [
                np.sort(np.append(points, at)) if len(points) and np.abs(points - at).min() > apart_mw else points
                for points, at in zip(row, outputs, strict=True)
            ]
        )
    return finer


def undershoot(problem: UnitCommitmentProblem, tangents: Tangents, output_mw: Floats) -> float:
    """By how much tangents undershoot the quadratic cost of these outputs, in $ for the day."""
    total = 0.0
    for row, outputs in zip(tangents, output_mw, strict=True):
        for points, at, bend in zip(row, outputs, problem.units.quadratic_usd_per_mw2h, strict=True):
            if len(points):
                total += float(bend * np.min((points - at) ** 2))
    return total


def needs_decision(problem: UnitCommitmentProblem) -> Bools:
    """Units (unit,) that it may pay to stop or start; others are on in every hour, without loss."""
    units, before = problem.units, problem.before
    moves_no_further = (units.first_mw <= units.rise_mw) & (units.last_mw <= units.fall_mw)
    on_for_free = True if before is None else before.on | (units.startup_usd == 0.0)
    stays_for_free = (units.min_mw == 0.0) & (units.no_load_usd_per_h == 0.0)
    return np.asarray(~(moves_no_further & stays_for_free & on_for_free))


@dataclass(frozen=True, eq=False)
class CommitmentColumns:
    """Columns of p (hour, unit), u and v (hour, decided unit), l (hour, zone), theta, W; rows of zones (hour, zone).

    `decided` (decided unit,) are the units with u and v; `rise_rows` and `fall_rows` (hour, decided unit) are (1f) and
    (1g), -1 where there is none; `offer` (decided unit) is what a start and a stop add to their right sides.
    """

    p: Ints
    u: Ints
    v: Ints
    shed: Ints
    theta: Ints
    work: Ints
    zone_rows: Ints
    decided: Ints
    rise_rows: Ints
    fall_rows: Ints
    start_offer: Floats
    stop_offer: Floats

    def plan(self, problem: UnitCommitmentProblem, x: Floats) -> CommitmentPlan:
        """The plan that columns mean."""
        on = np.ones((problem.n_hours, problem.units.n), dtype=np.bool_)
        on[:, self.decided] = x[self.u] > 0.5
        theta = problem.datacenters.base_mw.copy()
        theta[problem.datacenters.flexible] = x[self.theta]
        return CommitmentPlan(on, np.maximum(x[self.p], 0.0), np.maximum(x[self.shed], 0.0), theta, x[self.work])


class _Builder:
    """Columns and rows, block by block."""

    def __init__(self) -> None:
        self.n_columns = self.n_rows = 0
        self._columns: list[tuple[Floats, Floats, Floats, Bools]] = []
        self._rows: list[tuple[Floats, Floats]] = []
        self._entries: list[tuple[Ints, Ints, Floats]] = []

    def column(
        self, shape: tuple[int, ...], low: object, high: object, cost: object = 0.0, *, whole: bool = False
    ) -> Ints:
        at = np.arange(self.n_columns, self.n_columns + int(np.prod(shape))).reshape(shape)
        self.n_columns += at.size
        low_, high_, cost_ = (np.broadcast_to(np.asarray(one, dtype=float), shape).ravel() for one in (low, high, cost))
        self._columns.append((low_, high_, cost_, np.full(at.size, whole)))
        return at

    def row(self, shape: tuple[int, ...], low: object, high: object) -> Ints:
        at = np.arange(self.n_rows, self.n_rows + int(np.prod(shape))).reshape(shape)
        self.n_rows += at.size
        low_, high_ = (np.broadcast_to(np.asarray(one, dtype=float), shape).ravel() for one in (low, high))
        self._rows.append((low_, high_))
        return at

    def add(self, rows: Ints, columns: Ints, values: object) -> None:
        rows, columns, entries = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=float))
        self._entries.append((rows.ravel(), columns.ravel(), entries.ravel()))

    def program(self) -> SparseProgram:
        low, high, cost, whole = (np.concatenate(parts) for parts in zip(*self._columns, strict=True))
        row_low, row_high = (np.concatenate(parts) for parts in zip(*self._rows, strict=True))
        rows, columns, values = (np.concatenate(parts) for parts in zip(*self._entries, strict=True))
        matrix = coo_matrix((values, (rows, columns)), shape=(self.n_rows, self.n_columns))
        matrix.eliminate_zeros()
        return SparseProgram(cost, csr_matrix(matrix), row_low, row_high, low, high, whole)


def commitment_program(problem: UnitCommitmentProblem, tangents: Tangents) -> tuple[SparseProgram, CommitmentColumns]:
    """(1a) to (1h) and equation 9.3 with these tangents."""
    build = _Builder()
    units, hours = problem.units, problem.n_hours
    p = build.column((hours, units.n), 0.0, units.max_mw, units.cost_usd_per_mwh)
    _add_quadratic_cost(build, problem, tangents, p)
    shed, theta, work, zone_rows = _add_network(build, problem, p)
    decided = np.flatnonzero(needs_decision(problem))
    _add_ramps_of_others(build, problem, p, np.setdiff1d(np.arange(units.n), decided))
    u, v, rise_rows, fall_rows = _add_commitment(build, problem, p, decided)
    start_offer = (units.first_mw - units.min_mw - units.rise_mw)[decided]
    stop_offer = (units.last_mw - units.min_mw - units.fall_mw)[decided]
    columns = CommitmentColumns(
        p, u, v, shed, theta, work, zone_rows, decided, rise_rows, fall_rows, start_offer, stop_offer
    )
    return build.program(), columns


def _add_quadratic_cost(build: _Builder, problem: UnitCommitmentProblem, tangents: Tangents, p: Ints) -> None:
    """p as a sum of pieces; what a piece costs beyond the linear cost is twice the quadratic cost at its tangent."""
    curved = [(t, g) for t, row in enumerate(tangents) for g, points in enumerate(row) if len(points)]
    if not curved:
        return
    width, slope, owner = [], [], []
    for k, (t, g) in enumerate(curved):
        points = tangents[t][g]
        ends = np.concatenate([points[:1], (points[1:] + points[:-1]) / 2.0, points[-1:]])
        width.append(np.diff(ends))
        slope.append(2.0 * problem.units.quadratic_usd_per_mw2h[g] * points)
        owner.append(np.full(len(points), k))
    pieces = build.column((sum(map(len, width)),), 0.0, np.concatenate(width), np.concatenate(slope))
    rows = build.row((len(curved),), 0.0, 0.0)
    build.add(rows, np.array([p[t, g] for t, g in curved]), -1.0)
    build.add(rows[np.concatenate(owner)], pieces, 1.0)


def _add_network(build: _Builder, problem: UnitCommitmentProblem, p: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """(1b), (1c), (1h) and equation 9.3."""
    centers, (hours, zones) = problem.datacenters, problem.load_mw.shape
    window, (n, m) = centers.flexible, centers.latency.shape
    fixed = centers.base_mw.copy()
    fixed[window] = 0.0
    demand = problem.load_mw - problem.renewable_mw
    sheddable = np.maximum(problem.load_mw, 0.0)
    for one in (demand, sheddable):
        np.add.at(one.T, centers.zone, fixed.T)
    bound = sheddable.copy()
    bound[np.ix_(window, np.unique(centers.zone))] = np.inf
    shed = build.column((hours, zones), 0.0, bound, problem.shed_cost)
    injection = build.column((hours, zones), -np.inf, np.inf)
    zone_rows = build.row((hours, zones), demand, demand)
    build.add(zone_rows, shed, 1.0)
    build.add(zone_rows, injection, -1.0)
    build.add(zone_rows[:, problem.units.zone], p, 1.0)
    build.add(build.row((hours, 1), 0.0, 0.0), injection, 1.0)
    flows = build.row((hours, len(problem.limit_mw)), -problem.limit_mw, problem.limit_mw)
    build.add(flows[:, :, None], injection[:, None, :], problem.transfer_factors)

    work = build.column((len(window), n, m), 0.0, np.inf)
    theta = build.column((len(window), n), 0.0, np.inf)
    if len(window) == 0:
        return shed, theta, work, zone_rows
    build.add(zone_rows[np.ix_(window, centers.zone)], theta, -1.0)
    done = build.row((len(window), n), 0.0, 0.0)
    build.add(done, theta, -1.0)
    build.add(done[:, :, None], work, 1.0)
    total = centers.demand_mw[window].sum(axis=0)
    build.add(build.row((m,), total, total), work, 1.0)
    assert centers.alpha is not None
    latency = build.row(
        (len(window), 1, 1), -np.inf, ((1.0 + centers.alpha) * centers.base_latency[window])[:, None, None]
    )
    build.add(latency, work, centers.latency)
    at_most = build.row((len(window), zones), -np.inf, sheddable[window])
    build.add(at_most, shed[window], 1.0)
    build.add(at_most[:, centers.zone], theta, -1.0)
    return shed, theta, work, zone_rows


def _add_ramps_of_others(build: _Builder, problem: UnitCommitmentProblem, p: Ints, others: Ints) -> None:
    """(1f) and (1g) of units that are always on."""
    units, before = problem.units, problem.before
    rise, fall = units.rise_mw[others], units.fall_mw[others]
    bounded = (rise < units.max_mw[others]) | (fall < units.max_mw[others])
    others, rise, fall = others[bounded], rise[bounded], fall[bounded]
    rows = build.row((problem.n_hours - 1, len(others)), -fall, rise)
    build.add(rows, p[1:, others], 1.0)
    build.add(rows, p[:-1, others], -1.0)
    if before is not None:
        most = np.where(before.on, before.output_mw + units.rise_mw, units.first_mw)
        at_least = np.where(before.on, before.output_mw - units.fall_mw, 0.0)
        every = np.setdiff1d(np.arange(units.n), np.flatnonzero(needs_decision(problem)))
        build.add(build.row((len(every),), at_least[every], most[every]), p[0, every], 1.0)


def _add_commitment(
    build: _Builder, problem: UnitCommitmentProblem, p: Ints, decided: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """(1d) to (1g) and minimum times of the units that are decided."""
    units, hours, before = problem.units, problem.n_hours, problem.before
    n = len(decided)
    low, high = units.min_mw[decided], units.max_mw[decided]
    rise, fall, first, last = (a[decided] for a in (units.rise_mw, units.fall_mw, units.first_mw, units.last_mw))
    u = build.column((hours, n), 0.0, 1.0, units.no_load_usd_per_h[decided], whole=True)
    v = build.column((hours, n), 0.0, 1.0, units.startup_usd[decided], whole=True)
    began = 1 if before is None else 0  # the first hour in which a start or stop is one
    if before is None:
        build.add(build.row((n,), 0.0, 0.0), v[0], 1.0)
    was_on = np.zeros(n) if before is None else before.on[decided].astype(float)
    was_mw = np.zeros(n) if before is None else before.output_mw[decided] * was_on

    def with_previous(rows: Ints, columns: Ints, value: object) -> None:
        """Add a term in the hour before to rows of the hours from `began`; in hour 0 it is a constant, added later."""
        build.add(rows[1 - began :], columns[:-1], value)

    def moved(constant: Floats, row_high: object = 0.0) -> Floats:
        """Right sides (hour from `began`, unit) with the constant of what was before on the other side."""
        right = np.broadcast_to(np.asarray(row_high, dtype=float), (hours - began, n)).copy()
        if began == 0:
            right[0] -= constant
        return right

    span = (hours - began, n)
    rows = build.row((hours, n), -np.inf, 0.0)  # (1e)
    build.add(rows, p[:, decided], 1.0)
    build.add(rows, u, -high)
    build.add(rows, v, high - first)
    if (low > 0.0).any():
        some = np.flatnonzero(low > 0.0)
        rows = build.row((hours, len(some)), -np.inf, 0.0)
        build.add(rows, u[:, some], low[some])
        build.add(rows, p[:, decided[some]], -1.0)
    rows = build.row(span, -np.inf, moved(-was_on))  # v >= u_t - u_t-1
    build.add(rows, u[began:], 1.0)
    with_previous(rows, u, -1.0)
    build.add(rows, v[began:], -1.0)

    rise_rows, fall_rows = np.full((hours, n), -1), np.full((hours, n), -1)
    rise_rows[began:] = rows = build.row(span, -np.inf, moved(-was_mw + low * was_on))  # (1f)
    build.add(rows, p[began:, decided], 1.0)
    with_previous(rows, p[:, decided], -1.0)
    build.add(rows, u[began:], -(low + rise))
    with_previous(rows, u, low)
    build.add(rows, v[began:], -(first - low - rise))
    stop = last - low - fall
    fall_rows[began:] = rows = build.row(span, -np.inf, moved(was_mw - (low + fall + stop) * was_on))  # (1g)
    build.add(rows, p[began:, decided], -1.0)
    with_previous(rows, p[:, decided], 1.0)
    build.add(rows, u[began:], low + stop)
    with_previous(rows, u, -(low + fall + stop))
    build.add(rows, v[began:], -stop)
    slow = np.flatnonzero(last < high)  # p_t-1 <= max u_t-1 - (max - down) o_t
    rows = build.row((hours - 1, len(slow)), -np.inf, 0.0)
    build.add(rows, p[:-1, decided[slow]], 1.0)
    build.add(rows, u[:-1, slow], -last[slow])
    build.add(rows, u[1:, slow], -(high - last)[slow])
    build.add(rows, v[1:, slow], (high - last)[slow])
    if before is not None and len(slow):
        room = (high * was_on - was_mw - (high - last) * was_on)[slow]
        rows = build.row((len(slow),), -np.inf, room)
        build.add(rows, u[0, slow], -(high - last)[slow])
        build.add(rows, v[0, slow], (high - last)[slow])

    least_up, least_down = (np.maximum(h[decided], 1) for h in (units.min_up_h, units.min_down_h))
    up_rows = build.row(span, -np.inf, 0.0)
    build.add(up_rows, u[began:], -1.0)
    # Stops of the last hours add up to their starts and what u fell by since the hour before them.
    since = np.maximum(np.arange(began, hours)[:, None] - least_down + 1, began) - 1
    down_rows = build.row(span, -np.inf, np.where(since < 0, 1.0 - was_on, 1.0))
    t, k = np.nonzero(since >= 0)
    build.add(down_rows[t, k], u[since[t, k], k], 1.0)
    for rows, least_h in ((up_rows, least_up), (down_rows, least_down)):
        for lag in range(min(int(least_h.max(initial=0)), hours - began)):
            some = np.flatnonzero(least_h > lag)
            build.add(rows[lag:, some], v[began : hours - lag, some], 1.0)
    return u, v, rise_rows, fall_rows
