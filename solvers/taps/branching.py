"""The best whole steps of a few regulators, by branch and bound on linear programs that begin where the last one ended.

A tap problem has a handful of whole numbers and few rows that matter. What a general solver does at its root before it
branches takes ten times as long as the branching: here rows that others imply are left out, roundings of the first
linear program give a solution nearly as good as the best, and every further program starts from the last basis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, RepeatedLinearProgram, SparseProgram

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A solution is better only by more than this, and a number whole within the other.
_BETTER, _WHOLE = 1e-9, 1e-6
# Of so many whole numbers all roundings are tried, up and down; linear programs at most.
_ROUNDED_MAX, _NODES_MAX = 8, 400


def binding_rows(slopes: Floats, floor: Floats, low: Floats, high: Floats) -> Bools:
    """Rows of floor + slopes x >= m that no other one implies wherever low <= x <= high."""
    difference = slopes[:, None, :] - slopes[None, :, :]
    least = floor[:, None] - floor[None, :] + np.minimum(difference * low, difference * high).sum(axis=-1)
    is_implied = least >= 0.0
    # Of equal rows the first stays.
    is_implied &= ~(is_implied.T & (np.arange(len(floor))[:, None] <= np.arange(len(floor))))
    return np.asarray(~is_implied.any(axis=1))


def best_whole(problem: LinearProgram, costs: Callable[[Floats], Floats]) -> tuple[Floats | None, bool]:
    """Whole numbers of the least cost (in the order of their columns), None if there are none, and whether that is
    told: it is not where it would take long.

    `costs` of many choices (choice, whole number) at once; infinite for one that breaks a row.
    """
    from scipy.sparse import csr_matrix  # only where it is needed: workers start in less time without it

    whole = np.flatnonzero(problem.integer)
    linear = RepeatedLinearProgram(SparseProgram(**{**vars(problem), "matrix": csr_matrix(problem.matrix)}))
    best: Floats | None = None
    least = np.inf
    waiting = [(problem.low[whole], problem.high[whole])]
    for _ in range(_NODES_MAX):
        if not waiting:
            return best, True
        low, high = waiting.pop()
        linear.bound(whole, low, high)
        found = linear.solve(cutoff=least - _BETTER)
        if found is None or found.objective >= least - _BETTER:
            continue
        at = found.x[whole]
        near = _roundings(at) if best is None else np.rint(at)[None, :]
        of_near = costs(near)
        if of_near.min() < least - _BETTER:
            best, least = near[of_near.argmin()], float(of_near.min())
        away = np.abs(at - np.rint(at))
        if away.max() <= _WHOLE:
            continue
        k = int(away.argmax())
        down, up = high.copy(), low.copy()
        down[k], up[k] = np.floor(at[k]), np.ceil(at[k])
        sides = [(low, down), (up, high)]
        # The nearer side is looked at first.
        waiting += sides if at[k] - down[k] > 0.5 else sides[::-1]
    return best, False


def _roundings(x: Floats) -> Floats:
    """All ways to round some numbers up or down, or the nearest whole numbers of many."""
    if len(x) > _ROUNDED_MAX:
        return np.rint(x)[None, :]
    return np.array(list(itertools.product(*zip(np.floor(x), np.ceil(x), strict=True))))
