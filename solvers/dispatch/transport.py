"""The least latency with which datacenters' loads do the users' work, as a function of the loads (9.3, 9.8).

It is a transport problem. By duality it is the maximum of u theta + v demand over u_i + v_j <= latency_ij, so that
every u, with v_j = min_i (latency_ij - u_i), is a row that loads must keep: u theta <= latency - v demand. Vertices of
this set give all the rows that are needed. There are 165 of them for five datacenters and New York's eleven zones, and
6 to 9 times as many with every further datacenter: `all_prices` is for small tables, `TransportProblem.prices` finds
those that bind at given loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, eye_array, kron, vstack

from solvers.highs import RepeatedLinearProgram, SparseProgram
from solvers.outcome import SolverError

Floats = NDArray[np.float64]

_VERTICES_MAX = 20_000
_TIGHT = 1e-9
# Digits to which prices are told apart, and tables of whole numbers (hops) are whole.
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class TransportProblem:
    """Users' work `demand_mw` (user,), and what an MW of it costs at a datacenter: `latency` (datacenter, user)."""

    latency: Floats
    demand_mw: Floats

    @property
    def total_mw(self) -> float:
        """Work of all users."""
        return float(self.demand_mw.sum())

    def bound(self, prices: Floats, latency_max: float) -> Floats:
        """The most that prices (row, datacenter) times loads may be, if their latency is at most `latency_max`."""
        return np.asarray(latency_max - user_prices(self.latency, prices) @ self.demand_mw)

    def prices(self, theta_mw: Floats) -> Floats:
        """Prices u (record, datacenter), u_0 = 0, whose row binds at loads (record, datacenter) of the same sum.

        Loads are taken as if none were negative.
        """
        profile, place = _profiles(self.latency)
        if not self.total_mw > 0.0 or not len(theta_mw):
            return np.zeros(theta_mw.shape)
        n, users = profile.shape[0], np.bincount(place, self.demand_mw, profile.shape[1]) / self.total_mw
        rows = np.arange(n + len(users))
        positive = np.maximum(theta_mw, 0.0)
        share = positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-300)
        found = np.zeros(theta_mw.shape)
        for k, of_record in enumerate(share):
            ends = np.append(of_record, users)
            self._program.bound_rows(rows, ends, ends)
            solution = self._program.solve()
            if solution is None:
                raise SolverError("a transport problem has no solution")
            found[k] = solution.row_dual[:n]
        found -= found[:, :1]
        # Prices of a table of whole numbers are whole.
        whole = bool((np.abs(profile - profile.round()) < 10.0**-_DIGITS).all())
        return np.asarray(found.round(0 if whole else _DIGITS) + 0.0)

    @cached_property
    def _program(self) -> RepeatedLinearProgram:
        """Work (datacenter, profile of users) by loads and by users, both of which change."""
        profile, _ = _profiles(self.latency)
        n, m = profile.shape
        sums = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))])
        nothing = np.zeros(n + m)
        low, high = np.zeros(n * m), np.full(n * m, np.inf)
        return RepeatedLinearProgram(
            SparseProgram(
                profile.ravel(), csr_matrix(sums), nothing, nothing, low, high, np.zeros(n * m, dtype=np.bool_)
            )
        )


def user_prices(latency: Floats, prices: Floats) -> Floats:
    """v (row, user) of prices u (row, datacenter): what the nearest datacenter is away, less its price."""
    # One datacenter after the other: rows times datacenters times users may be many.
    nearest = np.full((len(prices), latency.shape[1]), np.inf)
    for own, its_latency in zip(prices.T, latency, strict=True):
        np.minimum(nearest, its_latency - own[:, None], out=nearest)
    return nearest


def all_prices(latency: Floats) -> Floats:
    """Vertices u (vertex, datacenter) of u_i + v_j <= latency_ij with u_0 = 0 (9.8).

    An edge of this set raises u of some datacenters together until another pair of datacenter and user gets tight:
    so all vertices are found from any of them. Raises `SolverError` if there are more than 20,000.
    """
    profile, _ = _profiles(latency)
    shape: tuple[int, int] = profile.shape
    return _vertices(np.ascontiguousarray(profile).tobytes(), shape)


def n_profiles(latency: Floats) -> int:
    """Users (datacenter, user) that differ in more than how far all datacenters are away."""
    return int(_profiles(latency)[0].shape[1])


def _profiles(latency: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Columns less their first entry, each once, and which of them a user has: u does not tell such users apart."""
    found, place = np.unique((latency - latency[:1]).round(12) + 0.0, axis=1, return_inverse=True)
    return np.asarray(found, dtype=np.float64), np.asarray(place).ravel()


@lru_cache(maxsize=32)
def _vertices(table: bytes, shape: tuple[int, int]) -> Floats:
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
    us.flags.writeable = False  # it is kept for the next call
    return us


def _key(u: Floats) -> tuple[float, ...]:
    return tuple((np.round(u, _DIGITS) + 0.0).tolist())


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
