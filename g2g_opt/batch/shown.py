"""What is seen of measurements that arrive late: columns of arrays, each as it was at a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
# Columns that wait at first; more when they are needed.
_WAITING = 64


class Shown:
    """Columns of arrays [.., column] as they were measured at different steps; `shown_at` (column, step) says when the
    measurement of a step is first seen (-1: never). Only what will be seen is kept, as long as it waits.
    """

    def __init__(self, shown_at: Ints) -> None:
        self._shown_at = np.ascontiguousarray(shown_at.T)
        self._all_at_once = bool((shown_at == np.arange(shown_at.shape[1])).all())
        self._held: list[NDArray[Any]] = []
        self._pools: list[NDArray[Any]] = []
        # Place in the pool of what a column is shown at a step; -1: nothing that waited.
        self._place_at = np.full(self._shown_at.shape if not self._all_at_once else (0, 0), -1, dtype=np.int32)
        self._free = np.arange(_WAITING, dtype=np.int32)[::-1].copy()
        self._n_free = _WAITING

    def update(self, step: int, now: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """What is seen after a step, of what was measured in it and before; to be read in this step only."""
        if self._all_at_once:
            return tuple(now)
        # As [figure, column], whatever their shapes.
        flat = [np.atleast_2d(array) for array in now]
        if not self._held:
            self._held = [array.copy() for array in now]
            self._pools = [np.zeros((len(array), _WAITING), dtype=array.dtype) for array in flat]
        when = self._shown_at[step]
        place_at = self._place_at
        arrived = place_at[step]
        old = np.flatnonzero(arrived >= 0)
        at_once, later = np.flatnonzero(when == step), np.flatnonzero(when > step)
        from_places = arrived[old]
        to_places = self._take(len(later))
        place_at[when[later], later] = to_places
        for held, pool, fresh in zip(self._held, self._pools, flat, strict=True):
            _move(np.atleast_2d(held), pool, fresh, at_once, old, from_places, later, to_places)
        self._free[self._n_free : self._n_free + len(old)] = from_places
        self._n_free += len(old)
        return tuple(self._held)

    def _take(self, n: int) -> NDArray[np.int32]:
        """So many free places of the pools, which grow if there are not enough."""
        if n > self._n_free:
            size = self._pools[0].shape[1]
            more = max(size, n)
            self._pools = [np.concatenate([p, np.zeros((len(p), more), dtype=p.dtype)], axis=1) for p in self._pools]
            free = np.empty(size + more, dtype=np.int32)
            free[: self._n_free] = self._free[: self._n_free]
            free[self._n_free : self._n_free + more] = np.arange(size, size + more)
            self._free, self._n_free = free, self._n_free + more
        self._n_free -= n
        return self._free[self._n_free : self._n_free + n].copy()


@njit(cache=True)
def _move(
    held: NDArray[Any],
    pool: NDArray[Any],
    fresh: NDArray[Any],
    at_once: Ints,
    old: Ints,
    from_places: NDArray[np.int32],
    later: Ints,
    to_places: NDArray[np.int32],
) -> None:
    """Show what comes at once and what has waited; put aside what is shown later."""
    for i in range(len(held)):
        for c in at_once:
            held[i, c] = fresh[i, c]
        for k in range(len(old)):
            held[i, old[k]] = pool[i, from_places[k]]
        for k in range(len(later)):
            pool[i, to_places[k]] = fresh[i, later[k]]
