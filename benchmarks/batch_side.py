"""The batch engine's side of `batch_closed_loop.py`: a case folder's family of runs in lockstep, metrics as JSON.

CPU seconds come in four phases: imports; assembly of the runs; the batch's own set-up and its first steps (the
network, factors, slopes); the run, from the first report of progress (1 % of the steps) on, scaled to all steps.
"""

from __future__ import annotations

import time

STARTED_S = time.process_time()

import argparse  # noqa: E402 - the clock starts before what it measures
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from scenarios import Kind, closed_loops, read_case  # noqa: E402

from g2g_opt.batch.simulator import BatchRun, run_batch  # noqa: E402


def results(run: BatchRun) -> dict[str, Any]:
    """Metrics of one run, as `g2g_side.py` has them."""
    if run.failure is not None:
        raise SystemExit(f"a run of the batch failed: {run.failure}")
    voltage = run.summary.voltage_stats(0.95, 1.05)
    return {
        "violation_time_s": voltage.violation_time_s,
        "integral_violation_pu_s": voltage.integral_violation_pu_s,
        "worst_vmin_pu": voltage.worst_vmin,
        "worst_vmax_pu": voltage.worst_vmax,
        "mean_throughput_tps": sum(site.throughput_tps for site in run.summary.sites),
        "n_power_flows": run.summary.n_steps,
        "n_batch_changes": sum(site.batch_switches for site in run.summary.sites),
    }


def main() -> None:
    imports_s = time.process_time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--scenarios", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="member of the family that comes first (default 0)")
    parser.add_argument("--sites", type=int, help="only the first sites of the case")
    parser.add_argument("--measured", action="store_true", help="ripple, noise and drawn latencies, not flat power")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of the power flow (pu)")
    parser.add_argument("--loading", action="store_true", help="record loadings")
    options = parser.parse_args()
    case, profiles = read_case(options.folder)
    kind = Kind(options.sites, options.measured, options.loading, options.tolerance)
    members = range(options.first, options.first + options.scenarios)
    runs = closed_loops(case, profiles, members, kind)
    assembled_s = time.process_time()
    reports: list[tuple[int, int, float, float]] = []
    done = run_batch(runs, progress=lambda *steps: reports.append((*steps, time.process_time(), time.perf_counter())))
    end_s, end_wall_s = time.process_time(), time.perf_counter()
    first, steps, first_s, first_wall_s = reports[0]
    whole = steps / (steps - first)
    run_s = (end_s - first_s) * whole
    found = results(done[0])
    every = [results(run) for run in done]
    found["family"] = {
        name: [min(row[name] for row in every), max(row[name] for row in every)]
        for name in ("violation_time_s", "integral_violation_pu_s", "mean_throughput_tps", "n_batch_changes")
    }
    found["cpu_s"] = {
        "imports": imports_s - STARTED_S,
        "assembly": assembled_s - imports_s,
        "set_up": end_s - assembled_s - run_s,
        "run": run_s,
    }
    found["run_wall_s"] = (end_wall_s - first_wall_s) * whole
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
