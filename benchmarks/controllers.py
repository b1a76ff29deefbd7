"""Controllers on the study cases: recovery beside the published one, CPU seconds, and whether the engines agree.

    python benchmarks/controllers.py --case ieee13 --candidates 200 --scenarios 50
    python benchmarks/controllers.py --case ieee34 --engines 20 --scenarios 0
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

from g2g_opt.data_files import TRACE_DIR
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.study_case import StudyCase
from studies.controllers.rows import interval_of
from studies.shared.screening import ADMITTED, Screening, ScreeningRule, draw_candidates

CONTROLLERS = ("none", "droop", "ofo")


def run_all(
    case: StudyCase, plans: Sequence[Plan], scenarios: Sequence[Scenario], engine: Engine = "batch"
) -> list[Outcome]:
    """All plans in all scenarios, plan by plan."""
    return simulate_runs(
        [(plan, scenario) for plan in plans for scenario in scenarios], case.feeder, Limits(), engine=engine
    )


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
    whole = 0.0
    for k, kind in enumerate(CONTROLLERS):
        own = runs[k * len(scenarios) : (k + 1) * len(scenarios)]
        left = np.array([run.voltage.integral_violation_pu_s for run in own])
        whole = whole or float(left.mean())
        interval = interval_of(left, 0)
        summaries = [run.summary for run in own]
        print(
            f"  {kind:6} {interval.mean:8.2f} pu s ({interval.low:.2f} to {interval.high:.2f}), recovered "
            f"{100 * (1 - interval.mean / whole):5.1f} %, {np.mean([s.throughput_tps for s in summaries]) / 1e6:.2f} "
            f"Mtokens/s, {np.mean([s.batch_switches for s in summaries]):.1f} switches, "
            f"{100 * np.mean([s.latency_miss_share for s in summaries]):.2f} % misses; published "
            f"{case.published_controllers[kind]}"
        )


def compare_engines(case: StudyCase, n: int, hour: Scenario) -> None:
    """The same runs on both engines: everything that a site, scenario and policy may have acts in them."""
    everything = replace(case, training_gpu_share=(0.2, 1.0 / 3.0))
    scenarios = draw_candidates(everything, hour, ScenarioRanges(), "test", 10_000, n)
    storage = tuple(StorageUnit(site.bus, 100.0, 50.0, "qv") for site in case.plan.sites)
    kinds = [Policy(), Policy("droop", load_shift_gpus=8), Policy("ofo", adaptive_taps=AdaptiveTaps(Fraction(5), 60.0))]
    plans = [replace(case.plan, policy=policy, storage=storage) for policy in kinds]
    batch, opendss = (run_all(case, plans, scenarios, engine) for engine in ("batch", "opendss"))
    same, furthest_pu, furthest_pu_s = 0, 0.0, 0.0
    for one, other in zip(batch, opendss, strict=True):
        assert one.engine == "batch", one.engine_note
        commands = [(s.batch_switches, s.throughput_tps, s.latency_misses) for s in one.summary.sites]
        others = [(s.batch_switches, s.throughput_tps, s.latency_misses) for s in other.summary.sites]
        same += np.allclose(commands, others, rtol=1e-9)
        furthest_pu = max(furthest_pu, float(np.abs(one.summary.lowest_pu - other.summary.lowest_pu).max()))
        gap = abs(one.voltage.integral_violation_pu_s - other.voltage.integral_violation_pu_s)
        furthest_pu_s = max(furthest_pu_s, gap)
    print(
        f"engines: {same} of {len(batch)} runs ({n} scenarios x {len(plans)} policies) with the same switches, tokens "
        f"and misses; lowest voltages within {furthest_pu:.1e} pu, integrals within {furthest_pu_s:.1e} pu s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=StudyCase.known(), default="ieee13")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--scenarios", type=int, default=50, help="of those admitted (0: no comparison)")
    parser.add_argument("--training-shape", choices=("steps", "plateaus"), default="plateaus")
    parser.add_argument("--engines", type=int, default=0, help="scenarios run on both engines")
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
        compare_engines(case, options.engines, hour)
    return 0


if __name__ == "__main__":
    sys.exit(main())
