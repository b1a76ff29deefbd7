"""The siting program in Pyomo, written as it is stated in `siting.problem`: for reading and for changing.

`siting.pyomo_solve` gives it to any solver that Pyomo can ask (`--solver pyomo:NAME`); what studies run by default are
the matrices, which decide the same in parts (`siting.search`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyomo.environ as pyo

from solvers.siting.matrices import STEP_COST_MIN
from solvers.siting.problem import Placement, SitingProblem


def siting_model(
    problem: SitingProblem, at: Iterable[tuple[int, int]] | None = None, excluded: Sequence[Placement] = ()
) -> pyo.ConcreteModel:
    """Equations 8.1, 8.2 and (1) to (5) of `siting.problem`, with whole taps; without the `excluded` placements.

    Rows (4) are written `at` these (row, point) only, at all of them if there are none given.
    """
    pv, sites, taps, network, calendar = problem.pv, problem.sites, problem.taps, problem.rows, problem.calendar
    worth, step_h = calendar.hours * calendar.price_per_kwh, problem.step_h
    m = pyo.ConcreteModel("siting")
    m.points = pyo.RangeSet(0, problem.n_points - 1)
    m.buses = pyo.RangeSet(0, pv.n - 1)
    m.sites = pyo.RangeSet(0, sites.n - 1)
    m.places = pyo.Set(initialize=sites.pairs, dimen=2)
    m.regulators = pyo.RangeSet(0, taps.n - 1)
    m.slots = pyo.RangeSet(0, len(calendar.slot_day) - 1)
    everywhere = np.ndindex(*network.constant.shape)
    m.at = pyo.Set(dimen=2, initialize=list(everywhere if at is None else at))

    m.x = pyo.Var(m.buses, domain=pyo.Binary)
    m.S = pyo.Var(m.buses, domain=pyo.NonNegativeReals)
    m.c = pyo.Var(m.buses, m.points, domain=pyo.NonNegativeReals)
    m.y = pyo.Var(m.places, domain=pyo.Binary)
    m.z = pyo.Var(m.places, domain=pyo.NonNegativeReals)
    m.t = pyo.Var(
        m.regulators, m.slots, domain=pyo.Integers, bounds=lambda m, r, h: (int(taps.low[r]), int(taps.high[r]))
    )
    m.d = pyo.Var(m.regulators, m.slots, domain=pyo.NonNegativeReals)
    m.u = pyo.Var(m.at, domain=pyo.NonNegativeReals)
    m.o = pyo.Var(m.at, domain=pyo.NonNegativeReals)
    m.P = pyo.Var(m.buses, domain=pyo.NonNegativeReals)
    m.E = pyo.Var(m.buses, domain=pyo.NonNegativeReals)
    m.a = pyo.Var(m.buses, m.points, domain=pyo.NonNegativeReals)
    m.b = pyo.Var(m.buses, m.points, domain=pyo.NonNegativeReals)
    m.e = pyo.Var(m.buses, m.points, domain=pyo.NonNegativeReals)

    storage = problem.storage
    cost_kw, cost_kwh = (0.0, 0.0) if storage is None else (storage.cost_per_kw, storage.cost_per_kwh)
    schedule = None if storage is None else storage.schedule
    m.cost = pyo.Objective(
        expr=pv.cost_per_kw * sum(m.S[j] for j in m.buses)
        - sum(worth[p] * (m.S[j] * pv.sun[p] - m.c[j, p]) for j in m.buses for p in m.points)
        - (
            sum(worth[p] * (m.b[j, p] - m.a[j, p]) for j in m.buses for p in m.points)
            if schedule is None
            else schedule.value_per_kw * sum(m.P[j] for j in m.buses)
        )
        + max(taps.switch_cost, STEP_COST_MIN)
        * sum(calendar.slot_days[h] * m.d[r, h] for r in m.regulators for h in m.slots)
        + (problem.penalty or 0.0) * sum(calendar.hours[p] * (m.u[i, p] + m.o[i, p]) for i, p in m.at)
        - sites.value_per_kw * sum(m.z[place] for place in m.places)
        + sum(cost_kw * m.P[j] + cost_kwh * m.E[j] for j in m.buses)
    )

    _add_choices(m, problem)
    _exclude(m, problem, excluded)
    _add_storage(m, problem, step_h)

    @m.Expression(m.at)
    def G(m: pyo.ConcreteModel, i: int, p: int) -> pyo.Expression:
        return (
            network.constant[i, p]
            + sum(network.pv[i, j, p] * (m.S[j] * pv.sun[p] - m.c[j, p] + m.b[j, p] - m.a[j, p]) for j in m.buses)
            + sum(network.site[i, b, p] * sites.demand[k, p] * m.z[k, b] for k, b in m.places)
            + sum(network.tap[i, r, p] * m.t[r, int(calendar.slot[p])] for r in m.regulators)
        )

    @m.Constraint(m.at)
    def lower(m: pyo.ConcreteModel, i: int, p: int) -> pyo.Expression:
        low = network.low[i, p]
        return m.G[i, p] + m.u[i, p] >= low if np.isfinite(low) else pyo.Constraint.Skip

    @m.Constraint(m.at)
    def upper(m: pyo.ConcreteModel, i: int, p: int) -> pyo.Expression:
        high = network.high[i, p]
        return m.G[i, p] - m.o[i, p] <= high if np.isfinite(high) else pyo.Constraint.Skip

    if problem.penalty is None:
        m.u.fix(0.0)
        m.o.fix(0.0)
    return m


def _add_choices(m: pyo.ConcreteModel, problem: SitingProblem) -> None:
    """(1), (2) and (3)."""
    pv, sites, day = problem.pv, problem.sites, problem.calendar.slot_day
    if pv.must_build:
        m.x.fix(1)
    m.size_high = pyo.Constraint(m.buses, rule=lambda m, j: m.S[j] <= pv.size_max_kw[j] * m.x[j])
    m.size_low = pyo.Constraint(m.buses, rule=lambda m, j: m.S[j] >= pv.size_min_kw[j] * m.x[j])
    m.curtailed = pyo.Constraint(
        m.buses, m.points, rule=lambda m, j, p: m.c[j, p] <= (pv.sun[p] if pv.may_curtail else 0.0) * m.S[j]
    )
    m.zone = pyo.ConstraintList()
    for zone in pv.zones:
        m.zone.add(sum(m.x[j] for j in zone.buses) <= zone.count_max)
        if np.isfinite(zone.total_max_kw):
            m.zone.add(sum(m.S[j] for j in zone.buses) <= zone.total_max_kw)
    m.placed = pyo.Constraint(m.sites, rule=lambda m, k: sum(m.y[k, b] for b in sites.candidates[k]) == 1)
    m.alone = pyo.ConstraintList()
    for bus in sorted({b for _, b in sites.pairs}):
        m.alone.add(sum(m.y[k, b] for k, b in sites.pairs if b == bus) <= 1)
    m.site_high = pyo.Constraint(m.places, rule=lambda m, k, b: m.z[k, b] <= sites.size_max_kw[k] * m.y[k, b])
    m.site_low = pyo.Constraint(m.places, rule=lambda m, k, b: m.z[k, b] >= sites.size_min_kw[k] * m.y[k, b])
    m.change = pyo.ConstraintList()
    for r in m.regulators:
        for h in m.slots:
            if h > 0 and day[h] == day[h - 1]:
                m.change.add(m.d[r, h] >= m.t[r, h] - m.t[r, h - 1])
                m.change.add(m.d[r, h] >= m.t[r, h - 1] - m.t[r, h])


def _exclude(m: pyo.ConcreteModel, problem: SitingProblem, excluded: Sequence[Placement]) -> None:
    """Other placements than these: something that they build is not built, or something else is."""
    m.other = pyo.ConstraintList()
    for built, buses in excluded:
        changed = [1 - m.x[j] if j in built else m.x[j] for j in m.buses]
        moved = [1 - m.y[k, bus] for k, bus in enumerate(buses)]
        m.other.add(sum(changed + moved) >= 1)


def _add_storage(m: pyo.ConcreteModel, problem: SitingProblem, step_h: np.ndarray) -> None:
    """(5)."""
    storage, calendar = problem.storage, problem.calendar
    if storage is None:
        for variable in (m.P, m.E, m.a, m.b, m.e):
            variable.fix(0.0)
        return
    day = calendar.slot_day[calendar.slot]
    m.power = pyo.Constraint(m.buses, rule=lambda m, j: m.P[j] <= storage.power_max_kw[j] * m.x[j])
    m.energy = pyo.Constraint(m.buses, rule=lambda m, j: m.E[j] <= storage.energy_max_kwh[j] * m.x[j])
    schedule = storage.schedule
    if schedule is not None:
        m.duration = pyo.Constraint(m.buses, rule=lambda m, j: m.E[j] == schedule.duration_h * m.P[j])
        m.of_pv = pyo.Constraint(m.buses, rule=lambda m, j: m.P[j] <= schedule.share_max * m.S[j])
        m.charge = pyo.Constraint(m.buses, m.points, rule=lambda m, j, p: m.a[j, p] == schedule.charge[p] * m.P[j])
        m.discharge = pyo.Constraint(
            m.buses, m.points, rule=lambda m, j, p: m.b[j, p] == schedule.discharge[p] * m.P[j]
        )
        m.e.fix(0.0)  # known from the year's hours before the day
        return
    m.charge = pyo.Constraint(m.buses, m.points, rule=lambda m, j, p: m.a[j, p] <= m.P[j])
    m.discharge = pyo.Constraint(m.buses, m.points, rule=lambda m, j, p: m.b[j, p] <= m.P[j])
    m.content = pyo.Constraint(m.buses, m.points, rule=lambda m, j, p: m.e[j, p] <= m.E[j])

    @m.Constraint(m.buses, m.points)
    def balance(m: pyo.ConcreteModel, j: int, p: int) -> pyo.Expression:
        of_day = np.flatnonzero(day == day[p])
        after = p + 1 if p < of_day[-1] else int(of_day[0])
        gained = storage.efficiency * m.a[j, p] - m.b[j, p] / storage.efficiency
        return m.e[j, after] == m.e[j, p] + step_h[p] * gained
