"""`simulate`: plans x scenarios in closed loop, one after the other on OpenDSS or in lockstep on the batch engine."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.batch.simulator import batch_key, run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.edges import Edges
from g2g_opt.engine_reason import EngineReason
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.judge import Verdict, judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.power_quality_record import PowerQualityRecord
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.recorded_run import figures_by_step, summarise
from g2g_opt.scenario import Scenario
from g2g_opt.summary import Summary
from g2g_opt.uncontrolled import UncontrolledFleet, replay_uncontrolled

logger = logging.getLogger(__name__)

RunProgress = Callable[[float, int], None]

# Scenarios in lockstep at a time: enough to share what a step costs once, few enough for a processor's cache.
BATCH_SIZE = 192
_UNSOLVED = "the batch engine found no solution"


@dataclass(frozen=True)
class _Job:
    """What every task of one call shares."""

    feeder: Feeder
    limits: Limits
    engine: Engine
    trace_dir: Path
    tolerance: float
    by_step: bool = False
    beside_uncontrolled: bool = True

    @property
    def edges(self) -> Edges:
        """Where voltages, loadings and unbalance are counted: at the limits among others."""
        limits = self.limits
        unbalance = limits.unbalance_negative_sequence_max, limits.unbalance_nema_max
        band = limits.voltage_min_pu, limits.voltage_max_pu
        return Edges().including(*band, limits.loading_max_pu, [x for x in unbalance if x is not None])

    @property
    def needs_base(self) -> bool:
        """True if no verdict is final before the scenario was run without sites."""
        return self.limits.base_rule == "no-worse"

    def judged(self, summary: Summary) -> Verdict:
        """The verdict on a run by itself."""
        return judge(summary, self._by_itself)

    @cached_property
    def _by_itself(self) -> Limits:
        return replace(self.limits, base_rule="hold")


PlannedRun = tuple[Plan, Scenario]
# Runs without sites that a caller has of one feeder under one set of limits: by engine, plan without sites, scenario.
Bases = dict[tuple[str, Plan, Scenario], Summary]


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
    progress: RunProgress | None = None,
    with_base: bool = False,
    bases: Bases | None = None,
) -> list[list[Outcome]]:
    """Run every plan in every scenario in closed loop and judge it; one list per plan, in the order of the scenarios.

    `engine="batch"` runs them in lockstep; what that engine does not model, and what it does not solve, is run on
    OpenDSS, with the reason in the outcome and the log. `engine="opendss"` runs them one after the other. With several
    `workers`, processes share the work (call it from a script's `if __name__ == "__main__":`). `progress(done, all)`
    counts runs. `tolerance` is OpenDSS's: the largest change of a voltage (share of its base) between the last two
    iterations.

    By the base rule "no-worse", or `with_base`, every scenario is also run without sites, once, and each outcome has
    that record beside its own; `bases` keeps those between calls.

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
        with_base=with_base,
        bases=bases,
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
    progress: RunProgress | None = None,
    by_step: bool = False,
    with_base: bool = False,
    bases: Bases | None = None,
    beside_uncontrolled: bool = True,
) -> list[Outcome]:
    """As `simulate`, for any pairs of a plan and a scenario; results in their order.

    With `by_step` (on OpenDSS only) a simulation has the figures of every step. Without `beside_uncontrolled` what the
    fleets would have done at their batch sizes is left at 0, which saves a third of the time and leaves no share of
    tokens to judge.
    """
    if by_step and engine != "opendss":
        raise InputError("figures of every step are kept by engine='opendss' only")
    if engine not in get_args(Engine):
        raise InputError(f"engine {engine!r} is unknown; known engines: {list(get_args(Engine))}")
    job = _Job(feeder, limits, engine, trace_dir, tolerance, by_step, beside_uncontrolled)
    tasks: list[PlannedRun] = list(runs)
    tell = progress or (lambda done, all_runs: None)
    if workers <= 1:
        outcomes = _run_tasks(job, tasks, lambda done: tell(done, len(tasks)))
    else:
        outcomes = _run_in_processes(job, tasks, workers, tell)
    if with_base or job.needs_base:
        return _beside_bases(job, tasks, outcomes, {} if bases is None else bases)
    return outcomes


def beside_bases(
    runs: Sequence[tuple[Plan, Scenario]],
    outcomes: Sequence[Outcome],
    feeder: Feeder,
    limits: Limits,
    *,
    bases: Bases,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
) -> list[Outcome]:
    """Outcomes of runs that were judged by `limits` with the rule "hold", judged by `limits` beside the same scenarios
    without sites; `bases` keeps those.
    """
    job = _Job(feeder, limits, "batch", trace_dir, tolerance)
    return _beside_bases(job, runs, outcomes, bases)


def _beside_bases(job: _Job, tasks: Sequence[PlannedRun], outcomes: Sequence[Outcome], known: Bases) -> list[Outcome]:
    """Outcomes judged beside the same scenarios without sites, on the engines that they ran on."""
    keys = [(run.engine, plan.base(), scenario) for (plan, scenario), run in zip(tasks, outcomes, strict=True)]
    for engine in get_args(Engine):
        wanted = [key for key in dict.fromkeys(keys) if key[0] == engine and key not in known]
        done = _run_tasks(
            replace(job, engine=engine, by_step=False), [(plan, scenario) for _, plan, scenario in wanted]
        )
        known.update(zip(wanted, (run.summary for run in done), strict=True))
    found = zip(outcomes, keys, strict=True)
    beside = [replace(run, base=known[key]) for run, key in found]
    # What keeps every limit by itself keeps them beside any base, with the same checks.
    return [run if run.kept else run.judged(job.limits) for run in beside]


def _run_in_processes(job: _Job, tasks: list[PlannedRun], workers: int, tell: RunProgress) -> list[Outcome]:
    share = max(1, min(BATCH_SIZE, -(-len(tasks) // workers)))
    pieces = [tasks[k : k + share] for k in range(0, len(tasks), share)]
    flat: list[Outcome] = []
    with ProcessPoolExecutor(min(workers, len(pieces) or 1), multiprocessing.get_context("spawn")) as pool:
        for done in pool.map(_run_tasks, [job] * len(pieces), pieces):
            flat += done
            tell(len(flat), len(tasks))
    return flat


def _run_tasks(
    job: _Job, tasks: Sequence[PlannedRun], tell: Callable[[float], None] = lambda done: None
) -> list[Outcome]:
    """Results of tasks in their order."""
    results: list[Outcome] = []
    for first in range(0, len(tasks), BATCH_SIZE):
        part = tasks[first : first + BATCH_SIZE]
        results += _run_part(job, part, _after(first, tell))
    return results


def _after(before: int, tell: Callable[[float], None]) -> Callable[[float], None]:
    """Tells progress on top of what was done before."""
    return lambda done: tell(before + done)


def _run_part(job: _Job, tasks: Sequence[PlannedRun], tell: Callable[[float], None]) -> list[Outcome]:
    """A part small enough for one batch."""
    found: dict[int, Outcome] = {}
    batches: dict[object, list[int]] = {}
    alone: list[tuple[int, str, EngineReason | None]] = []
    runs: dict[int, Assembly] = {}
    for i, task in enumerate(tasks):
        if job.engine == "opendss":
            alone.append((i, "", None))
            continue
        try:
            runs[i] = _assemble(job, task)
            batches.setdefault(batch_key(runs[i].coordinator), []).append(i)
        except UnsupportedByBatch as reason:
            alone.append((i, str(reason), reason.reason))
    for members in batches.values():
        try:
            done = _run_batch(job, tasks, members, runs, _after(len(found), tell))
        except UnsupportedByBatch as reason:
            alone += [(i, str(reason), reason.reason) for i in members]
            continue
        failures = {i: run.failure for i, run in done.items() if run.failure is not None and run.failure.asks_opendss}
        alone += [(i, _note(failure), _reason(failure)) for i, failure in failures.items()]
        found |= done
    for note in dict.fromkeys(note for _, note, _ in alone if note):
        level = logging.INFO if note == _UNSOLVED else logging.WARNING
        count = sum(other == note for _, other, _ in alone)
        logger.log(level, "%d of %d runs on OpenDSS, not the batch engine: %s", count, len(tasks), note)
    for i, note, why in alone:
        found[i] = replace(_on_opendss(job, tasks[i], note), engine_reason=why)
        tell(len(found))
    return [found[i] for i in range(len(tasks))]


def _reason(failure: Failure) -> EngineReason:
    """Of which kind what ended a run on the batch engine is."""
    if failure.kind is FailureKind.PROTECTION_PICKS_UP:
        return EngineReason.NOT_MODELLED
    is_rounding = failure.kind is FailureKind.ILL_CONDITIONED
    return EngineReason.ILL_CONDITIONED if is_rounding else EngineReason.NOT_SOLVED


def _note(failure: Failure) -> str:
    """What sends a run to OpenDSS, the same for all runs that it sends there."""
    return _UNSOLVED if failure.no_solution else replace(failure, time_s=None).in_words()


def _run_batch(
    job: _Job, tasks: Sequence[PlannedRun], members: list[int], runs: dict[int, Assembly], tell: Callable[[float], None]
) -> dict[int, Outcome]:
    """Results of the tasks in `members`, which share a batch."""
    began_s = time.perf_counter()
    done = run_batch(
        [runs[i].coordinator for i in members],
        edges=job.edges,
        progress=lambda step, steps: tell(len(members) * step / steps),
    )
    seconds = (time.perf_counter() - began_s) / len(members)
    return {i: _judged(job, tasks[i], run.summary, "batch", seconds) for i, run in zip(members, done, strict=True)}


def _assemble(job: _Job, task: PlannedRun) -> Assembly:
    plan, scenario = task
    return assemble(
        plan, scenario, job.feeder, job.limits, trace_dir=job.trace_dir, tolerance=job.tolerance, record_loading=True
    )


def _judged(
    job: _Job,
    task: PlannedRun,
    summary: Summary,
    engine: Engine,
    seconds: float,
    note: str = "",
    as_planned: bool = True,
) -> Outcome:
    """The verdict on a run, with what its fleets would have done uncontrolled: replayed, unless the run is just that
    because it was made `as_planned` and the plan's policy leaves its fleets alone.
    """
    plan, scenario = task
    is_uncontrolled = as_planned and summary.failure is None and plan.policy == plan.policy.of_the_grid
    sites = []
    for site, seen in zip(plan.sites, summary.sites, strict=bool(summary.sites)):
        sited = replace(seen, bus=site.bus, n_gpus=site.n_gpus, n_replicas=site.n_replicas)
        if job.beside_uncontrolled:
            if is_uncontrolled:
                alone = UncontrolledFleet(seen.power_peak_mw, seen.throughput_tps)
            else:
                alone = replay_uncontrolled(site, scenario, job.trace_dir)
            sited = replace(sited, uncontrolled_peak_mw=alone.power_peak_mw, uncontrolled_tps=alone.throughput_tps)
        sites.append(sited)
    whole = replace(summary, sites=tuple(sites))
    return Outcome(scenario.name, engine, whole, job.judged(whole), seconds, note)


# --- on OpenDSS


def simulate_assembled(
    run: Assembly, plan: Plan, scenario: Scenario, feeder: Feeder, limits: Limits, *, trace_dir: Path = TRACE_DIR
) -> Outcome:
    """Run components that are assembled already, on OpenDSS, and judge them as `simulate` does.

    For a coordinator whose controllers no `Policy` names; the rest of it must be what `assemble` makes of the plan.
    """
    job = _Job(feeder, limits, "opendss", trace_dir, STUDY_TOLERANCE)
    outcome = _run_assembled(job, (plan, scenario), run, "", time.perf_counter(), as_planned=False)
    return _beside_bases(job, [(plan, scenario)], [outcome], {})[0] if job.needs_base else outcome


def _on_opendss(job: _Job, task: PlannedRun, note: str) -> Outcome:
    began_s = time.perf_counter()
    return _run_assembled(job, task, _assemble(job, task), note, began_s)


def _run_assembled(
    job: _Job, task: PlannedRun, run: Assembly, note: str, began_s: float, as_planned: bool = True
) -> Outcome:
    plan, scenario = task
    failure = None
    quality = PowerQualityRecord(run.grid, job.edges.unbalance)
    try:
        run.coordinator.run()
    except PowerFlowError as error:
        failure = error.failure
    summary = summarise(run, plan, float(scenario.dt_s), job.edges, failure)
    if summary.failure is None:
        summary = replace(summary, power_quality=quality.quality())
    outcome = _judged(job, task, summary, "opendss", time.perf_counter() - began_s, note, as_planned)
    return replace(outcome, by_step=figures_by_step(run)) if job.by_step and summary.failure is None else outcome
