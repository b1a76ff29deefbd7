"""The nearest loads that datacenters accept: a small quadratic program, for many records at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csc_matrix, eye_array

from solvers.dispatch.task_allocation import ShiftLimits
from solvers.outcome import SolverError, SolveStatus
from solvers.quadratic.program import QuadraticProgram, solve_quadratic_program

Floats = NDArray[np.float64]

# Loads that are outside by less are inside but for rounding, and stay as they are.
_ROUNDING_MW = 1e-6
# So that the nearest loads are found to 1e-6 of the total.
_TOLERANCE = 1e-12


def project_shifts(theta_mw: Floats, limits: ShiftLimits) -> Floats:
    """Accepted loads (record, datacenter) nearest to `theta_mw` in the 2-norm (equation 9.11); those accepted stay as
    they are.

    Raises `SolverError` if the projection is not certified.
    """
    if theta_mw.shape[1:] != limits.rows.shape[1:] or not np.isfinite(theta_mw).all():
        raise SolverError(f"theta_mw must be numbers (record, {limits.rows.shape[1]}), got shape {theta_mw.shape}")
    found = theta_mw.copy()
    outside = np.flatnonzero(limits.excess(theta_mw) > _ROUNDING_MW)
    if not len(outside):
        return found
    q, n = len(outside), theta_mw.shape[1]
    rows = csc_matrix(limits.rows)
    unit_mw = max(limits.total_mw, 1.0)
    solution = solve_quadratic_program(
        QuadraticProgram(
            csc_matrix(eye_array(q * n)),
            -theta_mw[outside].ravel() / unit_mw,
            csc_matrix(block_diag([csc_matrix(np.ones((1, n)))] * q)),
            np.full(q, limits.total_mw / unit_mw),
            csc_matrix(block_diag([rows] * q)),
            np.full(q * rows.shape[0], -np.inf),
            np.tile(limits.bound / unit_mw, q),
            np.zeros(q * n),
            np.full(q * n, np.inf),
        ),
        tolerance=_TOLERANCE,
    )
    if solution.status is not SolveStatus.OPTIMAL:
        raise SolverError(f"the projection was not certified: {solution.certificate}")
    nearest = solution.x.reshape(q, n) * unit_mw
    if (more := limits.broken_by(nearest)) is not None:
        # The nearest of those that keep the stated rows; with more rows, of those that are asked for.
        nearest = project_shifts(theta_mw[outside], more)
    found[outside] = nearest
    return found
