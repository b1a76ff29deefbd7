"""What is seen of measurements that arrive late: columns of arrays, each as it was at a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.int32]


class Shown:
    """Columns of arrays [.., column] as they were measured at different steps; `shown_at` (step, column) says when the
    measurement of a step is first seen (-1: never). Only what will be seen is kept, as long as it waits; where it waits
    is worked out before the run.
    """

    def __init__(self, shown_at: Ints) -> None:
        self._all_at_once = bool((shown_at == np.arange(len(shown_at))[:, None]).all())
        self._held: list[NDArray[Any]] = []
        self._flat: list[tuple[NDArray[Any], NDArray[Any]]] = []
        if not self._all_at_once:
            self._plan = _Plan(shown_at)

    def update(self, step: int, now: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """What is seen after a step, of what was measured in it and before; to be read in this step only."""
        if self._all_at_once:
            return tuple(now)
        if not self._held:
            # As [figure, column], whatever their shapes.
            self._held = [array.copy() for array in now]
            self._flat = [
                (
                    held.reshape(-1, held.shape[-1]),
                    np.zeros((held.size // held.shape[-1], self._plan.n_places), held.dtype),
                )
                for held in self._held
            ]
        plan = self._plan
        for (held, pool), fresh in zip(self._flat, now, strict=True):
            as_columns = fresh if fresh.ndim == 2 else fresh[None, :]
            _move(held, pool, as_columns, step, plan.first, plan.column, plan.place)
        return tuple(self._held)


class _Plan:
    """Where columns wait. Of step s, `column` and `place` hold from `first[s, 0]` what comes at once, from
    `first[s, 1]` what has waited and is shown, from `first[s, 2]` what is put aside, up to `first[s + 1, 0]`.
    """

    def __init__(self, shown_at: Ints) -> None:
        n_steps = len(shown_at)
        place_at = np.full(shown_at.shape, -1, dtype=np.int32)
        n_moves = int(2 * (shown_at >= 0).sum())
        self.column, self.place = np.zeros((2, n_moves), dtype=np.int32)
        self.first = np.zeros((n_steps + 1, 3), dtype=np.int64)
        free = np.zeros(shown_at.size, dtype=np.int32)
        self.n_places = max(1, _lay_out(shown_at, place_at, free, self.first, self.column, self.place))


@njit(cache=True)
def _lay_out(shown_at: Ints, place_at: Places, free: Places, first: Ints, column: Places, place: Places) -> int:
    """Fill a `_Plan`; returns how many places it needs."""
    n_free, n_places, n = 0, 0, 0
    for step in range(len(shown_at)):
        first[step, 0] = n
        for c in range(shown_at.shape[1]):
            if shown_at[step, c] == step:
                column[n] = c
                n += 1
        first[step, 1] = n
        for c in range(shown_at.shape[1]):
            if place_at[step, c] >= 0:
                column[n], place[n] = c, place_at[step, c]
                free[n_free] = place[n]
                n_free += 1
                n += 1
        first[step, 2] = n
        for c in range(shown_at.shape[1]):
            when = shown_at[step, c]
            if when > step:
                # What is shown in this step has left its place before.
                if n_free > 0:
                    n_free -= 1
                    place[n] = free[n_free]
                else:
                    place[n] = n_places
                    n_places += 1
                column[n], place_at[when, c] = c, place[n]
                n += 1
    first[len(shown_at)] = n
    return n_places


@njit(cache=True)
def _move(
    held: NDArray[Any], pool: NDArray[Any], fresh: NDArray[Any], step: int, first: Ints, column: Places, place: Places
) -> None:
    """Show what comes at once and what has waited; put aside what is shown later."""
    now, waited, later, end = first[step, 0], first[step, 1], first[step, 2], first[step + 1, 0]
    for i in range(len(held)):
        shown, waiting, measured = held[i], pool[i], fresh[i]
        for k in range(now, waited):
            shown[column[k]] = measured[column[k]]
        for k in range(waited, later):
            shown[column[k]] = waiting[place[k]]
        for k in range(later, end):
            waiting[place[k]] = measured[column[k]]
