"""Our side of `closed_loop_vs_openg2g.py`: reads a case folder, runs it, writes metrics and CPU seconds as JSON."""

from __future__ import annotations

import time

STARTED_S = time.process_time()

import argparse  # noqa: E402 - the clock starts before what it measures
import json  # noqa: E402
import sys  # noqa: E402
from fractions import Fraction  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

# The builder of recorded cases; tests are no package, so it is found by its folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "reference"))
from openg2g_case import RECORDER_POWER_FACTOR_MAX, build_case  # noqa: E402

from g2g_opt.feeder import Feeder  # noqa: E402
from g2g_opt.metrics.performance import compute_performance_stats  # noqa: E402
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats  # noqa: E402


def results(case: dict[str, Any], log: Any) -> dict[str, Any]:
    """Metrics of the run, and batch sizes at its end and at every full minute."""
    voltage = compute_allbus_voltage_stats(
        log.grid_states, v_min=0.95, v_max=1.05, exclude_buses=tuple(case["exclude_buses"])
    )
    service = compute_performance_stats(
        log.dc_states, itl_deadline_s_by_model={label: m["itl_deadline_s"] for label, m in case["models"].items()}
    )
    records = log.dc_states_by_site
    steps_per_minute = int(60 / Fraction(case["dt_s"]))
    by_minute = [
        [record.batch_size[step].tolist() for record in records.values()]
        for step in range(0, len(log.grid_states), steps_per_minute)
    ]
    return {
        "violation_time_s": voltage.violation_time_s,
        "integral_violation_pu_s": voltage.integral_violation_pu_s,
        "worst_vmin_pu": voltage.worst_vmin,
        "worst_vmax_pu": voltage.worst_vmax,
        "mean_throughput_tps": service.mean_throughput_tps,
        "n_power_flows": len(log.grid_states),
        "n_batch_changes": sum(
            int(np.count_nonzero(np.diff(record.batch_size, axis=0))) for record in records.values()
        ),
        "final_batch": {
            name: dict(zip(record.labels, record.batch_size[-1].tolist(), strict=True))
            for name, record in records.items()
        },
        "batch_by_minute": by_minute,
    }


def save_powers(path: Path, case: dict[str, Any], log: Any, folder: Path) -> None:
    """kW and kvar of every injection at every step, [step, injection]: sites, then generators, three phases each."""
    profiles = np.loadtxt(folder / "profiles.csv", delimiter=",", skiprows=1, ndmin=2)
    times = log.grid_states.time_s
    columns, tan_phi = [], []
    for record in log.dc_states_by_site.values():
        columns.append(record.power_w / 1e3)
        tan_phi += [np.tan(np.arccos(case["power_factor"]["datacenter"]))] * 3
    for i in range(len(case["generators"])):
        columns.append(-np.repeat(np.interp(times, profiles[:, 0], profiles[:, 1 + i])[:, None], 3, axis=1))
        tan_phi += [np.tan(np.arccos(min(case["power_factor"]["generator"], RECORDER_POWER_FACTOR_MAX)))] * 3
    kw = np.concatenate(columns, axis=1)
    np.savez(path, kw=kw, kvar=kw * tan_phi)


def main() -> None:
    imports_s = time.process_time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="OpenDSS's solution tolerance (pu)")
    parser.add_argument("--powers", type=Path, help="also save the powers of every step here (.npz)")
    parser.add_argument("--write-feeder", action="store_true", help="only write the case's circuit as a .dss file")
    options = parser.parse_args()
    if options.write_feeder:
        case = json.loads((options.folder / "case.json").read_text(encoding="utf-8"))
        written = Feeder.load(case["feeder"]).write_dss(options.folder)
        options.result.write_text(json.dumps({"master_file": written.name}), encoding="utf-8")
        return
    case = json.loads((options.folder / "case.json").read_text(encoding="utf-8"))
    built = build_case(
        options.folder.resolve(),
        dt_s=Fraction(case["dt_s"]),
        control_dt_s=Fraction(case["control_dt_s"]),
        dss_case_dir=options.folder,
        dss_master_file=case["master_file"],
        tolerance=options.tolerance,
    )
    built_s = time.process_time()
    log = built.coordinator.run()
    run_s = time.process_time()
    found = results(case, log)
    done_s = time.process_time()
    found["cpu_s"] = {
        "imports": imports_s - STARTED_S,
        "set_up": built_s - imports_s,
        "run": run_s - built_s,
        "metrics": done_s - run_s,
    }
    if options.powers is not None:
        save_powers(options.powers, case, log, options.folder)
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
