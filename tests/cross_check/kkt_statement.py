"""Coordination as published: the grid operator's dispatch under the datacenters' own problem, as KKT conditions.

The leader chooses p, l and phi (and beta); the follower answers phi with its allocation W of least latency loss:

min over W >= 0  L(W - W0)^2 / 2  s.t.  L(W - W0) <= alpha L(W0), W'1 = delta, W 1 = theta, A phi = theta - theta0.

Its Lagrangian is L(W - W0)^2 / 2 - mu_delta'(W'1 - delta) - mu_theta'(W 1 - theta) - <mu_w, W>
- mu_alpha (alpha L(W0) - L(W - W0)) - mu_phi'(A phi - theta + theta0), so that at a minimum, with g = latency,

(27a)  theta:  mu_theta + mu_phi = 0
(27c)  w_ij:   g_ij L(W - W0) - mu_delta_j - mu_theta_i - mu_w_ij + mu_alpha g_ij = 0
(27d)  mu_w >= 0                  (27e)  mu_alpha >= 0
(27f)  {mu_w_ij, w_ij} SOS1       (27g)  {mu_alpha, alpha L(W0) - L(W - W0)} SOS1

(27b) is of delta~, which in one hour is delta. `dispatch` and `policy_training` solve the same problems without any of
this, by (9.4): docs/coordination_proof.md has the proof. This form is the cross-check, for instances of a few records.
"""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from solvers.dispatch.blocks import DispatchSystem
from solvers.policy_training.cvxpy_statement import TaskNetwork

Floats = NDArray[np.float64]


def ideal_kkt_model(
    system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats
) -> pyo.ConcreteModel:
    """Ideal coordination of records (record, zone) that have nothing to do with each other; cost summed, in $."""
    m = pyo.ConcreteModel("ideal_coordination")
    add_dispatch(m, system, tasks, load_mw, injected_mw)
    add_follower(m, tasks)
    add_follower_optimality(m, tasks)
    m.cost = pyo.Objective(expr=m.dispatch_cost)
    return m


def training_kkt_model(
    system: DispatchSystem,
    tasks: TaskNetwork,
    load_mw: Floats,
    injected_mw: Floats,
    features: Floats,
    eps: float,
    *,
    free_intercept: bool = False,
) -> pyo.ConcreteModel:
    """The policy phi(x) = beta0 + beta1 x with |beta|_1 <= eps of least mean cost over records (9.5), in $."""
    m = pyo.ConcreteModel("policy_training")
    add_dispatch(m, system, tasks, load_mw, injected_mw)
    add_follower(m, tasks)
    add_follower_optimality(m, tasks)
    add_policy(m, features, eps, free_intercept)
    m.cost = pyo.Objective(expr=m.dispatch_cost / len(load_mw))
    return m


def add_dispatch(
    m: pyo.ConcreteModel, system: DispatchSystem, tasks: TaskNetwork, load_mw: Floats, injected_mw: Floats
) -> None:
    """(9.2) for every record, with loads theta that the follower decides."""
    m.records = pyo.RangeSet(0, len(load_mw) - 1)
    m.units = pyo.RangeSet(0, system.n_generators - 1)
    m.zones = pyo.RangeSet(0, system.n_zones - 1)
    m.lines = pyo.RangeSet(0, len(system.lines) - 1)
    m.centers = pyo.RangeSet(0, len(tasks.zone) - 1)
    m.p = pyo.Var(
        m.records,
        m.units,
        bounds=lambda m, r, k: (float(system.power_min_mw[k]), float(system.power_max_mw[k])),
    )
    m.l = pyo.Var(m.records, m.zones, domain=pyo.NonNegativeReals)
    m.theta = pyo.Var(m.records, m.centers)

    def net(r: int, b: int) -> pyo.Expression:
        power = sum(m.p[r, k] for k in m.units if system.generator_zone[k] == b)
        drawn = sum(m.theta[r, i] for i in m.centers if tasks.zone[i] == b)
        return power + m.l[r, b] - drawn + float(injected_mw[r, b] - load_mw[r, b])

    m.net = pyo.Expression(m.records, m.zones, rule=lambda m, r, b: net(r, b))
    m.balance = pyo.Constraint(m.records, rule=lambda m, r: sum(m.net[r, b] for b in m.zones) == 0.0)

    def within(m: pyo.ConcreteModel, r: int, e: int) -> object:
        flow = sum(float(system.transfer_factors[e, b]) * m.net[r, b] for b in m.zones)
        flow += float(system.lines.loop_flow_mw[e])
        return pyo.inequality(float(system.lines.flow_min_mw[e]), flow, float(system.lines.flow_max_mw[e]))

    m.line_limit = pyo.Constraint(m.records, m.lines, rule=within)
    m.shed_limit = pyo.Constraint(
        m.records,
        m.zones,
        rule=lambda m, r, b: (
            m.l[r, b] <= max(float(load_mw[r, b]), 0.0) + sum(m.theta[r, i] for i in m.centers if tasks.zone[i] == b)
        ),
    )
    linear, squared = system.cost_usd_per_mwh.tolist(), system.quadratic_usd_per_mw2h.tolist()
    m.dispatch_cost = pyo.Expression(
        expr=sum(linear[k] * m.p[r, k] + squared[k] * m.p[r, k] ** 2 for r in m.records for k in m.units)
        + system.shed_usd_per_mwh * sum(m.l[r, b] for r in m.records for b in m.zones)
    )


def add_follower(m: pyo.ConcreteModel, tasks: TaskNetwork) -> None:
    """(9b) to (9d): what the follower may answer to phi; `loss` is L(W - W0), `slack` what alpha leaves of it."""
    incidence, base = tasks.incidence, tasks.base_mw
    m.users = pyo.RangeSet(0, len(tasks.demand_mw) - 1)
    m.links = pyo.RangeSet(0, incidence.shape[1] - 1)
    m.phi = pyo.Var(m.records, m.links)
    m.w = pyo.Var(m.records, m.centers, m.users, domain=pyo.NonNegativeReals)
    m.slack = pyo.Var(m.records, domain=pyo.NonNegativeReals)
    m.loss = pyo.Var(m.records)
    g, base_latency = tasks.latency, float((tasks.latency * tasks.allocation_mw).sum())
    m.loss_is = pyo.Constraint(
        m.records,
        rule=lambda m, r: (
            m.loss[r] == sum(float(g[i, j]) * m.w[r, i, j] for i in m.centers for j in m.users) - base_latency
        ),
    )
    m.eq_9b = pyo.Constraint(m.records, rule=lambda m, r: m.loss[r] + m.slack[r] == tasks.alpha * base_latency)
    m.eq_9c_users = pyo.Constraint(
        m.records, m.users, rule=lambda m, r, j: sum(m.w[r, i, j] for i in m.centers) == float(tasks.demand_mw[j])
    )
    m.eq_9c_centers = pyo.Constraint(
        m.records, m.centers, rule=lambda m, r, i: sum(m.w[r, i, j] for j in m.users) == m.theta[r, i]
    )
    m.eq_7 = pyo.Constraint(
        m.records,
        m.centers,
        rule=lambda m, r, i: (
            m.theta[r, i] - float(base[i]) == sum(float(incidence[i, k]) * m.phi[r, k] for k in m.links)
        ),
    )


def add_follower_optimality(m: pyo.ConcreteModel, tasks: TaskNetwork) -> None:
    """(27a) to (27g): the answer is the follower's own best."""
    g = tasks.latency
    m.mu_theta = pyo.Var(m.records, m.centers)
    m.mu_phi = pyo.Var(m.records, m.centers)
    m.mu_delta = pyo.Var(m.records, m.users)
    m.mu_w = pyo.Var(m.records, m.centers, m.users, domain=pyo.NonNegativeReals)  # (27d)
    m.mu_alpha = pyo.Var(m.records, domain=pyo.NonNegativeReals)  # (27e)
    m.eq_27a = pyo.Constraint(m.records, m.centers, rule=lambda m, r, i: m.mu_theta[r, i] + m.mu_phi[r, i] == 0.0)
    m.eq_27c = pyo.Constraint(
        m.records,
        m.centers,
        m.users,
        rule=lambda m, r, i, j: (
            float(g[i, j]) * m.loss[r]
            - m.mu_delta[r, j]
            - m.mu_theta[r, i]
            - m.mu_w[r, i, j]
            + float(g[i, j]) * m.mu_alpha[r]
            == 0.0
        ),
    )
    m.eq_27f = pyo.SOSConstraint(
        m.records, m.centers, m.users, rule=lambda m, r, i, j: [m.mu_w[r, i, j], m.w[r, i, j]], sos=1
    )
    m.eq_27g = pyo.SOSConstraint(m.records, rule=lambda m, r: [m.mu_alpha[r], m.slack[r]], sos=1)


def add_policy(m: pyo.ConcreteModel, features: Floats, eps: float, free_intercept: bool) -> None:
    """(26b): beta as the difference of two matrices that are not negative, over links and features."""
    m.columns = pyo.RangeSet(0, features.shape[1])
    m.plus = pyo.Var(m.links, m.columns, domain=pyo.NonNegativeReals)
    m.minus = pyo.Var(m.links, m.columns, domain=pyo.NonNegativeReals)
    x = np.hstack([np.ones((len(features), 1)), features])
    m.eq_26b = pyo.Constraint(
        m.records,
        m.links,
        rule=lambda m, r, k: m.phi[r, k] == sum(float(x[r, f]) * (m.plus[k, f] - m.minus[k, f]) for f in m.columns),
    )
    counted = [f for f in m.columns if f or not free_intercept]
    m.size = pyo.Constraint(expr=sum(m.plus[k, f] + m.minus[k, f] for k in m.links for f in counted) <= eps)
