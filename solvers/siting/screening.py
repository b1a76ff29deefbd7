"""Time steps of a siting program that cannot bind, by a proven bound.

Steps of a slot share their taps. If, over everything that may be decided, no row of step p comes nearer to its limit
than the same row of step q of the slot, then p holds whenever q does and its rows can be left out. The bound takes
every decision at its worst on its own, so it proves more than is needed, never less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.siting.problem import SitingProblem

Floats = NDArray[np.float64]


def implied_points(problem: SitingProblem) -> NDArray[np.bool_]:
    """Which points' upper (row 0) and lower (row 1) limits hold if all others do (equation 8.6): shape (2, point).

    Nothing is left out if violations have a price, or with storage.
    """
    skip = np.zeros((2, problem.n_points), dtype=np.bool_)
    if problem.penalty is not None or problem.storage is not None:
        return skip
    for h in np.unique(problem.calendar.slot):
        members = np.flatnonzero(problem.calendar.slot == h)
        for k, side in enumerate((1.0, -1.0)):
            implies = nearest(problem, members, side) <= 0.0
            for a in range(len(members)):
                skip[k, members[a]] = any(implies[a, b] and not skip[k, q] for b, q in enumerate(members) if b != a)
    return skip


def nearest(problem: SitingProblem, points: NDArray[np.int64], side: float) -> Floats:
    """The most, over rows and decisions, that p can be nearer to its upper (side 1) or lower (-1) limit than q.

    For all `points` of a slot, shape (p, q).
    """
    rows, pv, sites, taps = problem.rows, problem.pv, problem.sites, problem.taps
    limit = (rows.high if side > 0 else rows.low)[:, points]
    limited = np.isfinite(limit)
    i = np.flatnonzero(limited.any(axis=1))
    # Not limited is infinitely far.
    near = np.where(
        limited[i], side * (rows.constant[np.ix_(i, points)] - np.where(limited[i], limit[i], 0.0)), -np.inf
    )
    with np.errstate(invalid="ignore"):
        most = near[:, :, None] - near[:, None, :]
    most[np.isnan(most)] = -np.inf
    if pv.n:
        # What PV injects lies between nothing and all there is, at p and at q on its own.
        injected = side * rows.pv[np.ix_(i, np.arange(pv.n), points)] * (pv.size_max_kw[:, None] * pv.sun[points])
        most += np.maximum(injected, 0.0).sum(axis=1)[:, :, None] + np.maximum(-injected, 0.0).sum(axis=1)[:, None, :]
    for k, buses in enumerate(sites.candidates):
        drawn = side * rows.site[np.ix_(i, np.array(buses), points)] * sites.demand[k, points]
        slope = drawn[:, :, :, None] - drawn[:, :, None, :]
        most += np.maximum(slope * sites.size_min_kw[k], slope * sites.size_max_kw[k]).max(axis=1)
    moved = side * rows.tap[np.ix_(i, np.arange(taps.n), points)]
    slope = moved[:, :, :, None] - moved[:, :, None, :]
    low, high = taps.low[:, None, None], taps.high[:, None, None]
    most += np.maximum(slope * low, slope * high).sum(axis=1)
    return np.asarray(most.max(axis=0, initial=-np.inf))
