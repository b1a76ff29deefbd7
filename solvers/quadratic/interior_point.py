"""Interior-point method for convex quadratic programs whose Newton step is known in closed form (Mehrotra, 1992).

A program says how its rows act on a point and how one Newton step is solved; here is what all of them share. The
matrices of a general solver, and its factorisation, are never made: see `policy_training.newton` for why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
# (right side of stationarity, of the equations) to (step of the point, of the equations' multipliers).
NewtonSolve = Callable[[Floats, Floats], tuple[Floats, Floats]]
# Hears of steps taken, and how far the point is from optimal, as the tolerance counts.
Watch = Callable[[int, float], None]

_TOLERANCE = 1e-8
_ITERATIONS_MAX = 120
# Rows give by so much per unit of their multiplier's move, and points are pulled back by `pull` per unit of theirs: a
# step errs by next to nothing, its system keeps its digits, and what it errs by is put right by the next.
_GIVE = 3e-7
# So many steps without a better point, that near to the optimum: rounding has the upper hand. Where a certificate asks
# for no more, the first such step ends it.
_WORSE_MAX, _NEAR, _ENOUGH = 4, 1e-4, 3e-7
# Share of the way to the boundary that a step goes.
_SHORT_OF_BOUNDARY = 0.99
# Newton steps are solved again for what they left: elimination loses digits when rows are nearly tight.
_REFINEMENTS_MAX, _RESTART, _REFINED = 12, 6, 1e-9
# Further steps by the same factors where a step is cut short (Gondzio, 1996): how many, up to which reach, how much
# farther each aims, which share of that must come of it, and how far products may be from their middle.
_CORRECTIONS_MAX, _LONG, _LONGER, _WORTH, _PRODUCTS = 1, 0.9, 0.3, 0.1, (0.1, 10.0)
# A step that moves nothing any more.
_STUCK = 1e-10


class NewtonProgram(Protocol):
    """min x' diag(curvature) x / 2 + cost' x, equal(x) = equal_to, low <= rows(x) <= high; bounds may be infinite.

    `dual_size` is what a price of 1 counts for, `pull` how firmly a step of x is pulled back. `equal` and `rows` are
    linear, `equal_adjoint` and `rows_adjoint` their transposes. `newton` takes curvature and weights of rows, and gives
    the solution (dx, dy) of (diag(curvature) + rows' diag(weight) rows) dx + equal' dy = a, equal dx = b.
    """

    dual_size: float
    curvature: Floats
    pull: Floats
    cost: Floats
    equal_to: Floats
    low: Floats
    high: Floats

    def start(self) -> Floats:
        """A point to begin from."""

    def equal(self, x: Floats) -> Floats:
        """Left sides of the equations at x."""

    def equal_adjoint(self, y: Floats) -> Floats:
        """The transpose of `equal` at y."""

    def rows(self, x: Floats) -> Floats:
        """Values of the rows at x."""

    def rows_adjoint(self, z: Floats) -> Floats:
        """The transpose of `rows` at z."""

    def newton(self, curvature: Floats, weight: Floats) -> NewtonSolve:
        """Raises `numpy.linalg.LinAlgError` if the system is singular."""


@dataclass(frozen=True, eq=False)
class InteriorPoint:
    """A point with the multipliers of its equations and rows (positive presses from above), and steps taken.

    `below` and `above` are slack and multiplier (2, row) of either side of the rows; NaN where a row has no such side.
    `miss` is how far it is from optimal, as the tolerance counts.
    """

    x: Floats
    equal_dual: Floats
    row_dual: Floats
    iterations: int
    below: Floats
    above: Floats
    miss: float = np.inf


@dataclass(eq=False)
class _Side:
    """One side of the rows that have it: `sign` (rows(x)) + slack = limit, multiplier >= 0."""

    at: NDArray[np.intp]
    sign: float
    limit: Floats
    slack: Floats
    dual: Floats

    @property
    def soft(self) -> Floats:
        return self.slack + _GIVE * self.dual

    def residual(self, value: Floats) -> Floats:
        return self.sign * value[self.at] + self.slack - self.limit


def solve_interior_point(
    program: NewtonProgram,
    tolerance: float = _TOLERANCE,
    begin: InteriorPoint | None = None,
    watch: Watch | None = None,
) -> InteriorPoint:
    """The optimum to about 1e-8, or the best point when no step helps any more: the caller certifies.

    `begin` is a point of this program or of one like it, not too near to its optimum, to go on from; a side of a row
    that has no slack and multiplier there gets some of the same product. `watch` hears of every step.
    """
    # Many small matrices: handing them to threads costs ten times what it saves where another process has the cores.
    with threadpool_limits(limits=1, user_api="blas"):
        return _solve(program, tolerance, begin, watch)


def _solve(program: NewtonProgram, tolerance: float, begin: InteriorPoint | None, watch: Watch | None) -> InteriorPoint:
    x = program.start() if begin is None else begin.x
    value = program.rows(x)
    y = np.zeros_like(program.equal_to) if begin is None else begin.equal_dual
    sides = [
        _side(value, program.low, -1.0, None if begin is None else begin.below),
        _side(value, program.high, 1.0, None if begin is None else begin.above),
    ]
    n_sides = sum(len(side.at) for side in sides)
    best, best_miss, worse = _point(x, y, sides, value, 0), np.inf, 0
    for iteration in range(_ITERATIONS_MAX):
        step = _NewtonStep(program, x, y, sides)
        mu = sum(float(side.slack @ side.dual) for side in sides) / n_sides
        size = max(1.0, abs(0.5 * float(x @ (program.curvature * x)) + float(program.cost @ x)))
        miss = max(mu * n_sides / size, float(np.abs(step.stationary).max()) / program.dual_size, step.broken)
        if watch is not None:
            watch(iteration, miss)
        worse = 0 if miss < best_miss else worse + 1
        if miss < best_miss:
            best, best_miss = replace(_point(x, y, sides, value, iteration), miss=miss), miss
        if miss <= tolerance or (worse > 0 and best_miss <= _ENOUGH) or (worse >= _WORSE_MAX and best_miss <= _NEAR):
            break
        try:
            step.factor()
        except np.linalg.LinAlgError:
            break  # a program without an optimum runs away until its systems are singular
        _, _, affine = step.towards([side.slack * side.dual for side in sides])
        reach = _longest(sides, affine)
        after = sum(
            float((side.slack + reach * ds) @ (side.dual + reach * dz))
            for side, (ds, dz) in zip(sides, affine, strict=True)
        )
        centre = (after / n_sides / mu) ** 3 * mu
        targets = [side.slack * side.dual + ds * dz - centre for side, (ds, dz) in zip(sides, affine, strict=True)]
        move = step.towards(targets)
        reach = _longest(sides, move[2])
        for _ in range(_CORRECTIONS_MAX if miss > _NEAR else 0):
            if reach >= _LONG:
                break
            targets = _corrected(sides, move[2], targets, min(1.0, reach + _LONGER), centre)
            other = step.towards(targets)
            farther = _longest(sides, other[2])
            if farther < reach + _WORTH * _LONGER:
                break
            move, reach = other, farther
        dx, dy, moves = move
        reach = min(1.0, _SHORT_OF_BOUNDARY * reach)
        if not reach > _STUCK or not np.isfinite(dx).all():
            break
        x, y = x + reach * dx, y + reach * dy
        for side, (ds, dz) in zip(sides, moves, strict=True):
            side.slack, side.dual = side.slack + reach * ds, side.dual + reach * dz
    return best


class _NewtonStep:
    """What a point misses, and Newton steps from it."""

    def __init__(self, program: NewtonProgram, x: Floats, y: Floats, sides: list[_Side]) -> None:
        self._program, self._sides = program, sides
        value = program.rows(x)
        self.row_dual = _row_dual(sides, value)
        self.stationary = program.curvature * x + program.cost + program.equal_adjoint(y)
        self.stationary += program.rows_adjoint(self.row_dual)
        self._unequal = program.equal(x) - program.equal_to
        self._missed = [side.residual(value) for side in sides]
        self.broken = max(float(np.abs(miss).max(initial=0.0)) for miss in (self._unequal, *self._missed))

    def factor(self) -> None:
        """To be called before the first step."""
        weight = np.zeros_like(self.row_dual)
        for side in self._sides:
            weight[side.at] += side.dual / side.soft
        self._solve = _refined(self._program, self._program.curvature + self._program.pull, weight)

    def towards(self, targets: list[Floats]) -> tuple[Floats, Floats, list[tuple[Floats, Floats]]]:
        """Moves of x, y, and of each side's slack and multiplier, whose product is to fall by `targets`."""
        pressing = np.zeros_like(self.row_dual)
        for side, miss, target in zip(self._sides, self._missed, targets, strict=True):
            pressing[side.at] += side.sign * (side.dual * miss - target) / side.soft
        dx, dy = self._solve(-self.stationary - self._program.rows_adjoint(pressing), -self._unequal)
        moved = self._program.rows(dx)
        moves = []
        for side, miss, target in zip(self._sides, self._missed, targets, strict=True):
            d_slack = -side.sign * moved[side.at] - miss
            d_dual = -(target + side.dual * d_slack) / side.soft
            moves.append((d_slack + _GIVE * d_dual, d_dual))
        return dx, dy, moves


def _side(value: Floats, limit: Floats, sign: float, begin: Floats | None) -> _Side:
    at = np.flatnonzero(np.isfinite(limit))
    signed = sign * limit[at]
    room = signed - sign * value[at]
    if begin is None:
        return _Side(at, sign, signed, np.maximum(room, 1.0), np.ones(len(at)))
    slack, dual = begin[:, at]
    known = np.isfinite(slack)
    product = float((slack * dual)[known].mean()) if known.any() else 1.0
    slack = np.where(known, slack, np.maximum(room, np.sqrt(product)))
    return _Side(at, sign, signed, slack, np.where(known, dual, product / slack))


def _point(x: Floats, y: Floats, sides: list[_Side], value: Floats, iteration: int) -> InteriorPoint:
    below, above = np.full((2, 2, len(value)), np.nan)
    for own, side in zip((below, above), sides, strict=True):
        own[:, side.at] = side.slack, side.dual
    return InteriorPoint(x, y, _row_dual(sides, value), iteration, below, above)


def _row_dual(sides: list[_Side], value: Floats) -> Floats:
    dual = np.zeros_like(value)
    for side in sides:
        dual[side.at] += side.sign * side.dual
    return dual


def _corrected(
    sides: list[_Side], moves: list[tuple[Floats, Floats]], targets: list[Floats], aim: float, centre: float
) -> list[Floats]:
    """Targets of a step that goes as far as `aim`, where products that lag or run away are near `centre` (Gondzio)."""
    corrected = []
    for side, (ds, dz), target in zip(sides, moves, targets, strict=True):
        product = (side.slack + aim * ds) * (side.dual + aim * dz)
        wanted = np.clip(product, _PRODUCTS[0] * centre, _PRODUCTS[1] * centre)
        corrected.append(target - np.maximum(wanted - product, -_PRODUCTS[1] * centre))
    return corrected


def _longest(sides: list[_Side], moves: list[tuple[Floats, Floats]]) -> float:
    """Largest share (to 1) of the moves that keeps slacks and multipliers from becoming negative."""
    longest = 1.0
    for side, pair in zip(sides, moves, strict=True):
        for now, move in zip((side.slack, side.dual), pair, strict=True):
            falls = move < 0.0
            longest = min(longest, float((-now[falls] / move[falls]).min(initial=1.0)))
    return longest


def _refined(program: NewtonProgram, curvature: Floats, weight: Floats) -> NewtonSolve:
    """Newton steps whose residual is made small: each correction is the best along all directions tried (GCR)."""
    solve = program.newton(curvature, weight)

    def act(dx: Floats, dy: Floats) -> Floats:
        pressed = program.rows_adjoint(weight * program.rows(dx))
        return np.concatenate([curvature * dx + program.equal_adjoint(dy) + pressed, program.equal(dx)])

    def refined(a: Floats, b: Floats) -> tuple[Floats, Floats]:
        n = len(a)
        asked = np.concatenate([a, b])
        left, found = asked, np.zeros_like(asked)
        enough = _REFINED * max(1.0, float(np.abs(left).max()))
        tried: list[tuple[Floats, Floats]] = []
        for k in range(_REFINEMENTS_MAX):
            if k % _RESTART == 0:
                # What is left is counted down below, and drifts from what is really left.
                left, tried = asked - act(found[:n], found[n:]), []
            direction = np.concatenate(solve(left[:n], left[n:]))
            effect = act(direction[:n], direction[n:])
            for earlier, its_effect in tried:
                along = float(its_effect @ effect)
                direction, effect = direction - along * earlier, effect - along * its_effect
            size = float(np.linalg.norm(effect))
            if not size > 0.0:
                break
            direction, effect = direction / size, effect / size
            tried.append((direction, effect))
            along = float(effect @ left)
            found, left = found + along * direction, left - along * effect
            if np.abs(left).max() <= enough:
                break
        return found[:n], found[n:]

    return refined
