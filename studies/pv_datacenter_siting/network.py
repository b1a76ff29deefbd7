"""The feeder under a siting plan: nonlinear at every step, and linearised around the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.chains import Chains, Reduction, SetPoint, SetPoints
from g2g_opt.batch.known_days import OperatedSeries
from g2g_opt.batch.operating_points import OperatingPoints, Unit
from g2g_opt.batch.own_controls import Standing
from g2g_opt.batch.unit_series import UnitPoints
from g2g_opt.circuit.element_names import as_word
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import LOAD_POWER_FACTOR
from g2g_opt.limits import Limits
from g2g_opt.site import POWER_FACTOR, AskedConnection
from solvers.siting.problem import LinearRows, SiteChoices, SitingPlan, empty_plan
from studies.pv_datacenter_siting.days import STEPS_A_DAY
from studies.pv_datacenter_siting.operated_chains import operation_of, run_chains
from studies.shared.tap_range import TapRange

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class OwnOperation:
    """Regulators that act by their own controls: `set_points` by regulator, and where controls stand before each of
    the days (day,).
    """

    set_points: Mapping[str, SetPoint]
    begins: tuple[Standing, ...]


def set_point_edits(set_points: Mapping[str, SetPoint]) -> tuple[str, ...]:
    """The set-points as OpenDSS commands."""
    return tuple(
        f"{as_word(f'RegControl.{name}.vreg')}={one.vreg_v:.12g} band={one.band_v:.12g} R={one.r_v:.12g} "
        f"X={one.x_v:.12g}"
        for name, one in set_points.items()
    )


@dataclass(frozen=True, eq=False)
class Simulated:
    """A plan at every step: G (row, point), voltages first, loadings after them; `solved` (point,).

    `taps_pu` (regulator, point) are the ratios that regulators' own controls came to, where they act.
    """

    g: Floats
    solved: NDArray[np.bool_]
    taps_pu: Floats | None = None


@dataclass(frozen=True, eq=False)
class Trip:
    """Something of a plan that trips at every point: what, its kW drawn before (point,), voltages (row, point) before
    and just after, and which points have both solutions.
    """

    what: str
    kw: Floats
    before_pu: Floats
    after_pu: Floats
    solved: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SitingNetwork:
    """What does not change in a siting study: feeder, candidates, and the days' points.

    `load_share` and `sun` have shape (point,), `demand` (site, point); `slot` (point,) is the tap slot of a point.
    Rows are the monitored bus-phases, then rated branches if `limits` judge loadings, or if it `keeps_loadings`.
    `power_factor` and `connection` are the sites'. Loads draw `load_share`, or what `by_shape` has for the load shape
    that they follow. The circuit's own PV systems give what they do at `sun` of their irradiance, and they and
    generators at what `by_unit` has for them ("pvsystem.a"); its storage idles.

    `storage_share` (point,) is what a kW of storage beside PV injects by its rule, negative while it charges.

    Regulators are where the plan says, or `operated` by their own controls: then no taps are decided, and controls
    begin each of the days, which do not follow each other, where it says.
    """

    feeder: Feeder
    limits: Limits
    pv_buses: tuple[str, ...]
    site_buses: tuple[str, ...]
    load_share: Floats
    sun: Floats
    demand: Floats
    slot: Ints
    power_factor: float = POWER_FACTOR
    connection: AskedConnection = "auto"
    keeps_loadings: bool = False
    by_shape: Mapping[str, Floats] = field(default_factory=dict)
    by_unit: Mapping[str, Floats] = field(default_factory=dict)
    operated: OwnOperation | None = None
    storage_share: Floats | None = None

    @property
    def regulators(self) -> tuple[str, ...]:
        """Regulators whose taps are decided: none where their own controls act."""
        return () if self.operated is not None else tuple(self.feeder.regulators)

    @property
    def judges_loading(self) -> bool:
        """Do loadings have a limit, that of the normal or of the emergency rating?"""
        return self.limits.loading_max_pu is not None or self.limits.loading_emergency_max_pu is not None

    @property
    def has_loadings(self) -> bool:
        """Are loadings among the rows?"""
        return self.judges_loading or self.keeps_loadings

    def with_loadings(self) -> SitingNetwork:
        """The same network with the loadings of all rated branches among its rows: for what is kept of a plan."""
        return replace(self, keeps_loadings=True)

    @property
    def _judged_loadings(self) -> dict[str, Any]:
        return {"loadings": self.has_loadings, "rating_basis": self.limits.rating_basis}

    def tap_ratio(self, regulator: str, steps: int) -> float:
        """Ratio (pu) of whole steps from 1; the last one ends at the end of the range."""
        found = self.feeder.regulator(regulator)
        return found.clipped(1.0 + steps * found.tap_step_pu)

    def start_steps(self) -> Ints:
        """Steps (regulator,) of the feeder's own taps."""
        taps = TapRange.of(self.feeder)
        return np.round((taps.start_pu - 1.0) / taps.step_pu).astype(np.int64)

    def storage_kw(self, plan: SitingPlan) -> Floats:
        """What the storage of a plan injects by its rule (bus, point); nothing without one."""
        share = np.zeros(len(self.sun)) if self.storage_share is None else self.storage_share
        return np.asarray(plan.storage_kw[:, None] * share)

    def _points(self, plan: SitingPlan, simulated: Simulated | None = None) -> OperatingPoints:
        if simulated is not None and simulated.taps_pu is not None:
            names = operation_of(self.feeder, self.limits.rating_basis).regulators
            taps = [dict(zip(names, of_point.tolist(), strict=True)) for of_point in simulated.taps_pu.T]
        else:
            taps = [
                {name: self.tap_ratio(name, int(plan.tap_steps[r, h])) for r, name in enumerate(self.regulators)}
                for h in self.slot
            ]
        share = self.by_shape or self.load_share
        return OperatingPoints(self.feeder, share, taps, **self._judged_loadings, units=self._own_units)

    @property
    def _own_units(self) -> UnitPoints:
        return UnitPoints(self.sun, self.by_unit)

    def _units(self, plan: SitingPlan) -> tuple[list[Unit], Floats]:
        """Everything that draws or injects under a plan, with its kW (unit, point)."""
        injected = plan.injected_kw(self.sun)
        units: list[Unit] = []
        kw: list[Floats] = []
        for power in self.feeder.standing_generators:
            units.append(Unit(power.bus))
            kw.append(-3.0 * power.peak_kw_per_phase * self.sun)
        for power in self.feeder.standing_loads:
            units.append(Unit(power.bus, LOAD_POWER_FACTOR))
            kw.append(3.0 * power.peak_kw_per_phase * self.load_share)
        for j in np.flatnonzero(plan.pv_kw):
            units.append(Unit(self.pv_buses[j]))
            kw.append(-injected[j])
        for k, b in enumerate(plan.site_bus):
            if plan.site_kw[k] > 0.0:
                units.append(self._site_unit(self.site_buses[b]))
                kw.append(plan.site_kw[k] * self.demand[k])
        return units, np.array(kw).reshape(len(units), len(self.sun))

    def _site_unit(self, bus: str) -> Unit:
        """A site of a bus: there, or behind its own transformer."""
        return Unit(self.feeder.service_buses.get(bus, bus), self.power_factor, self.connection)

    def simulate(self, plan: SitingPlan) -> Simulated:
        """Power flows at every point."""
        if self.operated is not None:
            return self.simulate_each([plan])[0]
        solved = self._points(plan).solve(*self._units(plan))
        return Simulated(self._rows(solved.voltage_pu, solved.loading_pu), solved.solved)

    def simulate_each(self, plans: Sequence[SitingPlan]) -> list[Simulated]:
        """Power flows of several plans at every point; all at once where regulators act by their own controls."""
        if self.operated is None or not plans:
            return [self.simulate(plan) for plan in plans]
        series = self.operate(plans, [self.operated.set_points] * len(plans), STEPS_A_DAY, self.operated.begins)
        n = self.n_voltages + len(self.branches)
        return [
            Simulated(series.rows[:n, k], series.solved[k] & ~series.restless[k], series.taps_pu[k].T)
            for k in range(len(plans))
        ]

    def trips(self, plan: SitingPlan, taps_pu: Floats) -> list[Trip]:
        """Every plant and site of a plan gone by itself, regulators standing at `taps_pu` (regulator, point)."""
        units, kw = self._units(plan)
        n_points = kw.shape[1]
        points = self._points(plan, Simulated(np.zeros((0, n_points)), np.ones(n_points, dtype=np.bool_), taps_pu))
        plants = [
            f"PV{' and storage' if plan.storage_kw[j] > 0.0 else ''} at {self.pv_buses[j]}"
            for j in np.flatnonzero(plan.pv_kw)
        ]
        sites = [f"the datacenter at {self.site_buses[b]}" for b in plan.site_bus[plan.site_kw > 0.0]]
        what = [*plants, *sites]
        own = range(len(units) - len(what), len(units))
        gone = [np.where(np.arange(len(units))[:, None] == k, 0.0, kw) for k in own]
        before, *afters = points.solve_each(units, [kw, *gone])
        return [
            Trip(name, kw[k], before.voltage_pu, after.voltage_pu, before.solved & after.solved)
            for name, k, after in zip(what, own, afters, strict=True)
        ]

    def operate(
        self,
        plans: Sequence[SitingPlan],
        set_points: Sequence[SetPoints],
        steps_a_day: int,
        begins: Sequence[Standing] | Sequence[Sequence[Standing]] | None = None,
        guesses: Sequence[Sequence[Standing]] | None = None,
        reduce: Reduction | None = None,
        demand: Sequence[Floats] | None = None,
        tells_unbalance: bool = False,
        over_max: float | None = None,
    ) -> OperatedSeries:
        """Plans, a chain each, under their own set-points: the points one after the other, or days from `begins`.

        `demand` (site, point) of each replaces the network's; `begins` are those of all, or of each. Where
        nothing is known, `guesses` (plan, day) save time. `over_max` as in `FeederOperation.run`.
        """
        units, kw = self._units_of(plans, demand)
        chains = Chains(
            units,
            kw,
            self.by_shape or self.load_share,
            set_points,
            steps_a_day,
            begins=None if begins is None else _of_each(begins, len(plans)),
            guesses=guesses,
            reduce=reduce,
            tells_unbalance=tells_unbalance,
            own_units=self._own_units,
            over_max=over_max,
        )
        return run_chains(self.feeder, self.limits.rating_basis, chains)

    def _units_of(self, plans: Sequence[SitingPlan], demand: Sequence[Floats] | None) -> tuple[list[Unit], Floats]:
        """Everything that draws or injects under any of the plans, with its kW (unit, plan, point)."""
        each = [
            replace(self, demand=self.demand if demand is None else demand[k])._units(plan)
            for k, plan in enumerate(plans)
        ]
        # Two of one kind may stand at a bus, so that they are told apart by their number there.
        place: dict[tuple[Unit, int], int] = {}
        of_plan: list[list[int]] = []
        for units, _ in each:
            seen: dict[Unit, int] = {}
            row = []
            for unit in units:
                seen[unit] = seen.get(unit, 0) + 1
                row.append(place.setdefault((unit, seen[unit]), len(place)))
            of_plan.append(row)
        kw = np.zeros((len(place), len(plans), len(self.sun)))
        for k, (_, of_units) in enumerate(each):
            kw[of_plan[k], k] = of_units
        return [unit for unit, _ in place], kw

    def _rows(self, voltage: Floats, loading: Floats) -> Floats:
        return np.concatenate([voltage, loading])

    def names(self) -> list[str]:
        """Names of the rows."""
        return [*self.node_names(), *self.branches]

    def node_names(self) -> list[str]:
        """Names of the voltages: bus and phase, or the two phases between which it is judged."""
        return [f"{bus}.{self.feeder.buses[bus].voltage_name(phase)}" for bus, phase in self.nodes]

    @property
    def n_voltages(self) -> int:
        """Rows that are voltages; loadings follow."""
        return len(self._monitored.nodes)

    @cached_property
    def _monitored(self) -> OperatingPoints:
        """For its rows only."""
        return OperatingPoints(self.feeder, np.ones(1), [{}], **self._judged_loadings, units=UnitPoints(np.ones(1)))

    def linearize(self, plan: SitingPlan, simulated: Simulated, margin: Floats) -> LinearRows:
        """Slopes of every row at every point around a plan, and the constant that makes them exact there.

        Limits are narrowed by `margin` (row, point). Points whose slopes were not found get no limits.
        """
        points = self._points(plan, simulated)
        units, kw = self._units(plan)
        pv = -self._rows(*points.slopes_per_kw(units, kw, [Unit(bus) for bus in self.pv_buses]))
        site = self._rows(*points.slopes_per_kw(units, kw, [self._site_unit(bus) for bus in self.site_buses]))
        tap = self._rows(*points.slopes_per_tap(units, kw, self.regulators))
        constant = simulated.g - np.einsum("ijp,jp->ip", pv, plan.injected_kw(self.sun))
        for k, b in enumerate(plan.site_bus):
            constant -= site[:, b, :] * (plan.site_kw[k] * self.demand[k])
        if self.regulators:
            constant -= np.einsum("irp,rp->ip", tap, plan.tap_steps[:, self.slot])
        low, high = self.limit_rows()
        low, high = low + margin, high - margin
        unknown = ~np.isfinite(constant).all(axis=0)
        for slopes in (pv, site, tap):
            unknown |= ~np.isfinite(slopes).all(axis=(0, 1))
            slopes[:, :, unknown] = 0.0
        constant[:, unknown], low[:, unknown], high[:, unknown] = 0.0, -np.inf, np.inf
        return LinearRows(constant, pv, site, tap, low, high)

    def rows_at(self, simulated: Simulated) -> LinearRows:
        """Rows of a plan that is not going to be changed: what was simulated, and no slopes."""
        n_rows, n_points = simulated.g.shape
        low, high = (np.broadcast_to(side, simulated.g.shape) for side in self.limit_rows())
        pv, site, tap = (
            np.zeros((n_rows, n, n_points)) for n in (len(self.pv_buses), len(self.site_buses), len(self.regulators))
        )
        return LinearRows(simulated.g, pv, site, tap, low, high)

    def limit_rows(self) -> tuple[Floats, Floats]:
        """Limits of the rows (row, 1): the voltage band, then the loading of branches, by whichever rating is nearer.

        The program keeps loadings at every step; time in which they may be passed is left to the verdict.
        """
        n_voltages, n_rows = self.n_voltages, len(self.names())
        low, high = np.full((n_rows, 1), -np.inf), np.full((n_rows, 1), np.inf)
        low[:n_voltages], high[:n_voltages] = self.limits.voltage_min_pu, self.limits.voltage_max_pu
        if self.limits.loading_max_pu is not None:
            high[n_voltages:] = self.limits.loading_max_pu
        if self.limits.loading_emergency_max_pu is not None and self.has_loadings:
            share = self._monitored.emergency_share[:, None]
            emergency = np.divide(
                self.limits.loading_emergency_max_pu, share, out=np.full_like(share, np.inf), where=share > 0.0
            )
            high[n_voltages:] = np.minimum(high[n_voltages:], emergency)
        return low, high

    @property
    def emergency_share(self) -> Floats:
        """Normal over emergency rating (branch,) of the branches among the rows; 0 without an emergency rating."""
        return self._monitored.emergency_share

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """(bus, phase) of the voltages among the rows."""
        return self._monitored.nodes

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches among the rows."""
        return self._monitored.branches


def _of_each(begins: Sequence[Standing] | Sequence[Sequence[Standing]], n: int) -> list[list[Standing]]:
    """Where controls begin the days of each of `n` plans."""
    alike = [one for one in begins if isinstance(one, Standing)]
    return [alike] * n if alike else [list(one) for one in begins if not isinstance(one, Standing)]


def no_plan(network: SitingNetwork, n_slots: int, sites: SiteChoices) -> SitingPlan:
    """No PV, sites in the middle of their candidates and sizes, the feeder's own taps: for the first linearisation."""
    bus: list[int] = []
    for buses in sites.candidates:
        free = [b for b in buses if b not in bus] or list(buses)
        bus.append(free[len(free) // 2])
    size_kw = (sites.size_min_kw + np.minimum(sites.size_max_kw, 2.0 * sites.size_min_kw)) / 2.0
    start = network.start_steps() if network.operated is None else np.zeros(0, dtype=np.int64)
    steps = np.repeat(start[:, None], n_slots, axis=1)
    return empty_plan(len(network.pv_buses), len(network.sun), np.array(bus, dtype=np.int64), size_kw, steps)


def worst_place(names: Sequence[str], over: Floats) -> tuple[str, int]:
    """Row and point where a plan is farthest outside."""
    i, p = np.unravel_index(int(over.argmax()), over.shape)
    return names[int(i)], int(p)
