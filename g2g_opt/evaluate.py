"""`evaluate`: the one door for verdicts. A plan is run in closed loop in every scenario and held against limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from g2g_opt.assembly import TRACE_DIR, Assembly, assemble, assemble_datacenter
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.grid.record import GridRecord
from g2g_opt.limits import Limits
from g2g_opt.metrics.performance import PerformanceStats, compute_performance_stats
from g2g_opt.metrics.thermal import find_worst_loading, overload_time_s
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats, find_worst_voltage
from g2g_opt.outcome import Evaluation, Figures, LimitCheck, Outcome, SiteOutcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site

ENGINE = "opendss"


def evaluate(
    plan: Plan,
    feeder: Feeder,
    scenarios: Sequence[Scenario],
    limits: Limits,
    *,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
) -> Evaluation:
    """Run `plan` in closed loop in every scenario and judge it.

    A power flow that does not converge or a load that is not served fails its scenario with the reason; the other
    scenarios are still run. Raises `InputError` if plan, feeder and scenario do not fit together.
    """
    if not scenarios:
        raise InputError("a plan is judged in at least one scenario; give e.g. [Scenario()]")
    runs = (
        simulate_plan(plan, feeder, scenario, limits, trace_dir=trace_dir, tolerance=tolerance)
        for scenario in scenarios
    )
    return Evaluation(plan, tuple(outcome for outcome, _ in runs))


def simulate_plan(
    plan: Plan,
    feeder: Feeder,
    scenario: Scenario,
    limits: Limits,
    *,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
) -> tuple[Outcome, GridRecord | None]:
    """One scenario of `evaluate`, with the grid's record for those who want to look; None if the run failed."""
    began_s = time.perf_counter()
    run = assemble(plan, scenario, feeder, limits, trace_dir=trace_dir, tolerance=tolerance)
    try:
        run.coordinator.run()
    except PowerFlowError as error:
        return Outcome(scenario.name, ENGINE, str(error), None, (), time.perf_counter() - began_s), None
    figures = _figures(plan, feeder, scenario, limits, run, trace_dir)
    if not np.isfinite(figures.worst_voltage.margin_pu):
        reason = f"the voltage of {figures.worst_voltage.bus}.{figures.worst_voltage.phase} is undefined"
        return Outcome(scenario.name, ENGINE, reason, None, (), time.perf_counter() - began_s), None
    checks = judge(figures, scenario, limits)
    return Outcome(scenario.name, ENGINE, None, figures, checks, time.perf_counter() - began_s), run.grid.record


def judge(figures: Figures, scenario: Scenario, limits: Limits) -> tuple[LimitCheck, ...]:
    """Hold a run's figures against the limits (formulations 6); limits that are None are left out."""
    voltage, worst = figures.voltage, figures.worst_voltage
    side = "undervoltage" if worst.voltage_pu < 1.0 else "overvoltage"
    place = f"{worst.bus}.{worst.phase} at t={worst.time_s:g} s, {worst.voltage_pu:.4f} pu"
    time_share = voltage.violation_time_s / scenario.duration_s
    checks = [_at_most(f"{side} time share", time_share, limits.violation_time_share_max, place)]
    if limits.violation_integral_max_pu_s is not None:
        integral = voltage.integral_violation_pu_s
        checks.append(_at_most(f"{side} integral", integral, limits.violation_integral_max_pu_s, place))
    heaviest = max(
        (w for w in (figures.worst_line, figures.worst_transformer) if w is not None),
        key=lambda w: w.loading_pu,
        default=None,
    )
    if limits.loading_max_pu is not None and heaviest is not None:
        kept = figures.overload_time_s / scenario.duration_s <= limits.overload_time_share_max
        used = heaviest.loading_pu / limits.loading_max_pu
        where = f"{heaviest.branch} at t={heaviest.time_s:g} s"
        # A short overload that is allowed uses the limit up, and no more.
        used = min(used, 1.0) if kept else used
        checks.append(LimitCheck("loading", heaviest.loading_pu, limits.loading_max_pu, used, kept, where))
    checks.append(_at_most("latency misses", figures.latency_miss_share, limits.latency_miss_share_max))
    share, floor = figures.throughput_share, limits.throughput_share_min
    used = floor / share if share > 0 else np.inf
    checks.append(LimitCheck("throughput share", share, floor, used, share >= floor))
    return tuple(checks)


def _at_most(name: str, value: float, limit: float, where: str = "") -> LimitCheck:
    used = value / limit if limit > 0 else (0.0 if value <= 0 else np.inf)
    return LimitCheck(name, value, limit, used, value <= limit, where)


def _figures(plan: Plan, feeder: Feeder, scenario: Scenario, limits: Limits, run: Assembly, trace_dir: Path) -> Figures:
    record, dt_s = run.grid.record, float(scenario.dt_s)
    band = {"v_min": limits.voltage_min_pu, "v_max": limits.voltage_max_pu}
    sites, served, uncontrolled, missed, samples = [], [], [], 0.0, 0
    for site in plan.sites:
        datacenter = run.datacenters[site.name]
        alone = replay_uncontrolled(site, scenario, trace_dir)
        sites.append(_site_outcome(site, datacenter, alone, dt_s))
        served.append(_service(site, datacenter))
        uncontrolled.append(alone.throughput_tps)
        missed += served[-1].itl_deadline_fraction * datacenter.record.itl_s.size
        samples += datacenter.record.itl_s.size
    throughput = sum(service.mean_throughput_tps for service in served)
    possible = sum(uncontrolled)
    loading_max_pu = 1.0 if limits.loading_max_pu is None else limits.loading_max_pu
    return Figures(
        sites=tuple(sites),
        voltage=compute_allbus_voltage_stats(record, **band, exclude_buses=feeder.exclude_buses),
        worst_voltage=find_worst_voltage(record, **band, exclude_buses=feeder.exclude_buses),
        worst_line=find_worst_loading(record, dt_s, "line"),
        worst_transformer=find_worst_loading(record, dt_s, "transformer"),
        overload_time_s=overload_time_s(record, dt_s, loading_max_pu),
        own_loads_unserved_time_s=run.grid.own_loads.unserved_steps * dt_s,
        own_loads_worst=run.grid.own_loads.worst,
        throughput_tps=throughput,
        throughput_share=throughput / possible if possible > 0 else 1.0,
        latency_miss_share=missed / max(samples, 1),
        batch_switches=sum(service.batch_switches for service in served),
    )


def _service(site: Site, datacenter: OfflineDatacenter) -> PerformanceStats:
    deadlines = {d.spec.model_label: d.spec.itl_deadline_s for d in site.deployments}
    return compute_performance_stats(datacenter.record, itl_deadline_s_by_model=deadlines)


def _site_outcome(site: Site, datacenter: OfflineDatacenter, alone: UncontrolledFleet, dt_s: float) -> SiteOutcome:
    power_mw = datacenter.record.power_w.sum(axis=1) / 1e6
    return SiteOutcome(
        site=site.name,
        bus=site.bus,
        n_gpus=site.n_gpus,
        n_replicas=site.n_replicas,
        power_mean_mw=float(power_mw.mean()),
        power_peak_mw=float(power_mw.max()),
        uncontrolled_peak_mw=alone.power_peak_mw,
        energy_mwh=float(power_mw.sum() * dt_s / 3600.0),
    )


@dataclass(frozen=True)
class UncontrolledFleet:
    """A site's fleet left at its batch sizes, without a grid: peak (MW) and tokens served (tokens/s)."""

    power_peak_mw: float
    throughput_tps: float


@lru_cache(maxsize=256)
def replay_uncontrolled(site: Site, scenario: Scenario, trace_dir: Path) -> UncontrolledFleet:
    """The same fleet without commands: keyed draws make it the very run that a controller starts from."""
    datacenter = assemble_datacenter(site, scenario, trace_dir)
    datacenter.advance_block(0.0, int(scenario.duration_s / scenario.dt_s))
    power_peak_mw = float(datacenter.record.power_w.sum(axis=1).max() / 1e6)
    return UncontrolledFleet(power_peak_mw, _service(site, datacenter).mean_throughput_tps)
