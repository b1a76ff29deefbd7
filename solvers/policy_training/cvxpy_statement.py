"""Ideal coordination and contextual training as they are stated (9.2, 9.3, 9.5): allocation W, shifts along links.

For reading, and to hold `dispatch` and `policy_training` against, which have neither W nor links (9.8). Over q records
of one hour each, with p (record, generator), l (record, zone), phi (record, link), W (record, datacenter, user):

min  sum_i p_i'C p_i + c'p_i + s'l_i
(1)  1'(p_i + w_i + l_i - d_i - Gamma theta_i) = 0
(2)  fmin <= F (p_i + w_i + l_i - d_i - Gamma theta_i) + f0 <= fmax
(3)  pmin <= p_i <= pmax, 0 <= l_i <= d_i + Gamma theta_i
(4)  theta_i = theta0 + A phi_i
(5)  W_i >= 0, W_i'1 = delta, W_i 1 = theta_i
(6)  L(W_i - W0) <= alpha L(W0)
(7)  training only: phi_i = beta0 + beta1 x_i, |beta|_1 <= eps, with the intercept unless it is free
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cvxpy
import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.blocks import DispatchSystem
from solvers.outcome import SolverError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Its types do not know its own functions.
cp: Any = cvxpy

# Solved in GW and 1000 $: figures near one.
_POWER_MW, _MONEY_USD = 1e3, 1e3
_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class TaskNetwork:
    """Datacenters with all that (9.3) asks for: `zone` (datacenter,), `latency` and `allocation_mw` W0 (datacenter,
    user), `demand_mw` delta (user,), and alpha, the allowed share of more latency.
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

    `beta` (link, 1 + feature) in MW per unit of a feature; without a policy it has no columns.
    """

    cost_usd: float
    theta_mw: Floats
    beta: Floats


def solve_ideal_statement(
    system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats
) -> StatementSolution:
    """(1) to (6): every record's shifts are its own. `load_mw`, `injected_mw` (record, zone)."""
    phi = cp.Variable((len(load_mw), tasks.incidence.shape[1]))
    cost, theta, constraints = _coordination(system, tasks, load_mw, injected_mw, phi)
    return StatementSolution(_solve(cost, constraints), _POWER_MW * theta.value, np.empty((phi.shape[1], 0)))


def solve_training_statement(
    system: DispatchSystem,
    tasks: TaskNetwork,
    load_mw: Floats,
    injected_mw: Floats,
    features: Floats,
    eps: float,
    *,
    free_intercept: bool = False,
) -> StatementSolution:
    """(1) to (7): one policy for all records, with `features` (record, feature)."""
    q = len(features)
    x = np.hstack([np.ones((q, 1)), features])
    # What is decided is beta times the largest value of its feature, in GW: features differ by orders of magnitude.
    largest = np.abs(x).max(axis=0)
    largest = np.where(largest > 1e-9, largest, 1.0)
    moves = cp.Variable((tasks.incidence.shape[1], x.shape[1]))
    phi = cp.Variable((q, moves.shape[0]))
    cost, theta, constraints = _coordination(system, tasks, load_mw, injected_mw, phi)
    counts = np.append(0.0 if free_intercept else 1.0, 1.0 / largest[1:])
    constraints += [phi == (x / largest) @ moves.T, cp.sum(cp.abs(moves) @ counts) <= eps / _POWER_MW]
    mean = _solve(cost / q, constraints)
    return StatementSolution(mean, _POWER_MW * theta.value, _POWER_MW * moves.value / largest)


def _coordination(
    system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats, phi: cvxpy.Variable
) -> tuple[Any, Any, list[Any]]:
    """Cost summed over records, theta, and (1) to (6), in GW and 1000 $."""
    q, (n, n_users) = len(load_mw), tasks.latency.shape
    p = cp.Variable((q, system.n_generators))
    shed = cp.Variable((q, system.n_zones))
    theta = cp.Variable((q, n))
    w = cp.Variable((q, n * n_users))
    d, omega = load_mw / _POWER_MW, injected_mw / _POWER_MW
    of_user, of_center = np.tile(np.eye(n_users), (n, 1)), np.repeat(np.eye(n), n_users, axis=0)
    every = np.ones((q, 1))
    drawn = theta @ tasks.at_zone(system.n_zones)
    net = p @ system.at_zone + omega + shed - d - drawn
    lines = system.lines
    flow = net @ lines.transfer_factors.T + every * lines.loop_flow_mw / _POWER_MW
    curved = np.sqrt(system.quadratic_usd_per_mw2h * _POWER_MW)
    cost = cp.sum(p @ system.cost_usd_per_mwh) + cp.sum_squares(p @ np.diag(curved))
    cost = (cost + system.shed_usd_per_mwh * cp.sum(shed)) * (_POWER_MW / _MONEY_USD)
    constraints = [
        cp.sum(net, axis=1) == 0.0,
        flow >= every * lines.flow_min_mw / _POWER_MW,
        flow <= every * lines.flow_max_mw / _POWER_MW,
        p >= every * system.power_min_mw / _POWER_MW,
        p <= every * system.power_max_mw / _POWER_MW,
        shed >= 0.0,
        shed <= np.maximum(d, 0.0) + drawn,
        theta == every * tasks.base_mw / _POWER_MW + phi @ tasks.incidence.T,
        w >= 0.0,
        w @ of_user == every * tasks.demand_mw / _POWER_MW,
        w @ of_center == theta,
        w @ tasks.latency.ravel() <= tasks.latency_max / _POWER_MW,
    ]
    return cost, theta, constraints


def _solve(cost: Any, constraints: list[Any]) -> float:
    """Optimal cost in $. Raises `SolverError` if there is none."""
    problem = cp.Problem(cp.Minimize(cost), constraints)
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), _TOLERANCE)
    try:
        problem.solve(solver=cp.CLARABEL, **tolerances)
    except cp.error.SolverError as problem_of_solver:
        raise SolverError("the statement was not solved") from problem_of_solver
    if problem.status != cp.OPTIMAL:
        raise SolverError(f"the statement was not solved: {problem.status}")
    return float(problem.value) * _MONEY_USD
