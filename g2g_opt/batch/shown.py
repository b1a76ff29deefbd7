"""What is seen of measurements that arrive late: columns of an array, each as it was at a step of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.records import Bools1, Bools2, Counts1, Floats1, Floats2, Ints2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]
Places = NDArray[np.int32]


class ShownMoves(NamedTuple):
    """What kernels know of a `Shown`: what is seen and what waits, what was measured (rows begin `width` apart in
    memory), in which steps anything `moves` or is passed on (no steps at all where everything is seen at once), and the
    `_Plan`.
    """

    seen: Floats2
    pool: Floats2
    memory: Floats1
    width: int
    moves: Bools1
    passes_on: Bools1
    at_once: Bools2
    next_step: Bools2
    any_at_once: Bools1
    all_at_once: Bools1
    all_next_step: Bools1
    first: Ints2
    column: Counts1
    place: Counts1


class Shown:
    """Columns of `measured` [figure, column], an array that is written in place step after step, as they were at
    different steps; `shown_at` (step, column) says when the measurement of a step is first seen (-1: never). Only what
    will be seen is kept, as long as it waits; where it waits is worked out before the run.

    `seen` is what is seen of it after a step, and `measured` itself where all is seen at once. Kernels are told of
    every step twice: `show` once it is measured, `pass_on` when everybody has looked, with `measured` as it still is.
    """

    def __init__(self, shown_at: Counts, measured: Floats) -> None:
        memory, width = _rows_in_memory(measured)
        if (shown_at == np.arange(len(shown_at))[:, None]).all():
            plan = _Plan(np.zeros((0, shown_at.shape[1]), dtype=np.int32))
            self.seen, pool, moves, passes_on = measured, np.zeros((0, 0)), plan.any_at_once, plan.any_at_once
            # Nothing of it is copied, so a kernel may take any memory for what is seen.
            seen = np.zeros((0, 0))
        else:
            plan = _Plan(np.ascontiguousarray(shown_at))
            self.seen = seen = aligned(*measured.shape)
            seen[:] = measured
            pool = np.zeros((len(measured), plan.n_places))
            moves = plan.any_at_once | (np.diff(plan.first[:, 0]) > 0)
            passes_on = np.append(plan.next_step[1:].any(axis=1), False)
        self.moves = ShownMoves(
            seen,
            pool,
            memory,
            width,
            moves,
            passes_on,
            plan.at_once,
            plan.next_step,
            plan.any_at_once,
            np.asarray(plan.at_once.all(axis=1)),
            np.asarray(plan.next_step.all(axis=1)),
            plan.first,
            plan.column,
            plan.place,
        )


def _rows_in_memory(array: Floats) -> tuple[Floats, int]:
    """The memory of an array [figure, column] from its first place to its last, and how far apart its rows begin."""
    width = array.strides[0] // array.itemsize
    return as_strided(array, ((len(array) - 1) * width + array.shape[1],), (array.itemsize,)), width


class _Plan:
    """Which columns are seen at once (`at_once`) or in the step after (`next_step`), arrays [step, column] of the step
    in which they are seen, and where the others wait.

    Of step s, `column` and `place` hold from `first[s, 0]` what has waited and is shown, from `first[s, 1]` what is put
    aside, up to `first[s + 1, 0]`.
    """

    def __init__(self, shown_at: Counts) -> None:
        n_steps = len(shown_at)
        self.at_once, self.next_step = np.zeros((2, *shown_at.shape), dtype=np.bool_)
        n_moves = int(2 * _count_waiting(shown_at, self.at_once, self.next_step))
        self.any_at_once = np.asarray(self.at_once.any(axis=1))
        self.column, self.place = np.zeros((2, n_moves), dtype=np.int32)
        self.first = np.zeros((n_steps + 1, 2), dtype=np.int64)
        self.n_places = 1
        if n_moves:
            free = np.zeros(n_moves, dtype=np.int32)
            place_at = np.full(shown_at.shape, -1, dtype=np.int32)
            self.n_places = max(1, _lay_out(shown_at, place_at, free, self.first, self.column, self.place))


@kernel
def _count_waiting(shown_at: Counts, at_once: Bools, next_step: Bools) -> int:
    """Mark what is seen at once and in the step after; returns how many measurements are seen later than that."""
    waiting = 0
    for step in range(len(shown_at)):
        for c in range(shown_at.shape[1]):
            delay = shown_at[step, c] - step
            at_once[step, c] = delay == 0
            if delay == 1:
                next_step[step + 1, c] = True
            waiting += delay > 1
    return waiting


@kernel
def _lay_out(shown_at: Counts, place_at: Places, free: Places, first: Ints, column: Places, place: Places) -> int:
    """Fill a `_Plan`; returns how many places it needs."""
    n_free, n_places, n = 0, 0, 0
    for step in range(len(shown_at)):
        first[step, 0] = n
        for c in range(shown_at.shape[1]):
            if place_at[step, c] >= 0:
                column[n], place[n] = c, place_at[step, c]
                free[n_free] = place[n]
                n_free += 1
                n += 1
        first[step, 1] = n
        for c in range(shown_at.shape[1]):
            when = shown_at[step, c]
            if when > step + 1:
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


@inner
def show(m: ShownMoves, step: int) -> None:
    """After a step was measured: what comes at once and what has waited is seen, and what has to wait is kept."""
    if moves_in(m, step):
        for i in range(len(m.seen)):
            show_row(m, step, i)


@inner
def moves_in(m: ShownMoves, step: int) -> bool:
    """Has `show` anything to do in a step?"""
    return bool(step < len(m.moves) and m.moves[step])


@inner
def show_row(m: ShownMoves, step: int, i: int) -> None:
    """`show` of a row, in a step in which anything moves."""
    waited, later, end = m.first[step, 0], m.first[step, 1], m.first[step + 1, 0]
    if m.any_at_once[step]:
        _take(m, i, m.at_once[step], m.all_at_once[step])
    for k in range(waited, later):
        m.seen[i, m.column[k]] = m.pool[i, m.place[k]]
    row = i * m.width
    for k in range(later, end):
        m.pool[i, m.place[k]] = m.memory[row + m.column[k]]


@inner
def pass_on(m: ShownMoves, step: int) -> None:
    """At the end of a step: what was measured in it and is seen in the next takes the place of what was seen."""
    if step >= len(m.passes_on) or not m.passes_on[step]:
        return
    for i in range(len(m.seen)):
        _take(m, i, m.next_step[step + 1], m.all_next_step[step + 1])


@inner
def _take(m: Any, i: int, which: Any, every: bool) -> None:
    """Take some columns of a row, or `every` one, as they were measured."""
    row = i * m.width
    if every:
        for c in range(m.seen.shape[1]):
            m.seen[i, c] = m.memory[row + c]
        return
    for c in range(m.seen.shape[1]):
        m.seen[i, c] = m.memory[row + c] if which[c] else m.seen[i, c]
