"""The peer's side of `closed_loop_vs_openg2g.py`: OpenG2G on the same case folder, through its public classes.

Runs under an interpreter that has `openg2g[opendss]` and imports nothing of ours. Where the peer has a choice, it is
given the cheaper one: latencies are fixed (a mixture of zero variance), so they are drawn once per model and step
from the normal approximation, not replica by replica.
"""

from __future__ import annotations

import time

STARTED_S = time.process_time()

import argparse  # noqa: E402 - the clock starts before what it measures
import json  # noqa: E402
from fractions import Fraction  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from mlenergy.data.modeling import ITLMixtureModel, LogisticModel  # noqa: E402
from openg2g.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig  # noqa: E402
from openg2g.coordinator import Coordinator  # noqa: E402
from openg2g.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule  # noqa: E402
from openg2g.datacenter.offline import OfflineDatacenter, OfflineWorkload  # noqa: E402
from openg2g.datacenter.workloads.inference import InferenceData, InferenceTemplateStore, ITLFitStore  # noqa: E402
from openg2g.grid.config import TapPosition  # noqa: E402
from openg2g.grid.generator import CSVProfileGenerator  # noqa: E402
from openg2g.grid.opendss import OpenDSSGrid  # noqa: E402
from openg2g.metrics.performance import compute_performance_stats  # noqa: E402
from openg2g.metrics.voltage import compute_allbus_voltage_stats  # noqa: E402


def build(folder: Path) -> tuple[dict[str, Any], Coordinator[Any, Any]]:
    """The case's inputs and the peer's live components."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    if tuple(case["dc_constant_power_window_pu"]) != (0.95, 1.05):
        raise SystemExit("the peer's loads keep OpenDSS's constant-power window of 0.95 to 1.05 pu")
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
    )
    sites = {site["name"]: site_of(site, case, specs, dt_s) for site in case["sites"]}
    for site in case["sites"]:
        grid.attach_dc(sites[site["name"]], bus=site["bus"], power_factor=case["power_factor"]["datacenter"])
    profiles = np.loadtxt(folder / "profiles.csv", delimiter=",", skiprows=1, ndmin=2)
    for i, generator in enumerate(case["generators"]):
        path = folder / f"openg2g_generator_{i}.csv"
        np.savetxt(path, profiles[:, [0, 1 + i]], delimiter=",", header="time_s,power_kw", fmt="%.17g")
        power_factor = case["power_factor"]["generator"]
        grid.attach_generator(CSVProfileGenerator(path), bus=generator["bus"], power_factor=power_factor)
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
    return case, coordinator


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
    flat = {
        (label, int(b)): np.array([point["power_w_per_gpu"]])
        for label, rows in points.items()
        for b, point in rows.items()
    }
    templates = InferenceTemplateStore(flat, {label: [int(b) for b in rows] for label, rows in points.items()})
    itl = {label: {int(b): fixed_latency(p["itl_s"]) for b, p in rows.items()} for label, rows in points.items()}
    data = InferenceData(
        tuple(specs[label] for label in site["deployments"]),
        power_templates=templates,
        itl_fits=ITLFitStore(itl, approx_sampling_thresh=0),
    )
    start = {label: deployment["batch"] for label, deployment in site["deployments"].items()}
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=8, base_kw_per_phase=site["base_kw_per_phase"]),
        OfflineWorkload(data, schedules, start),
        name=site["name"],
        dt_s=dt_s,
        total_gpu_capacity=site["gpu_capacity"],
    )


def fixed_latency(itl_s: float) -> ITLMixtureModel:
    """A mixture that is `itl_s` with variance exactly 0: an offset plus log-normals of scale 0."""
    return ITLMixtureModel(
        loc=itl_s, pi_steady=1.0, sigma_steady=0.0, scale_steady=0.0, pi_stall=0.0, sigma_stall=0.0, scale_stall=0.0
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

    def batches(state: Any) -> dict[str, int]:
        return {label: int(batch) for label, batch in sorted(state.batch_size_by_model.items())}

    changes = 0
    for states in records.values():
        before = states[0].batch_size_by_model
        for state in states:
            now = state.batch_size_by_model
            changes += sum(now[label] != before[label] for label in now) if now != before else 0
            before = now
    return {
        "violation_time_s": voltage.violation_time_s,
        "integral_violation_pu_s": voltage.integral_violation_pu_s,
        "worst_vmin_pu": voltage.worst_vmin,
        "worst_vmax_pu": voltage.worst_vmax,
        "mean_throughput_tps": service.mean_throughput_tps,
        "n_power_flows": len(log.grid_states),
        "n_batch_changes": changes,
        "final_batch": {name: batches(states[-1]) for name, states in records.items()},
        "batch_by_minute": [
            [list(batches(states[step]).values()) for states in records.values()]
            for step in range(0, len(log.grid_states), steps_per_minute)
        ],
    }


def main() -> None:
    imports_s = time.process_time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    case, coordinator = build(options.folder)
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
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
