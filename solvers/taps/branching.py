"""The best whole steps of a few regulators: a good solution, the box that can hold a better one, and all that is in it.

A tap problem has a handful of whole numbers and few rows that matter. Roundings of the linear program, and single and
paired steps from the best of them, give a solution as good as the best or nearly so. The linear program then tells how
far each number can lie from there in a solution that is better: a box of some hundred settings, which are all tried.
Where the box is large, branch and bound goes through it, on linear programs that begin where the last one ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, RepeatedLinearProgram, SparseProgram

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A solution is better only by more than this, and a number whole within the other.
_BETTER, _WHOLE = 1e-9, 1e-6
# Of so many whole numbers all roundings are tried, up and down; linear programs at most.
_ROUNDED_MAX, _NODES_MAX = 8, 400
# Settings of a box that are all tried.
_TRIED_MAX = 20_000


def binding_rows(slopes: Floats, floor: Floats, low: Floats, high: Floats) -> Bools:
    """Rows of floor + slopes x >= m that no other one implies wherever low <= x <= high; of equal ones the first."""
    at_middle = floor + slopes @ (0.5 * (low + high))
    left, those = np.arange(len(floor)), []
    # One after the other, the tightest first, takes those along that it implies; most rows go with a few.
    while len(left):
        one = left[at_middle[left].argmin()]
        those.append(one)
        left = left[_least(slopes[left] - slopes[one], floor[left] - floor[one], low, high) < 0.0]
    kept = np.sort(np.array(those, dtype=np.int64))
    difference = slopes[kept][:, None, :] - slopes[kept][None, :, :]
    is_implied = _least(difference, floor[kept][:, None] - floor[kept][None, :], low, high) >= 0.0
    np.fill_diagonal(is_implied, False)
    bind = np.zeros(len(floor), dtype=np.bool_)
    bind[kept] = ~is_implied.any(axis=1)
    return bind


def _least(slopes: Floats, floor: Floats, low: Floats, high: Floats) -> Floats:
    """The least of floor + slopes x over low <= x <= high, along the last axis."""
    return np.asarray(floor + np.minimum(slopes * low, slopes * high).sum(axis=-1))


def best_whole(
    problem: LinearProgram, costs: Callable[[Floats], Floats], below: float = np.inf
) -> tuple[Floats | None, bool]:
    """Whole numbers of the least cost (in the order of their columns), None if none have one less than `below`, and
    whether that is told: it is not where it would take long.

    `costs` of many choices (choice, whole number) at once; infinite for one that breaks a row.
    """
    from scipy.sparse import csr_matrix  # only where it is needed: workers start in less time without it

    whole = np.flatnonzero(problem.integer)
    # Last a row for the cost itself, so that it can be bounded.
    bounded = {
        "matrix": csr_matrix(np.vstack([problem.matrix, problem.cost])),
        "row_low": np.append(problem.row_low, -np.inf),
        "row_high": np.append(problem.row_high, np.inf),
    }
    linear = RepeatedLinearProgram(SparseProgram(**{**vars(problem), **bounded}))
    root = linear.solve(cutoff=below)
    if root is None or root.objective >= below:
        return None, True
    box = problem.low[whole], problem.high[whole]
    best, least = _improved(_roundings(root.x[whole]), costs, *box)
    if not least < below:
        best, least = None, below
    if np.isfinite(least):
        found = _box(linear, problem, whole, least - _BETTER)
        if found is None:
            return best, True
        box = found
    if np.prod(box[1] - box[0] + 1.0) > _TRIED_MAX:
        return _branched(linear, problem, whole, costs, box, (best, least))
    near = _settings(*box)
    of_near = costs(near)
    return (near[of_near.argmin()] if of_near.min() < least - _BETTER else best), True


def _improved(
    near: Floats, costs: Callable[[Floats], Floats], low: Floats, high: Floats
) -> tuple[Floats | None, float]:
    """The best of some choices after single and paired steps that lower its cost, and that cost."""
    of_near = costs(near)
    best, least = near[of_near.argmin()], float(of_near.min())
    moves = _moves(len(best))
    while np.isfinite(least):
        near = best + moves
        near = near[((near >= low) & (near <= high)).all(axis=1)]
        if not len(near) or (of_near := costs(near)).min() >= least - _BETTER:
            return best, least
        best, least = near[of_near.argmin()], float(of_near.min())
    return None, least


@cache
def _moves(n: int) -> Floats:
    """Steps of one of n numbers, and of two of them."""
    one = np.concatenate([np.eye(n), -np.eye(n)])
    pairs = [one[a] + one[b] for a in range(2 * n) for b in range(a) if a - b != n]
    return np.array([*one, *pairs]).reshape(-1, n)


def _box(
    linear: RepeatedLinearProgram, problem: LinearProgram, whole: NDArray[np.int64], least: float
) -> tuple[Floats, Floats] | None:
    """Between which whole numbers every one of `whole` lies in a solution of at most some cost; None: there is none."""
    last = np.array([len(problem.matrix)])
    linear.bound_rows(last, np.array([-np.inf]), np.array([least]))
    low, high = problem.low[whole].copy(), problem.high[whole].copy()
    weights = np.zeros_like(problem.cost)
    for k, column in enumerate(whole):
        for end, sign in ((low, 1.0), (high, -1.0)):
            weights[:] = 0.0
            weights[column] = sign
            linear.weigh(weights)
            found = linear.solve()
            if found is None:
                return None
            nearest = sign * np.ceil(found.objective - _WHOLE)
            end[k] = max(end[k], nearest) if sign > 0.0 else min(end[k], nearest)
        if low[k] > high[k]:
            return None
        linear.bound(whole[k : k + 1], low[k : k + 1], high[k : k + 1])
    linear.weigh(problem.cost)
    linear.bound_rows(last, np.array([-np.inf]), np.array([np.inf]))
    return low, high


def _settings(low: Floats, high: Floats) -> Floats:
    """All whole numbers in a box."""
    ranges = [np.arange(a, b + 1.0) for a, b in zip(low, high, strict=True)]
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*ranges, indexing="ij")], axis=1)


def _branched(
    linear: RepeatedLinearProgram,
    problem: LinearProgram,
    whole: NDArray[np.int64],
    costs: Callable[[Floats], Floats],
    box: tuple[Floats, Floats],
    known: tuple[Floats | None, float],
) -> tuple[Floats | None, bool]:
    """As `best_whole`, by branch and bound in a box, from the best that is known and its cost."""
    best, least = known
    waiting = [box]
    for _ in range(_NODES_MAX):
        if not waiting:
            return best, True
        low, high = waiting.pop()
        linear.bound(whole, low, high)
        found = linear.solve(cutoff=least - _BETTER)
        if found is None or found.objective >= least - _BETTER:
            continue
        at = found.x[whole]
        near = np.rint(at)[None, :]
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
