"""Tasks of users among datacenters: the allocation with the least latency, and which loads are reachable from it.

Work is counted in MW of the datacenters that do it; latency in MW times hops (or whatever unit the table has). Of few
datacenters all rows that latency asks for are stated; of more, those that loads have broken: whoever optimises over
loads asks `ShiftLimits.broken_by` for more, until none is broken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, eye_array, kron

from solvers.dispatch.transport import TransportProblem, all_prices, n_profiles, user_prices
from solvers.outcome import SolverError, SolveStatus
from solvers.quadratic.program import QuadraticProgram, solve_quadratic_program

Floats = NDArray[np.float64]

# Weight of |W|^2, which spreads work evenly over datacenters that are equally near.
SPREAD = 1e-5
_TIGHT = 1e-9
# Datacenters times users (that differ) up to which all rows of latency are stated: New York's are 55.
_STATED_MAX = 60
# A row is broken where loads miss it by more (MW per hop), or by more than this share of all work.
_BROKEN_MW, _BROKEN_SHARE = 2e-4, 1e-6


def allocate_tasks(latency: Floats, demand_mw: Floats, spread: float = SPREAD) -> Floats:
    """W (datacenter, user): min L(W) + spread/2 |W|^2, W >= 0, W'1 = demand (equation 9.1).

    `latency` (datacenter, user), `demand_mw` (user,). Raises `SolverError` on negative demand or shapes that differ.
    """
    _check(latency, demand_mw)
    n, m = latency.shape
    # Solved for shares of the largest demand: multiples of one program have one shape.
    unit = float(max(demand_mw.max(initial=0.0), 1e-9))
    found = solve_quadratic_program(
        QuadraticProgram(
            csc_matrix(spread * unit * eye_array(n * m)),
            latency.ravel().astype(np.float64),
            csc_matrix(kron(np.ones((1, n)), eye_array(m))),
            demand_mw / unit,
            csc_matrix((0, n * m)),
            np.zeros(0),
            np.zeros(0),
            np.zeros(n * m),
            np.full(n * m, np.inf),
        )
    )
    if found.status is not SolveStatus.OPTIMAL:
        raise SolverError(f"the task allocation was not certified: {found.certificate}")
    return unit * np.maximum(found.x.reshape(n, m), 0.0)


@dataclass(frozen=True, eq=False)
class ShiftLimits:
    """Loads theta (datacenter,) that are accepted (equation 9.3), in MW: rows theta <= bound, theta >= 0, sum = total.

    With `transport`, these rows are some of those that a latency of at most `latency_max` asks for.
    """

    rows: Floats
    bound: Floats
    total_mw: float
    transport: TransportProblem | None = None
    latency_max: float = np.inf

    def excess(self, theta_mw: Floats) -> Floats:
        """How far loads (..., datacenter) are outside, in MW; 0 inside. Latency counts per hop."""
        over = (theta_mw @ self.rows.T - self.bound).max(axis=-1, initial=0.0)
        if self.transport is not None:
            loads = theta_mw.reshape(-1, theta_mw.shape[-1])
            # Of loads that break a row they are not inside anyway.
            inside = np.flatnonzero(np.ravel(over) <= self.broken_mw)
            found = np.ravel(over).copy()
            own = self.transport.prices(loads[inside])
            missed = (own * loads[inside]).sum(axis=1) - self.transport.bound(own, self.latency_max)
            found[inside] = np.maximum(found[inside], missed)
            over = found.reshape(np.shape(over))
        negative = (-theta_mw).max(axis=-1, initial=0.0)
        return np.asarray(np.maximum(np.maximum(over, negative), np.abs(theta_mw.sum(axis=-1) - self.total_mw)))

    @property
    def broken_mw(self) -> float:
        """By how much a row must be missed to be stated, in MW per hop."""
        return min(_BROKEN_MW, _BROKEN_SHARE * self.total_mw)

    def broken_by(self, theta_mw: Floats, by_mw: float | None = None) -> ShiftLimits | None:
        """These limits with the rows that loads (record, datacenter) break besides; None if they break none.

        By more than `by_mw` (MW per hop), or than a solver's rounding if it is not given.
        """
        if self.transport is None:
            return None
        loads = theta_mw[np.isfinite(theta_mw).all(axis=1)]
        own = self.transport.prices(loads)
        missed = (own * loads).sum(axis=1) - self.transport.bound(own, self.latency_max)
        new = np.unique(own[missed > (self.broken_mw if by_mw is None else by_mw)], axis=0)
        # What is stated already is missed by no more than a solver's rounding.
        stated = {row.tobytes() for row in self.rows}
        return self._with_rows(new[[row.tobytes() not in stated for row in new]])

    def _with_rows(self, new: Floats) -> ShiftLimits | None:
        if self.transport is None or not len(new):
            return None
        bound = np.append(self.bound, self.transport.bound(new, self.latency_max))
        return replace(self, rows=np.vstack([self.rows, new]), bound=bound)

    def shrink(self, base_mw: Floats, shift_mw: Floats) -> Floats:
        """Largest share (...,) of shifts (..., datacenter) from `base_mw` that is accepted; 0 to 1."""
        share = self._shrink_by_rows(base_mw, shift_mw)
        # At what the stated rows leave of a shift, others may be broken.
        kept = (base_mw + share[..., None] * shift_mw).reshape(-1, shift_mw.shape[-1])
        more = self.broken_by(kept)
        return share if more is None else more.shrink(base_mw, shift_mw)

    def _shrink_by_rows(self, base_mw: Floats, shift_mw: Floats) -> Floats:
        room = np.concatenate([self.bound - self.rows @ base_mw, base_mw])
        used = np.concatenate([shift_mw @ self.rows.T, -shift_mw], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # What rounding leaves of a shift that stays where it is must not stop the others.
            share = np.where(used > _TIGHT, np.maximum(room, 0.0) / used, np.inf)
        return np.asarray(np.minimum(share.min(axis=-1, initial=np.inf), 1.0))


def shift_limits(
    latency: Floats, demand_mw: Floats, base_latency: float, alpha: float, known: ShiftLimits | None = None
) -> ShiftLimits:
    """Loads reachable with a latency of at most (1 + alpha) `base_latency` (equation 9.3), without W (equation 9.8).

    The least latency of loads theta is the maximum of u theta + v demand over the vertices of the transport problem's
    dual, so every vertex gives a row. All of them are stated where the table is small; elsewhere those of all work in
    one place, of work spread evenly, and of limits that are `known` for another alpha. Raises `SolverError` if alpha is
    negative.
    """
    _check(latency, demand_mw)
    # A NaN breaks no row: it would let every shift pass.
    if not alpha >= 0.0:
        raise SolverError(f"alpha must not be negative, got {alpha}")
    if not np.isfinite(base_latency):
        raise SolverError(f"the latency without shifts must be a number, got {base_latency}")
    n, total, latency_max = len(latency), float(demand_mw.sum()), (1.0 + alpha) * base_latency
    transport = TransportProblem(latency, demand_mw)
    if n * n_profiles(latency) > _STATED_MAX:
        rows = transport.prices(total * np.vstack([np.eye(n), np.full((1, n), 1.0 / n)]))
        rows = np.unique(rows if known is None else np.vstack([rows, known.rows]), axis=0)
        return ShiftLimits(rows, transport.bound(rows, latency_max), total, transport, latency_max)
    rows = all_prices(latency)
    bound = transport.bound(rows, latency_max)
    # A row that no loads of this sum can break says nothing.
    says = rows.max(axis=1) * total > bound
    return ShiftLimits(rows[says], bound[says], total)


def _check(latency: Floats, demand_mw: Floats) -> None:
    if demand_mw.shape != (latency.shape[1],):
        raise SolverError(f"demand has shape {demand_mw.shape}, latency asks for ({latency.shape[1]},)")
    for name, array in (("latency", latency), ("demand", demand_mw)):
        if not np.isfinite(array).all():
            raise SolverError(f"{name} has values that are no numbers")
    if (demand_mw < 0.0).any():
        raise SolverError("a user's demand is negative")


def least_latency(latency: Floats, theta_mw: Floats, demand_mw: Floats) -> Floats:
    """Least latency (...,) with which loads (..., datacenter) of the same sum can do the users' work (equation 9.8)."""
    u, v = dual_vertices(latency)
    return np.asarray((theta_mw @ u.T + v @ demand_mw).max(axis=-1))


def dual_vertices(latency: Floats) -> tuple[Floats, Floats]:
    """Vertices u (vertex, datacenter), v (vertex, user) of u_i + v_j <= latency_ij with u_0 = 0 (equation 9.8)."""
    u = all_prices(latency)
    return u, user_prices(latency, u)
