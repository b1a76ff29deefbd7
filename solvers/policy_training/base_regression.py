"""Base regression: the policy that misses ideal shifts least (equation 9.5), beside the one that is trained on costs.

min  sum of squares of e
(1)  e_i = B (1, x_i) - shift_i for every record i, columns of B sum to 0
(2)  |B|_1 <= 2 eps

A Newton step falls apart as in `newton`: what is missed is eliminated record by record, and every record tells the
policy the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csc_matrix, csr_matrix, diags_array, eye_array, kron

from solvers.outcome import SolverError
from solvers.policy_training.policy_step import PolicyStep, PolicyTerms
from solvers.policy_training.trained import TrainedPolicy, trained_policy, with_intercept
from solvers.quadratic.interior_point import NewtonSolve, solve_interior_point
from solvers.quadratic.program import PointWithDuals, QuadraticProgram, solve_quadratic_program

Floats = NDArray[np.float64]

# How firmly steps are pulled back: policies that miss the same leave theirs open.
_PULL, _PULL_POLICY = 1e-8, 1e-6
# A bound on |B|_1 that is smaller is none.
_SMALLEST = 1e-6


def train_base_regression(
    features: Floats, shift_mw: Floats, eps: float, *, scale: Floats | None = None, free_intercept: bool = False
) -> TrainedPolicy:
    """Least squares on ideal shifts (record, datacenter) with |beta|_1 <= eps: base regression (equation 9.5).

    A program is solved and no path over eps is followed (`lars_path` of scikit-learn): a market's features are
    collinear, so that a path has to drop some, and it knows neither sums that are 0 nor a certificate.
    Where the bound binds this relaxes the published problem: links that keep |beta|_1 small are not those that keep
    squares small (docs/coordination_proof.md). Shifts along links are not unique; the shortest (in the 2-norm) are
    taken, so squares of links are squares of datacenters divided by their number. `cost_usd` is the mean square of what
    is missed along links (MW^2).
    """
    x = with_intercept(features, scale, eps)
    q, n_features = x.shape
    if len(shift_mw) != q:
        raise SolverError(f"{q} records of features and {len(shift_mw)} of shifts")
    n_centers = shift_mw.shape[1]
    # Features differ by orders of magnitude: the program counts in the units of the largest shift and of each feature.
    unit_mw = float(max(np.abs(shift_mw).max(initial=0.0), 1.0))
    size_max = max(2.0 * eps, _SMALLEST)
    counts = np.append(0.0 if free_intercept else 1.0, np.ones(n_features - 1))
    unit = unit_mw / np.maximum(np.abs(x).max(axis=0), 1e-300)
    unit = np.where(counts > 0.0, np.minimum(unit, size_max), unit)
    shape = (2, n_centers, n_features)
    nothing = np.zeros(shape)
    size = np.broadcast_to(counts * unit / size_max, shape)
    terms = PolicyTerms(x * unit / unit_mw, size, 2.0 * eps / size_max, nothing, nothing)
    newton = _RegressionNewton(terms, shift_mw / unit_mw)
    found = solve_quadratic_program(newton.program(), ("interior point by structure", newton.optimum))
    parts = found.x[newton.n_misses :].reshape(shape)
    return trained_policy(found, unit * (parts[0] - parts[1]), scale, unit_mw**2)


class _RegressionNewton:
    """`NewtonProgram` of a base regression: e (record, datacenter), then the policy's two parts.

    `shift` (record, datacenter) is aimed at. The objective is a sum over records rather than their mean along links.
    """

    def __init__(self, terms: PolicyTerms, shift: Floats) -> None:
        self._terms, self._shift = terms, shift
        self._shape = terms.size.shape
        self.n_misses = shift.size
        # A mean over records, of squares along links: those of datacenters divided by their number.
        self.dual_size = float(shift.size)
        nothing = np.zeros(terms.n_entries)
        self.curvature = np.append(np.full(shift.size, 2.0), nothing)
        self.pull = np.append(np.full(shift.size, _PULL), np.full(terms.n_entries, _PULL_POLICY))
        self.cost = np.zeros(shift.size + terms.n_entries)
        self.equal_to = np.append(-shift.ravel(), np.zeros(self._shape[2]))
        self.low = np.append(nothing, -np.inf)
        self.high = np.append(np.full(terms.n_entries, np.inf), terms.size_max)

    def program(self) -> QuadraticProgram:
        """The same as matrices, its objective as a mean."""
        (q, n_features), n_centers = self._terms.x.shape, self._shape[1]
        n_parts = self._terms.n_entries
        x, one = csr_matrix(self._terms.x), eye_array(n_centers)
        # e counts records first, a part datacenters first.
        order = np.arange(q * n_centers).reshape(n_centers, q).T.ravel()
        by_policy = csr_matrix(kron(one, x))[order]
        conserve = kron(np.ones((1, n_centers)), eye_array(n_features))
        curved = np.append(np.full(self.n_misses, 2.0 / self.dual_size), np.zeros(n_parts))
        return QuadraticProgram(
            csc_matrix(diags_array(curved)),
            self.cost,
            csc_matrix(block_array([[eye_array(self.n_misses), -by_policy, by_policy], [None, conserve, -conserve]])),
            self.equal_to,
            csc_matrix(np.append(np.zeros(self.n_misses), self._terms.size.ravel())[None]),
            np.array([-np.inf]),
            np.array([self._terms.size_max]),
            np.append(np.full(self.n_misses, -np.inf), np.zeros(n_parts)),
            np.full(self.n_misses + n_parts, np.inf),
        )

    def optimum(self) -> PointWithDuals:
        """The optimum in the layout of `program`."""
        found = solve_interior_point(self)
        bounds = np.append(np.zeros(self.n_misses), found.row_dual[:-1])
        return (
            found.x,
            found.equal_dual / self.dual_size,
            found.row_dual[-1:] / self.dual_size,
            bounds / self.dual_size,
        )

    def start(self) -> Floats:
        """A policy that moves nothing."""
        return np.append(-self._shift.ravel(), np.zeros(self._terms.n_entries))

    def _split(self, values: Floats) -> tuple[Floats, Floats]:
        return values[: self.n_misses].reshape(self._shift.shape), values[self.n_misses :].reshape(self._shape)

    def equal(self, x: Floats) -> Floats:
        """What is missed beyond what the policy misses, then the sums of the policy's columns."""
        missed, parts = self._split(x)
        matrix = parts[0] - parts[1]
        return np.append((missed - self._terms.x @ matrix.T).ravel(), matrix.sum(axis=0))

    def equal_adjoint(self, y: Floats) -> Floats:
        """Transpose of `equal`."""
        of_missed, of_sums = y[: self.n_misses].reshape(self._shift.shape), y[self.n_misses :]
        part = of_sums - of_missed.T @ self._terms.x
        return np.concatenate([of_missed.ravel(), part.ravel(), -part.ravel()])

    def rows(self, x: Floats) -> Floats:
        """Parts, and the policy's size."""
        parts = x[self.n_misses :]
        return np.append(parts, self._terms.size.ravel() @ parts)

    def rows_adjoint(self, z: Floats) -> Floats:
        """Transpose of `rows`."""
        return np.append(np.zeros(self.n_misses), z[:-1] + z[-1] * self._terms.size.ravel())

    def newton(self, curvature: Floats, weight: Floats) -> NewtonSolve:
        """Solves a Newton step: what is missed, then the policy, then back."""
        curved, curved_parts = self._split(curvature)
        x = self._terms.x
        told = curved[:, :, None] * np.eye(curved.shape[1])
        of_parts = weight[:-1].reshape(self._shape)
        policy = PolicyStep(x, told, curved_parts + of_parts, self._terms.size, float(weight[-1]), same=True)

        def solve(a: Floats, b: Floats) -> tuple[Floats, Floats]:
            a_missed, a_parts = self._split(a)
            off, sums = b[: self.n_misses].reshape(curved.shape), b[self.n_misses :]
            parts, price = policy.solve(a_parts, (curved * off - a_missed).T @ x, sums)
            missed = off + x @ (parts[0] - parts[1]).T
            return np.concatenate([missed.ravel(), parts.ravel()]), np.append(
                (a_missed - curved * missed).ravel(), price
            )

        return solve
