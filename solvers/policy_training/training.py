"""Regression policies for task shifts, trained on the cost of dispatch (contextual regression, equation 9.5).

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
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, block_diag, csc_matrix, csr_matrix, diags_array, eye_array, kron, vstack

from solvers.dispatch.blocks import DatacenterNetwork, DispatchBlocks, DispatchSystem, OutputBand, dispatch_blocks
from solvers.outcome import SolverError
from solvers.policy_training.newton import TrainingNewton
from solvers.policy_training.policy_step import PolicyTerms
from solvers.policy_training.trained import TrainedPolicy, TrainingBegin, trained_policy, with_intercept
from solvers.quadratic.interior_point import Watch
from solvers.quadratic.program import QuadraticProgram, solve_quadratic_program

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BY_STRUCTURE = "interior point by structure"

# Prices of moving, where moves cost the same otherwise, in the program's money and power: for a system counted in GW,
# 0.05 $ per GW^2, and 1 $ per GW along a direction.
LEAST_MOVE, ALONG = 5e-7, 1e-5
# A feature that varies by so small a share of its size is constant, but for a solver's rounding: the intercept stands
# for it, and it moves nothing. A bound on |B|_1 that is smaller is none.
_CONSTANT, _SMALLEST = 1e-7, 1e-6
# Rows of latency are stated before there is an optimum: how near to it loads are looked at, by the gap, and the share
# of all work by which a row is broken then.
_ON_THE_WAY = ((1e-3, 1e-5), (1e-5, 2e-6))
# Operations a second of dense and of sparse factorisations, seconds for a zone of a record, and for a step at all.
_DENSE_PER_S, _SPARSE_PER_S, _ZONE_S, _STEP_S = 2e10, 2e8, 4e-6, 5e-3
# What systems of all records together may take.
MEMORY_MAX_BYTES = 2e9


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
    begin: TrainingBegin | None = None,
    band: OutputBand | None = None,
    watch: Watch | None = None,
) -> TrainedPolicy:
    """The policy with the least mean cost over records (contextual regression, 9.5).

    `load_mw` (record, zone) is without datacenters, `features` (record, feature); one that is constant is left out.
    `scale` (feature,) divides features before (2) is counted: standard deviations make the bound independent of units.
    `free_intercept` leaves constant moves out of (2). Ties are broken by the least move, and along `tie_direction`
    (datacenter, 1 + feature) if there is one. Rows of latency that loads of the records break are stated one after the
    other, until there are none. `begin` is that of a policy of the same records, features and eps;
    `band` limits units by record; `watch` hears of steps. Raises `SolverError` on eps < 0 or shapes that do not fit.
    """
    began_s = time.perf_counter()
    x = with_intercept(features, scale, eps)
    if len(x) != len(load_mw):
        raise SolverError(f"{len(x)} records of features and {len(load_mw)} of loads")
    power_mw = system.power_unit_mw
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
    total_mw = float(network.base_mw.sum())
    # Where others like this training may begin, and where it begins again with more rows.
    early, reached = begin, begin
    while True:
        blocks = dispatch_blocks(system, load_mw, injected_mw, network, keep_sum=False, band=band)
        newton = _newton(blocks, system, network, base, terms, watch)
        own = None
        if newton is not None:
            rows = network.limits.rows
            if early is None or reached is None:
                early = reached = TrainingBegin(newton.early(), rows)
            begins = [newton.begin_at(one.point, _places(blocks, network, one)) for one in (reached, early)]
            point, limits = begins[0], None
            for gap, share in _ON_THE_WAY:
                point = newton.near(point, gap)
                if point.miss > gap and reached is not early:
                    # What was begun too near to the optimum of other rows is begun again.
                    point = newton.near(begins[1], gap)
                if point.miss > gap:
                    break
                if gap == _ON_THE_WAY[0][0]:
                    reached = TrainingBegin(point, rows)
                limits = network.limits.broken_by(newton.loads(point) * power_mw, share * total_mw)
                if limits is not None:
                    break
            if limits is not None:
                network = replace(network, limits=limits)
                continue
            # Far from an optimum there is none to be found by going on.
            if point.miss <= _ON_THE_WAY[0][0]:
                own = (BY_STRUCTURE, partial(newton.optimum, point))
        found = solve_quadratic_program(_training_program(blocks, base, terms), own)
        theta = found.x[: -terms.n_entries].reshape(len(x), -1)[:, blocks.theta_at : blocks.theta_at + network.n]
        limits = network.limits.broken_by(theta * power_mw) if found.certificate.holds else None
        if limits is None:
            break
        network = replace(network, limits=limits)
    matrix = np.zeros((network.n, len(varies)))
    parts = found.x[-terms.n_entries :].reshape(shape)
    matrix[:, varies] = unit * (parts[0] - parts[1])
    policy = trained_policy(found, matrix, scale, blocks.objective_usd)
    # What breaks ties is no cost of dispatch.
    ties = float((0.5 * squares * parts**2 + linear * parts).sum())
    cost = policy.cost_usd - blocks.objective_usd * ties + system.fixed_usd
    return replace(policy, cost_usd=cost, seconds=time.perf_counter() - began_s, limits=network.limits, begin=early)


def _newton(
    blocks: DispatchBlocks,
    system: DispatchSystem,
    network: DatacenterNetwork,
    base: Floats,
    terms: PolicyTerms,
    watch: Watch | None,
) -> TrainingNewton | None:
    """The method by structure, unless it does not fit, or few records take less time without.

    What a line without reactance carries follows from no angle.
    """
    if blocks.by_angles and (system.lines.bars.any() or _by_structure_s(terms, system) > _in_general_s(terms)):
        return None
    newton = TrainingNewton(blocks, system, network, base, terms, watch)
    return newton if newton.memory_bytes <= MEMORY_MAX_BYTES else None


def _by_structure_s(terms: PolicyTerms, system: DispatchSystem) -> float:
    """About what a Newton step by structure takes on one core: the policy's dense system, and sparse ones of zones."""
    (q, n_features), n = terms.x.shape, terms.n_entries // 2
    return float(((n - n_features) ** 3 / 3.0 + q * n**2) / _DENSE_PER_S + _ZONE_S * q * system.n_zones + _STEP_S)


def _in_general_s(terms: PolicyTerms) -> float:
    """And by a sparse factorisation, which eliminates entries of the policy first and is left with loads of records."""
    q, loads = len(terms.x), len(terms.x) * terms.size.shape[1]
    return float((terms.n_entries * q**2 + loads**3 / 3.0) / _SPARSE_PER_S)


def _places(blocks: DispatchBlocks, network: DatacenterNetwork, begin: TrainingBegin) -> Ints:
    """Where rows of the blocks stood among those of a training that had other rows of latency; -1 if nowhere."""
    rows = network.limits.rows
    first = blocks.n_rows - len(rows)
    known = {row.tobytes(): first + k for k, row in enumerate(begin.latency_rows)}
    return np.append(np.arange(first), [known.get(row.tobytes(), -1) for row in rows]).astype(np.int64)


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
