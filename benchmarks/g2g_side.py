"""Our side of `closed_loop_vs_openg2g.py`: reads a case folder, runs it, writes metrics and CPU seconds as JSON."""

from __future__ import annotations

import time

STARTED_S = time.process_time()

import argparse  # noqa: E402 - the clock starts before what it measures
import json  # noqa: E402
from fractions import Fraction  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from g2g_opt.controller.ofo import OFOBatchSizeController, OFOConfig  # noqa: E402
from g2g_opt.coordinator import Coordinator  # noqa: E402
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule  # noqa: E402
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload  # noqa: E402
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore  # noqa: E402
from g2g_opt.datacenter.workloads.inference import InferenceData  # noqa: E402
from g2g_opt.feeder import Feeder  # noqa: E402
from g2g_opt.grid.config import TapPosition  # noqa: E402
from g2g_opt.grid.generator import SampledGenerator  # noqa: E402
from g2g_opt.grid.opendss import OpenDSSGrid  # noqa: E402
from g2g_opt.metrics.performance import compute_performance_stats  # noqa: E402
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats  # noqa: E402

POWER_FACTOR_MAX = 0.999999  # the peer caps every power factor here


def build(folder: Path, tolerance: float) -> tuple[dict[str, Any], Coordinator[Any, Any], OpenDSSGrid, dict[str, Any]]:
    """The case's inputs and our live components."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    dt_s, control_dt_s = Fraction(case["dt_s"]), Fraction(case["control_dt_s"])
    specs = {label: spec_of(label, model) for label, model in case["models"].items()}
    fits = {
        kind: {label: LogisticModel(**model["logistic"][kind]) for label, model in case["models"].items()}
        for kind in ("power_w", "itl_s", "throughput_tps")
    }
    store = LogisticModelStore(power=fits["power_w"], latency=fits["itl_s"], throughput=fits["throughput_tps"])
    grid = OpenDSSGrid(
        dss_case_dir=folder,
        dss_master_file=case["master_file"],
        dt_s=dt_s,
        source_pu=case["source_pu"],
        initial_tap_position=TapPosition(regulators=case["initial_taps"]),
        exclude_buses=case["exclude_buses"],
        constant_power_window_pu=tuple(case["dc_constant_power_window_pu"]),
        tolerance=tolerance,
        unserved="record",
    )
    sites = {site["name"]: site_of(site, case, specs, dt_s) for site in case["sites"]}
    for site in case["sites"]:
        grid.attach_dc(sites[site["name"]], bus=site["bus"], power_factor=case["power_factor"]["datacenter"])
    profiles = np.loadtxt(folder / "profiles.csv", delimiter=",", skiprows=1, ndmin=2)
    for i, generator in enumerate(case["generators"]):
        power_factor = min(case["power_factor"]["generator"], POWER_FACTOR_MAX)
        profile = SampledGenerator(profiles[:, 0], profiles[:, 1 + i])
        grid.attach_generator(profile, bus=generator["bus"], power_factor=power_factor)
    (entry,) = case["controllers"]
    controllers = [
        OFOBatchSizeController(
            tuple(specs[label] for label in site["deployments"]),
            sites[site["name"]],
            grid,
            store,
            OFOConfig(**entry["config"]),
            control_dt_s,
            {label: deployment["batch"] for label, deployment in site["deployments"].items()},
        )
        for site in case["sites"]
    ]
    coordinator: Coordinator[Any, Any] = Coordinator(
        datacenters=list(sites.values()), grid=grid, controllers=controllers, total_duration_s=case["duration_s"]
    )
    return case, coordinator, grid, sites


def spec_of(label: str, model: dict[str, Any]) -> InferenceModelSpec:
    return InferenceModelSpec(
        model_label=label,
        model_id=f"benchmark/{label}",
        gpu_model="H100",
        task="benchmark",
        gpus_per_replica=model["gpus_per_replica"],
        itl_deadline_s=model["itl_deadline_s"],
        batch_sizes=tuple(int(b) for b in model["points"]),
        feasible_batch_sizes=tuple(model["feasible_batch_sizes"]),
    )


def site_of(
    site: dict[str, Any], case: dict[str, Any], specs: dict[str, InferenceModelSpec], dt_s: Fraction
) -> OfflineDatacenter:
    schedules = {}
    for label, deployment in site["deployments"].items():
        schedule = ReplicaSchedule(initial=deployment["replicas"])
        for ramp in deployment["ramps"]:
            schedule = schedule.ramp_to(ramp["target"], t_start=ramp["t_start"], t_end=ramp["t_end"])
        schedules[label] = schedule
    points = {label: case["models"][label]["points"] for label in site["deployments"]}
    data = InferenceData.constant(
        [specs[label] for label in site["deployments"]],
        {label: {int(b): p["power_w_per_gpu"] for b, p in rows.items()} for label, rows in points.items()},
        {label: {int(b): p["itl_s"] for b, p in rows.items()} for label, rows in points.items()},
    )
    start = {label: deployment["batch"] for label, deployment in site["deployments"].items()}
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=8, base_kw_per_phase=site["base_kw_per_phase"]),
        OfflineWorkload(data, schedules, start),
        name=site["name"],
        dt_s=dt_s,
        total_gpu_capacity=site["gpu_capacity"],
    )


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
        tan_phi += [np.tan(np.arccos(min(case["power_factor"]["generator"], POWER_FACTOR_MAX)))] * 3
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
    case, coordinator, _, _ = build(options.folder, options.tolerance)
    built_s = time.process_time()
    log = coordinator.run()
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
