"""Days of the year on which plans and set-points are compared, and what one comes to on them or over the year.

Plans and set-points are chosen by the money of every other week alone: the weeks between, which chose nothing, say what
the choice is worth in weeks that nobody looked at. Limits are another matter: a plan keeps them in every hour, so that
a day that breaks one joins the days, whatever its week.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.chains import SetPoints
from g2g_opt.batch.known_days import OperatedSeries
from g2g_opt.batch.own_controls import Standing
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import by_day, is_chosen_by
from studies.pv_datacenter_siting.network import SitingNetwork
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.year_network import network_over_days, over_hours

Floats = NDArray[np.float64]
# Where controls stand before each day, by level of utilisation.
Begins = tuple[tuple[Standing, ...], ...]

# Days from one to the next of those whose money counts: so many stand for the year.
_EVERY = 30
# Days of the year, those nearest to their limits, that are looked at for these.
N_HARDEST = 4
# Chains simulated together: everything that any of their plans builds is in the circuit of all.
_TOGETHER = 128


@dataclass(frozen=True, eq=False)
class ComparedDays:
    """Days of the year, run in their order as if each followed the one before; or the year itself.

    Hours count `weights` (hour,) times in the money, and not at all where a day is there for its limits alone, or in a
    week that is held out: its hours count `held_out` times in what is told beside it, over the year only.

    Controls begin each day where the one before left them: over weeks they remember the season's peaks, which a day by
    itself does not know of. Tap steps at midnights count in the year alone.
    """

    network: SitingNetwork
    days: tuple[int, ...]
    weights: Floats
    held_out: Floats
    price_per_kwh: Floats
    is_year: bool

    @staticmethod
    def year(case: SitingCase) -> ComparedDays:
        """All days."""
        network = network_over_days(case, None)
        n = len(network.sun)
        chosen_by = np.repeat(is_chosen_by(n // 24), 24)
        return ComparedDays(
            network, tuple(range(n // 24)), _to_year(chosen_by), _to_year(~chosen_by), case.hourly_price, True
        )

    @staticmethod
    def of(case: SitingCase, plan: SitingPlan, also: Collection[int] = ()) -> ComparedDays:
        """Every so many days, which stand for the year; and for their limits, whatever their week, the days of most
        load and of least load less what the plan injects, and those that are asked for.
        """
        load, sun, dates = by_day(case.question.hourly())
        net = load - plan.pv_kw.sum() / 1e3 * sun
        extreme = {int(load.max(axis=1).argmax()), int(net.min(axis=1).argmin())}
        open_days = np.flatnonzero(is_chosen_by(len(dates)))
        apart = np.abs(np.arange(_EVERY // 2, len(dates), _EVERY)[:, None] - open_days)
        spaced = set(open_days[apart.argmin(axis=1)].tolist()) or {0}
        days = sorted(extreme | spaced | set(also))
        counts = np.repeat([day in spaced for day in days], 24)
        index = (24 * np.array(days)[:, None] + np.arange(24)).ravel()
        return ComparedDays(
            network_over_days(case, days),
            tuple(days),
            _to_year(counts),
            np.zeros(len(counts)),
            case.hourly_price[index],
            False,
        )


def _to_year(counts: NDArray[np.bool_]) -> Floats:
    """Weights (hour,) that make those that count a year; none if none does."""
    return np.asarray(counts * (8760.0 / max(int(counts.sum()), 1)))


@dataclass(frozen=True)
class OperationWorth:
    """A plan under set-points: how far outside limits (pu h; 0 of violations that have a price), and $ a year with tap
    steps, losses and violations.

    `cost` is made of the weeks that it is chosen by, `cost_held_out` of those that are held out (of the year alone).
    `margin_pu` is the least distance of a voltage to its limit, negative outside; `broken` are days of the year with an
    hour outside. `begins` (level, day) are where controls stood before each of the days.
    """

    over_pu_h: float
    cost: float
    cost_held_out: float
    margin_pu: float
    broken: tuple[int, ...]
    begins: Begins = field(repr=False, compare=False)

    @property
    def rank(self) -> tuple[float, float]:
        """The less the better."""
        return self.over_pu_h, self.cost


def year_guessed(days: ComparedDays, worth: OperationWorth, n_days: int) -> Begins:
    """Where controls may stand before each day of a year: as before the next of the days that are known."""
    nearest = np.minimum(np.searchsorted(days.days, np.arange(n_days)), len(days.days) - 1)
    return tuple(tuple(of_level[k] for k in nearest) for of_level in worth.begins)


def ends_of(case: SitingCase) -> tuple[float, ...]:
    """The ends of the utilisation range, the one whose money counts first."""
    levels = case.question.levels
    return levels if len(levels) == 1 else (levels[0], levels[-1])


@dataclass(frozen=True, eq=False)
class _Outside:
    """Of limits (row, 1), how far outside the worst row is, the least distance of a voltage to its limit, and how far
    outside all rows are together; loadings only where they are judged.
    """

    low: Floats
    high: Floats
    judges_loading: bool

    def __call__(self, voltage: Floats, loading: Floats) -> Floats:
        n = len(voltage)
        margin = np.minimum(voltage - self.low[:n], self.high[:n] - voltage)
        over = np.maximum(-margin, 0.0)
        worst, together = -margin.min(axis=0), over.sum(axis=0)
        if self.judges_loading and len(loading):
            beyond = np.maximum(loading - self.high[n:], 0.0)
            worst, together = np.maximum(worst, beyond.max(axis=0)), together + beyond.sum(axis=0)
        return np.stack([np.maximum(worst, 0.0), margin.min(axis=0), together])


def worth_of(
    case: SitingCase,
    days: ComparedDays,
    operated: Sequence[tuple[SitingPlan, SetPoints]],
    levels: Sequence[float],
    guesses: Sequence[Begins] | None = None,
    over_max: float | None = None,
) -> list[OperationWorth]:
    """Of each plan under its set-points at all `levels`; the money is that of the first level.

    `guesses` are where controls may stand before each of the days, for each plan. What is further outside limits than
    `over_max` (pu h) at a level need not be known any better than that.
    """
    n_together = max(1, _TOGETHER // len(levels))
    if len(operated) > n_together:
        parts = [slice(k, k + n_together) for k in range(0, len(operated), n_together)]
        of_parts = [(operated[part], None if guesses is None else guesses[part]) for part in parts]
        return [one for part, of_part in of_parts for one in worth_of(case, days, part, levels, of_part, over_max)]
    if not operated:
        return []
    network = days.network
    series = network.operate(
        [over_hours(plan, network) for plan, _ in operated for _ in levels],
        [set_points for _, set_points in operated for _ in levels],
        24,
        guesses=None if guesses is None else [of_level for of_plan in guesses for of_level in of_plan],
        reduce=_Outside(*network.limit_rows(), network.judges_loading),
        demand=[np.full_like(network.demand, level) for _ in operated for level in levels],
        over_max=None if case.question.violations == "priced" else over_max,
    )
    n = len(levels)
    step_pu = operation_of(case.network.feeder, case.question.limits.rating_basis).step_pu
    steps = series.tap_steps(step_pu, within_days_of=None if days.is_year else 24).sum(axis=2)
    return [
        _worth_of_chains(case, plan, series, steps[k * n], list(range(k * n, (k + 1) * n)), days)
        for k, (plan, _) in enumerate(operated)
    ]


def _worth_of_chains(
    case: SitingCase,
    plan: SitingPlan,
    series: OperatedSeries,
    steps: NDArray[np.int64],
    chains: list[int],
    days: ComparedDays,
) -> OperationWorth:
    """Of the `chains` of a plan, the first of which makes so many tap `steps` (step,)."""
    question = case.question
    failed = ~series.solved | series.restless
    over = np.where(failed, 1.0, series.rows[0])
    margin = float(np.where(failed, -1.0, series.rows[1])[chains].min())
    first = chains[0]
    losses = days.price_per_kwh * np.nan_to_num(series.losses_kw[first])
    built = float((question.pv_cost_per_kw - case.pv_value_per_kw) * plan.pv_kw.sum())
    built -= float(case.sites.value_per_kw * plan.site_kw.sum())
    # The energy of storage is known for all hours of the weeks, whichever days are simulated.
    of_chosen, of_held = _storage_cost(case, plan)
    priced = question.violations == "priced" and not failed[chains].any()
    # All rows pay (equation 8.1), and the worst of them says how far outside a plan is.
    paid = question.violation_cost_per_pu_h * series.rows[2][first] if priced else 0.0
    cost, held_out = (
        built + stored + float(w @ (question.switch_cost * steps + losses + paid))
        for w, stored in ((days.weights, of_chosen), (days.held_out, of_held))
    )
    of_day = over[chains].sum(axis=0).reshape(-1, 24).sum(axis=1)
    if priced:
        of_day[:] = 0.0  # what has a price breaks nothing
    broken = tuple(days.days[k] for k in np.flatnonzero(of_day > 0.0))
    begins = tuple(tuple(series.begins[chain]) for chain in chains)
    return OperationWorth(float(of_day.sum()), cost, held_out, margin, broken, begins)


def _storage_cost(case: SitingCase, plan: SitingPlan) -> tuple[float, float]:
    """Investment less what its energy earns ($ a year) by the weeks that choose, and by those held out."""
    if case.storage is None or case.stored is None:
        return 0.0, 0.0
    built = case.storage.investment(plan)
    _, chosen, held = case.stored_value_per_kw
    return built - chosen * float(plan.storage_kw.sum()), built - held * float(plan.storage_kw.sum())
