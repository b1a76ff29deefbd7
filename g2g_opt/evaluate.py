"""`evaluate`: the one door for verdicts. A plan is run in closed loop in every scenario and held against limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2g_opt.assembly import TRACE_DIR, Assembly, assemble, assemble_datacenter
from g2g_opt.clock import SimulationClock
from g2g_opt.errors import PowerFlowError
from g2g_opt.events import EventEmitter, SimEvent
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.grid.record import GridRecord
from g2g_opt.limits import Limits
from g2g_opt.metrics.performance import compute_performance_stats
from g2g_opt.metrics.thermal import WorstLoading, find_worst_loading, overload_time_s
from g2g_opt.metrics.voltage import (
    VoltageStats,
    WorstVoltage,
    compute_allbus_voltage_stats,
    find_worst_voltage,
)
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario


@dataclass(frozen=True)
class LimitCheck:
    """One limit against what was simulated: `kept` or not, and where it was closest.

    `used` is the share of the limit that was used up (1: exactly at it), by which checks are ranked.
    """

    name: str
    value: float
    limit: float
    used: float
    kept: bool
    where: str = ""


@dataclass(frozen=True)
class SiteOutcome:
    """A site in numbers: simulated power (MW, three phases) in closed loop; energy in MWh.

    `uncontrolled_peak_mw` is the peak of the same fleet left at its batch sizes, replayed without a controller.
    """

    site: str
    bus: str
    n_gpus: int
    n_replicas: int
    power_mean_mw: float
    power_peak_mw: float
    uncontrolled_peak_mw: float
    energy_mwh: float


@dataclass(frozen=True)
class Outcome:
    """One plan in one scenario. With `failure` set there are no figures: the run has no usable answer."""

    scenario: str
    engine: str
    failure: str | None = None
    sites: tuple[SiteOutcome, ...] = ()
    voltage: VoltageStats | None = None
    worst_voltage: WorstVoltage | None = None
    worst_line: WorstLoading | None = None
    worst_transformer: WorstLoading | None = None
    throughput_tps: float = 0.0
    throughput_share: float = 0.0
    latency_miss_share: float = 0.0
    batch_switches: int = 0
    checks: tuple[LimitCheck, ...] = ()
    seconds: float = 0.0

    @property
    def kept(self) -> bool:
        """True if the run has an answer and keeps every limit."""
        return self.failure is None and all(check.kept for check in self.checks)

    @property
    def binding(self) -> LimitCheck | None:
        """The limit used up most; None for a failed run."""
        return max(self.checks, key=lambda check: check.used, default=None)


@dataclass(frozen=True)
class Evaluation:
    """All outcomes of a plan; `accepted` if every scenario keeps every limit."""

    plan: Plan
    outcomes: tuple[Outcome, ...]

    @property
    def accepted(self) -> bool:
        """True if every outcome keeps every limit."""
        return all(outcome.kept for outcome in self.outcomes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the plan is not accepted: a failure or a broken limit per scenario."""
        return tuple(
            f"{o.scenario}: {o.failure}" if o.failure else f"{o.scenario}: {c.name} {c.value:.4g} (limit {c.limit:.4g})"
            for o in self.outcomes
            for c in ((None,) if o.failure else tuple(c for c in o.checks if not c.kept))
            if o.failure or c is not None
        )


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
    outcomes = tuple(
        _run_scenario(plan, feeder, scenario, limits, trace_dir, tolerance)[0] for scenario in scenarios
    )
    return Evaluation(plan, outcomes)


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
    return _run_scenario(plan, feeder, scenario, limits, trace_dir, tolerance)


def _run_scenario(
    plan: Plan, feeder: Feeder, scenario: Scenario, limits: Limits, trace_dir: Path, tolerance: float
) -> tuple[Outcome, GridRecord | None]:
    began_s = time.perf_counter()
    run = assemble(plan, scenario, feeder, limits, trace_dir=trace_dir, tolerance=tolerance)
    try:
        run.coordinator.run()
    except PowerFlowError as error:
        seconds = time.perf_counter() - began_s
        return Outcome(scenario.name, "opendss", failure=str(error), seconds=seconds), None
    outcome = _outcome(plan, feeder, scenario, limits, run, trace_dir, began_s)
    return outcome, run.grid.record


def _outcome(
    plan: Plan, feeder: Feeder, scenario: Scenario, limits: Limits, run: Assembly, trace_dir: Path, began_s: float
) -> Outcome:
    record = run.grid.record
    dt_s = float(scenario.dt_s)
    voltage = compute_allbus_voltage_stats(
        record, v_min=limits.voltage_min_pu, v_max=limits.voltage_max_pu, exclude_buses=feeder.exclude_buses
    )
    worst = find_worst_voltage(
        record, v_min=limits.voltage_min_pu, v_max=limits.voltage_max_pu, exclude_buses=feeder.exclude_buses
    )
    sites, throughput, uncontrolled, missed, samples, switches = [], 0.0, 0.0, 0.0, 0, 0
    for site in plan.sites:
        datacenter = run.datacenters[site.name]
        deadlines = {d.spec.model_label: d.spec.itl_deadline_s for d in site.deployments}
        service = compute_performance_stats(datacenter.record, itl_deadline_s_by_model=deadlines)
        replay = _replay_uncontrolled(plan, site.name, scenario, trace_dir)
        alone = compute_performance_stats(replay.record, itl_deadline_s_by_model=deadlines)
        throughput += service.mean_throughput_tps
        uncontrolled += alone.mean_throughput_tps
        n = datacenter.record.itl_s.size
        missed, samples = missed + service.itl_deadline_fraction * n, samples + n
        switches += service.batch_switches
        power_mw = datacenter.record.power_w.sum(axis=1) / 1e6
        sites.append(
            SiteOutcome(
                site.name,
                site.bus,
                site.n_gpus,
                site.n_replicas,
                float(power_mw.mean()),
                float(power_mw.max()),
                float(replay.record.power_w.sum(axis=1).max() / 1e6),
                float(power_mw.sum() * dt_s / 3600.0),
            )
        )
    partial = Outcome(
        scenario=scenario.name,
        engine="opendss",
        sites=tuple(sites),
        voltage=voltage,
        worst_voltage=worst,
        worst_line=find_worst_loading(record, dt_s, "line"),
        worst_transformer=find_worst_loading(record, dt_s, "transformer"),
        throughput_tps=throughput,
        throughput_share=throughput / uncontrolled if uncontrolled > 0 else 1.0,
        latency_miss_share=missed / max(samples, 1),
        batch_switches=switches,
    )
    checks = judge(partial, record, scenario, limits)
    return Outcome(
        **{**{f: getattr(partial, f) for f in partial.__dataclass_fields__}, "checks": checks,
           "seconds": time.perf_counter() - began_s}
    )


def judge(outcome: Outcome, record: GridRecord, scenario: Scenario, limits: Limits) -> tuple[LimitCheck, ...]:
    """Hold an outcome's figures against the limits (formulations 6)."""
    voltage, worst = outcome.voltage, outcome.worst_voltage
    assert voltage is not None and worst is not None
    side = "undervoltage" if worst.voltage_pu < 1.0 else "overvoltage"
    place = f"{worst.bus}.{worst.phase} at t={worst.time_s:g} s, {worst.voltage_pu:.4f} pu"
    checks = [
        _at_most(f"{side} time share", voltage.violation_time_s / scenario.duration_s,
                 limits.violation_time_share_max, place)
    ]
    if limits.violation_integral_max_pu_s is not None:
        checks.append(
            _at_most(f"{side} integral", voltage.integral_violation_pu_s, limits.violation_integral_max_pu_s, place)
        )
    if limits.loading_max_pu is not None:
        over_s = overload_time_s(record, float(scenario.dt_s), limits.loading_max_pu)
        share = over_s / scenario.duration_s
        heaviest = max(
            (w for w in (outcome.worst_line, outcome.worst_transformer) if w is not None),
            key=lambda w: w.loading_pu,
            default=None,
        )
        if heaviest is not None:
            where = f"{heaviest.branch} at t={heaviest.time_s:g} s"
            kept = share <= limits.overload_time_share_max
            used = heaviest.loading_pu / limits.loading_max_pu
            checks.append(
                LimitCheck("loading", heaviest.loading_pu, limits.loading_max_pu, used if not kept else min(used, 1.0),
                           kept, where)
            )
    checks.append(_at_most("latency misses", outcome.latency_miss_share, limits.latency_miss_share_max))
    kept_share = outcome.throughput_share
    floor = limits.throughput_share_min
    checks.append(
        LimitCheck("throughput share", kept_share, floor, floor / kept_share if kept_share > 0 else np.inf,
                   kept_share >= floor)
    )
    return tuple(checks)


def _at_most(name: str, value: float, limit: float, where: str = "") -> LimitCheck:
    used = value / limit if limit > 0 else (0.0 if value <= 0 else np.inf)
    return LimitCheck(name, value, limit, used, value <= limit, where)


class _NoEvents:
    """A sink that drops events: a replay has no reader."""

    def emit(self, event: SimEvent) -> None:
        """Drop it."""


def _replay_uncontrolled(plan: Plan, site_name: str, scenario: Scenario, trace_dir: Path):  # type: ignore[no-untyped-def]
    """The same fleet without commands and without a grid: keyed draws make it the run the controller started from."""
    site = next(site for site in plan.sites if site.name == site_name)
    datacenter = assemble_datacenter(site, scenario, trace_dir)
    clock = SimulationClock(scenario.dt_s)
    events = EventEmitter(clock, _NoEvents(), "datacenter")
    for _ in range(int(scenario.duration_s / scenario.dt_s)):
        datacenter.advance(clock, events)
        clock.advance()
    return datacenter
