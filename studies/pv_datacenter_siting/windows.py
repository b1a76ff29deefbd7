"""Hours of a plan that are nearest to the limits, on OpenDSS: the same step again, then the sites in closed loop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from g2g_opt.evaluation import evaluate
from g2g_opt.grid.generator import HeldGenerator
from g2g_opt.grid.load import HeldLoad
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.held_series import HeldSeries, LoadShares, UnitShares
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, Policy, PVUnit
from g2g_opt.scenario import Scenario
from g2g_opt.tap_position import TapPosition
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import STEPS_A_DAY, STEPS_AN_HOUR
from studies.pv_datacenter_siting.network import Simulated, set_point_edits
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.rows import NearestRow

_STEP_S = 900


def nearest_windows(case: SitingCase, simulated: Simulated, plan: str, n_windows: int) -> list[NearestRow]:
    """The hours of a plan nearest to a limit, at most one per day and side, nearest first."""
    low, high = case.network.limit_rows()
    found: list[NearestRow] = []
    for margin in ((high - simulated.g).min(axis=0), (simulated.g - low).min(axis=0)):
        for k in range(len(case.days)):
            of_day = margin[k * STEPS_A_DAY : (k + 1) * STEPS_A_DAY]
            point = k * STEPS_A_DAY + int(of_day.argmin())
            first, when = point - point % STEPS_AN_HOUR, case.place_in_time(point)
            found.append(NearestRow(plan, first, point, float(of_day.min()), when))
    unique = {window.first: window for window in sorted(found, key=lambda w: -w.margin_pu)}
    return sorted(unique.values(), key=lambda w: w.margin_pu)[:n_windows]


def taps_at(case: SitingCase, plan: SitingPlan, point: int, simulated: Simulated | None = None) -> dict[str, float]:
    """Ratios of all regulators at a step: those of the plan, or to which their own controls came when `simulated`."""
    if simulated is not None and simulated.taps_pu is not None:
        names = operation_of(case.network.feeder, case.network.limits.rating_basis).regulators
        return dict(zip(names, simulated.taps_pu[:, point].tolist(), strict=True))
    steps = plan.tap_steps[:, case.network.slot[point]]
    return {name: case.network.tap_ratio(name, int(steps[r])) for r, name in enumerate(case.network.regulators)}


def opendss_voltages(
    case: SitingCase, plan: SitingPlan, point: int, simulated: Simulated | None = None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Monitored voltages (pu) of one step on OpenDSS, in the order of the network's rows; `PowerFlowError` if none."""
    network, feeder = case.network, case.network.feeder
    load, sun = float(network.load_share[point]), float(network.sun[point])
    taps = taps_at(case, plan, point, simulated)

    def held(share: float) -> HeldSeries:
        return HeldSeries((share,), float(_STEP_S))

    grid = OpenDSSGrid(
        feeder=feeder,
        dt_s=Fraction(_STEP_S),
        initial_tap_position=TapPosition(regulators=taps) if taps else None,
        tolerance=1e-8,
        own_load_share=LoadShares(
            held(load), tuple((shape, held(float(share[point]))) for shape, share in network.by_shape.items())
        ),
        own_sun_share=UnitShares(
            held(sun), tuple((unit, held(float(share[point]))) for unit, share in network.by_unit.items())
        ),
    )
    for power in feeder.standing_generators:
        grid.attach_generator(HeldGenerator(power.peak_kw_per_phase, held(sun)), bus=power.bus)
    for power in feeder.standing_loads:
        grid.attach_load(HeldLoad(power.peak_kw_per_phase, held(load)), bus=power.bus)
    injected = plan.injected_kw(network.sun)[:, point]
    for j in np.flatnonzero(injected):
        grid.attach_generator(HeldGenerator(injected[j] / 3.0, held(1.0)), bus=network.pv_buses[j])
    for k, b in enumerate(plan.site_bus):
        drawn = HeldLoad(plan.site_kw[k] * network.demand[k, point] / 3.0, held(1.0))
        bus = network.site_buses[b]
        grid.attach_load(
            drawn,
            bus=feeder.service_buses.get(bus, bus),
            power_factor=network.power_factor,
            connection_type=network.connection,
        )
    grid.start()
    grid.advance_block([0.0], {})
    return np.asarray(grid.record.voltage_pu[-1, grid.monitored_columns])


def run_fleets(
    case: SitingCase, plan: SitingPlan, window: NearestRow, policy: Policy, simulated: Simulated | None = None
) -> tuple[Plan, Scenario, Outcome]:
    """An hour with the sites' fleets at the day's utilisation, in closed loop with a policy, second by second, on
    OpenDSS; regulators act by their own controls in it, if they do in the plan.

    Load and sun are the profile's for that hour; PV injects no more than the plan lets it in any step of the hour, and
    storage what it does on the mean of the hour.
    """
    question, network = case.question, case.network
    operated = network.operated
    points = np.arange(window.first, window.first + STEPS_AN_HOUR)
    units = []
    for j in np.flatnonzero(plan.pv_kw):
        curtailed = plan.curtailed_kw[j, points]
        of_pv = plan.pv_kw[j] * network.sun[points] - curtailed
        held_back = curtailed > 1e-6
        most = max(float(of_pv[held_back].min()), 0.0) if held_back.any() else None
        stored = float(plan.discharge_kw[j, points].mean())
        units.append(PVUnit(network.pv_buses[j], float(plan.pv_kw[j]), most, stored))
    sites = []
    for k, choice in enumerate(question.choices()):
        bus = network.site_buses[plan.site_bus[k]]
        full_kw = question.site_kw(choice.site(bus, question.gpu))
        share = float(plan.site_kw[k]) / full_kw
        sized = choice if share == 1.0 else choice.scaled(share, question.gpu)
        sites.append(sized.site(bus, question.gpu, network.power_factor, network.connection))
    planned = Plan(
        tuple(sites),
        taps=tuple(taps_at(case, plan, window.first if operated else window.nearest, simulated).items()),
        policy=policy,
        tap_mode="own control" if operated else "fixed",
        pv=tuple(units),
    )
    day = case.days[window.first // STEPS_A_DAY]
    feeder = network.feeder if operated is None else network.feeder.extended(set_point_edits(operated.set_points))
    row = 24 * day.index + (window.first % STEPS_A_DAY) // STEPS_AN_HOUR
    scenario = Scenario(
        f"{case.place_in_time(window.first)}",
        replica_share_start=day.utilisation,
        replica_ramps=(),
        seed=question.seed,
        profile=question.profile,
        own_shapes=question.own_shapes,
        profile_rows=(row, 1, 1),
    )
    found = evaluate(planned, feeder, [scenario], question.limits, engine="opendss", trace_dir=Path(question.trace_dir))
    return planned, scenario, found.outcomes[0]
