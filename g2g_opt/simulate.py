"""`simulate`: plans x scenarios in closed loop, one after the other on OpenDSS or in lockstep on the batch engine."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.batch.grids import NOT_CONVERGED
from g2g_opt.batch.simulator import BatchRun, batch_key, run_batch
from g2g_opt.batch.summary import Edges, Summary
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.thermal import find_worst_loading, overload_time_s
from g2g_opt.metrics.voltage import WorstVoltage, compute_allbus_voltage_stats, find_worst_voltage
from g2g_opt.outcome import Figures, Outcome, SiteOutcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.uncontrolled import replay_uncontrolled, service_of

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Engine = Literal["batch", "opendss"]
Progress = Callable[[float, int], None]

# Scenarios in lockstep at a time: enough to share what a step costs once, few enough for a processor's cache.
BATCH_SIZE = 192
_UNSOLVED = "the batch engine found no solution"


@dataclass(frozen=True, eq=False)
class Simulation:
    """One plan in one scenario: the outcome, and the lowest and highest voltage (pu) of every monitored bus-phase.

    `nodes` are (bus, phase) in the order of a grid's voltage vector; all three are empty if the run failed. `summary`
    is what the batch engine kept besides (None from OpenDSS), `by_step` figures of every step if asked for.
    """

    outcome: Outcome
    nodes: tuple[tuple[str, int], ...]
    lowest_pu: Floats
    highest_pu: Floats
    summary: Summary | None = None
    by_step: StepFigures | None = None


@dataclass(frozen=True, eq=False)
class StepFigures:
    """A run step by step: lowest and highest monitored voltage (pu), highest loading, closeness to an emergency rating,
    and the sites' power (MW), each of shape (step,).
    """

    lowest_pu: Floats
    highest_pu: Floats
    loading_pu: Floats
    emergency_pu: Floats
    power_mw: Floats


@dataclass(frozen=True)
class _Job:
    """What every task of one call shares."""

    feeder: Feeder
    limits: Limits
    engine: Engine
    trace_dir: Path
    tolerance: float
    by_step: bool = False


Task = tuple[Plan, Scenario]


def simulate(
    plans: Sequence[Plan],
    scenarios: Sequence[Scenario],
    feeder: Feeder,
    limits: Limits,
    *,
    engine: Engine = "batch",
    workers: int = 1,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
    progress: Progress | None = None,
) -> list[list[Simulation]]:
    """Run every plan in every scenario in closed loop and judge it; one list per plan, in the order of the scenarios.

    `engine="batch"` runs them in lockstep; what that engine does not model, and what it does not solve, is run on
    OpenDSS, with the reason in the outcome and the log. `engine="opendss"` runs them one after the other. With several
    `workers`, processes share the work (call it from a script's `if __name__ == "__main__":`). `progress(done, all)`
    counts runs.

    A result does not depend on what else is asked for, in which order, or on how many workers. A run without an answer
    is an outcome with a reason. Raises `InputError` for an unknown engine, no scenarios, or parts that do not fit.
    """
    if not scenarios:
        raise InputError("a plan is judged in at least one scenario; give e.g. [Scenario()]")
    flat = simulate_runs(
        [(plan, scenario) for plan in plans for scenario in scenarios],
        feeder,
        limits,
        engine=engine,
        workers=workers,
        trace_dir=trace_dir,
        tolerance=tolerance,
        progress=progress,
    )
    width = len(scenarios)
    return [flat[k * width : (k + 1) * width] for k in range(len(plans))]


def simulate_runs(
    runs: Sequence[tuple[Plan, Scenario]],
    feeder: Feeder,
    limits: Limits,
    *,
    engine: Engine = "batch",
    workers: int = 1,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
    progress: Progress | None = None,
    by_step: bool = False,
) -> list[Simulation]:
    """As `simulate`, for any pairs of a plan and a scenario; results in their order.

    With `by_step` (on OpenDSS only) a simulation has the figures of every step.
    """
    if by_step and engine != "opendss":
        raise InputError("figures of every step are kept by engine='opendss' only")
    if engine not in get_args(Engine):
        raise InputError(f"engine {engine!r} is unknown; known engines: {list(get_args(Engine))}")
    job = _Job(feeder, limits, engine, trace_dir, tolerance, by_step)
    tasks: list[Task] = list(runs)
    tell = progress or (lambda done, all_runs: None)
    if workers <= 1:
        return _run_tasks(job, tasks, lambda done: tell(done, len(tasks)))
    return _run_in_processes(job, tasks, workers, tell)


def _run_in_processes(job: _Job, tasks: list[Task], workers: int, tell: Progress) -> list[Simulation]:
    share = max(1, min(BATCH_SIZE, -(-len(tasks) // workers)))
    pieces = [tasks[k : k + share] for k in range(0, len(tasks), share)]
    flat: list[Simulation] = []
    with ProcessPoolExecutor(min(workers, len(pieces) or 1), multiprocessing.get_context("spawn")) as pool:
        for done in pool.map(_run_tasks, [job] * len(pieces), pieces):
            flat += done
            tell(len(flat), len(tasks))
    return flat


def _run_tasks(job: _Job, tasks: Sequence[Task], tell: Callable[[float], None] = lambda done: None) -> list[Simulation]:
    """Results of tasks in their order."""
    results: list[Simulation] = []
    for first in range(0, len(tasks), BATCH_SIZE):
        part = tasks[first : first + BATCH_SIZE]
        results += _run_part(job, part, _after(first, tell))
    return results


def _after(before: int, tell: Callable[[float], None]) -> Callable[[float], None]:
    """Tells progress on top of what was done before."""
    return lambda done: tell(before + done)


def _run_part(job: _Job, tasks: Sequence[Task], tell: Callable[[float], None]) -> list[Simulation]:
    """A part small enough for one batch."""
    found: dict[int, Simulation] = {}
    batches: dict[object, list[int]] = {}
    alone: list[tuple[int, str]] = []
    runs: dict[int, Assembly] = {}
    for i, task in enumerate(tasks):
        if job.engine == "opendss":
            alone.append((i, ""))
            continue
        try:
            runs[i] = _assemble(job, task)
            batches.setdefault(batch_key(runs[i].coordinator), []).append(i)
        except UnsupportedByBatch as reason:
            alone.append((i, str(reason)))
    for members in batches.values():
        try:
            done = _run_batch(job, tasks, members, runs, _after(len(found), tell))
        except UnsupportedByBatch as reason:
            alone += [(i, str(reason)) for i in members]
            continue
        # Where the batch engine finds no solution OpenDSS may: it is asked before anybody is told so.
        unsolved = [i for i, run in done.items() if NOT_CONVERGED in (run.outcome.failure or "")]
        alone += [(i, _UNSOLVED) for i in unsolved]
        found |= done
    for note in dict.fromkeys(note for _, note in alone if note):
        level = logging.INFO if note == _UNSOLVED else logging.WARNING
        count = sum(other == note for _, other in alone)
        logger.log(level, "%d of %d runs on OpenDSS, not the batch engine: %s", count, len(tasks), note)
    for i, note in alone:
        found[i] = _on_opendss(job, tasks[i], note)
        tell(len(found))
    return [found[i] for i in range(len(tasks))]


def _run_batch(
    job: _Job, tasks: Sequence[Task], members: list[int], runs: dict[int, Assembly], tell: Callable[[float], None]
) -> dict[int, Simulation]:
    """Results of the tasks in `members`, which share a batch."""
    began_s = time.perf_counter()
    done = run_batch(
        [runs[i].coordinator for i in members],
        edges=Edges().including(job.limits.voltage_min_pu, job.limits.voltage_max_pu, job.limits.loading_max_pu),
        progress=lambda step, steps: tell(len(members) * step / steps),
    )
    seconds = (time.perf_counter() - began_s) / len(members)
    return {i: _of_batch(job, tasks[i], run, seconds) for i, run in zip(members, done, strict=True)}


def _assemble(job: _Job, task: Task) -> Assembly:
    plan, scenario = task
    return assemble(
        plan, scenario, job.feeder, job.limits, trace_dir=job.trace_dir, tolerance=job.tolerance, record_loading=True
    )


def _failed(scenario: Scenario, engine: Engine, note: str, reason: str, seconds: float) -> Simulation:
    outcome = Outcome(scenario.name, engine, reason, None, (), seconds, note)
    return Simulation(outcome, (), np.empty(0), np.empty(0))


# --- on OpenDSS


def simulate_assembled(
    run: Assembly, plan: Plan, scenario: Scenario, feeder: Feeder, limits: Limits, *, trace_dir: Path = TRACE_DIR
) -> Simulation:
    """Run components that are assembled already, on OpenDSS, and judge them as `simulate` does.

    For a coordinator whose controllers no `Policy` names; the rest of it must be what `assemble` makes of the plan.
    """
    job = _Job(feeder, limits, "opendss", trace_dir, STUDY_TOLERANCE)
    return _run_assembled(job, (plan, scenario), run, "", time.perf_counter())


def _on_opendss(job: _Job, task: Task, note: str) -> Simulation:
    began_s = time.perf_counter()
    return _run_assembled(job, task, _assemble(job, task), note, began_s)


def _run_assembled(job: _Job, task: Task, run: Assembly, note: str, began_s: float) -> Simulation:
    plan, scenario = task
    try:
        run.coordinator.run()
    except PowerFlowError as error:
        return _failed(scenario, "opendss", note, str(error), time.perf_counter() - began_s)
    figures = _figures_of_record(job, plan, scenario, run)
    worst = figures.worst_voltage
    if not np.isfinite(worst.margin_pu):
        reason = f"the voltage of {worst.bus}.{worst.phase} is undefined"
        return _failed(scenario, "opendss", note, reason, time.perf_counter() - began_s)
    checks = judge(figures, scenario, job.limits)
    outcome = Outcome(scenario.name, "opendss", None, figures, checks, time.perf_counter() - began_s, note)
    record, columns = run.grid.record, run.grid.monitored_columns
    voltage_pu = record.voltage_pu[:, columns]
    nodes = tuple(record.nodes[i] for i in columns)
    steps = _step_figures(run, voltage_pu) if job.by_step else None
    return Simulation(outcome, nodes, voltage_pu.min(axis=0), voltage_pu.max(axis=0), by_step=steps)


def _step_figures(run: Assembly, voltage_pu: Floats) -> StepFigures:
    record = run.grid.record
    assert record.loading is not None  # `_assemble` has them recorded
    loading = record.loading_pu.astype(np.float64)
    return StepFigures(
        voltage_pu.min(axis=1),
        voltage_pu.max(axis=1),
        loading.max(axis=1, initial=0.0),
        (loading * record.loading.emergency_share).max(axis=1, initial=0.0),
        np.sum([site.record.power_w.sum(axis=1) / 1e6 for site in run.datacenters.values()], axis=0),
    )


def _figures_of_record(job: _Job, plan: Plan, scenario: Scenario, run: Assembly) -> Figures:
    record, dt_s, limits, feeder = run.grid.record, float(scenario.dt_s), job.limits, job.feeder
    band = {"v_min": limits.voltage_min_pu, "v_max": limits.voltage_max_pu}
    sites, throughput, uncontrolled, missed, samples, switches = [], 0.0, 0.0, 0.0, 0, 0
    for site in plan.sites:
        datacenter = run.datacenters[site.name]
        alone = replay_uncontrolled(site, scenario, job.trace_dir)
        service = service_of(site, datacenter)
        power_mw = datacenter.record.power_w.sum(axis=1) / 1e6
        sites.append(
            SiteOutcome(
                site=site.name,
                bus=site.bus,
                n_gpus=site.n_gpus,
                n_replicas=site.n_replicas,
                power_mean_mw=float(power_mw.mean()),
                power_peak_mw=float(power_mw.max()),
                uncontrolled_peak_mw=alone.power_peak_mw,
                energy_mwh=float(power_mw.sum() * dt_s / 3600.0),
            )
        )
        throughput += service.mean_throughput_tps
        uncontrolled += alone.throughput_tps
        missed += service.itl_deadline_fraction * datacenter.record.itl_s.size
        samples += datacenter.record.itl_s.size
        switches += service.batch_switches
    return Figures(
        sites=tuple(sites),
        voltage=compute_allbus_voltage_stats(record, **band, exclude_buses=feeder.exclude_buses, dt_s=dt_s),
        worst_voltage=_named(feeder, find_worst_voltage(record, **band, exclude_buses=feeder.exclude_buses)),
        worst_line=find_worst_loading(record, dt_s, "line"),
        worst_transformer=find_worst_loading(record, dt_s, "transformer"),
        worst_emergency=find_worst_loading(record, dt_s, emergency=True),
        overload_time_s=overload_time_s(record, dt_s, _loading_limit(limits)),
        own_loads_unserved_time_s=run.grid.own_loads.unserved_steps * dt_s,
        own_loads_worst=run.grid.own_loads.worst,
        throughput_tps=throughput,
        throughput_share=throughput / uncontrolled if uncontrolled > 0 else 1.0,
        latency_miss_share=missed / max(samples, 1),
        batch_switches=switches,
    )


def _named(feeder: Feeder, worst: WorstVoltage) -> WorstVoltage:
    """A worst voltage by the name it has at its bus: that of a phase, or of two where it is judged between them."""
    return replace(worst, phase=feeder.buses[worst.bus].voltage_name("ABC".index(worst.phase) + 1))


def _loading_limit(limits: Limits) -> float:
    return 1.0 if limits.loading_max_pu is None else limits.loading_max_pu


# --- on the batch engine


def _of_batch(job: _Job, task: Task, run: BatchRun, seconds: float) -> Simulation:
    plan, scenario = task
    if run.summary is None:
        return _failed(scenario, "batch", "", run.failure or "", seconds)
    summary = run.summary
    figures = _figures_of_summary(job, plan, scenario, summary)
    worst = figures.worst_voltage
    if not np.isfinite(worst.margin_pu):
        reason = f"the voltage of {worst.bus}.{worst.phase} is undefined"
        return _failed(scenario, "batch", "", reason, seconds)
    outcome = Outcome(scenario.name, "batch", None, figures, judge(figures, scenario, job.limits), seconds)
    return Simulation(outcome, summary.nodes, summary.lowest_pu, summary.highest_pu, summary)


def _figures_of_summary(job: _Job, plan: Plan, scenario: Scenario, summary: Summary) -> Figures:
    limits = job.limits
    sites, throughput, uncontrolled, missed, samples, switches = [], 0.0, 0.0, 0.0, 0, 0
    for site, seen in zip(plan.sites, summary.sites, strict=True):
        alone = replay_uncontrolled(site, scenario, job.trace_dir)
        sites.append(
            SiteOutcome(
                site=site.name,
                bus=site.bus,
                n_gpus=site.n_gpus,
                n_replicas=site.n_replicas,
                power_mean_mw=seen.power_mean_mw,
                power_peak_mw=seen.power_peak_mw,
                uncontrolled_peak_mw=alone.power_peak_mw,
                energy_mwh=seen.energy_mwh,
            )
        )
        throughput += seen.throughput_tps
        uncontrolled += alone.throughput_tps
        n_samples = summary.n_steps * len(site.deployments)
        missed += seen.latency_misses / max(seen.latency_samples, 1) * n_samples
        samples += n_samples
        switches += seen.batch_switches
    return Figures(
        sites=tuple(sites),
        voltage=summary.voltage_stats(limits.voltage_min_pu, limits.voltage_max_pu),
        worst_voltage=_named(job.feeder, summary.worst_voltage(limits.voltage_min_pu, limits.voltage_max_pu)),
        worst_line=summary.worst_loading("line"),
        worst_transformer=summary.worst_loading("transformer"),
        worst_emergency=summary.worst_loading(emergency=True),
        overload_time_s=summary.overload_time_s(_loading_limit(limits)),
        own_loads_unserved_time_s=summary.own_loads_unserved_steps * summary.dt_s,
        own_loads_worst=summary.own_loads_worst,
        throughput_tps=throughput,
        throughput_share=throughput / uncontrolled if uncontrolled > 0 else 1.0,
        latency_miss_share=missed / max(samples, 1),
        batch_switches=switches,
    )
