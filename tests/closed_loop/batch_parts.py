"""Sites, grids and controllers of small runs that exercise one thing each, for comparing engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from g2g_opt.controller.base import Controller
from g2g_opt.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController, RuleBasedConfig
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import DatacenterConfig, PowerAugmentationConfig, ReplicaSchedule, TrainingSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid

SMALL, LARGE = (measured_spec(name, gpu="H100") for name in ("llama-3.1-8b", "llama-3.1-70b"))
SPECS = (SMALL, LARGE)
LABELS = (SMALL.model_label, LARGE.model_label)
CURVES = LogisticModelStore.ensure(None, SPECS)
# Rippled power and drawn latency; flat power and fixed latency; flat power and no latency at all.
MEASURED = InferenceData.ensure(None, SPECS, dt_s=1)
_POWER = {spec.model_label: {b: 200.0 + 40.0 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS}
_ITL = {spec.model_label: {b: 0.02 + 0.008 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS}
FLAT = InferenceData.constant(SPECS, _POWER, _ITL)
SILENT = InferenceData.constant(SPECS, _POWER)

# Voltages (pu) that the runs here leave on both sides, so that controllers have something to do.
BAND = {"v_min": 1.0, "v_max": 1.04}

Rig = Callable[[OpenDSSGrid, Mapping[str, OfflineDatacenter]], Sequence[Controller[Any, Any]]]


def site(
    name: str,
    replicas: tuple[int | ReplicaSchedule, int | ReplicaSchedule] = (600, 150),
    *,
    batch: tuple[int, int] = (128, 128),
    data: InferenceData = MEASURED,
    noise: float = 0.01,
    base_kw: float = 200.0,
    spare_gpus: int = 160,
    training: TrainingSchedule | None = None,
    dt_s: Fraction = Fraction(1),
    seed: int = 3,
) -> OfflineDatacenter:
    """A site that runs both models."""
    schedules = [n if isinstance(n, ReplicaSchedule) else ReplicaSchedule(n) for n in replicas]
    gpus = sum(s.max_count() * spec.gpus_per_replica for s, spec in zip(schedules, SPECS, strict=True))
    return OfflineDatacenter(
        DatacenterConfig(base_kw_per_phase=base_kw),
        OfflineWorkload(
            data,
            dict(zip(LABELS, schedules, strict=True)),
            dict(zip(LABELS, batch, strict=True)),
            training or TrainingSchedule(),
        ),
        name=name,
        dt_s=dt_s,
        total_gpu_capacity=-(-gpus // 8) * 8 + spare_gpus,
        seed=seed,
        power_augmentation=PowerAugmentationConfig((0.95, 1.05), noise),
    )


def loop(
    sites: Mapping[str, OfflineDatacenter],
    rig: Rig = lambda grid, sites: [],
    *,
    feeder: Feeder | str = "ieee13",
    duration_s: float = 40,
    dt_s: Fraction = Fraction(1),
    attach: Callable[[OpenDSSGrid], object] = lambda grid: None,
    site_options: Mapping[str, Any] | None = None,
    **grid_options: Any,
) -> Coordinator[Any, Any]:
    """Sites by bus on a tightly solved grid, with the controllers that `rig` makes of grid and sites by bus."""
    grid = OpenDSSGrid(feeder=feeder, dt_s=dt_s, **{"tolerance": 1e-10, "max_iterations": 300} | grid_options)
    for bus, dc in sites.items():
        grid.attach_dc(dc, bus=bus, **(site_options or {}))
    attach(grid)
    return Coordinator(
        datacenters=list(sites.values()), grid=grid, controllers=rig(grid, sites), total_duration_s=duration_s
    )


def ofo(
    grid: OpenDSSGrid, dc: OfflineDatacenter, dt_s: Fraction = Fraction(1), **config: Any
) -> OFOBatchSizeController:
    start = dc.workload.initial_batch_sizes
    tuning = {"primal_step_size": 0.1, "voltage_dual_step_size": 1.0, "w_throughput": 0.001} | BAND | config
    return OFOBatchSizeController(SPECS, dc, grid, CURVES, OFOConfig(**tuning), dt_s, start)


def droop(
    grid: OpenDSSGrid, dc: OfflineDatacenter, dt_s: Fraction = Fraction(1), **options: Any
) -> RuleBasedBatchSizeController:
    buses = {name: options.pop(name) for name in ("zone_buses", "exclude_buses") if name in options}
    start = dc.workload.initial_batch_sizes
    config = RuleBasedConfig(**BAND | options)
    return RuleBasedBatchSizeController(
        SPECS, datacenter=dc, grid=grid, config=config, dt_s=dt_s, initial_batch_sizes=start, **buses
    )
