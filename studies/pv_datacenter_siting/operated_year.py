"""A plan through all hours of the year under its regulators' own controls, at every level of utilisation.

What it costs is counted here: energy, tap steps, losses and violations of these very hours. Tap steps and losses count
against those of the feeder as it is, with its own settings and nothing built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.operated_series import OperatedSeries, Reduction, SetPoints
from g2g_opt.batch.own_controls import Standing
from g2g_opt.feeder import Feeder
from solvers.siting.problem import CostParts, SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase, days_of, make_case, year_value_per_kw
from studies.pv_datacenter_siting.compared_days import is_chosen_by
from studies.pv_datacenter_siting.days import Day, by_day
from studies.pv_datacenter_siting.network import Simulated, SitingNetwork, no_plan, operation_of
from studies.pv_datacenter_siting.operation_rows import HeldOutRow, OperationRow
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.year import BrokenHour
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours, price_of_hours

Floats = NDArray[np.float64]

# Days nearest to each limit at which set-points are looked at before they are taken through the year.
_HARDEST = 12

# What stands beside a plan in its table: the feeder without it, by its own settings and by the plan's.
AS_IT_IS, SET_POINTS_ALONE = "the feeder as it is", "the plan's set-points alone"
# Weeks of a year, by whose money a plan was chosen or not.
CHOSEN_BY, HELD_OUT = "chosen by", "held out"


@dataclass(frozen=True, eq=False)
class OperatedYear:
    """Hours of the year at each of `levels`: taps and losses (level, hour); what is kept of the rows, with loadings.

    `over` is how far outside the limits (pu) and `row` the worst row, both (level, day, hour); `over` is 0 where an
    hour has no solution or controls do not rest. `steps` (level, hour) are tap steps of all regulators, and `margin`
    (level, side, day) the least distance (pu) of a voltage to the lower and to the upper limit.
    """

    levels: tuple[float, ...]
    dates: tuple[str, ...]
    network: SitingNetwork
    series: OperatedSeries
    over: Floats
    row: NDArray[np.int64]
    steps: NDArray[np.int64]
    margin: Floats

    @property
    def unsolved(self) -> NDArray[np.bool_]:
        """Hours (level, day, hour) without a solution."""
        return np.asarray(~(self.series.solved & ~self.series.restless).reshape(self.over.shape))

    @property
    def n_hours_broken(self) -> int:
        """Hours of all levels with a limit broken or without a solution."""
        return int(((self.over > 0.0) | self.unsolved).sum())

    def worst_day(self) -> tuple[int, float]:
        """The day with the most outside, and its level; an hour without a solution counts most."""
        worst = (self.over + self.unsolved).sum(axis=2)
        level, day = np.unravel_index(int(worst.argmax()), worst.shape)
        return int(day), self.levels[int(level)]

    def hardest_days(self) -> tuple[int, ...]:
        """Those nearest to a limit at the ends of the utilisation range, in turn for each limit and end."""
        by_turn = np.argsort(self.margin[[0, -1]], axis=2, kind="stable")[:, :, :_HARDEST].transpose(2, 0, 1).ravel()
        return tuple(dict.fromkeys(by_turn.tolist()))

    def begins(self, days: Sequence[Day]) -> tuple[Standing, ...]:
        """Where controls stand before each of some days."""
        of_level = {level: k for k, level in enumerate(self.levels)}
        return tuple(self.series.begins[of_level[day.utilisation]][day.index] for day in days)

    def broken_hours(self, plan: str) -> list[BrokenHour]:
        """The hours that break a limit or have no solution."""
        names = self.network.names()
        found = []
        for level, day, hour in zip(*np.nonzero((self.over > 0.0) | self.unsolved), strict=True):
            failed = bool(self.unsolved[level, day, hour])
            found.append(
                BrokenHour(
                    plan=plan,
                    date=self.dates[day],
                    hour=int(hour),
                    utilisation=self.levels[level],
                    taps_of="own control",
                    taps_of_day=int(day),
                    where="" if failed else names[int(self.row[level, day, hour])],
                    over_pu=None if failed else float(self.over[level, day, hour]),
                    reason="no solution, or controls that do not rest" if failed else "limit broken",
                )
            )
        return found


def operate_year(
    case: SitingCase,
    plan: SitingPlan,
    set_points: SetPoints,
    begins: Sequence[Sequence[Standing]] | None = None,
) -> OperatedYear:
    """All hours of the profile, one after the other; `begins` (level, day) where it is known how each day begins."""
    network = network_over_days(case, None)
    n, limits = network.n_voltages, network.limit_rows()
    low, high = (side[:n] for side in limits)

    def reduce(voltage: Floats, loading: Floats) -> Floats:
        over = excess(np.concatenate([voltage, loading]), *limits)
        return np.stack(
            [over.max(axis=0), over.argmax(axis=0), (voltage - low).min(axis=0), (high - voltage).min(axis=0)]
        )

    series = _operated(case, plan, set_points, network, begins, reduce)
    levels = case.question.levels
    shape = len(levels), len(network.sun) // 24, 24
    over, row, below, above = series.rows.reshape(4, *shape)
    settled = (series.solved & ~series.restless).reshape(shape)
    step_pu = operation_of(case.network.feeder, case.question.limits.rating_basis).step_pu
    return OperatedYear(
        levels,
        tuple(by_day(case.question.hourly())[2]),
        network,
        replace(series, rows=series.rows[:0]),
        np.where(settled, over, 0.0),
        row.astype(np.int64),
        series.tap_steps(step_pu).sum(axis=2),
        np.stack([below.min(axis=2), above.min(axis=2)], axis=1),
    )


def simulated_year(case: SitingCase, plan: SitingPlan, set_points: SetPoints, year: OperatedYear) -> Simulated:
    """All rows of a plan's year (row, level x hour), which are too many to keep of every plan that is tried."""
    series = _operated(case, plan, set_points, year.network, year.series.begins, None)
    return Simulated(series.rows.reshape(len(series.rows), -1), (series.solved & ~series.restless).ravel())


def _operated(
    case: SitingCase,
    plan: SitingPlan,
    set_points: SetPoints,
    network: SitingNetwork,
    begins: Sequence[Sequence[Standing]] | None,
    reduce: Reduction | None,
) -> OperatedSeries:
    levels = case.question.levels
    return network.operate(
        [over_hours(plan, network)] * len(levels),
        [set_points] * len(levels),
        24,
        begins,
        reduce=reduce,
        demand=[np.full_like(network.demand, level) for level in levels],
    )


@dataclass(frozen=True)
class OperatedCost:
    """What a plan costs over its year ($): the terms of (8.1) as they went, and losses; tap steps and losses as they
    are more than those of the feeder as it is.
    """

    parts: CostParts
    losses: float
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
    simulated: Simulated,
    set_points: SetPoints,
    name: str,
    n_days_unseen: int = 0,
) -> OperatedCost:
    """Of a plan's year, with all its rows, at the first level; `n_days_unseen` as in `HeldOutRow`."""
    question = case.question
    empty = replace(plan, pv_kw=np.zeros_like(plan.pv_kw), site_kw=np.zeros_like(plan.site_kw))
    network = year.network
    bare = over_hours(empty, network)
    rows = [_operation_row(case, name, level, year, simulated, k) for k, level in enumerate(year.levels)]
    as_it_is = _as_it_is(question, network.feeder)
    alone = _without(case, network, bare, SET_POINTS_ALONE, set_points)
    rows += [replace(as_it_is.row, plan=name), replace(alone.row, plan=name)]
    plan_row, base = rows[0], rows[-2]
    built = CostParts(
        pv_investment=float(question.pv_cost_per_kw * plan.pv_kw.sum()),
        pv_energy=-year_value_per_kw(question) * float(plan.pv_kw.sum()),
        violation=question.violation_cost_per_pu_h * plan_row.over_pu_h if question.violations == "priced" else 0.0,
        switching=plan_row.tap_cost - base.tap_cost,
        site_value=-float(case.sites.value_per_kw * plan.site_kw.sum()),
    )
    own_cost = _hourly_cost(case, year.steps[0], year.series.losses_kw[0])
    outside = ((year.over > 0.0) | year.unsolved).reshape(len(year.levels), -1).any(axis=0)
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
    return OperatedCost(built, plan_row.losses_cost - base.losses_cost, tuple(rows), held_out)


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
    case: SitingCase, network: SitingNetwork, bare: SitingPlan, what: str, set_points: SetPoints
) -> _WithoutPlan:
    series = network.operate([bare], [set_points], 24)
    step_pu = operation_of(network.feeder, case.question.limits.rating_basis).step_pu
    steps = series.tap_steps(step_pu)[0].sum(axis=1)
    over = excess(series.rows[:, 0], *network.limit_rows()).max(axis=0)
    row = _row(case, network, "", what, None, series.rows[:, 0], over, int(steps.sum()), series.losses_kw[0])
    return _WithoutPlan(row, _hourly_cost(case, steps, series.losses_kw[0]))


def _hourly_cost(case: SitingCase, steps: NDArray[np.int64], losses_kw: Floats) -> Floats:
    """$ of tap steps and losses in each hour."""
    return np.asarray(case.question.switch_cost * steps + price_of_hours(case) * losses_kw)


def _operation_row(
    case: SitingCase, name: str, level: float, year: OperatedYear, simulated: Simulated, k: int
) -> OperationRow:
    n = len(year.network.sun)
    g = simulated.g[:, k * n : (k + 1) * n]
    utilisation = level if case.question.places_sites else None
    losses_kw = year.series.losses_kw[k]
    return _row(
        case, year.network, name, "the plan", utilisation, g, year.over[k].ravel(), int(year.steps[k].sum()), losses_kw
    )


def _row(
    case: SitingCase,
    network: SitingNetwork,
    name: str,
    what: str,
    utilisation: float | None,
    g: Floats,
    over: Floats,
    steps: int,
    losses_kw: Floats,
) -> OperationRow:
    scale = 8760.0 / len(over)
    voltages, loadings = g[: network.n_voltages], g[network.n_voltages :]
    loading_pu, at = None, ""
    if len(loadings):
        of_branch = loadings.max(axis=1)
        loading_pu, at = float(of_branch.max()), network.branches[int(of_branch.argmax())]
    return OperationRow(
        plan=name,
        what=what,
        utilisation=utilisation,
        n_hours_outside=int((over > 0.0).sum()),
        over_pu_h=scale * float(over.sum()),
        lowest_pu=float(voltages.min()),
        highest_pu=float(voltages.max()),
        loading_pu=loading_pu,
        loading_at=at,
        tap_steps=round(scale * steps),
        tap_cost=scale * steps * case.question.switch_cost,
        losses_mwh=scale * float(losses_kw.sum()) / 1e3,
        losses_cost=scale * float(price_of_hours(case) @ losses_kw),
    )
