"""Newton's method for one scenario, compiled: where the fixed point on a constant matrix does not come to rest.

The equations F(v) = Y v - I_source + I(v) = 0 are solved with their true Jacobian at v, in the elimination order of the
shared factors. A step t d is taken if the next one, told by the same factors, is shorter (the natural monotonicity
test, which no scaling of the equations changes: P. Deuflhard, Newton Methods for Nonlinear Problems, 3.3); while it is
much shorter the factors are kept. Every branch draws I = c g(|v|) v, with c the share of an own load or the conjugate
power of a port, and g its law (see `load_law`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.factorization import eliminate_rows, substitute_columns
from g2g_opt.batch.load_law import law_admittance, law_derivative
from g2g_opt.compiled.kernel import inner, kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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
    first `len(y_row)` blocks are admittances, then come four of every branch.
    """

    lower_start: Ints
    lower_column: Ints
    lower_end: Ints
    no_moving: Ints
    upper_start: Ints
    upper_column: Ints
    y_row: Ints
    y_column: Ints
    y: NDArray[np.complex128]
    source: NDArray[np.complex128]
    dead: NDArray[np.bool_]
    begin: Ints
    end: Ints
    law: Floats  # (branch, column)
    share: NDArray[np.complex128]  # (branch,): c
    entry_start: Ints
    entry_column: Ints
    entry_block: Ints
    per_volt: Floats  # (node,): 1 / V of what a step is told in; 0 where it does not count


@kernel
def branch_currents(q: LaneEquations, v: NDArray[np.complex128], current: NDArray[np.complex128]) -> None:
    """What every branch draws at v (A)."""
    for b in range(len(q.begin)):
        across = v[q.begin[b]] - v[q.end[b]]
        re, im = law_admittance(q.law[b], abs(across))
        current[b] = q.share[b] * complex(re, im) * across


@inner
def _mismatch(q: LaneEquations, v: NDArray[np.complex128], f: Floats) -> None:
    """F(v) into `f` (node, 2, 1)."""
    n = len(q.source)
    for i in range(n):
        f[i, 0, 0], f[i, 1, 0] = -q.source[i].real, -q.source[i].imag
        if q.dead[i]:
            f[i, 0, 0], f[i, 1, 0] = v[i].real, v[i].imag
    for k in range(len(q.y)):
        y = q.y[k] * v[q.y_column[k]]
        i = q.y_row[k]
        f[i, 0, 0] += y.real
        f[i, 1, 0] += y.imag
    for b in range(len(q.begin)):
        across = v[q.begin[b]] - v[q.end[b]]
        re, im = law_admittance(q.law[b], abs(across))
        current = q.share[b] * complex(re, im) * across
        if q.begin[b] < n:
            f[q.begin[b], 0, 0] += current.real
            f[q.begin[b], 1, 0] += current.imag
        if q.end[b] < n:
            f[q.end[b], 0, 0] -= current.real
            f[q.end[b], 1, 0] -= current.imag


@inner
def _branch_blocks(q: LaneEquations, v: NDArray[np.complex128], block: Floats) -> None:
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
def _length(q: LaneEquations, step: Floats) -> float:
    """Longest component of a step (pu); infinite if any is no number."""
    longest = 0.0
    for i in range(len(q.source)):
        size = (step[i, 0, 0] ** 2 + step[i, 1, 0] ** 2) * q.per_volt[i] ** 2
        if not size < np.inf:
            return np.inf
        longest = max(longest, size)
    return float(np.sqrt(longest))


@inner
def _copy(source: NDArray[np.complex128], v: NDArray[np.complex128]) -> None:
    # One by one: a slice would bring the words of a shape that does not fit along, seconds of compilation.
    for i in range(len(v)):
        v[i] = source[i]


class LaneFactors(NamedTuple):
    """The latest factors of a Jacobian, in the pattern of its equations; `held` (1,) is 0 where there are none."""

    lower: Floats  # (entry, 4)
    upper: Floats
    diagonal: Floats  # (node, 4)
    held: Ints

    @staticmethod
    def none(n_lower: int, n_upper: int, n: int) -> LaneFactors:
        """Room for those of a pattern with so many entries below and above its diagonal."""
        lower, upper, diagonal = (np.zeros((size, 4)) for size in (n_lower, n_upper, n))
        return LaneFactors(lower, upper, diagonal, np.zeros(1, dtype=np.int64))


@kernel
def voltages_of_state(
    q: LaneEquations, lower: Floats, upper: Floats, diagonal: Floats, a: Floats, v: NDArray[np.complex128]
) -> None:
    """Node voltages `v` (node + 2, V) by the shared factors if branches put `a` (branch, 2), A, into their nodes."""
    n = len(q.source)
    x = np.zeros((n, 2, 1))
    for i in range(n):
        x[i, 0, 0], x[i, 1, 0] = q.source[i].real, q.source[i].imag
    for b in range(len(q.begin)):
        for part in range(2):
            if q.begin[b] < n:
                x[q.begin[b], part, 0] += a[b, part]
            if q.end[b] < n:
                x[q.end[b], part, 0] -= a[b, part]
    substitute_columns(q.lower_start, q.lower_column, q.upper_start, q.upper_column, lower, upper, diagonal, x)
    for i in range(n):
        v[i] = 0.0 if q.dead[i] else complex(x[i, 0, 0], x[i, 1, 0])
    v[n], v[n + 1] = 0.0, 1.0


@inner
def _factorise(q: LaneEquations, v: NDArray[np.complex128], f: LaneFactors) -> None:
    """Factors of the Jacobian at v into `f`."""
    n = len(q.source)
    none, work = np.zeros((0, 4)), np.zeros((n, 4))
    block = np.zeros((len(q.y) + n + 4 * len(q.begin), 4))
    for k in range(len(q.y)):
        y = q.y[k]
        block[k, 0], block[k, 1], block[k, 2], block[k, 3] = y.real, -y.imag, y.imag, y.real
    for i in range(n):
        if q.dead[i]:
            block[len(q.y) + i, 0] = block[len(q.y) + i, 3] = 1.0
    _branch_blocks(q, v, block)
    ordered = np.zeros((len(q.entry_block), 4))
    for k in range(len(q.entry_block)):
        for part in range(4):
            ordered[k, part] = block[q.entry_block[k], part]
    f.lower[:], f.upper[:], f.diagonal[:] = 0.0, 0.0, 0.0
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
        none,
        none,
        none,
        work,
    )
    f.held[0] = 1


@inner
def _step(q: LaneEquations, v: NDArray[np.complex128], f: LaneFactors, step: Floats) -> float:
    """The step that the factors make of what is missing at v, into `step` (node, 2, 1); how long it is (pu)."""
    _mismatch(q, v, step)
    substitute_columns(q.lower_start, q.lower_column, q.upper_start, q.upper_column, f.lower, f.upper, f.diagonal, step)
    size: float = _length(q, step)
    return size


@kernel
def newton(
    q: LaneEquations, f: LaneFactors, v: NDArray[np.complex128], rounds: int, enough_pu: float
) -> tuple[bool, int, float]:
    """Move `v` (node + 2, V) to a solution of its equations (equation 5.6): whether it came to rest, factorisations,
    last step.

    It rests where a step (pu) is below `enough_pu`, or where rounding lets it shrink no more. `v` stays as it was if
    there is no way on. Factors that `f` holds from before serve for as long as steps shrink well by them.
    """
    n = len(q.source)
    step, trial_step = np.zeros((n, 2, 1)), np.zeros((n, 2, 1))
    start, trial = v.copy(), v.copy()
    size = np.inf
    for turn in range(0 if f.held[0] > 0 else 1, rounds + 1):
        is_old, accepted = turn == 0, False
        if not is_old:
            _factorise(q, v, f)
        size = _step(q, v, f, step)
        if size == np.inf:
            if is_old:
                continue
            break
        for _ in range(40):
            if size < enough_pu:
                return True, turn, size
            t, accepted = 1.0, False
            while t > _SHORTEST:
                for i in range(n):
                    trial[i] = v[i] - t * complex(step[i, 0, 0], step[i, 1, 0])
                next_size = _step(q, trial, f, trial_step)
                if next_size <= (_KEEP if is_old else 1.0 - 0.5 * t) * size:
                    accepted = True
                    break
                if is_old and size > _OLD_ROUNDING * enough_pu:
                    break
                if size < _ROUNDING_PU:
                    return True, turn, size
                t *= 0.5
            if not accepted:
                break
            shrinks = next_size < _KEEP * size and t == 1.0
            _copy(trial, v)
            for i in range(n):
                step[i, 0, 0], step[i, 1, 0] = trial_step[i, 0, 0], trial_step[i, 1, 0]
            size = next_size
            if not shrinks and size > _ROUNDING_PU:
                break
        if not (accepted or is_old):
            break
    _copy(start, v)
    f.held[0] = 0
    return False, rounds, size
