"""A recorded case as closed-loop runs for the batch engine: run 0 is the case itself, the others are its neighbours.

Run k > 0 has every model's replicas scaled by up to 5 % and its ramps moved by up to 60 s either way, drawn from k.
What is shared, as in any study of one feeder: the feeder with its taps (so one set of factors), the standing
generators and loads, the power templates and latencies of each batch size. Nothing else is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.controller.ofo import OFOBatchSizeController, OFOConfig
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    InferenceModelSpec,
    PowerAugmentationConfig,
    ReplicaSchedule,
)
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.grid.generator import SampledGenerator
from g2g_opt.grid.load import SampledLoad
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition

SCALE, SHIFT_S = 0.05, 60  # how far neighbours are from the case
GPUS_PER_SERVER = 8
SERVER_SPREAD, SERVER_NOISE = 0.02, 0.005  # of `g2g_opt.scenario.Scenario`
GENERATOR_POWER_FACTOR_MAX = 0.999999  # the recorder's cap, as in the recorded cases
MEASURED_MODELS = {
    "Llama-3.1-8B": "Llama-3.1-8B-Instruct",
    "Llama-3.1-70B": "Llama-3.1-70B-Instruct",
    "Llama-3.1-405B": "Llama-3.1-405B-Instruct-FP8",
    "Qwen3-30B-A3B": "Qwen3-30B-A3B-Instruct-2507",
    "Qwen3-235B-A22B": "Qwen3-235B-A22B-Instruct-2507",
}


@dataclass(frozen=True)
class Kind:
    """What the runs are: how many sites of the case, with ripple, noise and drawn latencies or with flat power."""

    n_sites: int | None = None
    measured: bool = False
    record_loading: bool = False
    tolerance: float = 1e-6


@dataclass(frozen=True)
class _Models:
    """Of all runs: specs and curves of the models by label, and the power templates of each site."""

    specs: dict[str, InferenceModelSpec]
    curves: LogisticModelStore
    data: list[InferenceData]


def read_case(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """`case.json` and the columns of `profiles.csv`, gzipped or not, of a case's folder."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    path = next(path for path in (folder / "profiles.csv", folder / "profiles.csv.gz") if path.exists())
    table = np.genfromtxt(path, delimiter=",", names=True)
    return case, {name: table[name] for name in table.dtype.names or ()}


def closed_loops(
    case: dict[str, Any], profiles: dict[str, NDArray[np.float64]], members: Sequence[int], kind: Kind
) -> list[Coordinator[Any, Any]]:
    """Runs `members` of the case's family, each with one OFO controller per site."""
    sites = case["sites"][: kind.n_sites]
    feeder = Feeder.load(case["feeder"])
    models = _models(case, sites, kind)
    times = profiles["time_s"]
    attached = [
        ("generator", g["bus"], SampledGenerator(times, profiles[f"gen{i}_kw_per_phase"]))
        for i, g in enumerate(case.get("generators", []))
    ]
    attached += [
        ("load", entry["bus"], SampledLoad(times, profiles[f"load{i}_kw_per_phase"]))
        for i, entry in enumerate(case.get("loads", []))
    ]
    return [_closed_loop(case, sites, feeder, models, attached, k, kind) for k in members]


def _models(case: dict[str, Any], sites: list[dict[str, Any]], kind: Kind) -> _Models:
    labels = [label for label in case["models"] if any(label in site["deployments"] for site in sites)]
    entries = {label: case["models"][label] for label in labels}
    if kind.measured:
        specs = {
            label: measured_spec(
                MEASURED_MODELS[label], "H100", gpus_per_replica=entry["gpus_per_replica"], model_label=label
            )
            for label, entry in entries.items()
        }
        curves = LogisticModelStore.ensure(None, tuple(specs.values()))
        dt_s = Fraction(case["dt_s"])
        data = [InferenceData.ensure(None, [specs[label] for label in s["deployments"]], dt_s=dt_s) for s in sites]
        return _Models(specs, curves, data)
    specs = {
        label: InferenceModelSpec(
            model_label=label,
            model_id=f"benchmark/{label}",
            gpu_model="H100",
            task="benchmark",
            gpus_per_replica=entry["gpus_per_replica"],
            itl_deadline_s=entry["itl_deadline_s"],
            batch_sizes=tuple(int(b) for b in entry["points"]),
            feasible_batch_sizes=tuple(entry["feasible_batch_sizes"]),
        )
        for label, entry in entries.items()
    }
    fits = {
        name: {label: LogisticModel(**entry["logistic"][key]) for label, entry in entries.items()}
        for name, key in (("power", "power_w"), ("latency", "itl_s"), ("throughput", "throughput_tps"))
    }
    data = []
    for site in sites:
        points = {label: entries[label]["points"] for label in site["deployments"]}
        figures = [
            {label: {int(b): point[name] for b, point in rows.items()} for label, rows in points.items()}
            for name in ("power_w_per_gpu", "itl_s")
        ]
        data.append(InferenceData.constant([specs[label] for label in points], *figures))
    return _Models(specs, LogisticModelStore(**fits), data)


def _closed_loop(
    case: dict[str, Any],
    sites: list[dict[str, Any]],
    feeder: Feeder,
    models: _Models,
    attached: list[tuple[str, str, Any]],
    k: int,
    kind: Kind,
) -> Coordinator[Any, Any]:
    dt_s, control_dt_s = Fraction(case["dt_s"]), Fraction(case["control_dt_s"])
    grid = OpenDSSGrid(
        feeder=feeder,
        dt_s=dt_s,
        source_pu=case["source_pu"],
        initial_tap_position=TapPosition(regulators=case["initial_taps"]),
        exclude_buses=case["exclude_buses"],
        constant_power_window_pu=tuple(case["dc_constant_power_window_pu"]),
        tolerance=kind.tolerance,
        unserved="record",
        record_loading=kind.record_loading,
        enforce_tap_range=False,
    )
    draw = np.random.default_rng(k)
    datacenters = [_datacenter(s, data, dt_s, draw, k, kind) for s, data in zip(sites, models.data, strict=True)]
    for site, datacenter in zip(sites, datacenters, strict=True):
        grid.attach_dc(datacenter, bus=site["bus"], power_factor=case["power_factor"]["datacenter"])
    for what, bus, profile in attached:
        power_factor = min(case["power_factor"][what], GENERATOR_POWER_FACTOR_MAX)
        (grid.attach_generator if what == "generator" else grid.attach_load)(
            profile, bus=bus, power_factor=power_factor
        )
    (entry,) = case["controllers"]
    controllers = [
        OFOBatchSizeController(
            [models.specs[label] for label in site["deployments"]],
            datacenter,
            grid,
            models.curves,
            OFOConfig(**entry["config"]),
            control_dt_s,
            {label: d["batch"] for label, d in site["deployments"].items()},
        )
        for site, datacenter in zip(sites, datacenters, strict=True)
    ]
    return Coordinator(datacenters=datacenters, grid=grid, controllers=controllers, total_duration_s=case["duration_s"])


def _datacenter(
    site: dict[str, Any], data: InferenceData, dt_s: Fraction, draw: np.random.Generator, k: int, kind: Kind
) -> OfflineDatacenter:
    schedules = {}
    for label, deployment in site["deployments"].items():
        scale = 1.0 + SCALE * draw.uniform(-1.0, 1.0) if k else 1.0
        shift_s = int(draw.integers(-SHIFT_S, SHIFT_S + 1)) if k else 0
        schedule = ReplicaSchedule(initial=round(scale * deployment["replicas"]))
        for ramp in deployment["ramps"]:
            start, end = ramp["t_start"] + shift_s, ramp["t_end"] + shift_s
            schedule = schedule.ramp_to(round(scale * ramp["target"]), t_start=start, t_end=end)
        schedules[label] = schedule
    spread, noise = (SERVER_SPREAD, SERVER_NOISE) if kind.measured else (0.0, 0.0)
    # Room for the largest neighbour; the pool's size changes nothing else.
    capacity = GPUS_PER_SERVER * round(1.1 * site["gpu_capacity"] / GPUS_PER_SERVER)
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=GPUS_PER_SERVER, base_kw_per_phase=site["base_kw_per_phase"]),
        OfflineWorkload(data, schedules, {label: d["batch"] for label, d in site["deployments"].items()}),
        name=site["name"],
        dt_s=dt_s,
        total_gpu_capacity=capacity if k else site["gpu_capacity"],
        seed=k,
        power_augmentation=PowerAugmentationConfig((1.0 - spread, 1.0 + spread), noise),
    )
