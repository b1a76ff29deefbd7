"""Tasks of users among datacenters: the allocation with the least latency, and which loads are reachable from it.

Work is counted in MW of the datacenters that do it; latency in MW times hops (or whatever unit the table has).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, eye_array, kron

from solvers.outcome import SolverError, SolveStatus
from solvers.quadratic.program import QuadraticProgram, solve_quadratic_program

Floats = NDArray[np.float64]

# Weight of |W|^2, which spreads work evenly over datacenters that are equally near.
SPREAD = 1e-5
_VERTICES_MAX = 20_000
_TIGHT = 1e-9


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
    """Loads theta (datacenter,) that are accepted (equation 9.3), MW: rows theta <= bound, theta >= 0, sum = total."""

    rows: Floats
    bound: Floats
    total_mw: float

    def excess(self, theta_mw: Floats) -> Floats:
        """How far loads (..., datacenter) are outside, in MW; 0 inside. Latency counts per hop."""
        over = (theta_mw @ self.rows.T - self.bound).max(axis=-1, initial=0.0)
        negative = (-theta_mw).max(axis=-1, initial=0.0)
        return np.asarray(np.maximum(np.maximum(over, negative), np.abs(theta_mw.sum(axis=-1) - self.total_mw)))

    def shrink(self, base_mw: Floats, shift_mw: Floats) -> Floats:
        """Largest share (...,) of shifts (..., datacenter) from `base_mw` that is accepted; 0 to 1."""
        room = np.concatenate([self.bound - self.rows @ base_mw, base_mw])
        used = np.concatenate([shift_mw @ self.rows.T, -shift_mw], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # What rounding leaves of a shift that stays where it is must not stop the others.
            share = np.where(used > _TIGHT, np.maximum(room, 0.0) / used, np.inf)
        return np.asarray(np.minimum(share.min(axis=-1, initial=np.inf), 1.0))


def shift_limits(latency: Floats, demand_mw: Floats, base_latency: float, alpha: float) -> ShiftLimits:
    """Loads reachable with a latency of at most (1 + alpha) `base_latency` (equation 9.3), without W (equation 9.8).

    The least latency of loads theta is the maximum of u theta + v demand over the vertices of the transport problem's
    dual, so every vertex gives a row. Raises `SolverError` if alpha is negative.
    """
    _check(latency, demand_mw)
    # A NaN breaks no row: it would let every shift pass.
    if not alpha >= 0.0:
        raise SolverError(f"alpha must not be negative, got {alpha}")
    if not np.isfinite(base_latency):
        raise SolverError(f"the latency without shifts must be a number, got {base_latency}")
    u, v = dual_vertices(latency)
    total = float(demand_mw.sum())
    bound = (1.0 + alpha) * base_latency - v @ demand_mw
    # A row that no loads of this sum can break says nothing.
    says = u.max(axis=1) * total > bound
    return ShiftLimits(u[says], bound[says], total)


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
    """Vertices u (vertex, datacenter), v (vertex, user) of u_i + v_j <= latency_ij with u_0 = 0 (equation 9.8).

    An edge of this set raises u of some datacenters together until another pair of datacenter and user gets tight:
    so all vertices are found from any of them. Raises `SolverError` if there are more than 20,000.
    """
    shape: tuple[int, int] = latency.shape
    return _vertices(np.ascontiguousarray(latency, dtype=np.float64).tobytes(), shape)


@lru_cache(maxsize=32)
def _vertices(table: bytes, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    latency = np.frombuffer(table, dtype=np.float64).reshape(shape)
    n = len(latency)
    # Raising a set or lowering the others is the same with u_0 = 0: sets without datacenter 0, up and down.
    sets = [np.array([(k >> i) & 1 for i in range(n)], dtype=np.bool_) for k in range(2, 2**n, 2)]
    start = _first_vertex(latency)
    found: dict[tuple[float, ...], Floats] = {_key(start): start}
    seen = set(found)
    todo = [start]
    while todo:
        u = todo.pop()
        for members in sets:
            for sign in (1.0, -1.0):
                for candidate in _along(latency, u, members, sign):
                    key = _key(candidate)
                    if key in seen:
                        continue
                    seen.add(key)
                    if _is_vertex(latency, candidate):
                        found[key] = candidate
                        todo.append(candidate)
        if len(found) > _VERTICES_MAX:
            raise SolverError(f"more than {_VERTICES_MAX} latency vertices: too many datacenters for this form")
    us = np.array([found[key] for key in sorted(found)])
    vs = (latency[None] - us[:, :, None]).min(axis=1)
    us.flags.writeable = vs.flags.writeable = False  # they are kept for the next call
    return us, vs


def _key(u: Floats) -> tuple[float, ...]:
    return tuple((np.round(u, 9) + 0.0).tolist())


def _first_vertex(latency: Floats) -> Floats:
    """Datacenters join one by one, each as high as it can be: by its nearest user's distance to those that joined."""
    n = len(latency)
    u = np.zeros(n)
    for i in range(1, n):
        u[i] = float((latency[i] - (latency[:i] - u[:i, None]).min(axis=0)).min())
    return u


def _along(latency: Floats, u: Floats, members: NDArray[np.bool_], sign: float) -> list[Floats]:
    """Where, as the members move, some user's nearest datacenter changes from one side to the other."""
    slack = latency - u[:, None]
    inside, outside = slack[members].min(axis=0), slack[~members].min(axis=0)
    steps = sign * (inside - outside)
    return [u + sign * step * members for step in np.unique(steps[steps > _TIGHT])]


def _is_vertex(latency: Floats, u: Floats) -> bool:
    """Do the tight pairs connect all datacenters?"""
    slack = latency - u[:, None]
    tight = slack <= slack.min(axis=0) + _TIGHT
    reached = np.zeros(len(u), dtype=np.bool_)
    reached[0] = True
    for _ in range(len(u)):
        users = tight[reached].any(axis=0)
        grown = reached | tight[:, users].any(axis=1)
        if (grown == reached).all():
            break
        reached = grown
    return bool(reached.all())
