"""How regulators act under a plan: set-points of their own controls, found by simulating hours of the year.

The list is short and stated: all regulators hold so many volts more or less, within a wider band, with line-drop
compensation or without it; then those of each bank by themselves. What breaks limits least is better, then what costs
least in tap steps, losses and violations. Days of the search are the year's extremes; the best of them are taken
through the whole year, where they are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.operated_series import OperatedSeries, SetPoint, SetPoints
from solvers.siting.problem import SitingPlan, excess
from studies.pv_datacenter_siting.case import SitingCase, year_value_per_kw
from studies.pv_datacenter_siting.days import by_day
from studies.pv_datacenter_siting.network import SitingNetwork, operation_of
from studies.pv_datacenter_siting.year_network import (
    network_over_days,
    over_hours,
    price_of_hours,
    settled_within,
)

Floats = NDArray[np.float64]

# Volts by which set-points are moved, on the control's side, and bands that are tried.
_SHIFTS_V = (0.0, -1.0, -2.0, -3.0, -4.0, 1.0, 2.0)
_BANDS_V = (2.0, 3.0, 4.0, 6.0, 8.0)
# Volts by which voltage and band of a single bank are moved from the best so far, and how often all banks have a turn.
_NUDGES, _PASSES = (-1.0, 0.0, 1.0), 3
_BAND_MIN_V = 1.0
# Plans simulated together: everything that any of them builds is in the circuit of all.
_TOGETHER = 24
# How many of the search's best are taken through the year.
_FINALISTS = 3


@dataclass(frozen=True)
class OperationWorth:
    """A plan under set-points: how far outside limits (pu h), and $ a year with tap steps, losses and violations.

    `margin_pu` is the least distance of a voltage to its limit, negative outside.
    """

    over_pu_h: float
    cost: float
    margin_pu: float

    @property
    def rank(self) -> tuple[float, float]:
        """The less the better."""
        return self.over_pu_h, self.cost


def find_set_points(
    case: SitingCase, plan: SitingPlan, known: Sequence[SetPoints], report: Callable[[str], None]
) -> dict[str, SetPoint]:
    """The best set-points found for what a plan builds; those `known` from before are among the candidates.

    The circuit's own if it has no regulators.
    """
    operation = operation_of(case.network.feeder, case.question.limits.rating_basis)
    own = operation.set_points()
    if not own:
        return {}
    network, days = network_of_search(case, plan)
    levels = question_ends(case)
    tried: dict[tuple[tuple[str, SetPoint], ...], tuple[OperationWorth, SetPoints]] = {}

    def search(candidates: Sequence[SetPoints]) -> None:
        new = {tuple(sorted(one.items())): one for one in candidates}
        new = {key: one for key, one in new.items() if key not in tried}
        worth = worth_of(case, network, [(plan, one) for one in new.values()], days, levels)
        tried.update(zip(new, zip(worth, new.values(), strict=True), strict=True))

    def best() -> SetPoints:
        return min(tried.values(), key=lambda one: one[0].rank)[1]

    search([*known, *uniform(own)])
    for _ in range(_PASSES):
        before = best()
        for bank in banks(own):
            around = best()
            search([nudged(around, bank, volts, band) for volts, band in product(_NUDGES, _NUDGES)])
        if best() is before:
            break
    finalists = sorted(tried.values(), key=lambda one: one[0].rank)[:_FINALISTS]
    report(f"{len(tried)} set-points of regulators simulated, the best {len(finalists)} over the year")
    whole = network_over_days(case, None)
    of_year = worth_of(case, whole, [(plan, one) for _, one in finalists], None, case.question.levels)
    return dict(min(zip(of_year, (one for _, one in finalists), strict=True), key=lambda pair: pair[0].rank)[1])


def uniform(own: SetPoints) -> list[SetPoints]:
    """All regulators alike: volts, bands (none narrower than a regulator's own), with and without compensation."""
    found: list[SetPoints] = []
    compensated = any(one.r_v or one.x_v for one in own.values())
    for shift, band, keeps in product(_SHIFTS_V, (0.0, *_BANDS_V), (True, False) if compensated else (True,)):
        found.append(
            {
                name: SetPoint(
                    one.vreg_v + shift,
                    max(one.band_v, band),
                    one.r_v if keeps else 0.0,
                    one.x_v if keeps else 0.0,
                )
                for name, one in own.items()
            }
        )
    return found


def banks(own: SetPoints) -> list[tuple[str, ...]]:
    """Regulators with the same set-points: by their own settings the phases of one bank, as a rule."""
    groups: dict[SetPoint, list[str]] = {}
    for name, one in own.items():
        groups.setdefault(one, []).append(name)
    return [tuple(names) for names in groups.values()]


def nudged(set_points: SetPoints, bank: Sequence[str], volts: float, band: float) -> dict[str, SetPoint]:
    """Set-points with those of a bank moved by so many volts, and its band made wider."""
    return {
        name: replace(one, vreg_v=one.vreg_v + volts, band_v=max(one.band_v + band, _BAND_MIN_V))
        if name in bank
        else one
        for name, one in set_points.items()
    }


def question_ends(case: SitingCase) -> tuple[float, ...]:
    """The ends of the utilisation range, the one whose money counts first."""
    levels = case.question.levels
    return levels if len(levels) == 1 else (levels[0], levels[-1])


def network_of_search(case: SitingCase, plan: SitingPlan) -> tuple[SitingNetwork, int]:
    """The days on which candidates are compared, one after the other."""
    load, sun, dates = by_day(case.question.hourly())
    net = load.sum(axis=1)[None], sun.sum(axis=1)[None], (load - plan.pv_kw.sum() / 1e3 * sun).min(axis=1)[None]
    index: dict[int, None] = {}
    for figures in (*net, load.max(axis=1)[None]):
        order = np.argsort(figures.ravel(), kind="stable")
        for k in np.linspace(0, len(dates) - 1, 4).round().astype(int):
            index[int(order[k])] = None
    days = sorted(index)
    return network_over_days(case, days), len(days)


def worth_of(
    case: SitingCase,
    network: SitingNetwork,
    operated: Sequence[tuple[SitingPlan, SetPoints]],
    n_days: int | None,
    levels: Sequence[float],
) -> list[OperationWorth]:
    """Of each plan under its set-points, over days that stand for the year (None: the year itself), at all `levels`.

    The money is that of the first level.
    """
    if len(operated) > _TOGETHER:
        parts = [operated[k : k + _TOGETHER] for k in range(0, len(operated), _TOGETHER)]
        return [one for part in parts for one in worth_of(case, network, part, n_days, levels)]
    if not operated:
        return []
    low, high = network.limit_rows()
    judged = network.judges_loading

    def reduce(voltage: Floats, loading: Floats) -> Floats:
        rows = np.concatenate([voltage, loading]) if judged else voltage
        n = len(voltage)
        margin = np.minimum(voltage - low[:n], high[:n] - voltage).min(axis=0)
        return np.stack([excess(rows, low[: len(rows)], high[: len(rows)]).max(axis=0), margin])

    series = network.operate(
        [over_hours(plan, network) for plan, _ in operated for _ in levels],
        [set_points for _, set_points in operated for _ in levels],
        24,
        begins=None if n_days is None else settled_within(network, n_days),
        reduce=reduce,
        demand=[np.full_like(network.demand, level) for _ in operated for level in levels],
    )
    n = len(levels)
    return [
        _worth_of_chains(case, plan, series, range(k * n, (k + 1) * n), n_days) for k, (plan, _) in enumerate(operated)
    ]


def _worth_of_chains(
    case: SitingCase, plan: SitingPlan, series: OperatedSeries, chains: range, n_days: int | None
) -> OperationWorth:
    question = case.question
    step_pu = operation_of(case.network.feeder, question.limits.rating_basis).step_pu
    failed = ~series.solved | series.restless
    over = np.where(failed, 1.0, series.rows[0])
    margin = float(np.where(failed, -1.0, series.rows[1])[list(chains)].min())
    scale = 8760.0 / over.shape[1]
    first = chains[0]
    steps = series.tap_steps(step_pu, within_days_of=None if n_days is None else 24)[first].sum()
    price = price_of_hours(case)
    if n_days is not None:
        price = np.full(over.shape[1], price.mean())
    cost = question.switch_cost * float(steps) + float(price @ np.nan_to_num(series.losses_kw[first]))
    built = float((question.pv_cost_per_kw - year_value_per_kw(question)) * plan.pv_kw.sum())
    built -= float(case.sites.value_per_kw * plan.site_kw.sum())
    if question.violations == "priced" and not failed[list(chains)].any():
        paid = question.violation_cost_per_pu_h * float(over[first].sum())
        return OperationWorth(0.0, built + scale * (cost + paid), margin)
    return OperationWorth(scale * float(over[list(chains)].sum()), built + scale * cost, margin)


def set_points_in_words(own: Mapping[str, SetPoint], chosen: Mapping[str, SetPoint]) -> str:
    """What regulators are set to, those alike together."""
    words = []
    for names in banks(chosen):
        one = chosen[names[0]]
        compensation = f", compensation R {one.r_v:g} V, X {one.x_v:g} V" if one.r_v or one.x_v else ""
        if not compensation and any(own[name].r_v or own[name].x_v for name in names):
            compensation = ", compensation off"
        words.append(f"{', '.join(names)}: {one.vreg_v:g} V, band {one.band_v:g} V{compensation}")
    return "; ".join(words)
