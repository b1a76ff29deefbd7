"""What the tests of the loop share: a site that follows a set-point, a two-line grid, controllers that only send; and
a loop of real parts with two made-up models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.base import Controller
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    InferenceModelSpec,
    PowerAugmentationConfig,
    ReplicaSchedule,
)
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import BusVoltages, GridBackend, GridState, PhaseVoltages
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid

Diary = list[tuple[str, float]]
TENTH, ONE, FIVE = Fraction(1, 10), Fraction(1), Fraction(5)


# --- components written here: a site that follows a set-point, a two-line grid, and controllers that only send


@dataclass(frozen=True)
class SetPower(DatacenterCommand):
    power_kw: float
    target: DatacenterBackend[Any]


@dataclass(frozen=True)
class SetSource(GridCommand):
    source_pu: float


class Part:
    """What the components here share: a period, a diary of what happened, and failures on request."""

    def __init__(self, label: str, dt_s: Fraction, diary: Diary | None) -> None:
        self.label, self._dt_s = label, dt_s
        self.diary: Diary = [] if diary is None else diary
        self.fails_in = ""

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def note(self, what: str, time_s: float = -1.0) -> None:
        self.diary.append((f"{self.label} {what}", time_s))
        if what == self.fails_in:
            raise OSError(f"{self.label} fails in {what}")

    def start(self) -> None:
        self.note("start")

    def stop(self) -> None:
        self.note("stop")


class SetPointSite(Part, DatacenterBackend[DatacenterState]):
    """Draws what it was last told, equally on the phases."""

    def __init__(self, name: str = "dc", dt_s: Fraction = ONE, diary: Diary | None = None, kw: float = 100.0) -> None:
        Part.__init__(self, name, dt_s, diary)
        DatacenterBackend.__init__(self, name=name)
        self._start_kw = kw
        self.reset()

    def reset(self) -> None:
        self.power_kw = self._start_kw

    def step(self, clock: SimulationClock, events: EventEmitter) -> DatacenterState:
        self.note("step", clock.time_s)
        events.emit("site.stepped", {"power_kw": self.power_kw})
        return DatacenterState(clock.time_s, ThreePhase(*[self.power_kw * 1e3 / 3] * 3))

    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        assert isinstance(command, SetPower)
        self.note("command")
        self.power_kw = command.power_kw
        events.emit("site.told", {"power_kw": command.power_kw})


class TwoLineGrid(Part, GridBackend[GridState]):
    """v = source - 1e-4 pu per kW, the same at both buses but for one that hangs twice as far away."""

    def __init__(self, dt_s: Fraction = ONE, diary: Diary | None = None) -> None:
        super().__init__("grid", dt_s, diary)
        GridBackend.__init__(self)
        self.reset()

    def reset(self) -> None:
        self.source_pu = 1.0
        self.latest_w: dict[DatacenterBackend[Any], ThreePhase] = {}
        self.sample_counts: list[dict[str, int]] = []

    def step(
        self,
        clock: SimulationClock,
        power_samples_w: Mapping[DatacenterBackend[Any], Sequence[ThreePhase]],
        events: EventEmitter,
    ) -> GridState:
        self.note("step", clock.time_s)
        self.sample_counts.append({dc.name: len(samples) for dc, samples in power_samples_w.items()})
        self.latest_w |= {dc: samples[-1] for dc, samples in power_samples_w.items() if samples}
        kw = np.sum([list(w) for w in self.latest_w.values()], axis=0) / 1e3
        near, far = self.source_pu - 1e-4 * kw, self.source_pu - 2e-4 * kw
        return GridState(clock.time_s, BusVoltages({"near": PhaseVoltages(*near), "far": PhaseVoltages(*far)}))

    def apply_control(self, command: GridCommand, events: EventEmitter) -> None:
        assert isinstance(command, SetSource)
        self.note("command")
        self.source_pu = command.source_pu


class Sender(Part, Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Sends what `decide(time_s)` returns."""

    def __init__(
        self,
        decide: Callable[[float], list[Any]] = lambda time_s: [],
        dt_s: Fraction = ONE,
        diary: Diary | None = None,
        label: str = "control",
    ) -> None:
        super().__init__(label, dt_s, diary)
        self.decide = decide

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        self.note("step", clock.time_s)
        return self.decide(clock.time_s)


def at(time_s: float, *commands: Any) -> Callable[[float], list[Any]]:
    return lambda now_s: list(commands) if now_s == time_s else []


def loop(
    total_duration_s: float | Fraction,
    *,
    dc_dt_s: Fraction = ONE,
    grid_dt_s: Fraction = ONE,
    control_dt_s: Fraction = ONE,
    decide: Callable[[SetPointSite], Callable[[float], list[Any]]] = lambda site: lambda time_s: [],
) -> tuple[Coordinator[DatacenterState, GridState], Diary]:
    diary: Diary = []
    site = SetPointSite(dt_s=dc_dt_s, diary=diary)
    coordinator = Coordinator(
        datacenters=[site],
        grid=TwoLineGrid(grid_dt_s, diary),
        controllers=[Sender(decide(site), control_dt_s, diary)],
        total_duration_s=total_duration_s,
    )
    return coordinator, diary


def steps(diary: Diary) -> Diary:
    return [(what, time_s) for what, time_s in diary if what.endswith(" step")]


def power_kw(log: Any) -> list[float]:
    return [state.power_w.total / 1e3 for state in log.dc_states]


# --- a loop of real parts: an offline datacenter with two made-up models on the 13-bus feeder

SPECS = tuple(
    InferenceModelSpec(
        model_label=label,
        model_id=label,
        gpu_model="H100",
        task="made up",
        gpus_per_replica=gpus,
        itl_deadline_s=0.06,
        batch_sizes=(8, 16, 32, 64, 128),
    )
    for label, gpus in (("small", 1), ("large", 8))
)
DATA = InferenceData.constant(
    SPECS,
    {spec.model_label: {b: 250.0 + 80.0 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS},
    {spec.model_label: {b: 0.02 + 0.008 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS},
)


def offline_site(cls: type[OfflineDatacenter] = OfflineDatacenter, dt_s: Fraction = TENTH) -> OfflineDatacenter:
    return cls(
        DatacenterConfig(base_kw_per_phase=1000.0),
        OfflineWorkload(
            DATA,
            {
                "small": ReplicaSchedule(initial=800).ramp_to(1600, t_start=10.0, t_end=20.0),
                "large": ReplicaSchedule(initial=200),
            },
            {"small": 64, "large": 64},
        ),
        name="dc",
        dt_s=dt_s,
        total_gpu_capacity=3600,
        seed=11,
        power_augmentation=PowerAugmentationConfig((0.9, 1.1), 0.05),
    )


def closed_loop(kind: str, site: OfflineDatacenter | None = None, duration_s: int = 40) -> Coordinator[Any, Any]:
    dc = site or offline_site()
    grid = OpenDSSGrid(feeder="ieee13", dt_s=TENTH)
    grid.attach_dc(dc, bus="671")
    controllers: list[Controller[Any, Any]] = [NoopController()]
    if kind == "droop":
        controllers = [
            RuleBasedBatchSizeController(
                SPECS, datacenter=dc, grid=grid, initial_batch_sizes=dc.workload.initial_batch_sizes
            )
        ]
    if kind == "ofo":
        heights = (400.0, 0.05, 2000.0)  # of power (W), latency (s) and throughput (tokens/s)
        curves = [LogisticModel(b0=0.0, L=height, k=1.0, x0=5.0) for height in heights]
        fits = LogisticModelStore(*(dict.fromkeys(("small", "large"), curve) for curve in curves))
        config = OFOConfig(sensitivity_update_interval=7, w_throughput=1e-3)
        controllers = [OFOBatchSizeController(SPECS, dc, grid, fits, config)]
    return Coordinator(datacenters=[dc], grid=grid, controllers=controllers, total_duration_s=duration_s)


def arrays(coordinator: Coordinator[Any, Any]) -> dict[str, np.ndarray]:
    site, grid = coordinator.datacenters[0], coordinator.grid
    assert isinstance(site, OfflineDatacenter)
    assert isinstance(grid, OpenDSSGrid)
    names = ("time_s", "power_w", "power_by_model_w", "batch_size", "replicas", "itl_s")
    found = {name: np.array(getattr(site.record, name)) for name in names}
    return found | {"grid_time_s": np.array(grid.record.time_s), "voltage_pu": np.array(grid.record.voltage_pu)}


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, name)
