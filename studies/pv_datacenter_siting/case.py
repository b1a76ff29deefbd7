"""What a siting question comes to on its feeder and days: the network, and the program but for its linear rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import connection_at
from g2g_opt.studied_year import own_year_of
from solvers.siting.problem import (
    Floats,
    LinearRows,
    PVChoices,
    SiteChoices,
    SitingCalendar,
    SitingPlan,
    SitingProblem,
    StorageChoices,
    StorageSchedule,
    TapChoices,
    Zone,
)
from studies.pv_datacenter_siting.days import (
    STEPS_A_DAY,
    STEPS_AN_HOUR,
    Day,
    clock_of,
    five_days,
    is_chosen_by,
    joined,
    slots_of,
    steps_of,
    typical_days,
)
from studies.pv_datacenter_siting.network import OwnOperation, SitingNetwork
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.storage_rule import StorageRule, StorageYear, run_rule


@dataclass(frozen=True, eq=False)
class SitingCase:
    """A question on its days; `problem` completes the program with the rows of a linearised network.

    `stored` is what a kW of storage does through the year, where it is offered and follows a rule.
    """

    question: SitingQuestion
    days: tuple[Day, ...]
    network: SitingNetwork
    calendar: SitingCalendar
    pv: PVChoices
    sites: SiteChoices
    taps: TapChoices
    storage: StorageChoices | None
    stored: StorageYear | None = None

    @cached_property
    def hourly_price(self) -> Floats:
        """$/kWh in the hours of the year."""
        return hourly_price(self.question)

    @cached_property
    def pv_value_per_kw(self) -> float:
        """See `year_value_per_kw`; asked for by every plan and set-point that is compared."""
        return year_value_per_kw(self.question)

    @cached_property
    def stored_value_per_kw(self) -> tuple[float, float, float]:
        """See `storage_value_per_kw`; nothing without storage that follows a rule."""
        return (0.0, 0.0, 0.0) if self.stored is None else storage_value_per_kw(self.question, self.stored)

    def problem(self, rows: LinearRows) -> SitingProblem:
        """The program."""
        priced = self.question.violations == "priced"
        return SitingProblem(
            self.calendar,
            self.pv,
            self.sites,
            self.taps,
            rows,
            self.question.violation_cost_per_pu_h if priced else None,
            self.storage,
        )

    def violation_cost(self, over: Floats) -> float:
        """$ a year of rows that are `over` their limits (row, point); 0 where violations are forbidden."""
        if self.question.violations == "forbidden":
            return 0.0
        return float(self.question.violation_cost_per_pu_h * (over @ self.calendar.hours).sum())

    def place_in_time(self, point: int) -> str:
        """Day and time of a step."""
        return f"{self.days[point // STEPS_A_DAY].name} {clock_of(point)}"

    def pv_words(self, plan: SitingPlan) -> str:
        """The PV of a plan in words."""
        built = np.flatnonzero(plan.pv_kw)
        words = []
        for j in built:
            has = f" with storage {plan.storage_kw[j]:.0f} kW, {plan.storage_kwh[j]:.0f} kWh"
            words.append(f"{self.network.pv_buses[j]}: {plan.pv_kw[j]:.0f} kW{has if plan.storage_kw[j] > 0.0 else ''}")
        return ", ".join(words)

    def site_words(self, plan: SitingPlan) -> str:
        """The datacenters of a plan in words."""
        return ", ".join(
            f"{choice.name} at {self.network.site_buses[plan.site_bus[k]]}: {plan.site_kw[k]:.0f} kW"
            for k, choice in enumerate(self.question.choices())
        )


def days_of(question: SitingQuestion) -> list[Day]:
    """The days that the question begins with, sites at the most that they draw."""
    profile = question.hourly()
    days = five_days(profile) if question.days == "five" else typical_days(profile, question.n_typical_days)
    return [replace(day, utilisation=question.utilisation[1]) for day in days]


def make_case(
    question: SitingQuestion,
    feeder: Feeder,
    days: Sequence[Day],
    operated: OwnOperation | None = None,
    rule: StorageRule | None = None,
) -> SitingCase:
    """The parts of the program, taps decided with foresight or regulators `operated` by their own controls.

    Storage follows a `rule`. Without one it is dispatched with foresight where taps are, and not offered elsewhere.

    `InputError` for candidates and budgets that leave nothing to decide.
    """
    load, sun = joined(days)
    slot, slot_day = slots_of(len(days), question.slot_h)
    n_days = np.array([day.n_days for day in days])
    hours = np.repeat(n_days / STEPS_AN_HOUR, STEPS_A_DAY)
    pv_buses = question.candidates_pv(feeder)
    choices = question.choices()
    of_sites = [choice.candidate_buses(feeder) for choice in choices]
    site_buses = tuple(dict.fromkeys(bus for buses in of_sites for bus in buses))
    for bus in site_buses:
        connection_at(feeder.bus(feeder.service_buses.get(bus, bus)), question.connection, f"a site of bus {bus}")
    size_kw = np.array(
        [question.site_kw(choice.site(of_sites[k][0], question.gpu)) for k, choice in enumerate(choices)]
    )
    of_days = np.repeat([day.utilisation for day in days], STEPS_A_DAY)
    demand = np.tile(of_days, (len(choices), 1))
    by_shape, by_unit = {}, {}
    if question.own_shapes:
        year = own_year_of(feeder, question.hourly())
        by_shape = {shape: steps_of(of_year, days) for shape, of_year in year.load_share.items()}
        by_unit = {unit: steps_of(of_year, days) for unit, of_year in year.unit_share.items()}
    stored = None if rule is None else _stored(question, rule)
    network = SitingNetwork(
        feeder,
        question.limits,
        pv_buses,
        site_buses,
        load,
        sun,
        demand,
        slot,
        question.power_factor,
        question.connection,
        by_shape=by_shape,
        by_unit=by_unit,
        operated=operated,
        storage_share=None if stored is None else _over_days(stored.share, days),
    )
    steps = [feeder.regulator(name) for name in network.regulators]
    prices = [
        day.price_per_kwh if day.price_per_kwh is not None else np.full(STEPS_A_DAY, question.price_per_kwh)
        for day in days
    ]
    price = np.concatenate(prices)
    if question.taps == "own control":
        price = price * _year_over_days(question, hours * price @ sun)
    n = len(pv_buses)
    return SitingCase(
        question,
        tuple(days),
        network,
        SitingCalendar(hours, slot, price, slot_day, n_days[slot_day]),
        PVChoices(
            sun,
            np.full(n, question.pv_size_min_kw),
            np.full(n, question.pv_size_max_kw),
            _zones(question, feeder, pv_buses),
            question.pv_cost_per_kw,
            may_curtail=operated is None,
        ),
        SiteChoices(
            demand,
            size_kw * question.site_scale_min,
            size_kw * question.site_scale_max,
            tuple(tuple(site_buses.index(bus) for bus in buses) for buses in of_sites),
            question.site_value_per_kw if question.site_scale_max > question.site_scale_min else 0.0,
        ),
        TapChoices(
            np.array([math.floor((r.tap_min_pu - 1.0) / r.tap_step_pu + 1e-6) for r in steps], dtype=np.int64),
            np.array([math.ceil((r.tap_max_pu - 1.0) / r.tap_step_pu - 1e-6) for r in steps], dtype=np.int64),
            question.switch_cost,
            np.zeros(0, dtype=np.int64) if operated is not None else network.start_steps(),
        ),
        None
        if operated is not None and stored is None
        else _storage(question, n, stored, days, is_operated=operated is not None),
        stored,
    )


def year_value_per_kw(question: SitingQuestion) -> float:
    """What the energy of a kW of PV earns over the hours of the year ($), nothing held back."""
    sun = np.array(question.hourly().generation_share)
    return float((sun * hourly_price(question)).sum() * 8760.0 / len(sun))


def hourly_price(question: SitingQuestion) -> Floats:
    """$/kWh in the hours of the year."""
    profile = question.hourly()
    if profile.price_per_kwh is not None:
        return np.array(profile.price_per_kwh)
    return np.full(len(profile.load_share), question.price_per_kwh)


def storage_value_per_kw(question: SitingQuestion, stored: StorageYear) -> tuple[float, float, float]:
    """What a kW of storage earns a year, discharged less charged at the hours' prices ($).

    By the whole year, by the weeks that plans are chosen by, and by those that are held out.
    """
    earned = hourly_price(question) * stored.share
    chosen = np.repeat(is_chosen_by(len(earned) // 24), 24)
    parts = (np.ones_like(chosen), chosen, ~chosen)
    whole, of_chosen, of_held = (8760.0 * float(earned[part].mean()) if part.any() else 0.0 for part in parts)
    return whole, of_chosen, of_held


def _year_over_days(question: SitingQuestion, by_days: float) -> float:
    """What corrects the days' prices so that the energy of PV earns what it does over the year."""
    of_year = year_value_per_kw(question)
    return of_year / by_days if by_days * of_year > 0.0 else 1.0


def check_budgets(case: SitingCase) -> None:
    """Raise `InputError`, with what stands in the way, if counts and candidates leave no plan at all."""
    sites = case.sites
    buses = case.network.site_buses
    names = [choice.name for choice in case.question.choices()]
    for size in range(1, sites.n + 1):
        for group in combinations(range(sites.n), size):
            shared = {b for k in group for b in sites.candidates[k]}
            if len(shared) < size:
                raise InputError(
                    f"sites {', '.join(names[k] for k in group)} have only bus {', '.join(buses[b] for b in shared)} "
                    "between them, and no two sites share a bus"
                )


def _stored(question: SitingQuestion, rule: StorageRule) -> StorageYear | None:
    asked = question.storage
    if asked is None:
        return None
    sun = np.array(question.hourly().generation_share)
    return run_rule(rule, sun, asked.duration_h, asked.efficiency)


def _over_days(hourly: Floats, days: Sequence[Day]) -> Floats:
    """A series of the year's hours (hour,) at the steps of some days (point,), each hour held."""
    return np.concatenate([np.repeat(hourly.reshape(-1, 24)[day.index], STEPS_AN_HOUR) for day in days])


def _storage(
    question: SitingQuestion, n: int, stored: StorageYear | None, days: Sequence[Day], *, is_operated: bool
) -> StorageChoices | None:
    asked = question.storage
    if asked is None or not n:
        return None
    schedule = None
    if stored is not None:
        # What is chosen knows nothing of the weeks held out; a bound with foresight of taps is of the year's money.
        whole, chosen, _ = storage_value_per_kw(question, stored)
        value = chosen if is_operated else whole
        charge, discharge = (_over_days(series, days) for series in (stored.charge, stored.discharge))
        schedule = StorageSchedule(charge, discharge, stored.duration_h, value, stored.rule.share_max)
    power, energy = np.full(n, asked.power_max_kw), np.full(n, asked.energy_max_kwh)
    return StorageChoices(power, energy, asked.cost_per_kw, asked.cost_per_kwh, asked.efficiency, schedule)


def _zones(question: SitingQuestion, feeder: Feeder, pv_buses: Sequence[str]) -> tuple[Zone, ...]:
    if not pv_buses:
        return ()
    total = np.inf if question.pv_total_max_kw is None else question.pv_total_max_kw
    found = [Zone(tuple(range(len(pv_buses))), question.pv_count, total)]
    for limit in question.pv_zones:
        if limit.zone not in feeder.zones:
            raise unknown_name("zone", limit.zone, feeder.zones, f"in feeder {feeder.name}")
        members = tuple(j for j, bus in enumerate(pv_buses) if bus in feeder.zones[limit.zone])
        if not members:
            raise InputError(f"zone {limit.zone} has none of the PV candidates")
        most = np.inf if limit.total_max_kw is None else limit.total_max_kw
        found.append(Zone(members, limit.count, most))
    return tuple(found)
