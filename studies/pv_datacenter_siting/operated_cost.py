"""What a plan costs over its year: energy, tap steps, losses and violations of the very hours that were simulated.

Tap steps, losses and violations count against those of the feeder as it is, with its own settings and nothing built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.chains import SetPoints
from g2g_opt.batch.own_controls import Standing
from g2g_opt.feeder import Feeder
from solvers.siting.problem import CostParts, SitingPlan, excess
from studies.pv_datacenter_siting.case import (
    SitingCase,
    days_of,
    make_case,
)
from studies.pv_datacenter_siting.days import is_chosen_by
from studies.pv_datacenter_siting.network import SitingNetwork, no_plan
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.operated_year import OperatedYear, YearRows
from studies.pv_datacenter_siting.operation_rows import (
    AS_IT_IS,
    CHOSEN_BY,
    HELD_OUT,
    SET_POINTS_ALONE,
    HeldOutRow,
    OperationRow,
)
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OperatedCost:
    """What a plan costs over its year ($): the terms of (8.1) as they went, and losses; tap steps, losses and
    violations as they are more than those of the feeder as it is. `violation_paid` is all that violations cost.
    """

    parts: CostParts
    losses: float
    violation_paid: float
    rows: tuple[OperationRow, ...]
    held_out: tuple[HeldOutRow, ...]

    @property
    def total(self) -> float:
        """All of it."""
        return self.parts.total + self.losses


def cost_of_year(
    case: SitingCase,
    plan: SitingPlan,
    year: OperatedYear,
    year_rows: YearRows,
    set_points: SetPoints,
    name: str,
    n_days_unseen: int = 0,
) -> OperatedCost:
    """Of a plan's year, with all its rows, at the first level; `n_days_unseen` as in `HeldOutRow`."""
    question = case.question
    none = np.zeros_like(plan.pv_kw)
    empty = replace(plan, pv_kw=none, storage_kw=none, site_kw=np.zeros_like(plan.site_kw))
    network = year.network
    bare = over_hours(empty, network)
    rows = [_operation_row(case, name, level, year, year_rows, k) for k, level in enumerate(year.levels)]
    as_it_is = _as_it_is(question, network.feeder)
    alone = _without(case, network, bare, SET_POINTS_ALONE, set_points, year.series.begins[-1])
    rows += [replace(as_it_is.row, plan=name), replace(alone.row, plan=name)]
    plan_row, base = rows[0], rows[-2]
    per_pu_h = question.violation_cost_per_pu_h if question.violations == "priced" else 0.0
    built = CostParts(
        pv_investment=float(question.pv_cost_per_kw * plan.pv_kw.sum()),
        pv_energy=-case.pv_value_per_kw * float(plan.pv_kw.sum()),
        violation=per_pu_h * (plan_row.over_pu_h - base.over_pu_h),
        switching=plan_row.tap_cost - base.tap_cost,
        site_value=-float(case.sites.value_per_kw * plan.site_kw.sum()),
        storage_investment=0.0 if case.storage is None else case.storage.investment(plan),
        storage_energy=0.0 if case.stored is None else -case.stored_value_per_kw[0] * float(plan.storage_kw.sum()),
    )
    own_cost = _hourly_cost(case, year.steps[0], year.series.losses_kw[0])
    broken = ((year.over > 0.0) | year.unsolved).reshape(len(year.levels), -1)
    outside = np.asarray(broken.any(axis=0))
    chosen_by = np.repeat(is_chosen_by(len(outside) // 24), 24)
    held_out = tuple(
        HeldOutRow(
            name,
            words,
            int(hours.sum()),
            int(outside[hours].sum()),
            cost := float(8760.0 * own_cost[hours].mean()),
            before := float(8760.0 * as_it_is.cost[hours].mean()),
            before - cost,
            0 if hours is chosen_by else n_days_unseen,
        )
        for words, hours in ((CHOSEN_BY, chosen_by), (HELD_OUT, ~chosen_by))
        if hours.any()
    )
    losses = plan_row.losses_cost - base.losses_cost
    return OperatedCost(built, losses, per_pu_h * plan_row.over_pu_h, tuple(rows), held_out)


@dataclass(frozen=True, eq=False)
class _WithoutPlan:
    """A year with nothing built, and $ of its tap steps and losses in each hour."""

    row: OperationRow
    cost: Floats


@lru_cache(maxsize=4)
def _as_it_is(question: SitingQuestion, feeder: Feeder) -> _WithoutPlan:
    """The feeder by its own settings: the same beside every plan of a study."""
    case = make_case(question, feeder, days_of(question))
    network = network_over_days(case, None)
    nothing = no_plan(network, 1, case.sites)
    bare = over_hours(replace(nothing, site_kw=np.zeros_like(nothing.site_kw)), network)
    own = operation_of(feeder, question.limits.rating_basis).set_points()
    return _without(case, network, bare, AS_IT_IS, own)


def _without(
    case: SitingCase,
    network: SitingNetwork,
    bare: SitingPlan,
    what: str,
    set_points: SetPoints,
    guesses: Sequence[Standing] | None = None,
) -> _WithoutPlan:
    of_chain = None if guesses is None else [guesses]
    series = network.operate([bare], [set_points], 24, guesses=of_chain, tells_unbalance=True)
    step_pu = operation_of(network.feeder, case.question.limits.rating_basis).step_pu
    steps = series.tap_steps(step_pu)[0].sum(axis=1)
    over = excess(series.rows[:, 0], *network.limit_rows()).sum(axis=0)
    hours = _Hours(series.rows[:, 0], over, steps, series.losses_kw[0], series.unbalance[0])
    row = _row(case, network, "", what, None, hours)
    return _WithoutPlan(row, _hourly_cost(case, steps, series.losses_kw[0]))


def _hourly_cost(case: SitingCase, steps: NDArray[np.int64], losses_kw: Floats) -> Floats:
    """$ of tap steps and losses in each hour."""
    return np.asarray(case.question.switch_cost * steps + case.hourly_price * losses_kw)


def _operation_row(
    case: SitingCase, name: str, level: float, year: OperatedYear, rows: YearRows, k: int
) -> OperationRow:
    n = len(year.network.sun)
    hours = _Hours(
        rows.simulated.g[:, k * n : (k + 1) * n],
        year.over_all[k].ravel(),
        year.steps[k],
        year.series.losses_kw[k],
        rows.unbalance[k],
    )
    return _row(case, year.network, name, "the plan", level if case.question.places_sites else None, hours)


@dataclass(frozen=True, eq=False)
class _Hours:
    """Hours of a year: rows (row, hour); how far all are outside, tap steps, losses (kW), voltage unbalance (hour,)."""

    g: Floats
    over: Floats
    steps: NDArray[np.int64]
    losses_kw: Floats
    unbalance: Floats


def _row(
    case: SitingCase, network: SitingNetwork, name: str, what: str, utilisation: float | None, hours: _Hours
) -> OperationRow:
    scale, steps = 8760.0 / len(hours.over), int(hours.steps.sum())
    voltages, loadings = hours.g[: network.n_voltages], hours.g[network.n_voltages :]
    loading_pu, at = None, ""
    if len(loadings):
        of_branch = loadings.max(axis=1)
        loading_pu, at = float(of_branch.max()), network.branches[int(of_branch.argmax())]
    limit = case.question.limits.unbalance_negative_sequence_max
    return OperationRow(
        plan=name,
        what=what,
        utilisation=utilisation,
        n_hours_outside=int((hours.over > 0.0).sum()),
        over_pu_h=scale * float(hours.over.sum()),
        lowest_pu=float(voltages.min()),
        highest_pu=float(voltages.max()),
        loading_pu=loading_pu,
        loading_at=at,
        unbalance=float(hours.unbalance.max()),
        n_hours_unbalanced=None if limit is None else int((hours.unbalance > limit).sum()),
        tap_steps=round(scale * steps),
        tap_cost=scale * steps * case.question.switch_cost,
        losses_mwh=scale * float(hours.losses_kw.sum()) / 1e3,
        losses_cost=scale * float(case.hourly_price @ hours.losses_kw),
    )
