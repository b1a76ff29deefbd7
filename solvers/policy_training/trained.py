"""What every training gives: a policy as the matrix that it is, with the certificate of its optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.task_allocation import ShiftLimits
from solvers.outcome import SolverError
from solvers.quadratic.interior_point import InteriorPoint
from solvers.quadratic.program import OptimalityCertificate, QuadraticSolution

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingBegin:
    """A point on the way to the optimum of a training, and the rows (row, datacenter) of latency that it knew.

    A training that differs in its ties, or in a few of these rows, may begin there.
    """

    point: InteriorPoint
    latency_rows: Floats


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """B (datacenter, 1 + feature) in MW per unit of the features, what it costs per record ($), certificate, seconds.

    `certified` is False if no solver certified the optimum: then B is not to be used. `limits` are those of the network
    with the rows of latency that its loads asked for, `begin` is where a training much like it may begin.
    """

    matrix: Floats
    cost_usd: float
    certificate: OptimalityCertificate
    certified: bool
    solver: str
    seconds: float
    limits: ShiftLimits | None = None
    begin: TrainingBegin | None = None

    @property
    def conserving_matrix(self) -> Floats:
        """B with what rounding leaves of its columns' sums put right, where it does not show."""
        return np.asarray(self.matrix - self.matrix.mean(axis=0))

    def shifts_mw(self, features: Floats) -> Floats:
        """What the policy asks of every datacenter (record, datacenter) by `features` (record, feature)."""
        return np.asarray(np.hstack([np.ones((len(features), 1)), features]) @ self.matrix.T)


def with_intercept(features: Floats, scale: Floats | None, eps: float) -> Floats:
    """1 and the features (record, 1 + feature), divided by `scale` (feature,) if there is one; `SolverError` if bad."""
    if not 0.0 <= eps < np.inf:
        raise SolverError(f"eps must be a number and not negative, got {eps}")
    if not len(features):
        raise SolverError("there are no records to train on")
    if not np.isfinite(features).all():
        raise SolverError("features have values that are no numbers")
    if scale is not None and (scale.shape != features.shape[1:] or not (np.isfinite(scale) & (scale > 0.0)).all()):
        raise SolverError(f"scale must be a positive number for each of {features.shape[1]} features")
    divided = features if scale is None else features / scale
    return np.hstack([np.ones((len(features), 1)), divided])


def trained_policy(found: QuadraticSolution, matrix: Floats, scale: Floats | None, money: float) -> TrainedPolicy:
    """A policy of a program's solution, whose matrix is of features as divided by `scale`; `money` is $ per unit."""
    if scale is not None:
        matrix = np.hstack([matrix[:, :1], matrix[:, 1:] / scale])
    own = found.certificate
    return TrainedPolicy(matrix, money * own.primal_objective, own, own.holds, found.solver, found.seconds)
