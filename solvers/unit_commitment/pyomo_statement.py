"""Unit commitment with flexible datacenters in Pyomo, written as it is stated in `unit_commitment.problem`.

For reading and for changing: `unit_commitment.pyomo_solve` gives it to any solver that Pyomo can ask (`--solver
pyomo:NAME`). What studies run by default are matrices and a search of our own (`unit_commitment.solve`). All units have
all three binaries here, nothing is left out beforehand.
"""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from solvers.unit_commitment.matrices import Tangents
from solvers.unit_commitment.problem import UnitCommitmentProblem


def unit_commitment_model(problem: UnitCommitmentProblem, tangents: Tangents) -> pyo.ConcreteModel:
    """(1a) to (1h) and equation 9.3, with these tangents for the quadratic cost."""
    units, centers = problem.units, problem.datacenters
    hours, zones = problem.load_mw.shape
    m = pyo.ConcreteModel("unit_commitment")
    m.hours = pyo.RangeSet(0, hours - 1)
    m.zones = pyo.RangeSet(0, zones - 1)
    m.units = pyo.RangeSet(0, units.n - 1)
    m.lines = pyo.RangeSet(0, len(problem.limit_mw) - 1)
    m.centers = pyo.RangeSet(0, len(centers.zone) - 1)
    m.users = pyo.RangeSet(0, centers.latency.shape[1] - 1)
    m.window = pyo.Set(initialize=centers.flexible.tolist())

    m.p = pyo.Var(m.hours, m.units, domain=pyo.NonNegativeReals)
    m.c = pyo.Var(m.hours, m.units, domain=pyo.NonNegativeReals)
    m.u = pyo.Var(m.hours, m.units, domain=pyo.Binary)
    m.v = pyo.Var(m.hours, m.units, domain=pyo.Binary)
    m.o = pyo.Var(m.hours, m.units, domain=pyo.Binary)
    m.l = pyo.Var(m.hours, m.zones, domain=pyo.NonNegativeReals)
    m.theta = pyo.Var(m.hours, m.centers, domain=pyo.NonNegativeReals)
    m.W = pyo.Var(m.window, m.centers, m.users, domain=pyo.NonNegativeReals)

    m.cost = pyo.Objective(
        expr=sum(units.cost_usd_per_mwh[g] * m.p[t, g] + m.c[t, g] for t in m.hours for g in m.units)
        + sum(units.no_load_usd_per_h[g] * m.u[t, g] for t in m.hours for g in m.units)
        + sum(units.startup_usd[g] * m.v[t, g] for t in m.hours for g in m.units)
        + problem.shed_cost * sum(m.l[t, z] for t in m.hours for z in m.zones)
    )

    m.quadratic = pyo.ConstraintList()
    for t in m.hours:
        for g in m.units:
            for point in tangents[t][g].tolist():
                m.quadratic.add(m.c[t, g] >= units.quadratic_usd_per_mw2h[g] * point * (2.0 * m.p[t, g] - point))

    @m.Expression(m.hours, m.zones)
    def x(m: pyo.ConcreteModel, t: int, z: int) -> pyo.Expression:
        return (
            sum(m.p[t, g] for g in m.units if units.zone[g] == z)
            + (problem.renewable_mw[t, z] - problem.load_mw[t, z])
            + m.l[t, z]
            - sum(m.theta[t, i] for i in m.centers if centers.zone[i] == z)
        )

    m.balance = pyo.Constraint(m.hours, rule=lambda m, t: sum(m.x[t, z] for z in m.zones) == 0.0)

    @m.Constraint(m.hours, m.lines, (-1, 1))
    def line_limit(m: pyo.ConcreteModel, t: int, e: int, side: int) -> pyo.Expression:
        flow = sum(problem.transfer_factors[e, z] * m.x[t, z] for z in m.zones)
        return side * flow <= problem.limit_mw[e]

    @m.Constraint(m.hours, m.zones)
    def sheddable(m: pyo.ConcreteModel, t: int, z: int) -> pyo.Expression:
        there = sum(m.theta[t, i] for i in m.centers if centers.zone[i] == z)
        return m.l[t, z] <= max(problem.load_mw[t, z], 0.0) + there

    _add_commitment(m, problem)
    _add_datacenters(m, problem)
    return m


def _add_commitment(m: pyo.ConcreteModel, problem: UnitCommitmentProblem) -> None:
    """(1d) to (1g) and minimum times."""
    units, before, hours = problem.units, problem.before, problem.n_hours
    low, high, first, last = units.min_mw, units.max_mw, units.first_mw, units.last_mw
    rise, fall = units.rise_mw, units.fall_mw

    began = 1 if before is None else 0
    was_on = np.zeros(units.n) if before is None else before.on.astype(float)
    was_mw = np.zeros(units.n) if before is None else before.output_mw * was_on

    def u(t: int, g: int) -> pyo.Expression:
        return m.u[t, g] if t >= 0 else float(was_on[g])

    def p(t: int, g: int) -> pyo.Expression:
        return m.p[t, g] if t >= 0 else float(was_mw[g])

    m.moves = pyo.RangeSet(began, hours - 1)
    if before is None:
        for g in m.units:
            m.v[0, g].fix(0)
            m.o[0, g].fix(0)
    m.change = pyo.Constraint(m.moves, m.units, rule=lambda m, t, g: u(t, g) - u(t - 1, g) == m.v[t, g] - m.o[t, g])
    m.at_least = pyo.Constraint(m.hours, m.units, rule=lambda m, t, g: low[g] * m.u[t, g] <= m.p[t, g])
    m.at_most = pyo.Constraint(
        m.hours, m.units, rule=lambda m, t, g: m.p[t, g] <= high[g] * m.u[t, g] - (high[g] - first[g]) * m.v[t, g]
    )
    m.before_stop = pyo.Constraint(
        m.moves,
        m.units,
        rule=lambda m, t, g: p(t - 1, g) <= high[g] * u(t - 1, g) - (high[g] - last[g]) * m.o[t, g],
    )
    m.ramp_up = pyo.Constraint(
        m.moves,
        m.units,
        rule=lambda m, t, g: (
            p(t, g) - p(t - 1, g)
            <= (low[g] + rise[g]) * u(t, g) - low[g] * u(t - 1, g) + (first[g] - low[g] - rise[g]) * m.v[t, g]
        ),
    )
    m.ramp_down = pyo.Constraint(
        m.moves,
        m.units,
        rule=lambda m, t, g: (
            p(t - 1, g) - p(t, g)
            <= (low[g] + fall[g]) * u(t - 1, g) - low[g] * u(t, g) + (last[g] - low[g] - fall[g]) * m.o[t, g]
        ),
    )

    def recent(t: int, least_h: int) -> range:
        return range(max(began, t - max(least_h, 1) + 1), t + 1)

    m.min_up = pyo.Constraint(
        m.moves,
        m.units,
        rule=lambda m, t, g: sum(m.v[s, g] for s in recent(t, int(units.min_up_h[g]))) <= m.u[t, g],
    )
    m.min_down = pyo.Constraint(
        m.moves,
        m.units,
        rule=lambda m, t, g: sum(m.o[s, g] for s in recent(t, int(units.min_down_h[g]))) <= 1 - m.u[t, g],
    )


def _add_datacenters(m: pyo.ConcreteModel, problem: UnitCommitmentProblem) -> None:
    """Equation 9.3: work is done within the window, and no hour's latency is too large."""
    centers = problem.datacenters
    for t in m.hours:
        if t not in m.window:
            for i in m.centers:
                m.theta[t, i].fix(float(centers.base_mw[t, i]))
    if centers.alpha is None:
        return
    most = (1.0 + centers.alpha) * centers.base_latency
    m.served = pyo.Constraint(
        m.window, m.centers, rule=lambda m, t, i: m.theta[t, i] == sum(m.W[t, i, j] for j in m.users)
    )
    m.conserved = pyo.Constraint(
        m.users,
        rule=lambda m, j: (
            sum(m.W[t, i, j] for t in m.window for i in m.centers) == float(centers.demand_mw[centers.window, j].sum())
        ),
    )
    m.latency = pyo.Constraint(
        m.window,
        rule=lambda m, t: sum(centers.latency[i, j] * m.W[t, i, j] for i in m.centers for j in m.users) <= most[t],
    )
