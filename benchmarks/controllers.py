"""Controllers on the study cases: recovery beside the published one, CPU seconds, and whether the engines agree.

    python benchmarks/controllers.py --case ieee13 --candidates 200 --scenarios 50
    python benchmarks/controllers.py --case ieee34 --engines 20 --scenarios 0
    python benchmarks/controllers.py --case ieee13 --engines 20 --scenarios 0 --kinds ofo --tolerance 1e-6
    python benchmarks/controllers.py --case ieee13 --training-shape steps

One process, one thread; CPU seconds, after a first run that compiles. Engines are compared with training, storage,
shifts of replicas and moving taps in play, whatever the case itself has of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from measuring import ROOT, machine

sys.path.insert(0, str(ROOT))

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import run_batch
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.datacenter.command import ShiftReplicas
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.simulation import simulate_runs
from g2g_opt.site import GPUS_PER_SERVER, Deployment, Site
from g2g_opt.study_case import StudyCase
from studies.shared.paired import bootstrap_draws, mean_and_interval, saved_and_interval
from studies.shared.screening import ADMITTED, Screening, ScreeningRule, draw_candidates

# Ramps go both ways, and models begin at several sizes.
VARIED = ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128))
CONTROLLERS = ("none", "droop", "ofo")
# Beside these, OFO with replicas that move between sites.
COMPARED = (*CONTROLLERS, "shift")
ANNEX_BUS, SPARE_SERVERS = "675", 20


def run_all(case: StudyCase, plans: Sequence[Plan], scenarios: Sequence[Scenario]) -> list[Outcome]:
    """All plans in all scenarios, plan by plan."""
    return simulate_runs([(plan, scenario) for plan in plans for scenario in scenarios], case.feeder, Limits())


def admitted_scenarios(case: StudyCase, ranges: ScenarioRanges, n: int, hour: Scenario) -> list[Scenario]:
    """Screen candidates, and tell what it took and how they are mixed."""
    drawn = draw_candidates(case, hour, ranges, "test", 0, n)
    began_s = time.process_time()
    rows = Screening(case, ScreeningRule(), Limits(), Path(TRACE_DIR)).screen("test", drawn)
    cpu_s = time.process_time() - began_s
    entries = [row.entry() for row in rows if row.verdict == ADMITTED]
    verdicts = {
        verdict: sum(row.verdict == verdict for row in rows) for verdict in dict.fromkeys(r.verdict for r in rows)
    }
    print(f"screening: {n} candidates in {cpu_s:.1f} CPU s ({1e3 * cpu_s / n:.0f} s for 1,000); {verdicts}")
    if entries:
        mix = {name: np.mean([entry.mix == name for entry in entries]) for name in ("under", "over", "both")}
        print("  mix:", ", ".join(f"{name} {100 * share:.0f} %" for name, share in mix.items()))
        published = case.published["test"]
        print(f"  published: under {published.under:.1%}, over {published.over:.1%}, both {published.both:.1%}")
    return [entry.scenario for entry in entries]


def compare(case: StudyCase, scenarios: Sequence[Scenario]) -> None:
    """Controllers in scenarios: violation with its interval, recovery, tokens, switches, misses, CPU seconds."""
    plans = [replace(case.plan, policy=Policy(kind)) for kind in CONTROLLERS]  # type: ignore[arg-type]
    began_s = time.process_time()
    runs = run_all(case, plans, scenarios)
    cpu_s = time.process_time() - began_s
    print(f"{len(runs)} runs ({len(scenarios)} scenarios x {len(plans)} controllers) in {cpu_s:.1f} CPU s")
    whole, draws = np.zeros(len(scenarios)), bootstrap_draws(len(scenarios), 0)
    for k, kind in enumerate(CONTROLLERS):
        own = runs[k * len(scenarios) : (k + 1) * len(scenarios)]
        left = np.array([run.voltage.integral_violation_pu_s for run in own])
        whole = left if kind == "none" else whole
        mean, low, high = mean_and_interval(left, draws)
        recovered = saved_and_interval(left, whole, draws) or (float("nan"),) * 3
        summaries = [run.summary for run in own]
        print(
            f"  {kind:6} {mean:8.2f} pu s ({low:.2f} to {high:.2f}), recovered {100 * recovered[0]:5.1f} % "
            f"({100 * recovered[1]:.1f} to {100 * recovered[2]:.1f} %), "
            f"{np.mean([s.throughput_tps for s in summaries]) / 1e6:.2f} Mtokens/s, "
            f"{np.mean([s.batch_switches for s in summaries]):.1f} switches, "
            f"{100 * np.mean([s.latency_miss_share for s in summaries]):.2f} % misses; published "
            f"{case.published_controllers[kind]}"
        )


def with_models_in_common(plan: Plan) -> Plan:
    """The plan with somewhere to shift replicas: each site runs a server of a model of the one before it as well, and
    has servers to spare. A site that is alone gets one beside it.
    """
    own = plan.sites
    if len(own) == 1:
        own = (*own, Site("annex", ANNEX_BUS, (_a_server(own[0].deployments[-1]),)))
    sites = []
    for before, site in zip((own[-1], *own[:-1]), own, strict=True):
        known = {deployment.spec.model_label for deployment in site.deployments}
        more = [d for d in before.deployments if d.spec.model_label not in known][:1]
        sites.append(replace(site, deployments=(*site.deployments, *map(_a_server, more)), spare_servers=SPARE_SERVERS))
    return replace(plan, sites=tuple(sites))


def _a_server(deployment: Deployment) -> Deployment:
    return replace(deployment, n_replicas=GPUS_PER_SERVER // deployment.spec.gpus_per_replica)


def compare_engines(case: StudyCase, n: int, hour: Scenario, kinds: Sequence[str], tolerance: float) -> None:
    """The same runs on both engines, batch size by batch size at every step, and where they part for the first time.

    Everything that a site, scenario and policy may have acts in them, whatever the case itself has of it. Both solve to
    `tolerance` (pu).
    """
    everything = replace(case, training_gpu_share=(0.2, 1.0 / 3.0))
    scenarios = draw_candidates(everything, hour, VARIED, "test", 10_000, n)
    storage = tuple(StorageUnit(site.bus, 100.0, 50.0, "qv") for site in case.plan.sites)
    policies = {
        "none": Policy(),
        "droop": Policy("droop"),
        "ofo": Policy("ofo", adaptive_taps=AdaptiveTaps(Fraction(5), 60.0)),
        # With taps that follow the voltage on 13 and 34 buses batch sizes never run out, and nothing is shifted.
        "shift": Policy("ofo", load_shift_gpus=8),
    }
    for kind in kinds:
        plan = replace(case.plan, policy=policies[kind], storage=storage)
        if kind == "shift":
            plan = with_models_in_common(plan)
        runs = [assemble(plan, scenario, case.feeder, Limits(), tolerance=tolerance) for scenario in scenarios]
        lockstep = run_batch([run.coordinator for run in runs], trace=range(n))
        same, furthest_pu, switches, moves, shifts, began_s = 0, 0.0, 0, 0, 0, time.process_time()
        for scenario, run, other in zip(scenarios, runs, lockstep, strict=True):
            log = run.coordinator.run()
            shifts += sum(isinstance(command, ShiftReplicas) for command in log.commands)
            trace = other.trace
            assert trace is not None
            gap_pu = np.abs(run.grid.record.voltage_pu - trace.voltage_pu).max(axis=1)
            parted = len(gap_pu)
            for name, site in run.datacenters.items():
                differs = (site.record.batch_size != trace.sites[name].batch_size).any(axis=1)
                differs |= (site.record.replicas != trace.sites[name].replicas).any(axis=1)
                switches += int((np.diff(trace.sites[name].batch_size, axis=0) != 0).sum())
                parted = min(parted, int(differs.argmax()) if differs.any() else parted)
            # A tap that moved in one of them alone would show in voltages.
            moves += int((np.diff(trace.taps_pu, axis=0) != 0).sum())
            same += parted == len(gap_pu)
            # What is apart after a command that differs is apart for that reason.
            furthest_pu = max(furthest_pu, float(gap_pu[:parted].max(initial=0.0)))
            if parted < len(gap_pu):
                print(f"  {kind} in {scenario.name}: commands part at step {parted} of {len(gap_pu)}")
        print(
            f"engines, {kind}: the same batch sizes and replicas at every step in {same} of {n} scenarios "
            f"({switches} switches, {moves} tap steps, {shifts} shifts); voltages before any difference within "
            f"{furthest_pu:.1e} pu; {time.process_time() - began_s:.0f} CPU s on OpenDSS",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=StudyCase.known(), default="ieee13")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--scenarios", type=int, default=50, help="of those admitted (0: no comparison)")
    parser.add_argument("--training-shape", choices=("steps", "plateaus"), default="plateaus")
    parser.add_argument("--engines", type=int, default=0, help="scenarios run on both engines")
    parser.add_argument("--kinds", nargs="+", choices=COMPARED, default=COMPARED, help="of those on both engines")
    parser.add_argument("--tolerance", type=float, default=STUDY_TOLERANCE, help="of both engines (pu)")
    parser.add_argument("--duration-s", type=int, default=3600)
    options = parser.parse_args()
    print(machine())
    case, hour = StudyCase.load(options.case), Scenario(duration_s=options.duration_s)
    warm = draw_candidates(case, replace(hour, duration_s=30), ScenarioRanges(), "train", 0, 1)
    run_all(case, [replace(case.plan, policy=Policy(kind)) for kind in CONTROLLERS], warm)  # type: ignore[arg-type]
    if options.scenarios:
        ranges = ScenarioRanges(training_shape=options.training_shape)
        scenarios = admitted_scenarios(case, ranges, options.candidates, hour)[: options.scenarios]
        if scenarios:
            compare(case, scenarios)
    if options.engines:
        compare_engines(case, options.engines, hour, options.kinds, options.tolerance)
    return 0


if __name__ == "__main__":
    sys.exit(main())
