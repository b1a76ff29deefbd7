"""An affine policy of batch sizes that loses the least throughput and keeps voltages, as one linear program.

Sets       records i, outputs d (level of a model at a site), features f, bus-phases m, pieces k
Data       z_if                  context, scaled
           v_im, s_imd           voltage (pu) at the levels r_id of the record, and its slope (pu per level)
           w_id                  weight of an output's throughput in a record
           a_kd + b_kd x         convex pieces of the loss of throughput at level x
           v_min, v_max          band (pu), kappa penalty (loss per pu), eps bound on the coefficients
Variables  o_d offset, B_df coefficients, x_id, l_id >= 0 loss, u_im >= 0 violation (pu)
min  mean over i of  sum_d w_id l_id + kappa sum_m u_im
(1) x_id = o_d + sum_f B_df z_if
(2) l_id >= a_kd + b_kd x_id
(3) u_im >= min(v_min, best_im) - v_im - sum_d s_imd (x_id - r_id)
(4) u_im >= v_im + sum_d s_imd (x_id - r_id) - max(v_max, best_im)
(5) sum_df |B_df| <= eps

It is equation 9.5 with the batch sizes of a feeder's sites in the place of shifts. A level is the power of a
replica between that at the smallest batch size (0) and that at the largest (1): voltages are nearly linear in it, and
the logarithm of throughput, measured, is concave in it, neither of which holds for log2 batch sizes.

Live, x is clipped to [0, 1], which is no convex thing to write down. Instead, best_im in (3) is the highest (in (4)
the lowest) voltage that any x in [0, 1] gives, so that nothing is gained by asking for levels beyond the ends; and
(3), (4) are written only where some x in [0, 1] breaks the band, so that nothing is lost by it either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, coo_array, csr_array, csr_matrix, eye_array, kron

from solvers.highs import SparseProgram, solve_sparse_program
from solvers.outcome import SolveReport, SolverError

Floats = NDArray[np.float64]

# Break ties in favour of small coefficients and of less power, far below any loss that matters.
_COEFFICIENT_COST = 1e-7
_LEVEL_COST = 1e-6
# How far x may leave [0, 1] on its way: far beyond where anything changes, near enough for good numbers.
_LEVELS_BEYOND = 10.0


@dataclass(frozen=True, eq=False)
class FeederPolicyProblem:
    """Data of the model above: `context` (record, feature), `voltage_pu` (record, bus-phase), `slope_pu` (record,
    bus-phase, output), `level` and `loss_weight` (record, output), `loss_offset` and `loss_slope` (piece, output), and
    the scalars. Raises `SolverError` for shapes that do not fit.
    """

    context: Floats
    voltage_pu: Floats
    slope_pu: Floats
    level: Floats
    loss_weight: Floats
    loss_offset: Floats
    loss_slope: Floats
    v_min_pu: float
    v_max_pu: float
    penalty_per_pu: float
    coefficients_max: float

    def __post_init__(self) -> None:
        q, d = self.level.shape
        m, k = self.voltage_pu.shape[1], len(self.loss_slope)
        for name, shape in (
            ("context", (q, self.context.shape[1])),
            ("voltage_pu", (q, m)),
            ("slope_pu", (q, m, d)),
            ("loss_weight", (q, d)),
            ("loss_offset", (k, d)),
            ("loss_slope", (k, d)),
        ):
            found = getattr(self, name)
            if found.shape != shape:
                raise SolverError(f"{name} has shape {found.shape}, the records ask for {shape}")
            if not np.isfinite(found).all():
                raise SolverError(f"{name} holds a number that is not finite")
        if q == 0 or self.coefficients_max < 0 or self.penalty_per_pu < 0 or not self.v_min_pu < self.v_max_pu:
            raise SolverError("a policy needs records, a bound and a penalty of 0 or more, and v_min_pu < v_max_pu")


@dataclass(frozen=True, eq=False)
class FeederPolicySolution:
    """`offset` (output,), `gain` (output, feature) on the scaled context; what the model predicts on its records:
    mean weighted `loss`, and mean `violation_pu` summed over bus-phases; and the report.
    """

    offset: Floats
    gain: Floats
    loss: float
    violation_pu: float
    report: SolveReport


@dataclass(frozen=True, eq=False)
class ViolationRows:
    """Rows (3) and (4) that are written: u + sum_d slope_rd x_d >= needed_r, with x that of `record_r`."""

    record: NDArray[np.int64]
    slope: Floats
    needed_pu: Floats


def violation_rows(p: FeederPolicyProblem) -> ViolationRows:
    """(3) and (4), where some x in [0, 1] breaks the band."""
    at_zero = p.voltage_pu - np.einsum("imd,id->im", p.slope_pu, p.level)
    highest = at_zero + np.maximum(p.slope_pu, 0.0).sum(axis=2)
    lowest = at_zero + np.minimum(p.slope_pu, 0.0).sum(axis=2)
    i, m = np.nonzero(lowest < p.v_min_pu)
    under = np.minimum(p.v_min_pu, highest[i, m]) - at_zero[i, m]
    j, n = np.nonzero(highest > p.v_max_pu)
    over = at_zero[j, n] - np.maximum(p.v_max_pu, lowest[j, n])
    return ViolationRows(
        np.concatenate([i, j]),
        np.concatenate([p.slope_pu[i, m], -p.slope_pu[j, n]]),
        np.concatenate([under, over]),
    )


def solve_feeder_policy(problem: FeederPolicyProblem, *, time_limit_s: float = 120.0) -> FeederPolicySolution:
    """The best policy on the records (equation 9.12); `SolverError` if none was found within the time."""
    p, rows = problem, violation_rows(problem)
    (q, d), f, k, r = p.level.shape, p.context.shape[1], len(p.loss_slope), len(rows.record)
    one = eye_array(q * d)
    # Columns: o, B+, B-, x, l, u. A row of x is a record's, output by output.
    context = kron(csr_array(p.context), eye_array(d))
    of_x = _on_records(rows, q, d)
    bound = csr_array(np.ones((1, d * f)))
    matrix = block_array(
        [
            [-kron(np.ones((q, 1)), eye_array(d)), -context, context, one, None, None],  # (1)
            [None, None, None, -_pieces(p.loss_slope, q), kron(eye_array(q), _each(k, d)), None],  # (2)
            [None, None, None, of_x, None, eye_array(r)],  # (3), (4)
            [None, bound, bound, None, None, None],  # (5)
        ],
        format="csr",
    )
    needed = np.concatenate([np.tile(p.loss_offset.ravel(), q), rows.needed_pu])
    tie = np.full(2 * d * f, _COEFFICIENT_COST)
    free = np.full(d, np.inf)
    x_low, x_high = np.full(q * d, -_LEVELS_BEYOND), np.full(q * d, 1.0 + _LEVELS_BEYOND)
    x, report = solve_sparse_program(
        SparseProgram(
            cost=np.concatenate(
                [
                    np.zeros(d),
                    tie,
                    np.full(q * d, _LEVEL_COST / q),
                    p.loss_weight.ravel() / q,
                    np.full(r, p.penalty_per_pu / q),
                ]
            ),
            matrix=csr_matrix(matrix),
            row_low=np.concatenate([np.zeros(q * d), needed, [0.0]]),
            row_high=np.concatenate([np.zeros(q * d), np.full(len(needed), np.inf), [p.coefficients_max]]),
            low=np.concatenate([-free, np.zeros(2 * d * f), x_low, np.zeros(q * d + r)]),
            high=np.concatenate([free, np.full(2 * d * f, np.inf), x_high, np.full(q * d + r, np.inf)]),
            integer=np.zeros(d + 2 * d * f + 2 * q * d + r, dtype=bool),
        ),
        time_limit_s=time_limit_s,
    )
    if x is None:
        raise SolverError(f"no policy was found in {time_limit_s:g} s ({report.status.value}); give it more time")
    plus, minus = x[d : d + d * f], x[d + d * f : d + 2 * d * f]
    lost, violation = x[d + 2 * d * f + q * d :][: q * d], x[len(x) - r :]
    return FeederPolicySolution(
        offset=x[:d].copy(),
        gain=np.ascontiguousarray((plus - minus).reshape(f, d).T),
        loss=float(lost @ p.loss_weight.ravel()) / q,
        violation_pu=float(violation.sum()) / q,
        report=report,
    )


def _on_records(rows: ViolationRows, q: int, d: int) -> csr_array:
    """Slopes of the rows (3), (4) at the columns of x, shape (row, record and output)."""
    r = len(rows.record)
    columns = (rows.record[:, None] * d + np.arange(d)).ravel()
    return csr_array(coo_array((rows.slope.ravel(), (np.repeat(np.arange(r), d), columns)), shape=(r, q * d)))


def _each(k: int, d: int) -> csr_array:
    """Rows (piece, output) that each pick their output."""
    return csr_array(kron(np.ones((k, 1)), eye_array(d)))


def _pieces(loss_slope: Floats, q: int) -> csr_array:
    """Slopes of the rows (2), ordered (record, piece, output)."""
    k, d = loss_slope.shape
    one = csr_array(_each(k, d).multiply(loss_slope.reshape(k * d, 1)))
    return csr_array(kron(eye_array(q), one))
