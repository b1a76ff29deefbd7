"""Regression policies for task shifts: trained on the cost of dispatch (contextual) or on ideal shifts (base) (equation
9.5).

A policy is the matrix B (datacenter, 1 + feature): loads move by B (1, x). The published statement gives shifts along
the links of a complete graph, phi = beta (1, x), and bounds |beta|_1. Any B whose columns sum to 0 comes from links,
and the least |beta|_1 is half of |B|_1 (equation 9.8): so the bound is put on B, and there are no links.

By equation 9.4 the datacenters' own problem adds nothing but equation 9.3, so that training is one convex quadratic
program:

min  mean_i p_i'C p_i + c'p_i + s'l_i
(1)  theta_i = theta0 + B (1, x_i) for every record i, columns of B sum to 0
(2)  |B|_1 <= 2 eps, in MW per unit of a feature (the intercept counts too, unless it is left free)
(3)  dispatch of every record (equation 9.2), its loads accepted (equation 9.3)

Many B cost the same. Of these, the one is taken that moves least: LEAST_MOVE is the price of the square of the moves by
one standard deviation of each feature, in the program's units, under a millionth of a record's cost. A random
direction, priced as well, finds other ends of the optimal set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, block_diag, csc_matrix, csr_matrix, diags_array, eye_array, hstack, kron, vstack

from solvers.dispatch.blocks import (
    DatacenterNetwork,
    DispatchBlocks,
    DispatchSystem,
    dispatch_blocks,
)
from solvers.dispatch.task_allocation import ShiftLimits
from solvers.outcome import SolverError
from solvers.policy_training.newton import PolicyTerms, TrainingNewton
from solvers.quadratic.program import (
    OptimalityCertificate,
    QuadraticProgram,
    QuadraticSolution,
    solve_quadratic_program,
)

Floats = NDArray[np.float64]

# Prices of moving, where moves cost the same otherwise, in the program's money and power: for a system counted in GW,
# 0.05 $ per GW^2, and 1 $ per GW along a direction.
LEAST_MOVE, ALONG = 5e-7, 1e-5
# A feature that varies by so small a share of its size is constant, but for a solver's rounding: the intercept stands
# for it, and it moves nothing. A bound on |B|_1 that is smaller is none.
_CONSTANT, _SMALLEST = 1e-7, 1e-6
# A row of latency is stated before there is an optimum if it is broken by more than this share of all work.
_ROUGH_SHARE = 1e-4
# Operations a second of dense and of sparse factorisations, and seconds for a zone of a record.
_DENSE_PER_S, _SPARSE_PER_S, _ZONE_S = 2e10, 7e8, 1e-5
# What systems of all records together may take.
MEMORY_MAX_BYTES = 2e9


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """B (datacenter, 1 + feature) in MW per unit of the features, what it costs per record ($), certificate, seconds.

    `certified` is False if no solver certified the optimum: then B is not to be used. `limits` are those of the network
    with the rows of latency that its loads asked for.
    """

    matrix: Floats
    cost_usd: float
    certificate: OptimalityCertificate
    certified: bool
    solver: str
    seconds: float
    limits: ShiftLimits | None = None

    @property
    def conserving_matrix(self) -> Floats:
        """B with what rounding leaves of its columns' sums put right, where it does not show."""
        return np.asarray(self.matrix - self.matrix.mean(axis=0))

    def shifts_mw(self, features: Floats) -> Floats:
        """What the policy asks of every datacenter (record, datacenter) by `features` (record, feature)."""
        return np.asarray(np.hstack([np.ones((len(features), 1)), features]) @ self.matrix.T)


def varying(features: Floats) -> NDArray[np.bool_]:
    """Which features (record, feature) are not constant, each against its own size: they come in different units."""
    return np.asarray(features.std(axis=0) > _CONSTANT * np.abs(features).max(axis=0, initial=0.0))


def train_policy(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork,
    features: Floats,
    eps: float,
    *,
    scale: Floats | None = None,
    free_intercept: bool = False,
    tie_direction: Floats | None = None,
) -> TrainedPolicy:
    """The policy with the least mean cost over records (contextual regression, 9.5).

    `load_mw` (record, zone) is without datacenters, `features` (record, feature); one that is constant is left out.
    `scale` (feature,) divides features before (2) is counted: standard deviations make the bound independent of units.
    `free_intercept` leaves constant moves out of (2). Ties are broken by the least move, and along `tie_direction`
    (datacenter, 1 + feature) if there is one. Rows of latency that loads of the records break are stated one after the
    other, until there are none. Raises `SolverError` on eps < 0 or shapes that do not fit.
    """
    began_s = time.perf_counter()
    x = with_intercept(features, scale, eps)
    if len(x) != len(load_mw):
        raise SolverError(f"{len(x)} records of features and {len(load_mw)} of loads")
    blocks = dispatch_blocks(system, load_mw, injected_mw, network, keep_sum=False)
    power_mw = blocks.power_mw
    spread = np.append(1.0, x[:, 1:].std(axis=0))
    varies = np.append(True, varying(features))
    size_max = max(2.0 * eps, _SMALLEST)
    # In raw units entries of B differ by orders of magnitude. What is decided is how much power a standard deviation
    # of a feature moves a datacenter, or how much of the bound it uses where that is little: `unit` of B (MW per unit).
    counts = np.append(0.0 if free_intercept else 1.0, np.ones(int(varies.sum()) - 1))
    unit = np.where(counts > 0.0, np.minimum(power_mw / spread[varies], size_max), power_mw)
    by_spread = unit * spread[varies] / power_mw
    shape = (2, network.n, len(unit))
    squares = np.broadcast_to(2.0 * LEAST_MOVE * by_spread**2, shape)
    along = np.zeros(shape[1:])
    if tie_direction is not None:
        along = ALONG * by_spread * tie_direction[:, varies]
    linear = np.stack([along, -along])
    size = np.broadcast_to(counts * unit / size_max, shape)
    terms = PolicyTerms(x[:, varies] * unit / power_mw, size, 2.0 * eps / size_max, squares, linear)
    base = network.base_mw / power_mw

    def train_again(limits: ShiftLimits) -> TrainedPolicy:
        """With rows of latency that loads have broken."""
        again = train_policy(
            system,
            load_mw,
            injected_mw,
            replace(network, limits=limits),
            features,
            eps,
            scale=scale,
            free_intercept=free_intercept,
            tie_direction=tie_direction,
        )
        return replace(again, seconds=time.perf_counter() - began_s)

    program = _training_program(blocks, base, terms)
    own = None
    # What flows over a line without reactance follows from no angle.
    if not blocks.by_angles or (not system.lines.bars.any() and _by_structure_s(terms, system) < _in_general_s(terms)):
        newton = TrainingNewton(blocks, system, network, base, terms)
        if newton.memory_bytes <= MEMORY_MAX_BYTES:
            own = ("interior point by structure", newton.optimum)
            if network.limits.transport is not None:
                limits = network.limits.broken_by(newton.rough_loads() * power_mw, _ROUGH_SHARE * base.sum() * power_mw)
                if limits is not None:
                    return train_again(limits)
    found = solve_quadratic_program(program, own)
    theta = found.x[: -terms.n_entries].reshape(len(x), -1)[:, blocks.theta_at : blocks.theta_at + network.n]
    if found.certificate.holds and (limits := network.limits.broken_by(theta * power_mw)) is not None:
        return train_again(limits)
    matrix = np.zeros((network.n, len(varies)))
    parts = found.x[-terms.n_entries :].reshape(shape)
    matrix[:, varies] = unit * (parts[0] - parts[1])
    policy = _policy(found, matrix, scale, blocks.objective_usd)
    # What breaks ties is no cost of dispatch.
    ties = float((0.5 * squares * parts**2 + linear * parts).sum())
    cost = policy.cost_usd - blocks.objective_usd * ties + system.fixed_usd
    return replace(policy, cost_usd=cost, seconds=time.perf_counter() - began_s, limits=network.limits)


def _by_structure_s(terms: PolicyTerms, system: DispatchSystem) -> float:
    """About what a Newton step by structure takes on one core: the policy's dense system, and sparse ones of zones."""
    q, n = len(terms.x), terms.n_entries // 2
    return float((2.0 / 3.0 * n**3 + 2.0 * q * n**2) / _DENSE_PER_S + _ZONE_S * q * system.n_zones)


def _in_general_s(terms: PolicyTerms) -> float:
    """And by a sparse factorisation, which eliminates entries of the policy first and is left with loads of records."""
    q, loads = len(terms.x), len(terms.x) * terms.size.shape[1]
    return float((terms.n_entries * q**2 + loads**3 / 3.0) / _SPARSE_PER_S)


def _training_program(blocks: DispatchBlocks, base: Floats, terms: PolicyTerms) -> QuadraticProgram:
    """The program of (1) to (3): blocks of records, then B as it is decided: the difference of two that are >= 0."""
    (q, n_features), n_centers = terms.x.shape, len(base)
    own = blocks.program
    theta = np.zeros((n_centers, blocks.n_columns))
    theta[:, blocks.theta_at : blocks.theta_at + n_centers] = np.eye(n_centers)
    follows = kron(eye_array(q), csr_matrix(theta))
    by_policy = vstack([kron(eye_array(n_centers), csr_matrix(row[None])) for row in terms.x], format="csr")
    conserve = kron(np.ones((1, n_centers)), eye_array(n_features))
    equal = block_array(
        [[own.equal, None, None], [follows, -by_policy, by_policy], [None, conserve, -conserve]], format="csc"
    )
    return QuadraticProgram(
        csc_matrix(block_diag([own.quadratic / q, diags_array(terms.squares.ravel())])),
        np.append(own.cost / q, terms.linear),
        csc_matrix(equal),
        np.concatenate([own.equal_to, np.tile(base, q), np.zeros(n_features)]),
        csc_matrix(block_diag([own.rows, csr_matrix(terms.size.reshape(1, -1))])),
        np.append(own.row_low, -np.inf),
        np.append(own.row_high, terms.size_max),
        np.append(own.low, np.zeros(terms.n_entries)),
        np.append(own.high, np.full(terms.n_entries, np.inf)),
    )


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
    n_centers = shift_mw.shape[1]
    if len(shift_mw) != q:
        raise SolverError(f"{q} records of features and {len(shift_mw)} of shifts")
    n_matrix = n_centers * n_features
    # Features differ by orders of magnitude: the program counts in the units of the largest.
    unit = float(max(np.abs(shift_mw).max(initial=0.0), 1.0))
    # Links phi = A' shift / n for a complete graph: |phi|^2 = |shift|^2 / n.
    weight = 2.0 / (q * n_centers)
    predicts = kron(eye_array(n_centers), csr_matrix(x))
    conserve = csr_matrix(kron(np.ones((1, n_centers)), eye_array(n_features)))
    counts = np.tile(np.append(0.0 if free_intercept else 1.0, np.ones(n_features - 1)), 2 * n_centers)
    equal, equal_to = hstack([conserve, -conserve]), np.zeros(n_features)
    by_misses = q < n_features
    if by_misses:
        # Fewer records than features: what is missed has columns of its own; squares of the policy would be dense.
        n_misses = q * n_centers
        misses = hstack([predicts / unit, -predicts / unit, -eye_array(n_misses)])
        quadratic = block_diag([csr_matrix((2 * n_matrix,) * 2), weight * eye_array(n_misses)])
        linear = np.zeros(2 * n_matrix + n_misses)
        equal = vstack([hstack([equal, csr_matrix((n_features, n_misses))]), misses])
        equal_to = np.append(equal_to, shift_mw.T.ravel() / unit)
        counts = np.append(counts, np.zeros(n_misses))
    else:
        gram = weight * kron(eye_array(n_centers), csr_matrix(x.T @ x)) / unit**2
        toward = -weight * (shift_mw.T @ x).ravel() / unit**2
        quadratic, linear = block_array([[gram, -gram], [-gram, gram]]), np.concatenate([toward, -toward])
    low = np.where(np.arange(len(linear)) < 2 * n_matrix, 0.0, -np.inf)
    found = solve_quadratic_program(
        QuadraticProgram(
            csc_matrix(quadratic),
            linear,
            csc_matrix(equal),
            equal_to,
            csc_matrix(counts[None]),
            np.array([-np.inf]),
            np.array([2.0 * eps]),
            low,
            np.full(len(linear), np.inf),
        )
    )
    matrix = (found.x[:n_matrix] - found.x[n_matrix : 2 * n_matrix]).reshape(n_centers, n_features)
    policy = _policy(found, matrix, scale, unit**2)
    # Squares of the policy alone leave out the square of what is aimed at, which nothing changes.
    left_out = 0.0 if by_misses else 0.5 * weight * float((shift_mw**2).sum())
    return replace(policy, cost_usd=policy.cost_usd + left_out)


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


def _policy(found: QuadraticSolution, matrix: Floats, scale: Floats | None, money: float) -> TrainedPolicy:
    if scale is not None:
        matrix = np.hstack([matrix[:, :1], matrix[:, 1:] / scale])
    own = found.certificate
    return TrainedPolicy(matrix, money * own.primal_objective, own, own.holds, found.solver, found.seconds)
