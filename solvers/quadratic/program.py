"""Convex quadratic programs by PIQP, or by Clarabel where it does not certify its answer; the only file to call them.

Every answer carries a certificate that is computed here from the point and its multipliers, not taken from the solver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import clarabel
import numpy as np
import piqp
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, eye_array, vstack

from solvers.outcome import SolverError, SolveStatus

Floats = NDArray[np.float64]
# A point, and the multipliers of its equations, rows and bounds (positive presses from above).
PointWithDuals = tuple[Floats, Floats, Floats, Floats]

# Asked of the solvers, in the program's units; what a certificate must show, relative to the sizes of its terms.
_TOLERANCE = 1e-8
CERTIFIED = 1e-6
_ITERATIONS_MAX = 50


@dataclass(frozen=True, eq=False)
class QuadraticProgram:
    """min x' quadratic x / 2 + cost' x, equal x = equal_to, row_low <= rows x <= row_high, low <= x <= high.

    `quadratic` is symmetric and positive semidefinite. Matrices are sparse by columns; bounds may be infinite.
    """

    quadratic: csc_matrix
    cost: Floats
    equal: csc_matrix
    equal_to: Floats
    rows: csc_matrix
    row_low: Floats
    row_high: Floats
    low: Floats
    high: Floats

    def __post_init__(self) -> None:
        n = len(self.cost)
        shapes = {
            "quadratic": (self.quadratic.shape, (n, n)),
            "equal": (self.equal.shape, (len(self.equal_to), n)),
            "rows": (self.rows.shape, (len(self.row_low), n)),
            "row_high": (self.row_high.shape, self.row_low.shape),
            "low": (self.low.shape, (n,)),
            "high": (self.high.shape, (n,)),
        }
        for name, (found, asked) in shapes.items():
            if found != asked:
                raise SolverError(f"{name} has shape {found}, the program asks for {asked}")
        # A NaN breaks no bound: it would be certified.
        for name in ("cost", "equal_to", "row_low", "row_high", "low", "high"):
            values = getattr(self, name)
            if np.isnan(values).any() or (name in {"cost", "equal_to"} and np.isinf(values).any()):
                raise SolverError(f"{name} has values that are no numbers")


@dataclass(frozen=True)
class OptimalityCertificate:
    """How far a point is from optimal: objectives of the point and of its multipliers in the program's units.

    `gap` is their distance, `primal_residual` the most by which a row or bound is broken, `dual_residual` the most by
    which the multipliers miss stationarity; each relative to the size of the terms it is the difference of.
    """

    primal_objective: float
    dual_objective: float
    gap: float
    primal_residual: float
    dual_residual: float

    @property
    def holds(self) -> bool:
        """Is everything within 1e-6?"""
        # One by one: max() may pass over a NaN.
        return all(miss <= CERTIFIED for miss in (self.gap, self.primal_residual, self.dual_residual))


@dataclass(frozen=True, eq=False)
class QuadraticSolution:
    """A point, its multipliers (positive where the upper side presses), certificate, solver, seconds."""

    status: SolveStatus
    x: Floats
    equal_dual: Floats
    row_dual: Floats
    bound_dual: Floats
    certificate: OptimalityCertificate
    solver: str
    seconds: float


def solve_quadratic_program(
    program: QuadraticProgram,
    own: tuple[str, Callable[[], PointWithDuals]] | None = None,
    tolerance: float = _TOLERANCE,
) -> QuadraticSolution:
    """The optimum, certified to 1e-6; the status is FAILED if no solver certifies one (it may be infeasible).

    `own` is a name and a method made for this program, which is asked first. `tolerance` is what the general solvers
    stop at: a point lies from the optimum of x'x / 2 as far as the square root of it.
    """
    began_s = time.perf_counter()
    found: list[QuadraticSolution] = []
    general = [("PIQP", lambda: _by_piqp(program, tolerance)), ("Clarabel", lambda: _by_clarabel(program, tolerance))]
    for name, solve in [own, *general] if own is not None else general:
        x, equal_dual, row_dual, bound_dual = solve()
        certificate = certify(program, x, equal_dual, row_dual, bound_dual)
        status = SolveStatus.OPTIMAL if certificate.holds else SolveStatus.FAILED
        seconds = time.perf_counter() - began_s
        found.append(QuadraticSolution(status, x, equal_dual, row_dual, bound_dual, certificate, name, seconds))
        if certificate.holds:
            break
    return found[-1]


def certify(
    program: QuadraticProgram, x: Floats, equal_dual: Floats, row_dual: Floats, bound_dual: Floats
) -> OptimalityCertificate:
    """The certificate of a point with the multipliers of its rows and bounds (positive presses from above)."""
    curved = program.quadratic @ x
    row_dual = _pressing(row_dual, program.row_low, program.row_high)
    bound_dual = _pressing(bound_dual, program.low, program.high)
    equal, rows = program.equal @ x - program.equal_to, program.rows @ x
    broken = (
        float(np.abs(equal).max(initial=0.0)),
        _outside(rows, program.row_low, program.row_high),
        _outside(x, program.low, program.high),
    )
    terms = (curved, program.cost, program.equal.T @ equal_dual, program.rows.T @ row_dual, bound_dual)
    stationary = np.asarray(sum(terms))
    size = max(1.0, *(float(np.abs(term).max(initial=0.0)) for term in terms))
    half = 0.5 * float(x @ curved)
    primal = half + float(program.cost @ x)
    dual = (
        -half
        - float(program.equal_to @ equal_dual)
        - _support(row_dual, program.row_low, program.row_high)
        - _support(bound_dual, program.low, program.high)
    )
    return OptimalityCertificate(
        primal,
        dual,
        abs(primal - dual) / max(1.0, abs(primal)),
        float(np.max(broken)) / max(1.0, float(np.abs(x).max(initial=0.0))),
        float(np.abs(stationary).max(initial=0.0)) / size,
    )


def _outside(value: Floats, low: Floats, high: Floats) -> float:
    return float(np.maximum(low - value, value - high).max(initial=0.0))


def _pressing(dual: Floats, low: Floats, high: Floats) -> Floats:
    """Multipliers, less those that press against nothing: they may not help stationarity either."""
    side = np.where(dual > 0.0, high, low)
    return np.where(np.isfinite(side) | np.isnan(dual), dual, 0.0)


def _support(dual: Floats, low: Floats, high: Floats) -> float:
    """Most that dual' v can be for low <= v <= high, where dual presses against finite sides only."""
    side = np.where(dual > 0.0, high, low)
    return float(np.where(np.isfinite(side), side, 0.0) @ dual)


def _by_piqp(program: QuadraticProgram, tolerance: float) -> PointWithDuals:
    limited = np.isfinite(program.row_low) | np.isfinite(program.row_high)
    solver = piqp.SparseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_rel = tolerance
    # Its own 1e-8 and 1e-9 otherwise, whatever else is asked for.
    settings.eps_duality_gap_abs, settings.eps_duality_gap_rel = tolerance, 0.1 * tolerance
    settings.max_iter = _ITERATIONS_MAX
    solver.setup(
        program.quadratic,
        program.cost,
        program.equal,
        program.equal_to,
        csc_matrix(program.rows.tocsr()[limited]),
        program.row_low[limited],
        program.row_high[limited],
        program.low,
        program.high,
    )
    solver.solve()
    found = solver.result
    row_dual = np.zeros(len(limited))
    row_dual[limited] = np.array(found.z_u) - np.array(found.z_l)
    bound_dual = np.array(found.z_bu) - np.array(found.z_bl)
    return np.array(found.x), np.array(found.y), row_dual, bound_dual


def _by_clarabel(program: QuadraticProgram, tolerance: float) -> PointWithDuals:
    n = len(program.cost)
    one = eye_array(n, format="csr")
    sides = (
        (program.rows, program.row_high, 1.0),
        (program.rows, program.row_low, -1.0),
        (one, program.high, 1.0),
        (one, program.low, -1.0),
    )
    kept = [np.flatnonzero(np.isfinite(limit)) for _, limit, _ in sides]
    matrix = vstack(
        [program.equal, *(sign * m.tocsr()[k] for (m, _, sign), k in zip(sides, kept, strict=True))], format="csc"
    )
    limit = np.concatenate([program.equal_to, *(s * v[k] for (_, v, s), k in zip(sides, kept, strict=True))])
    n_equal = len(program.equal_to)
    cones = [clarabel.ZeroConeT(n_equal), clarabel.NonnegativeConeT(len(limit) - n_equal)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    upper = csc_matrix(program.quadratic).copy()
    found = clarabel.DefaultSolver(upper, program.cost, csc_matrix(matrix), limit, cones, settings).solve()
    z = np.array(found.z)
    duals = [np.zeros(len(program.row_low)), np.zeros(n)]
    at = n_equal
    for (_, _, sign), k, into in zip(sides, kept, (0, 0, 1, 1), strict=True):
        duals[into][k] += sign * z[at : at + len(k)]
        at += len(k)
    return np.array(found.x), z[:n_equal], duals[0], duals[1]
