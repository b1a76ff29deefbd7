"""What the tests of controllers share: a site and a grid that show what they are told, and one that runs steadily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.events import EventEmitter
from g2g_opt.feeder import Feeder
from g2g_opt.tap_position import TapPosition


class _Nowhere:
    def emit(self, event: object) -> None:
        pass


def clock_at(time_s: float) -> SimulationClock:
    clock = SimulationClock(Fraction(1))
    while clock.time_s < time_s:
        clock.advance()
    return clock


EVENTS = EventEmitter(SimulationClock(Fraction(1)), _Nowhere(), "controller")


class ToldSite(LLMBatchSizeControlledDatacenter[LLMDatacenterState]):
    """A site that shows what the test tells it to."""

    def __init__(self, batch: dict[str, int], itl_s: dict[str, float], replicas: dict[str, int] | None = None) -> None:
        super().__init__(name="told")
        self.shares = {label: np.array([0.5, 0.3, 0.2]) for label in batch}
        self.show(batch, itl_s, replicas)

    def show(self, batch: dict[str, int], itl_s: dict[str, float], replicas: dict[str, int] | None = None) -> None:
        each = replicas or dict.fromkeys(batch, 10)
        self._states = [LLMDatacenterState(0.0, ThreePhase(0.0, 0.0, 0.0), dict(batch), dict(each), dict(itl_s))]

    @property
    def dt_s(self) -> Fraction:
        return Fraction(1)

    def reset(self) -> None:
        pass

    def step(self, clock: Any, events: Any) -> LLMDatacenterState:
        raise AssertionError

    def apply_control(self, command: Any, events: Any) -> None:
        raise AssertionError

    @property
    def phase_share_by_model(self) -> Mapping[str, Any]:
        return self.shares


class ToldGrid:
    """Voltages the test sets, at nodes 671.1, 671.2, 675.1 and 680.3 of the 13-bus feeder."""

    v_index = (("671", 1), ("671", 2), ("675", 1), ("680", 3))

    def __init__(self, *volts: float, feeder: str = "ieee13") -> None:
        self.feeder = Feeder.load(feeder)
        self.volts = np.array(volts)
        self.measured: list[float] = []
        self.slopes = np.zeros((4, 3))
        self.tap_position: TapPosition | None = None

    def voltages_vector(self) -> np.ndarray:
        return self.volts

    def estimate_sensitivity(self, perturbation_kw: float, dc: Any = None) -> tuple[np.ndarray, np.ndarray]:
        self.measured.append(perturbation_kw)
        return self.slopes, self.volts


def sent_at(controller: Any, times: Sequence[float]) -> dict[float, list[Any]]:
    clock, sent = SimulationClock(Fraction(1, 2)), {}
    while clock.time_s <= max(times):
        commands = controller.step(clock, EVENTS)
        if commands:
            sent[clock.time_s] = commands
        clock.advance()
    return sent


TWO_SIZES = (8, 16)


def steady_site(
    name: str, replicas: dict[str, int], batch: int = 8, gpus: int = 1000, each_w: float = 1000.0
) -> OfflineDatacenter:
    labels = sorted(replicas)
    specs = [
        InferenceModelSpec(
            model_label=label,
            model_id="x",
            gpu_model="H100",
            task="t",
            itl_deadline_s=0.1,
            batch_sizes=TWO_SIZES,
            gpus_per_replica=8 if label != "small" else 4,
        )
        for label in labels
    ]
    data = InferenceData.constant(
        specs,
        {label: {8: each_w, 16: 1.3 * each_w} for label in labels},
        {label: {8: 0.05, 16: 0.07} for label in labels},
    )
    schedules = {label: ReplicaSchedule(n) for label, n in replicas.items()}
    return OfflineDatacenter(
        DatacenterConfig(),
        OfflineWorkload(data, schedules, dict.fromkeys(labels, batch)),
        name=name,
        dt_s=Fraction(1),
        total_gpu_capacity=gpus,
    )
