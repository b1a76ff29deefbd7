"""Newton's method for one scenario, compiled: where the fixed point on a constant matrix does not come to rest.

The equations F(v) = Y v - I_source + I(v) = 0 are solved with their true Jacobian at v, in the elimination order of the
shared factors. A step t d is taken if the next one, told by the same factors, is shorter (the natural monotonicity
test, which no scaling of the equations changes: P. Deuflhard, Newton Methods for Nonlinear Problems, 3.3); while it is
much shorter the factors are kept, also from one search to the scenario's next. Every branch draws I = c g(|v|) v, with
c the share of an own load or the conjugate power of a port, and g its law (see `load_law`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from g2g_opt.batch.factorization import eliminate_rows
from g2g_opt.batch.load_law import law_admittance, law_derivative
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Bools1, Complexes1, Floats1, Floats2, Ints1, reader

# A factorisation is kept while steps shrink to this share of the one before.
_KEEP = 0.3
_SHORTEST = 1.0 / 512.0
# Steps (pu) below which nothing is left but rounding, if they do not shrink any more.
_ROUNDING_PU = 1e-6
# So many times what is enough, where factors are from before: larger steps do not shrink as these are too far off.
_OLD_ROUNDING = 10.0


class LaneEquations(NamedTuple):
    """One scenario's equations in elimination order; places n and n + 1 are ground and one volt.

    Rows of the Jacobian list their entries from `entry_start` on: columns, and where each takes its block from: the
    first `len(y)` blocks are admittances, then come four of every branch.
    """

    lower_start: Ints1
    lower_column: Ints1
    lower_end: Ints1
    no_moving: Ints1
    upper_start: Ints1
    upper_column: Ints1
    y_start: Ints1  # (node + 1,): where the admittances of each row begin
    y_column: Ints1
    y: Complexes1
    source: Complexes1
    dead: Bools1
    begin: Ints1
    end: Ints1
    law: Floats2  # (branch, column)
    share: Complexes1  # (branch,): c
    entry_start: Ints1
    entry_column: Ints1
    entry_block: Ints1
    per_volt: Floats1  # (node,): 1 / V of what a step is told in; 0 where it does not count


class LaneFactors(NamedTuple):
    """Factors of a matrix in the pattern of the equations; `held` (1,) is 0 where there are none."""

    lower: Floats2  # (entry, 4)
    upper: Floats2
    diagonal: Floats2  # (node, 4)
    held: Ints1

    @staticmethod
    def none(n_lower: int, n_upper: int, n_nodes: int) -> LaneFactors:
        """Room for those of a pattern with so many entries below and above its diagonal."""
        lower, upper, diagonal = (np.zeros((size, 4)) for size in (n_lower, n_upper, n_nodes))
        return LaneFactors(lower, upper, diagonal, np.zeros(1, dtype=np.int64))


class NewtonRoom(NamedTuple):
    """Room for one scenario after the other, and what comes out: `v` (node + 2, V), what every branch draws (A), the
    last step (pu) and how many factorisations were made (1,) of each.
    """

    v: Complexes1
    current: Complexes1  # (branch,)
    last_step_pu: Floats1
    n_factorised: Ints1
    start: Complexes1
    trial: Complexes1
    step: Floats2  # (node, 2)
    trial_step: Floats2
    block: Floats2
    ordered: Floats2
    work: Floats2
    none: Floats2

    @staticmethod
    def of(n_nodes: int, n_blocks: int, n_entries: int, n_branches: int) -> NewtonRoom:
        """Room for equations of so many nodes, blocks and entries of the Jacobian, and branches."""
        v, start, trial = (np.zeros(n_nodes + 2, dtype=np.complex128) for _ in range(3))
        step, trial_step = (np.zeros((n_nodes, 2)) for _ in range(2))
        block, ordered, work, none = (np.zeros((size, 4)) for size in (n_blocks, n_entries, n_nodes, 0))
        told = np.zeros(n_branches, dtype=np.complex128), np.zeros(1), np.zeros(1, dtype=np.int64)
        return NewtonRoom(v, *told, start, trial, step, trial_step, block, ordered, work, none)


class NewtonCall(NamedTuple):
    """One scenario: its equations, the latest factors of its Jacobian, those that its setting shares, and room."""

    equations: LaneEquations
    factors: LaneFactors
    shared: LaneFactors
    room: NewtonRoom


_read_call = reader(NewtonCall)


@kernel
def voltages_of_state(address: int) -> None:
    """Node voltages by the shared factors if branches put `current` into their nodes."""
    call = _read_call(address)
    q, f, room = call.equations, call.shared, call.room
    n, x, v = len(q.source), room.step, room.v
    for i in range(n):
        x[i, 0], x[i, 1] = q.source[i].real, q.source[i].imag
    for b in range(len(q.begin)):
        _add(x, q.begin[b], n, room.current[b], 1.0)
        _add(x, q.end[b], n, room.current[b], -1.0)
    _substitute(q, f, x)
    for i in range(n):
        v[i] = 0.0 if q.dead[i] else complex(x[i, 0], x[i, 1])
    v[n], v[n + 1] = 0.0, 1.0


@kernel
def branch_currents(address: int) -> None:
    """What every branch draws at `v` (A)."""
    call = _read_call(address)
    q, v = call.equations, call.room.v
    for b in range(len(q.begin)):
        across = v[q.begin[b]] - v[q.end[b]]
        re, im = law_admittance(q.law[b], abs(across))
        call.room.current[b] = q.share[b] * complex(re, im) * across


@inner
def _add(f: Any, i: int, n: int, current: complex, sign: float) -> None:
    if i < n:
        f[i, 0] += sign * current.real
        f[i, 1] += sign * current.imag


@inner
def _substitute(q: Any, f: Any, x: Any) -> None:
    """`solve_columns` for one right-hand side `x` (node, 2): its sums stay in registers, which halves its time."""
    n = len(q.source)
    for i in range(n):
        re, im = x[i, 0], x[i, 1]
        for k in range(q.lower_start[i], q.lower_start[i + 1]):
            a, b = x[q.lower_column[k], 0], x[q.lower_column[k], 1]
            re += f.lower[k, 0] * a + f.lower[k, 1] * b
            im += f.lower[k, 2] * a + f.lower[k, 3] * b
        x[i, 0], x[i, 1] = re, im
    for i in range(n - 1, -1, -1):
        re, im = x[i, 0], x[i, 1]
        for k in range(q.upper_start[i], q.upper_start[i + 1]):
            a, b = x[q.upper_column[k], 0], x[q.upper_column[k], 1]
            re += f.upper[k, 0] * a + f.upper[k, 1] * b
            im += f.upper[k, 2] * a + f.upper[k, 3] * b
        x[i, 0] = f.diagonal[i, 0] * re + f.diagonal[i, 1] * im
        x[i, 1] = f.diagonal[i, 2] * re + f.diagonal[i, 3] * im


@inner
def _mismatch(q: Any, v: Any, f: Any) -> None:
    """F(v) into `f` (node, 2)."""
    n = len(q.source)
    for i in range(n):
        sum_a = v[i] if q.dead[i] else -q.source[i]
        for k in range(q.y_start[i], q.y_start[i + 1]):
            sum_a += q.y[k] * v[q.y_column[k]]
        f[i, 0], f[i, 1] = sum_a.real, sum_a.imag
    for b in range(len(q.begin)):
        across = v[q.begin[b]] - v[q.end[b]]
        re, im = law_admittance(q.law[b], abs(across))
        current = q.share[b] * complex(re, im) * across
        _add(f, q.begin[b], n, current, 1.0)
        _add(f, q.end[b], n, current, -1.0)


@inner
def _branch_blocks(q: Any, v: Any, block: Any) -> None:
    """Slopes of all branches at v into their four blocks each, behind those of the admittances."""
    place = len(q.y) + len(q.source)
    for b in range(len(q.begin)):
        across = v[q.begin[b]] - v[q.end[b]]
        m = abs(across)
        re, im = law_admittance(q.law[b], m)
        d_re, d_im = law_derivative(q.law[b], m, re, im)
        g, radial = q.share[b] * complex(re, im), q.share[b] * complex(d_re, d_im) * across / m
        a00, a01 = g.real + radial.real * across.real, -g.imag + radial.real * across.imag
        a10, a11 = g.imag + radial.imag * across.real, g.real + radial.imag * across.imag
        for k in range(4):
            sign = 1.0 if k < 2 else -1.0
            at = place + 4 * b + k
            block[at, 0], block[at, 1] = sign * a00, sign * a01
            block[at, 2], block[at, 3] = sign * a10, sign * a11


@inner
def _factorise(q: Any, f: Any, room: Any) -> None:
    """Factors of the Jacobian at `v` into `f`."""
    n, block, ordered = len(q.source), room.block, room.ordered
    for k in range(len(q.y)):
        y = q.y[k]
        block[k, 0], block[k, 1], block[k, 2], block[k, 3] = y.real, -y.imag, y.imag, y.real
    for i in range(n):
        one, place = 1.0 if q.dead[i] else 0.0, len(q.y) + i
        block[place, 0], block[place, 1], block[place, 2], block[place, 3] = one, 0.0, 0.0, one
    _branch_blocks(q, room.v, block)
    for k in range(len(q.entry_block)):
        for part in range(4):
            ordered[k, part] = block[q.entry_block[k], part]
    eliminate_rows(
        n,
        q.lower_start,
        q.lower_column,
        q.lower_end,
        q.no_moving,
        q.upper_start,
        q.upper_column,
        q.entry_start,
        q.entry_column,
        ordered,
        f.lower,
        f.upper,
        f.diagonal,
        room.none,
        room.none,
        room.none,
        room.work,
    )
    f.held[0] = 1


@inner
def _step(q: Any, f: Any, v: Any, step: Any) -> float:
    """What the factors make of what is missing at v, into `step` (node, 2): its longest component (pu); infinite if
    any is no number.
    """
    _mismatch(q, v, step)
    _substitute(q, f, step)
    longest = 0.0
    for i in range(len(q.source)):
        size = (step[i, 0] ** 2 + step[i, 1] ** 2) * q.per_volt[i] ** 2
        if not size < np.inf:
            return np.inf
        longest = max(longest, size)
    return float(np.sqrt(longest))


@kernel
def newton(address: int, rounds: int, enough_pu: float) -> bool:
    """Move `v` to a solution of its equations (equation 5.6): whether it came to rest.

    It rests where a step (pu) is below `enough_pu`, or where rounding lets it shrink no more. `v` stays as it was if
    there is no way on. Factors that are held from before serve for as long as steps shrink well by them.
    """
    call = _read_call(address)
    q, f, room = call.equations, call.factors, call.room
    n, v, trial, step, trial_step = len(q.source), room.v, room.trial, room.step, room.trial_step
    for i in range(n + 2):
        room.start[i] = trial[i] = v[i]
    room.n_factorised[0] = 0
    for turn in range(0 if f.held[0] > 0 else 1, rounds + 1):
        is_old, accepted = turn == 0, False
        if not is_old:
            _factorise(q, f, room)
            room.n_factorised[0] += 1
        size = _step(q, f, v, step)
        if size == np.inf:
            if is_old:
                continue
            break
        for _ in range(40):
            room.last_step_pu[0] = size
            if size < enough_pu:
                return True
            t, accepted = 1.0, False
            while t > _SHORTEST:
                for i in range(n):
                    trial[i] = v[i] - t * complex(step[i, 0], step[i, 1])
                next_size = _step(q, f, trial, trial_step)
                if next_size <= (_KEEP if is_old else 1.0 - 0.5 * t) * size:
                    accepted = True
                    break
                if is_old and size > _OLD_ROUNDING * enough_pu:
                    break
                if size < _ROUNDING_PU:
                    return True
                t *= 0.5
            if not accepted:
                break
            shrinks = next_size < _KEEP * size and t == 1.0
            for i in range(n):
                v[i] = trial[i]
                step[i, 0], step[i, 1] = trial_step[i, 0], trial_step[i, 1]
            size = next_size
            if not shrinks and size > _ROUNDING_PU:
                break
        if not (accepted or is_old):
            break
    for i in range(n):
        v[i] = room.start[i]
    f.held[0] = 0
    return False
