"""A plan through all hours of the year under its regulators' own controls, at every level of utilisation.

What it costs is counted here: energy, tap steps, losses and violations of these very hours. Tap steps and losses count
against those of the feeder as it is, with its own settings and nothing built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.operated_series import OperatedSeries, SetPoints
from g2g_opt.batch.own_controls import Standing
from solvers.siting.problem import CostParts, SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase, year_value_per_kw
from studies.pv_datacenter_siting.days import Day, by_day
from studies.pv_datacenter_siting.network import Simulated, SitingNetwork, operation_of
from studies.pv_datacenter_siting.operation_rows import OperationRow
from studies.pv_datacenter_siting.year import BrokenHour
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours, price_of_hours

Floats = NDArray[np.float64]

# Voltages and loadings of a year that are kept more than once while its days are put together.
_FIGURES_AT_ONCE = 10_000_000

# What stands beside a plan in its table: the feeder without it, by its own settings and by the plan's.
AS_IT_IS, SET_POINTS_ALONE = "the feeder as it is", "the plan's set-points alone"


@dataclass(frozen=True, eq=False)
class OperatedYear:
    """Hours of the year at each of `levels`: rows with loadings (row, level x hour), taps and losses (level, hour).

    `over` is how far outside the limits (pu) and `row` the worst row, both (level, day, hour); `over` is 0 where an
    hour has no solution or controls do not rest. `steps` (level, hour) are tap steps of all regulators.
    """

    levels: tuple[float, ...]
    dates: tuple[str, ...]
    network: SitingNetwork
    simulated: Simulated
    series: OperatedSeries
    over: Floats
    row: NDArray[np.int64]
    steps: NDArray[np.int64]

    @property
    def unsolved(self) -> NDArray[np.bool_]:
        """Hours (level, day, hour) without a solution."""
        return np.asarray(~self.simulated.solved.reshape(self.over.shape))

    @property
    def n_hours_broken(self) -> int:
        """Hours of all levels with a limit broken or without a solution."""
        return int(((self.over > 0.0) | self.unsolved).sum())

    def worst_day(self) -> tuple[int, float]:
        """The day with the most outside, and its level; an hour without a solution counts most."""
        worst = (self.over + self.unsolved).sum(axis=2)
        level, day = np.unravel_index(int(worst.argmax()), worst.shape)
        return int(day), self.levels[int(level)]

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
    levels = case.question.levels
    bare = over_hours(plan, network)
    demand = [np.full_like(network.demand, level) for level in levels]
    n_rows = network.n_voltages + len(network.branches)
    if begins is None and n_rows * len(network.sun) * len(levels) > _FIGURES_AT_ONCE:
        # Days that are run again from elsewhere would be kept too: first only where they begin.
        nothing = network.operate(
            [bare] * len(levels), [set_points] * len(levels), 24, demand=demand, reduce=lambda voltage, _: voltage[:1]
        )
        begins = nothing.begins
    series = network.operate([bare] * len(levels), [set_points] * len(levels), 24, begins, demand=demand)
    n_hours = len(network.sun)
    g = series.rows.reshape(n_rows, len(levels) * n_hours)
    solved = (series.solved & ~series.restless).ravel()
    over = np.where(solved, excess(g, *network.limit_rows()), 0.0)
    shape = len(levels), n_hours // 24, 24
    step_pu = operation_of(case.network.feeder, case.question.limits.rating_basis).step_pu
    return OperatedYear(
        levels,
        tuple(by_day(case.question.hourly())[2]),
        network,
        Simulated(g, solved),
        replace(series, rows=series.rows[:0]),
        over.max(axis=0).reshape(shape),
        over.argmax(axis=0).reshape(shape),
        series.tap_steps(step_pu).sum(axis=2),
    )


@dataclass(frozen=True)
class OperatedCost:
    """What a plan costs over its year ($): the terms of (8.1) as they went, and losses; tap steps and losses as they
    are more than those of the feeder as it is.
    """

    parts: CostParts
    losses: float
    rows: tuple[OperationRow, ...]

    @property
    def total(self) -> float:
        """All of it."""
        return self.parts.total + self.losses


def cost_of_year(
    case: SitingCase, plan: SitingPlan, year: OperatedYear, set_points: SetPoints, name: str
) -> OperatedCost:
    """Of a plan's year at the first level."""
    question = case.question
    empty = replace(plan, pv_kw=np.zeros_like(plan.pv_kw), site_kw=np.zeros_like(plan.site_kw))
    network = year.network
    own = operation_of(network.feeder, question.limits.rating_basis).set_points()
    bare = over_hours(empty, network)
    without = network.operate([bare, bare], [own, set_points], 24)
    rows = [
        _operation_row(case, name, "the plan", level, year, k, year.series, k) for k, level in enumerate(year.levels)
    ]
    steps = without.tap_steps(operation_of(network.feeder, question.limits.rating_basis).step_pu).sum(axis=(1, 2))
    for k, what in enumerate((AS_IT_IS, SET_POINTS_ALONE)):
        over = excess(without.rows[:, k], *network.limit_rows()).max(axis=0)
        rows.append(
            _row(case, network, name, what, None, without.rows[:, k], over, int(steps[k]), without.losses_kw[k])
        )
    plan_row, base = rows[0], rows[-2]
    built = CostParts(
        pv_investment=float(question.pv_cost_per_kw * plan.pv_kw.sum()),
        pv_energy=-year_value_per_kw(question) * float(plan.pv_kw.sum()),
        violation=question.violation_cost_per_pu_h * plan_row.over_pu_h if question.violations == "priced" else 0.0,
        switching=plan_row.tap_cost - base.tap_cost,
        site_value=-float(case.sites.value_per_kw * plan.site_kw.sum()),
    )
    return OperatedCost(built, plan_row.losses_cost - base.losses_cost, tuple(rows))


def _operation_row(
    case: SitingCase, name: str, what: str, level: float, year: OperatedYear, k: int, series: OperatedSeries, chain: int
) -> OperationRow:
    n = len(year.network.sun)
    g = year.simulated.g[:, k * n : (k + 1) * n]
    over = year.over[k].ravel()
    utilisation = level if case.question.places_sites else None
    return _row(case, year.network, name, what, utilisation, g, over, int(year.steps[k].sum()), series.losses_kw[chain])


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
