"""Builds a run of ours from the inputs of a recorded case (`case.json`, `profiles.csv`)."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from g2g_opt.controller.base import Controller
from g2g_opt.controller.load_shift import LoadShiftConfig, LoadShiftController
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ofo import OFOBatchSizeController, OFOConfig
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController, RuleBasedConfig
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.grid.generator import SampledGenerator
from g2g_opt.grid.load import SampledLoad
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition, TapSchedule

CASES = Path(__file__).parent / "openg2g"

# The recorder caps every power factor here, so that a generator "at unity" injects 0.14 % of its kW as kvar.
RECORDER_POWER_FACTOR_MAX = 0.999999


def case_names() -> list[str]:
    """Every folder with a case in it."""
    return sorted(path.parent.name for path in CASES.glob("*/case.json"))


@dataclass
class Case:
    """A recorded case, and the live components of our run of it."""

    inputs: dict[str, Any]
    coordinator: Coordinator[Any, Any]
    grid: OpenDSSGrid
    sites: dict[str, OfflineDatacenter]
    specs: dict[str, InferenceModelSpec]


def read_columns(case: str | Path, file: str) -> dict[str, np.ndarray]:
    """Columns of a CSV file, gzipped or not, of a case (its name, or its folder)."""
    path = CASES / case / file
    with path.open("rb") if path.exists() else gzip.open(path.with_name(file + ".gz"), "rb") as stream:
        header = stream.readline().decode().strip().split(",")
        table = np.loadtxt(stream, delimiter=",", ndmin=2)
    return dict(zip(header, table.T, strict=True))


def build_case(
    case: str | Path, *, dt_s: Fraction = Fraction(1), control_dt_s: Fraction = Fraction(1), **grid_options: Any
) -> Case:
    """The case (its name, or its folder) as recorded: OpenDSS at its default tolerance unless `grid_options` says
    otherwise; they may name another master file, too.
    """
    inputs = json.loads((CASES / case / "case.json").read_text(encoding="utf-8"))
    specs = {
        label: InferenceModelSpec(
            model_label=label,
            model_id=f"reference/{label}",
            gpu_model="H100",
            task="reference",
            gpus_per_replica=model["gpus_per_replica"],
            itl_deadline_s=model["itl_deadline_s"],
            batch_sizes=tuple(int(b) for b in model["points"]),
            feasible_batch_sizes=tuple(model["feasible_batch_sizes"]),
        )
        for label, model in inputs["models"].items()
    }
    curves = {
        kind: {label: LogisticModel(**model["logistic"][kind]) for label, model in inputs["models"].items()}
        for kind in ("power_w", "itl_s", "throughput_tps")
    }
    store = LogisticModelStore(power=curves["power_w"], latency=curves["itl_s"], throughput=curves["throughput_tps"])
    options: dict[str, Any] = {"tolerance": 1e-4, "unserved": "record", "enforce_tap_range": False} | grid_options
    if "dss_case_dir" not in options:
        options["feeder"] = inputs["feeder"]
    grid = OpenDSSGrid(
        dt_s=dt_s,
        source_pu=inputs["source_pu"],
        initial_tap_position=TapPosition(regulators=inputs["initial_taps"]),
        exclude_buses=inputs["exclude_buses"],
        constant_power_window_pu=tuple(inputs["dc_constant_power_window_pu"]),
        **options,
    )
    sites = {site["name"]: _site(site, inputs, specs, dt_s) for site in inputs["sites"]}
    for site in inputs["sites"]:
        grid.attach_dc(sites[site["name"]], bus=site["bus"], power_factor=inputs["power_factor"]["datacenter"])
    profiles = read_columns(case, "profiles.csv")
    for i, generator in enumerate(inputs.get("generators", [])):
        profile = SampledGenerator(profiles["time_s"], profiles[f"gen{i}_kw_per_phase"])
        power_factor = min(inputs["power_factor"]["generator"], RECORDER_POWER_FACTOR_MAX)
        grid.attach_generator(profile, bus=generator["bus"], power_factor=power_factor)
    for i, load in enumerate(inputs.get("loads", [])):
        profile_load = SampledLoad(profiles["time_s"], profiles[f"load{i}_kw_per_phase"])
        grid.attach_load(profile_load, bus=load["bus"], power_factor=inputs["power_factor"]["load"])
    controllers = [
        c
        for entry in inputs["controllers"]
        for c in _controllers(entry, inputs, specs, sites, grid, store, control_dt_s)
    ]
    coordinator = Coordinator(
        datacenters=list(sites.values()), grid=grid, controllers=controllers, total_duration_s=inputs["duration_s"]
    )
    return Case(inputs, coordinator, grid, sites, specs)


def _site(
    site: dict[str, Any], inputs: dict[str, Any], specs: dict[str, InferenceModelSpec], dt_s: Fraction
) -> OfflineDatacenter:
    models = [specs[label] for label in site["deployments"]]
    points = {label: inputs["models"][label]["points"] for label in site["deployments"]}
    schedules = {}
    for label, deployment in site["deployments"].items():
        schedule = ReplicaSchedule(initial=deployment["replicas"])
        for ramp in deployment["ramps"]:
            schedule = schedule.ramp_to(ramp["target"], t_start=ramp["t_start"], t_end=ramp["t_end"])
        schedules[label] = schedule
    data = InferenceData.constant(
        models,
        {label: {int(b): p["power_w_per_gpu"] for b, p in rows.items()} for label, rows in points.items()},
        {label: {int(b): p["itl_s"] for b, p in rows.items()} for label, rows in points.items()},
    )
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=8, base_kw_per_phase=site["base_kw_per_phase"]),
        OfflineWorkload(data, schedules, {label: d["batch"] for label, d in site["deployments"].items()}),
        name=site["name"],
        dt_s=dt_s,
        total_gpu_capacity=site["gpu_capacity"],
    )


def _controllers(
    entry: dict[str, Any],
    inputs: dict[str, Any],
    specs: dict[str, InferenceModelSpec],
    sites: dict[str, OfflineDatacenter],
    grid: OpenDSSGrid,
    store: LogisticModelStore,
    dt_s: Fraction,
) -> list[Controller[Any, Any]]:
    kind, config = entry["kind"], entry.get("config", {})
    if kind == "noop":
        return [NoopController(dt_s)]
    if kind == "tap_schedule":
        schedule = TapSchedule(tuple((e["t"], TapPosition(regulators=e["taps"])) for e in entry["entries"]))
        return [TapScheduleController(schedule=schedule, dt_s=dt_s)]
    if kind == "load_shift":
        return [
            LoadShiftController(
                config=LoadShiftConfig(enabled=True, gpus_per_shift=config.get("gpus_per_shift", 8)),
                dt_s=dt_s,
                datacenters=list(sites.values()),
                grid=grid,
                models_by_dc={sites[s["name"]]: list(s["deployments"]) for s in inputs["sites"]},
                gpus_per_replica_by_model={label: spec.gpus_per_replica for label, spec in specs.items()},
                feasible_batch_sizes_by_model={label: spec.feasible_batch_sizes for label, spec in specs.items()},
            )
        ]
    per_site: list[Controller[Any, Any]] = []
    for site in inputs["sites"]:
        models = [specs[label] for label in site["deployments"]]
        start = {label: d["batch"] for label, d in site["deployments"].items()}
        datacenter = sites[site["name"]]
        if kind == "ofo":
            per_site.append(OFOBatchSizeController(models, datacenter, grid, store, OFOConfig(**config), dt_s, start))
        elif kind == "droop":
            per_site.append(
                RuleBasedBatchSizeController(
                    models,
                    datacenter=datacenter,
                    grid=grid,
                    config=RuleBasedConfig(**config),
                    dt_s=dt_s,
                    exclude_buses=[b for b in inputs["exclude_buses"] if b in grid.feeder.buses],
                    initial_batch_sizes=start,
                )
            )
        else:
            raise ValueError(f"no controller of kind {kind!r} is known here")
    return per_site
