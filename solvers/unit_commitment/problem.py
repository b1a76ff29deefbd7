"""Day-ahead unit commitment with flexible datacenters: data and solution (equations 9.2, 9.3).

Sets       hours t, zones z, units g, lines e; datacenters i, users j, hours of the flexible window
Data       load d, renewables w (t, z); F (e, z) transfer factors, limits f (e,); users' demand delta (t, j),
           loads theta0 (t, i) and latency L0 (t,) without coordination; latency table G (i, j)
Variables  p_tg >= 0 (MW) output; u_tg in {0, 1} on; v_tg in {0, 1} starts, o_tg in {0, 1} stops
           l_tz >= 0 (MW) shed load; theta_ti (MW) load of a datacenter; W_tij >= 0 (MW) work of user j done at i

min  sum_t [ sum_g (cost_g p_tg + quadratic_g p_tg^2 + no_load_g u_tg + startup_g v_tg) + shed_cost sum_z l_tz ]  (1a)
     sum_z x_tz = 0 with x_tz = sum_(g in z) p_tg + w_tz + l_tz - d_tz - sum_(i in z) theta_ti                    (1b)
     -f <= F x_t <= f                                                                                             (1c)
     u_tg - u_t-1,g = v_tg - o_tg,  v_tg <= u_tg,  o_tg <= 1 - u_tg                                               (1d)
     min_g u_tg <= p_tg <= max_g u_tg - (max_g - up_g) v_tg,  p_tg <= max_g u_tg - (max_g - down_g) o_t+1,g       (1e)
     p_tg - p_t-1,g <= (min_g + rise_g) u_tg - min_g u_t-1,g + (up_g - min_g - rise_g) v_tg                       (1f)
     p_t-1,g - p_tg <= (min_g + fall_g) u_t-1,g - min_g u_tg + (down_g - min_g - fall_g) o_tg                     (1g)
     l_tz <= max(d_tz, 0) + sum_(i in z) theta_ti                                                                 (1h)
     sum of v_g over the last min_up_g hours <= u_tg, sum of o_g over the last min_down_g hours <= 1 - u_tg
     in the window theta_t = W_t 1, sum_t W_t' 1 = sum_t delta_t, sum G W_t <= (1 + alpha) L0_t; else theta0_t (9.3)

(1f), (1g) are the paper's ramps for whole u, in the tighter form of Damci-Kurt et al. (2016): `rise` and `fall` between
hours in which a unit is on, `up` in its first hour, `down` before its first hour off. The paper's own p(1 - u_t) is
loose: with u_t = 0 it leaves out that a unit which stops had at least its minimum. Negative load (bids can be) injects
and is not shed. What zones cannot use or export of renewables is not curtailed, as in the paper: such a day is
infeasible.

Shifts phi along links are not variables. Links join all datacenters in an hour and each datacenter's adjacent hours,
so their graph is connected: A phi is every change of theta over the window that sums to zero, and that it sums to zero
follows from users' work being conserved. So (7) and (8) of the paper are theta = W 1 and the conservation above.
alpha = 0 allows every shift, in time or space, that makes no hour's latency larger than it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolveReport, SolverError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Units:
    """Generators, all (unit,): zone, output (MW), cost ($/MWh, $/MW2h), start ($), ramps (MW per hour), hours, and what
    an hour on costs whatever they give ($/h).

    A ramp that is not given is infinite; so is `startup_ramp_mw` (the most in the first hour on) and
    `shutdown_ramp_mw` (the most in the last hour on). `min_up_h` and `min_down_h` are 0 or 1 where there is none.
    """

    zone: Ints
    min_mw: Floats
    max_mw: Floats
    cost_usd_per_mwh: Floats
    quadratic_usd_per_mw2h: Floats
    startup_usd: Floats
    ramp_up_mw: Floats
    ramp_down_mw: Floats
    startup_ramp_mw: Floats
    shutdown_ramp_mw: Floats
    min_up_h: Ints
    min_down_h: Ints
    no_load_usd_per_h: Floats

    @property
    def n(self) -> int:
        """Generators."""
        return len(self.max_mw)

    @property
    def rise_mw(self) -> Floats:
        """Ramp up between two hours on, at most the whole range."""
        return np.minimum(self.ramp_up_mw, self.max_mw - self.min_mw)

    @property
    def fall_mw(self) -> Floats:
        """Ramp down between two hours on, at most the whole range."""
        return np.minimum(self.ramp_down_mw, self.max_mw - self.min_mw)

    @property
    def first_mw(self) -> Floats:
        """The most in the first hour on."""
        return np.minimum(self.startup_ramp_mw, self.max_mw)

    @property
    def last_mw(self) -> Floats:
        """The most in the last hour on."""
        return np.minimum(self.shutdown_ramp_mw, self.max_mw)


@dataclass(frozen=True, eq=False)
class UnitsBefore:
    """State before the first hour: on (unit,), output (unit,) in MW. It counts as long enough for minimum times."""

    on: Bools
    output_mw: Floats


@dataclass(frozen=True, eq=False)
class FlexibleDatacenters:
    """Zones (datacenter,), latency (datacenter, user); demand (hour, user), loads (hour, datacenter) in MW, latency
    (hour,) in its unit times MW without coordination; hours that are flexible, in order; alpha, None for no shifts.
    """

    zone: Ints
    latency: Floats
    demand_mw: Floats
    base_mw: Floats
    base_latency: Floats
    window: Ints
    alpha: float | None

    @property
    def flexible(self) -> Ints:
        """Hours in which loads may differ from `base_mw`."""
        return self.window if self.alpha is not None else np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class UnitCommitmentProblem:
    """Data of the model above: load without datacenters and renewables (hour, zone) in MW, units, lines, datacenters.

    `transfer_factors` (line, zone) for net injections, `limit_mw` (line,), `shed_cost` $/MWh. Without `before` the
    first hour is free: no start costs, no ramp into it. `SolverError` says which shape or number does not fit.
    """

    load_mw: Floats
    renewable_mw: Floats
    units: Units
    transfer_factors: Floats
    limit_mw: Floats
    shed_cost: float
    datacenters: FlexibleDatacenters
    before: UnitsBefore | None = None

    def __post_init__(self) -> None:
        hours, zones = self.load_mw.shape
        lines, (n, m) = len(self.limit_mw), self.datacenters.latency.shape
        _check_shapes(vars(self), {"renewable_mw": (hours, zones), "transfer_factors": (lines, zones)})
        _check_shapes(vars(self.units), dict.fromkeys(vars(self.units), (self.units.n,)))
        _check_shapes(
            vars(self.datacenters),
            {"zone": (n,), "demand_mw": (hours, m), "base_mw": (hours, n), "base_latency": (hours,)},
        )
        if self.before is not None:
            _check_shapes(vars(self.before), dict.fromkeys(vars(self.before), (self.units.n,)))
        self._check_numbers(hours, zones)

    def _check_numbers(self, hours: int, zones: int) -> None:
        units, centers = self.units, self.datacenters
        finite = (self.load_mw, self.renewable_mw, self.transfer_factors, centers.base_mw, centers.demand_mw)
        window, alpha = centers.window, centers.alpha
        wrong = {
            "a load, renewable, transfer factor or datacenter load is not finite": any(
                not np.isfinite(one).all() for one in finite
            ),
            "a line limit is negative": (self.limit_mw < 0.0).any(),
            "a unit's or datacenter's zone does not exist": any(
                ((one < 0) | (one >= zones)).any() for one in (units.zone, centers.zone)
            ),
            "a unit's minimum output is negative or above its maximum": (
                (units.min_mw < 0.0) | (units.min_mw > units.max_mw)
            ).any(),
            "a unit's maximum output is not finite": not np.isfinite(units.max_mw).all(),
            "a cost, quadratic cost, no-load or start-up cost is negative": any(
                (one < 0.0).any()
                for one in (
                    units.cost_usd_per_mwh,
                    units.quadratic_usd_per_mw2h,
                    units.startup_usd,
                    units.no_load_usd_per_h,
                )
            ),
            "a ramp is negative; where there is none it is infinite": any(
                (one < 0.0).any() for one in (units.ramp_up_mw, units.ramp_down_mw)
            ),
            "a start-up or shut-down ramp is below the minimum output": any(
                (one < units.min_mw).any() for one in (units.startup_ramp_mw, units.shutdown_ramp_mw)
            ),
            "the window's hours are not in order and within the day": len(window) > 0
            and ((np.diff(window) <= 0).any() or window[0] < 0 or window[-1] >= hours),
            "a datacenter's load or a user's demand is negative": any(
                (one < 0.0).any() for one in (centers.base_mw, centers.demand_mw)
            ),
            f"alpha is {alpha}; it is at least 0, or None": alpha is not None and not alpha >= 0.0,
        }
        for words, is_so in wrong.items():
            if is_so:
                raise SolverError(words)

    @property
    def n_hours(self) -> int:
        """Hours."""
        return len(self.load_mw)


@dataclass(frozen=True, eq=False)
class CommitmentPlan:
    """What runs: on (hour, unit), output (hour, unit), shed (hour, zone), loads (hour, datacenter), all but on in MW.

    `work_mw` (window hour, datacenter, user) is the allocation in the flexible window.
    """

    on: Bools
    output_mw: Floats
    shed_mw: Floats
    theta_mw: Floats
    work_mw: Floats


@dataclass(frozen=True)
class CommitmentCost:
    """The terms of (1a) in $ for the day, with the true quadratic cost; they sum to the objective."""

    linear: float
    quadratic: float
    no_load: float
    startup: float
    shedding: float

    @property
    def total(self) -> float:
        """The objective."""
        return self.linear + self.quadratic + self.no_load + self.startup + self.shedding


@dataclass(frozen=True, eq=False)
class UnitCommitmentSolution:
    """The best plan and its cost; flows (hour, line) in MW, prices (hour, zone) in $/MWh with the commitment fixed.

    `report` is about the true cost: objective (1a), a valid lower bound, their gap, seconds of everything.
    `tangent_usd` is by how much the tangents of the last program undershoot the quadratic cost at this plan.
    `charge_usd` (window hour, datacenter) is price times load in the window; `n_programs` counts linear programs.
    """

    plan: CommitmentPlan
    cost: CommitmentCost
    flow_mw: Floats
    price_usd_per_mwh: Floats
    charge_usd: Floats
    tangent_usd: float
    report: SolveReport
    n_programs: int


def starts_of(problem: UnitCommitmentProblem, on: Bools) -> Bools:
    """Starts (hour, unit) that are paid for: none in the first hour if what was before it is free."""
    first = on[0] if problem.before is None else problem.before.on
    return np.asarray(on & ~np.vstack([first[None], on[:-1]]))


def cost_of(problem: UnitCommitmentProblem, plan: CommitmentPlan) -> CommitmentCost:
    """The terms of (1a)."""
    return CommitmentCost(*(float(term.sum()) for term in _terms(problem, plan)))


def hourly_cost_of(problem: UnitCommitmentProblem, plan: CommitmentPlan) -> Floats:
    """(1a) by hour (hour,), in $."""
    return np.asarray(sum(_terms(problem, plan)))


def _terms(problem: UnitCommitmentProblem, plan: CommitmentPlan) -> tuple[Floats, ...]:
    """The terms of (1a), each (hour,), in the order of `CommitmentCost`."""
    units = problem.units
    return (
        plan.output_mw @ units.cost_usd_per_mwh,
        plan.output_mw**2 @ units.quadratic_usd_per_mw2h,
        plan.on @ units.no_load_usd_per_h,
        starts_of(problem, plan.on) @ units.startup_usd,
        problem.shed_cost * plan.shed_mw.sum(axis=1),
    )


def injections(problem: UnitCommitmentProblem, plan: CommitmentPlan) -> Floats:
    """Net injection x (hour, zone) of a plan, in MW (1b)."""
    made = problem.renewable_mw + plan.shed_mw - problem.load_mw
    np.add.at(made.T, problem.units.zone, plan.output_mw.T)
    np.add.at(made.T, problem.datacenters.zone, -plan.theta_mw.T)
    return made


def _check_shapes(given: dict[str, Floats], wanted: dict[str, tuple[int, ...]]) -> None:
    for name, shape in wanted.items():
        if given[name].shape != shape:
            raise SolverError(f"{name} has the shape {given[name].shape}, the problem asks for {shape}")
