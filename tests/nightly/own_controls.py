"""Random closed loops on random circuits with controls of their own, on both engines, counted.

Taps are equal at every step, voltages to a millionth; what differs is told with the step at which it begins.

python tests/nightly/own_controls.py [--runs 200] [--seed 1000]

Not part of CI; takes about five minutes on two cores. Exit status 1 if a run that both engines solved differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "closed_loop"))

from controlled_circuits import random_feeder, random_loop
from engine_pair import VOLTAGE_ATOL_PU, SingleRun, run_single

from g2g_opt.batch.simulator import BatchRun, run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch


def difference(single: SingleRun, run: BatchRun) -> str | None:
    """Where two runs begin to differ over the steps that both solved; None if they do not."""
    assert run.trace is not None
    record = single.grid.record if single.failure is None else single.grid.solved_record
    taps = single.taps_pu(run.trace.regulators)
    n = min(len(run.trace.time_s), len(record.time_s), len(taps))
    columns = single.grid.monitored_columns
    for k in range(n):
        tap = np.abs(run.trace.taps_pu[k] - taps[k]).max(initial=0.0)
        volts = np.abs(run.trace.voltage_pu[k, columns] - record.voltage_pu[k, columns]).max(initial=0.0)
        if tap > 1e-9 or not volts < VOLTAGE_ATOL_PU:
            return f"step {k}: taps {taps[k]} and {run.trace.taps_pu[k]}, voltages differ by {volts:.1e} pu"
    return None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000)
    asked = parser.parse_args()
    seen: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.runs):
        with tempfile.TemporaryDirectory() as folder:
            feeder = random_feeder(Path(folder), seed)
            single = run_single(random_loop(feeder, seed))
            try:
                (run,) = run_batch([random_loop(feeder, seed)], trace=[0])
            except UnsupportedByBatch as reason:
                seen["not modelled"] += 1
                print(seed, "not modelled:", reason, flush=True)
                continue
        assert run.trace is not None
        moved = np.abs(np.diff(run.trace.taps_pu, axis=0)) > 1e-6 if len(run.trace.time_s) > 1 else np.zeros(0)
        seen["steps"] += len(run.trace.time_s)
        seen["tap moves"] += int(moved.sum())
        found = difference(single, run) if len(run.trace.time_s) else None
        outcomes = (single.failure, run.failure)
        if found is not None:
            seen["differ"] += 1
            print(seed, found, flush=True)
        elif run.failure is not None and run.failure.no_solution:
            # Such a run goes to OpenDSS; up to there it is the same.
            seen["no solution in the batch engine"] += 1
            print(seed, "no solution in the batch engine:", *outcomes, sep="\n  ", flush=True)
        elif (single.failure is None) != (run.failure is None):
            seen["one fails"] += 1
            print(seed, "one fails:", *outcomes, sep="\n  ", flush=True)
        else:
            seen["equal" if run.failure is None else "fail alike"] += 1
    print(dict(seen))
    return int(seen["differ"] + seen["one fails"] > 0)


if __name__ == "__main__":
    sys.exit(main())
