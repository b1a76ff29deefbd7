"""Ideal coordination and contextual training as they are stated (equations 9.2, 9.3, 9.5): allocation W, shifts along
links.

For reading and for changing (`--statement cvxpy`); what studies run by default has neither W nor links (equation 9.8).
Over q records of one hour each, with p (record, generator), l (record, zone), phi (record, link), W (record,
datacenter, user):

min  sum_i p_i'C p_i + c'p_i + s'l_i
(1)  1'(p_i + w_i + l_i - d_i - Gamma theta_i) = 0
(2)  fmin <= F (p_i + w_i + l_i - d_i - Gamma theta_i) + f0 <= fmax
(3)  pmin <= p_i <= pmax, 0 <= l_i <= d_i + Gamma theta_i
(4)  theta_i = theta0 + A phi_i
(5)  W_i >= 0, W_i'1 = delta, W_i 1 = theta_i
(6)  L(W_i - W0) <= alpha L(W0)
(7)  training only: phi_i = beta0 + beta1 x_i, |beta|_1 <= eps, with the intercept unless it is free

Training breaks ties as `training` does: many beta cost the same, and of their A beta the one is taken that moves least.
Whatever is stated here, its optimum is certified by `quadratic.program.certify` on the quadratic program that CVXPY
makes of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cvxpy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from solvers.dispatch.blocks import MONEY_USD, DispatchSystem
from solvers.outcome import SolverError
from solvers.policy_training.trained import TrainedPolicy, with_intercept
from solvers.policy_training.training import (
    ALONG,
    LEAST_MOVE,
    varying,
)
from solvers.quadratic.program import OptimalityCertificate, QuadraticProgram, certify

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Its types do not know its own functions.
cp: Any = cvxpy

_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class TaskNetwork:
    """Datacenters with all that equation 9.3 asks for: `zone` (datacenter,), `latency` and `allocation_mw` W0
    (datacenter, user), `demand_mw` delta (user,), and alpha, the allowed share of more latency.
    """

    zone: Ints
    latency: Floats
    demand_mw: Floats
    allocation_mw: Floats
    alpha: float

    def __post_init__(self) -> None:
        shape = (len(self.zone), len(self.demand_mw))
        for name, array in (("latency", self.latency), ("allocation_mw", self.allocation_mw)):
            if array.shape != shape:
                raise SolverError(f"{name} has shape {array.shape}, the network asks for {shape}")
        if self.alpha < 0.0:
            raise SolverError(f"alpha must not be negative, got {self.alpha}")

    @property
    def base_mw(self) -> Floats:
        """theta0 (datacenter,): loads without coordination."""
        return np.asarray(self.allocation_mw.sum(axis=1))

    @property
    def latency_max(self) -> float:
        """(1 + alpha) L(W0), in MW times the unit of `latency`."""
        return (1.0 + self.alpha) * float((self.latency * self.allocation_mw).sum())

    @property
    def incidence(self) -> Floats:
        """A (datacenter, link) of the complete graph: a shift along a link leaves its second datacenter."""
        links = list(combinations(range(len(self.zone)), 2))
        a = np.zeros((len(self.zone), len(links)))
        for k, (to, leaves) in enumerate(links):
            a[to, k], a[leaves, k] = 1.0, -1.0
        return a

    def at_zone(self, n_zones: int) -> Floats:
        """Gamma' (datacenter, zone)."""
        return np.asarray(np.eye(n_zones)[self.zone])


@dataclass(frozen=True, eq=False)
class StatementSolution:
    """`cost_usd` summed over records (ideal) or their mean (training), `theta_mw` (record, datacenter).

    `beta` (link, 1 + feature) in MW per unit of a feature; without a policy it has no columns. `certificate` is that of
    the program which CVXPY makes of the statement, in its units.
    """

    cost_usd: float
    theta_mw: Floats
    beta: Floats
    certificate: OptimalityCertificate
    seconds: float


def solve_ideal_statement(
    system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats
) -> StatementSolution:
    """(1) to (6): every record's shifts are its own. `load_mw`, `injected_mw` (record, zone)."""
    began_s = time.perf_counter()
    phi = cp.Variable((len(load_mw), tasks.incidence.shape[1]))
    cost, theta, constraints = _coordination(system, tasks, load_mw, injected_mw, phi)
    certificate = _solve(cost, constraints)
    beta = np.empty((phi.shape[1], 0))
    seconds = time.perf_counter() - began_s
    unit = system.power_unit_mw
    total = unit * float(cost.value) + len(load_mw) * system.fixed_usd
    return StatementSolution(total, unit * theta.value, beta, certificate, seconds)


def solve_training_statement(
    system: DispatchSystem,
    tasks: TaskNetwork,
    load_mw: Floats,
    injected_mw: Floats,
    features: Floats,
    eps: float,
    *,
    scale: Floats | None = None,
    free_intercept: bool = False,
    tie_direction: Floats | None = None,
) -> StatementSolution:
    """(1) to (7): one policy for all records, with `features` (record, feature); the rest is as in `train_policy`.

    `beta` is per unit of the features divided by `scale`.
    """
    began_s = time.perf_counter()
    x = with_intercept(features, scale, eps)
    q, unit = len(x), system.power_unit_mw
    # What is decided is beta times the largest value of its feature, in units of power: features differ by orders of
    # magnitude. One that does not vary moves nothing.
    used = np.append(True, varying(features))
    largest, spread = np.abs(x[:, used]).max(axis=0), np.append(1.0, x[:, used][:, 1:].std(axis=0))
    moves = cp.Variable((tasks.incidence.shape[1], int(used.sum())))
    phi = cp.Variable((q, moves.shape[0]))
    cost, theta, constraints = _coordination(system, tasks, load_mw, injected_mw, phi)
    counts = np.append(0.0 if free_intercept else 1.0, 1.0 / largest[1:])
    constraints += [phi == (x[:, used] / largest) @ moves.T, cp.sum(cp.abs(moves) @ counts) <= eps / unit]
    # By how much one standard deviation of a feature moves a datacenter.
    by_spread = tasks.incidence @ moves @ np.diag(spread / largest)
    ties = LEAST_MOVE * MONEY_USD * cp.sum_squares(by_spread)
    if tie_direction is not None:
        ties = ties + ALONG * MONEY_USD * cp.sum(cp.multiply(tie_direction[:, used], by_spread))
    certificate = _solve(cost / q + ties, constraints)
    beta = np.zeros((moves.shape[0], x.shape[1]))
    beta[:, used] = unit * moves.value / largest
    mean = unit * float(cost.value) / q + system.fixed_usd
    return StatementSolution(mean, unit * theta.value, beta, certificate, time.perf_counter() - began_s)


def train_policy_statement(
    system: DispatchSystem,
    tasks: TaskNetwork,
    load_mw: Floats,
    injected_mw: Floats,
    features: Floats,
    eps: float,
    *,
    scale: Floats | None = None,
    free_intercept: bool = False,
    tie_direction: Floats | None = None,
) -> TrainedPolicy:
    """As `train_policy`, by the statement: the same cost, and the same policy as far as tolerances tell ties apart.

    Raises `SolverError` if the statement has no optimum, on eps < 0 or shapes that do not fit.
    """
    found = solve_training_statement(
        system,
        tasks,
        load_mw,
        injected_mw,
        features,
        eps,
        scale=scale,
        free_intercept=free_intercept,
        tie_direction=tie_direction,
    )
    matrix = tasks.incidence @ found.beta
    if scale is not None:
        matrix = np.hstack([matrix[:, :1], matrix[:, 1:] / scale])
    own = found.certificate
    return TrainedPolicy(matrix, found.cost_usd, own, own.holds, "CVXPY statement by Clarabel", found.seconds)


def _coordination(
    system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats, phi: cvxpy.Variable
) -> tuple[Any, Any, list[Any]]:
    """Cost summed over records, theta, and (1) to (6), in the system's unit of power and $ times that unit."""
    q, (n, n_users), unit = len(load_mw), tasks.latency.shape, system.power_unit_mw
    p = cp.Variable((q, system.n_generators))
    shed = cp.Variable((q, system.n_zones))
    theta = cp.Variable((q, n))
    w = cp.Variable((q, n * n_users))
    d, omega = load_mw / unit, injected_mw / unit
    of_user, of_center = np.tile(np.eye(n_users), (n, 1)), np.repeat(np.eye(n), n_users, axis=0)
    every = np.ones((q, 1))
    drawn = theta @ tasks.at_zone(system.n_zones)
    net = p @ system.at_zone + omega + shed - d - drawn
    lines = system.lines
    flow = net @ lines.transfer_factors.T + every * lines.loop_flow_mw / unit
    curved = np.sqrt(system.quadratic_usd_per_mw2h * unit)
    cost = cp.sum(p @ system.cost_usd_per_mwh) + cp.sum_squares(p @ np.diag(curved))
    cost = cost + system.shed_usd_per_mwh * cp.sum(shed)
    constraints = [
        cp.sum(net, axis=1) == 0.0,
        flow >= every * lines.flow_min_mw / unit,
        flow <= every * lines.flow_max_mw / unit,
        p >= every * system.power_min_mw / unit,
        p <= every * system.power_max_mw / unit,
        shed >= 0.0,
        shed <= np.maximum(d, 0.0) + drawn,
        theta == every * tasks.base_mw / unit + phi @ tasks.incidence.T,
        w >= 0.0,
        w @ of_user == every * tasks.demand_mw / unit,
        w @ of_center == theta,
        w @ tasks.latency.ravel() <= tasks.latency_max / unit,
    ]
    return cost, theta, constraints


def _solve(cost: Any, constraints: list[Any]) -> OptimalityCertificate:
    """The optimum is left in the variables. Raises `SolverError` if there is none."""
    problem = cp.Problem(cp.Minimize(cost), constraints)
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), _TOLERANCE)
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts=tolerances)
    found = chain.solve_via_data(problem, data, solver_opts=tolerances)
    try:
        problem.unpack_results(found, chain, inverse)
    except cp.error.SolverError as problem_of_solver:
        raise SolverError("the statement was not solved") from problem_of_solver
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise SolverError(f"the statement was not solved: {problem.status}")
    return _certificate(data, np.array(found.x), np.array(found.z))


def _certificate(data: Any, x: Floats, dual: Floats) -> OptimalityCertificate:
    """Of the program min x'P x / 2 + c'x, A x = b in its first rows and A x <= b in the others."""
    matrix, limit = csc_matrix(data["A"]), np.asarray(data["b"])
    n_equal = int(data["dims"].zero)
    if n_equal + int(data["dims"].nonneg) < len(limit):
        raise SolverError("only a statement that is a quadratic program can be certified: this one has other cones")
    n, n_rows = len(x), len(limit) - n_equal
    squares = data.get("P")
    program = QuadraticProgram(
        csc_matrix((n, n)) if squares is None else csc_matrix(squares),
        np.asarray(data["c"]),
        csc_matrix(matrix[:n_equal]),
        limit[:n_equal],
        csc_matrix(matrix[n_equal:]),
        np.full(n_rows, -np.inf),
        limit[n_equal:],
        np.full(n, -np.inf),
        np.full(n, np.inf),
    )
    return certify(program, x, dual[:n_equal], dual[n_equal:], np.zeros(n))
