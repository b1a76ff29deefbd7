"""A plan through all hours of the year under its regulators' own controls, at every level of utilisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.chains import Reduction, SetPoints
from g2g_opt.batch.known_days import OperatedSeries
from g2g_opt.batch.own_controls import Standing
from solvers.siting.problem import SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import Day, by_day
from studies.pv_datacenter_siting.network import Simulated, SitingNetwork
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.year import BrokenHour
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours

Floats = NDArray[np.float64]

# Days nearest to each limit at which set-points are looked at before they are taken through the year.
_HARDEST = 12


@dataclass(frozen=True, eq=False)
class OperatedYear:
    """Hours of the year at each of `levels`: taps and losses (level, hour); what is kept of the rows, with loadings.

    `over` is how far the worst row is outside the limits (pu), `over_all` how far all rows are together, and `row` the
    worst one, each (level, day, hour); both are 0 where an hour has no solution or controls do not rest. `steps`
    (level, hour) are tap steps of all regulators, and `margin` (level, side, day) the least distance (pu) of a voltage
    to the lower and to the upper limit.
    """

    levels: tuple[float, ...]
    dates: tuple[str, ...]
    network: SitingNetwork
    series: OperatedSeries
    over: Floats
    over_all: Floats
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

    def at_ends(self) -> tuple[tuple[Standing, ...], ...]:
        """Where controls stand before every day (level, day), at the ends of the utilisation range."""
        begins = [tuple(of_level) for of_level in self.series.begins]
        return tuple(begins if len(begins) == 1 else (begins[0], begins[-1]))

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


@dataclass(frozen=True, eq=False)
class _Worst:
    """Of limits (row, 1), how far outside the worst row is, all rows are together, and which row is the worst; the
    least distance of a voltage to the lower and to the upper limit.
    """

    low: Floats
    high: Floats

    def __call__(self, voltage: Floats, loading: Floats) -> Floats:
        over = excess(np.concatenate([voltage, loading]), self.low, self.high)
        low, high = self.low[: len(voltage)], self.high[: len(voltage)]
        return np.stack(
            [
                *(over.max(axis=0), over.sum(axis=0), over.argmax(axis=0)),
                *((voltage - low).min(axis=0), (high - voltage).min(axis=0)),
            ]
        )


def operate_year(
    case: SitingCase,
    plan: SitingPlan,
    set_points: SetPoints,
    begins: Sequence[Sequence[Standing]] | None = None,
    like: OperatedYear | None = None,
) -> OperatedYear:
    """All hours of the profile, one after the other; `begins` (level, day) where it is known how each day begins.

    A year that may go `like` this one saves time.
    """
    network = network_over_days(case, None)
    guesses = None if like is None else like.series.begins
    series = _operated(case, plan, set_points, network, begins, _Worst(*network.limit_rows()), guesses)
    levels = case.question.levels
    shape = len(levels), len(network.sun) // 24, 24
    over, over_all, row, below, above = series.rows.reshape(5, *shape)
    settled = (series.solved & ~series.restless).reshape(shape)
    step_pu = operation_of(case.network.feeder, case.question.limits.rating_basis).step_pu
    return OperatedYear(
        levels,
        tuple(by_day(case.question.hourly())[2]),
        network,
        replace(series, rows=series.rows[:0]),
        np.where(settled, over, 0.0),
        np.where(settled, over_all, 0.0),
        row.astype(np.int64),
        series.tap_steps(step_pu).sum(axis=2),
        np.stack([below.min(axis=2), above.min(axis=2)], axis=1),
    )


@dataclass(frozen=True, eq=False)
class YearRows:
    """All rows of a plan's year (row, level x hour), which are too many to keep of every plan that is tried, and the
    highest voltage unbalance (level, hour) of any bus.
    """

    simulated: Simulated
    unbalance: Floats


def simulated_year(case: SitingCase, plan: SitingPlan, set_points: SetPoints, year: OperatedYear) -> YearRows:
    """The rows of a plan's year."""
    series = _operated(case, plan, set_points, year.network, year.series.begins, None)
    solved = (series.solved & ~series.restless).ravel()
    return YearRows(Simulated(series.rows.reshape(len(series.rows), -1), solved), series.unbalance)


def _operated(
    case: SitingCase,
    plan: SitingPlan,
    set_points: SetPoints,
    network: SitingNetwork,
    begins: Sequence[Sequence[Standing]] | None,
    reduce: Reduction | None,
    guesses: Sequence[Sequence[Standing]] | None = None,
) -> OperatedSeries:
    levels = case.question.levels
    return network.operate(
        [over_hours(plan, network)] * len(levels),
        [set_points] * len(levels),
        24,
        begins,
        guesses=guesses,
        reduce=reduce,
        tells_unbalance=reduce is None,
        demand=[np.full_like(network.demand, level) for level in levels],
    )
