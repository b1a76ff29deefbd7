"""PV and datacenter siting as a mixed-integer program (equations 8.1, 8.2).

Sets       points p: steps of the representative days; PV buses j; sites k with candidate buses b; regulators r, tap
           slots h; rows i: voltages of bus-phases (two-sided) and loadings of branches (upper only)
Data       weight_p   share of the year that the day of p stands for; hours: length of a step
           sun_p      PV output as a share of its size; price_p ($/kWh); demand_kp: site's draw as a share of its size
           constant_ip, pv_ijp, datacenter_ibp, tap_irp   the linear network: G = constant + slopes times decisions
Variables  x_j in {0, 1}, S_j >= 0 (kW)         PV built, and its size
           c_jp in [0, S_j sun_p] (kW)          curtailment
           y_kb in {0, 1}, z_kb >= 0 (kW)       bus of a site, and its size there
           t_rh whole, d_rh >= 0                tap steps in a slot, and their change from the slot before
           u_ip, o_ip >= 0                      shortfall below and excess above the limits of a row
           P_j, E_j, a_jp, b_jp, e_jp >= 0      storage: power (kW), energy (kWh), charging, discharging, content

min  pv_cost sum_j S_j - 8760 h sum_p (w_p / n_p) price_p (sum_j S_j sun_p - c_jp) + switch_cost 365 sum_rh w_h d_rh
     + 8760 sum_ip (w_p / n_p) penalty (u_ip + o_ip) - site_value sum_kb z_kb
     + storage_cost_kw sum_j P_j + storage_cost_kwh sum_j E_j - 8760 h sum_jp (w_p / n_p) price_p (b_jp - a_jp)  (8.1)
(1)  S_j <= size_max_j x_j, size_min_j x_j <= S_j, sum_j x_j <= count, sum_j S_j <= total; the same per zone
(2)  sum_b y_kb = 1, sum_k y_kb <= 1, size_min_k y_kb <= z_kb <= size_max_k y_kb
(3)  d_rh >= |t_rh - t_r,h-1| within a day
(4)  low_ip - u_ip <= G_ip <= high_ip + o_ip; u = o = 0 if violations are forbidden                          (8.2)
(5)  P_j <= power_max_j x_j, E_j <= energy_max_j x_j, a_jp, b_jp <= P_j, e_jp <= E_j,
     e_j,p+1 = e_jp + h (efficiency a_jp - b_jp / efficiency), a day ends with what it began with;
     or by a rule that knows no future (`StorageSchedule`): a_jp = alpha_p P_j, b_jp = beta_p P_j, E_j = duration P_j,
     P_j <= share S_j, and its energy is worth what it is by the schedule, in place of the last sum of (8.1)

with w_p / n_p the share of the year in one step, so that penalties count per hour, and PV's term of G multiplying what
is injected, S sun - c + b - a. Rows (4), and curtailment where it can help, are generated when a solution breaks them:
at the end all of them hold, as if all had been there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolveReport, SolverError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SitingCalendar:
    """Points: hours of the year that each stands for (they sum to 8,760), its tap slot, $/kWh; days of the slots.

    `slot_day` (slot,) is the day of every slot, `slot_days` how many days of the year it stands for; slots of a day
    follow each other.
    """

    hours: Floats
    slot: Ints
    price_per_kwh: Floats
    slot_day: Ints
    slot_days: Floats


@dataclass(frozen=True)
class Zone:
    """Limits on some of the PV buses (or all of them): how many, and how many kW together."""

    buses: tuple[int, ...]
    count_max: int
    total_max_kw: float


@dataclass(frozen=True, eq=False)
class PVChoices:
    """PV buses: `sun` (point,), sizes (bus,), limits of `zones`, yearly cost ($/kW); all are built if `must_build`.

    Without `may_curtail` all c are 0.
    """

    sun: Floats
    size_min_kw: Floats
    size_max_kw: Floats
    zones: tuple[Zone, ...]
    cost_per_kw: float
    must_build: bool = False
    may_curtail: bool = True

    @property
    def n(self) -> int:
        """PV buses."""
        return len(self.size_max_kw)


@dataclass(frozen=True, eq=False)
class StorageSchedule:
    """What a kW of storage does by a rule that is given: charges and discharges (point,), both in kW and at least 0.

    `duration_h` is its energy (kWh), `value_per_kw` what its energy is worth ($ a year, discharged less charged), and
    `share_max` how many kW of it a kW of PV may have, so that PV always covers what is charged.
    """

    charge: Floats
    discharge: Floats
    duration_h: float
    value_per_kw: float
    share_max: float

    @property
    def share(self) -> Floats:
        """What it injects (point,), negative while it charges."""
        return np.asarray(self.discharge - self.charge)


@dataclass(frozen=True, eq=False)
class StorageChoices:
    """Storage beside PV that is built: sizes (bus,), yearly costs per kW and kWh, efficiency of one way.

    Without a `schedule` it is dispatched with foresight.
    """

    power_max_kw: Floats
    energy_max_kwh: Floats
    cost_per_kw: float
    cost_per_kwh: float
    efficiency: float
    schedule: StorageSchedule | None = None

    def investment(self, plan: SitingPlan) -> float:
        """What the storage of a plan costs ($ a year)."""
        return float(self.cost_per_kw * plan.storage_kw.sum() + self.cost_per_kwh * plan.storage_kwh.sum())


@dataclass(frozen=True, eq=False)
class SiteChoices:
    """Sites: `demand` (site, point) as a share of size, sizes (site,), candidate buses of each; value ($/kW a year)."""

    demand: Floats
    size_min_kw: Floats
    size_max_kw: Floats
    candidates: tuple[tuple[int, ...], ...]
    value_per_kw: float = 0.0

    @property
    def n(self) -> int:
        """Sites."""
        return len(self.size_max_kw)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(site, bus) of every y and z."""
        return [(k, b) for k, buses in enumerate(self.candidates) for b in buses]


@dataclass(frozen=True, eq=False)
class TapChoices:
    """Whole steps (regulator,) that regulators may take, what a change costs ($), and where they stand undecided."""

    low: Ints
    high: Ints
    switch_cost: float
    start: Ints | None = None

    @property
    def n(self) -> int:
        """Regulators."""
        return len(self.low)


@dataclass(frozen=True, eq=False)
class LinearRows:
    """G (row, point) = constant + slopes times decisions, and its limits (row, point), which may be infinite.

    `pv` (row, bus, point) per kW injected, `site` (row, bus, point) per kW drawn, `tap` (row, regulator, point) per
    step.
    """

    constant: Floats
    pv: Floats
    site: Floats
    tap: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class SitingProblem:
    """Data of the model above; `SolverError` says which shape does not fit or which budget cannot be met.

    `penalty` is the price of a violation ($ per unit of G and hour), None if violations are forbidden.
    """

    calendar: SitingCalendar
    pv: PVChoices
    sites: SiteChoices
    taps: TapChoices
    rows: LinearRows
    penalty: float | None
    storage: StorageChoices | None = None

    def __post_init__(self) -> None:
        n_rows, n_points = self.rows.constant.shape
        shapes = {
            "hours": (self.calendar.hours, (n_points,)),
            "slot": (self.calendar.slot, (n_points,)),
            "price_per_kwh": (self.calendar.price_per_kwh, (n_points,)),
            "sun": (self.pv.sun, (n_points,)),
            "demand": (self.sites.demand, (self.sites.n, n_points)),
            "pv slopes": (self.rows.pv, (n_rows, self.pv.n, n_points)),
            "tap slopes": (self.rows.tap, (n_rows, self.taps.n, n_points)),
            "low": (self.rows.low, (n_rows, n_points)),
            "high": (self.rows.high, (n_rows, n_points)),
        }
        if self.storage is not None and self.storage.schedule is not None:
            shapes["charge"] = self.storage.schedule.charge, (n_points,)
            shapes["discharge"] = self.storage.schedule.discharge, (n_points,)
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise SolverError(f"{name} has the shape {array.shape}, the problem asks for {shape}")
        n_buses = self.rows.site.shape[1]
        if any(not buses for buses in self.sites.candidates):
            raise SolverError("a site has no candidate bus")
        if any(not 0 <= b < n_buses for _, b in self.sites.pairs):
            raise SolverError("a candidate bus has no slopes")
        if self.sites.n > len({b for _, b in self.sites.pairs}):
            raise SolverError(f"{self.sites.n} sites share {len({b for _, b in self.sites.pairs})} candidate buses")

    @property
    def n_points(self) -> int:
        """Points."""
        return len(self.calendar.hours)

    @property
    def step_h(self) -> Floats:
        """Length (point,) of the steps, in hours."""
        return np.asarray(self.calendar.hours / self.calendar.slot_days[self.calendar.slot])


@dataclass(frozen=True, eq=False)
class SitingPlan:
    """PV sizes (bus,) in kW, bus and kW of every site, tap steps (regulator, slot), curtailment (bus, point) in kW.

    Storage beside PV: `storage_kw` and `storage_kwh` (bus,), `discharge_kw` (bus, point), negative when it charges.
    """

    pv_kw: Floats
    site_bus: Ints
    site_kw: Floats
    tap_steps: Ints
    curtailed_kw: Floats
    storage_kw: Floats
    storage_kwh: Floats
    discharge_kw: Floats

    def placement(self) -> Placement:
        """PV buses that are built and the sites' buses: what makes two plans distinct."""
        return tuple(np.flatnonzero(self.pv_kw > 0.0).tolist()), tuple(self.site_bus.tolist())

    def injected_kw(self, sun: Floats) -> Floats:
        """What PV and its storage inject (bus, point)."""
        return np.asarray(self.pv_kw[:, None] * sun - self.curtailed_kw + self.discharge_kw)


# PV buses that are built, and the bus of every site.
Placement = tuple[tuple[int, ...], tuple[int, ...]]


def empty_plan(n_pv: int, n_points: int, site_bus: Ints, site_kw: Floats, tap_steps: Ints) -> SitingPlan:
    """Sites only, nothing else built."""
    none, never = np.zeros(n_pv), np.zeros((n_pv, n_points))
    return SitingPlan(none, site_bus, site_kw, tap_steps, never, none, none, never)


@dataclass(frozen=True)
class CostParts:
    """The terms of equation 8.1, $ a year; they sum to the objective."""

    pv_investment: float
    pv_energy: float
    violation: float
    switching: float
    site_value: float
    storage_investment: float = 0.0
    storage_energy: float = 0.0

    @property
    def total(self) -> float:
        """The objective."""
        return float(sum(dataclasses.astuple(self)))


@dataclass(frozen=True, eq=False)
class SitingSolution:
    """The best plan found, its cost by parts, what G is predicted to be (row, point), and how it was solved.

    `generated` are the rows of equation 8.2 that were taken in: (row, point, +1 upper or -1 lower); `history` holds
    (seconds, cost of the best plan, bound) as the solver told them.
    """

    plan: SitingPlan
    cost: CostParts
    predicted: Floats
    report: SolveReport
    generated: tuple[tuple[int, int, int], ...]
    n_rows_all: int
    history: tuple[tuple[float, float, float], ...]


def predict(problem: SitingProblem, plan: SitingPlan) -> Floats:
    """G (row, point) of a plan by the linear network (left side of 8.2)."""
    rows, sites = problem.rows, problem.sites
    found = rows.constant.copy()
    injected = plan.injected_kw(problem.pv.sun)
    for j in np.flatnonzero(injected.any(axis=1)):
        found += rows.pv[:, j] * injected[j]
    for k in range(sites.n):
        found += rows.site[:, plan.site_bus[k]] * (plan.site_kw[k] * sites.demand[k])
    return np.asarray(found + np.einsum("irp,rp->ip", rows.tap, plan.tap_steps[:, problem.calendar.slot]))


def excess(g: Floats, low: Floats, high: Floats) -> Floats:
    """How far G is outside its limits; 0 inside."""
    return np.maximum(np.maximum(low - g, g - high), 0.0)


def cost_of(problem: SitingProblem, plan: SitingPlan, over: Floats) -> CostParts:
    """The terms of equation 8.1 for a plan whose rows are `over` their limits (row, point), predicted or simulated."""
    calendar, pv = problem.calendar, problem.pv
    worth = calendar.hours * calendar.price_per_kwh
    slots = calendar.slot_day
    same_day = slots[1:] == slots[:-1]
    moved = np.abs(np.diff(plan.tap_steps, axis=1)).sum(axis=0)
    storage = problem.storage
    return CostParts(
        pv_investment=float(pv.cost_per_kw * plan.pv_kw.sum()),
        pv_energy=-float(worth @ (plan.pv_kw[:, None] * pv.sun - plan.curtailed_kw).sum(axis=0)),
        violation=0.0 if problem.penalty is None else float(problem.penalty * (over @ calendar.hours).sum()),
        switching=float(problem.taps.switch_cost * (moved * same_day) @ calendar.slot_days[1:]),
        site_value=-float(problem.sites.value_per_kw * plan.site_kw.sum()),
        storage_investment=0.0 if storage is None else storage.investment(plan),
        storage_energy=-float(worth @ plan.discharge_kw.sum(axis=0))
        if storage is None or storage.schedule is None
        else -float(storage.schedule.value_per_kw * plan.storage_kw.sum()),
    )
