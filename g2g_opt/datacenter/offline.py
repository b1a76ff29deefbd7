"""`OfflineDatacenter`: a site that replays measured power and latency at its batch sizes (equations, section 2)."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock, as_period
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.config import DatacenterConfig, PowerAugmentationConfig, ReplicaSchedule, TrainingSchedule
from g2g_opt.datacenter.demand import SiteDemand
from g2g_opt.datacenter.draws import StepDraws
from g2g_opt.datacenter.fleet import fleet_power_w
from g2g_opt.datacenter.layout import draw_server_pool
from g2g_opt.datacenter.record import OfflineDatacenterRecord, OfflineDatacenterState
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows are computed ahead in blocks, which double from the first to the second figure while no command comes in.
_BLOCK_STEPS_MIN, _BLOCK_STEPS_MAX = 16, 1024


@dataclass(frozen=True)
class OfflineWorkload:
    """What a site runs: inference data, a replica schedule per model label, start batch sizes, training runs.

    A model without a schedule has no replicas; one without a start batch size begins at its smallest feasible one.
    None is taken for no schedules, no start batch sizes and no training. Raises `InputError` for training that is no
    `TrainingSchedule`.
    """

    inference_data: InferenceData
    replica_schedules: Mapping[str, ReplicaSchedule] = field(default_factory=dict)
    initial_batch_sizes: Mapping[str, int] = field(default_factory=dict)
    training: TrainingSchedule = field(default_factory=TrainingSchedule)

    def __post_init__(self) -> None:
        # The types say what a finished workload holds, so that readers need no check.
        given: dict[str, Any] = dict(vars(self))
        for name in ("replica_schedules", "initial_batch_sizes"):
            if given[name] is None:
                object.__setattr__(self, name, {})
        if given["training"] is None:
            object.__setattr__(self, "training", TrainingSchedule())
        if not isinstance(self.training, TrainingSchedule):
            raise InputError(
                f"training is a TrainingSchedule (or None), got {type(given['training']).__name__}; a TrainingRun "
                "becomes one by run.at(t_start=..., t_end=...)"
            )


class OfflineDatacenter(LLMBatchSizeControlledDatacenter[OfflineDatacenterState]):
    """A datacenter of G GPUs in servers of g, on three phases; power consumption is positive, in W.

    All draws (server amplitudes and offsets, server noise, latency) are keyed by `(seed, scenario, name)`, the
    model and the step, so they do not depend on what a controller does or on other sites.

    Parameters: `datacenter` facility figures; `workload` what runs; `dt_s` period (s); `total_gpu_capacity` G;
    `power_augmentation` spread between servers and noise; `scenario` a name that keys the draws.

    Raises `InputError` if a schedule or batch size names an unknown model or an unmeasured batch size, or if the
    schedules need more GPUs or whole servers than the site has at any step.
    """

    def __init__(
        self,
        datacenter: DatacenterConfig,
        workload: OfflineWorkload,
        *,
        name: str,
        dt_s: Fraction,
        total_gpu_capacity: int,
        seed: int = 0,
        scenario: str = "",
        power_augmentation: PowerAugmentationConfig | None = None,
    ) -> None:
        super().__init__(name=name)
        if total_gpu_capacity <= 0:
            raise InputError(f"site {name!r}: total_gpu_capacity must be positive, got {total_gpu_capacity}")
        self.config = datacenter
        self.workload = workload
        self._dt_s = as_period(dt_s, f"site {name!r}")
        self._capacity = int(total_gpu_capacity)
        augmentation = power_augmentation or PowerAugmentationConfig()
        specs = sorted(workload.inference_data.models, key=lambda spec: spec.model_label)
        self._specs = {spec.model_label: spec for spec in specs}
        self._labels = tuple(self._specs)
        self._column = {label: i for i, label in enumerate(self._labels)}
        self._check_workload()
        n_servers = math.ceil(self._capacity / datacenter.gpus_per_server)
        pool = draw_server_pool(
            n_servers, datacenter.gpus_per_server, augmentation.amplitude_scale_range, seed, scenario, name
        )
        self.demand = SiteDemand(
            name,
            datacenter,
            self._specs,
            workload.replica_schedules,
            workload.training,
            pool,
            StepDraws(seed, scenario, name),
            augmentation.noise_fraction,
            self._dt_s,
        )
        self.demand.check_capacity(self._capacity)
        # Labels last asked for by `observe`, with their columns.
        self._observed: tuple[tuple[str, ...], Ints] = ((), np.empty(0, dtype=np.int64))
        # A subclass that replaces `step` gets it called; otherwise rows are read from the block.
        self._reads_block = type(self).step is OfflineDatacenter.step
        self.reset()

    # --- configuration and its checks

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    @property
    def model_labels(self) -> tuple[str, ...]:
        """Labels of the models served, in alphabetical order."""
        return self._labels

    @property
    def total_gpu_capacity(self) -> int:
        """GPUs the site can hold."""
        return self._capacity

    @property
    def start_batch_sizes(self) -> dict[str, int]:
        """Batch sizes that a run begins with, by model label."""
        return {label: self._initial_batch_size(label) for label in self._labels}

    def _check_workload(self) -> None:
        where = f"at site {self.name!r}"
        for label in (*self.workload.replica_schedules, *self.workload.initial_batch_sizes):
            if label not in self._specs:
                raise unknown_name("model", label, self._labels, where)
        for label, spec in self._specs.items():
            batch = self._initial_batch_size(label)
            measured = self.workload.inference_data.power_templates.batch_sizes(label)
            if batch not in measured:
                raise InputError(
                    f"start batch size {batch} of {spec.model_label!r} {where} has no power template; "
                    f"choose one of {sorted(measured)}"
                )

    def _initial_batch_size(self, label: str) -> int:
        return int(self.workload.initial_batch_sizes.get(label, self._specs[label].feasible_batch_sizes[0]))

    # --- the run

    def reset(self) -> None:
        self._record = OfflineDatacenterRecord(self._labels)
        self._batch = np.array([self._initial_batch_size(label) for label in self._labels], dtype=np.int32)
        self._replica_shift = np.zeros(len(self._labels), dtype=np.int64)
        self._filled = 0
        self._block_first = 0
        self._block_steps = _BLOCK_STEPS_MIN
        self._counts = np.zeros((0, len(self._labels), 3), dtype=np.int64)
        self._shares: tuple[bytes, dict[str, Floats]] = (b"", {})

    def advance(self, clock: SimulationClock, events: EventEmitter) -> None:
        if not self._reads_block:
            super().advance(clock, events)
            return
        self._advance(clock.time_s)

    def step(self, clock: SimulationClock, events: EventEmitter) -> OfflineDatacenterState:
        """One period on; returns the new state. Subclasses may call this and change what it returns."""
        self._advance(clock.time_s)
        return self._record[-1]

    def _advance(self, time_s: float) -> None:
        step = self._record.n_steps
        if step >= self._filled:
            self._fill(step, time_s)
        self._record.n_steps = step + 1

    @property
    def advances_in_blocks(self) -> bool:
        return self._reads_block

    def advance_block(self, time_s: float, n_steps: int) -> Floats:
        first = self._record.n_steps
        end = first + n_steps
        while self._filled < end:
            # The same blocks as in single steps, so that both ways give the same numbers to the last bit.
            start = max(self._filled, first)
            # What is asked for is worked out at once: no command can undo it.
            self._block_steps = max(self._block_steps, min(end - start, _BLOCK_STEPS_MAX))
            self._fill(start, time_s + (start - first) * float(self._dt_s))
        self._record.n_steps = end
        return self._record.power_w[first:end]

    @property
    def steps_ahead(self) -> int:
        # A subclass that shows something else is asked at every step.
        shown = type(self).observe, type(self).phase_share_by_model
        if shown != (OfflineDatacenter.observe, OfflineDatacenter.phase_share_by_model):
            return 1
        return (self._filled - self._record.n_steps) or self._block_steps

    def take_back(self, n_steps: int) -> None:
        self._record.n_steps -= n_steps

    def observe_block(self, labels: Sequence[str], n_steps: int) -> tuple[Ints, Floats, Ints]:
        end, columns = self._record.n_steps, self._columns_of(labels)
        steps, place = np.s_[end - n_steps : end], end - n_steps - self._block_first
        of_steps = self._counts[place : place + n_steps].take(columns, axis=1)
        return (*self._record.row_service(steps, columns), of_steps)

    def _fill(self, first: int, time_s: float) -> None:
        """Compute a block of rows from `first` (at `time_s`) with the present batch sizes and shifts."""
        n = self._block_steps
        self._block_steps = min(2 * n, _BLOCK_STEPS_MAX)
        stretch = self.demand.stretch(time_s, n, self._replica_shift)
        data = self.workload.inference_data
        templates = [
            data.power_templates.template(label, int(b)) for label, b in zip(self._labels, self._batch, strict=True)
        ]
        by_model, power = fleet_power_w(
            templates, stretch.servers, self.demand.pool, first, self.demand.noise_fraction, self.demand.noise(first, n)
        )
        itl_s = np.full(stretch.replicas.shape, np.nan)
        if data.itl_fits is not None:
            for model, label in enumerate(self._labels):
                mixture = data.itl_fits.distribution(label, int(self._batch[model]))
                itl_s[:, model] = self.demand.observed_itl_s(model, mixture, first, stretch.replicas[:, model])
        self._record.write(
            first,
            stretch.time_s,
            power + stretch.standing_w,
            by_model.sum(axis=2),
            self._batch,
            stretch.replicas,
            itl_s,
        )
        self._counts = stretch.servers
        self._block_first = first
        self._filled = first + n

    def _discard_look_ahead(self) -> None:
        self._filled = self._record.n_steps
        self._block_steps = _BLOCK_STEPS_MIN

    # --- commands

    @functools.singledispatchmethod
    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        """Take a command; raises `InputError` for a kind this site does not know or a value it cannot follow."""
        raise InputError(
            f"site {self.name!r} cannot follow {type(command).__name__}; it takes SetBatchSize and ShiftReplicas"
        )

    @apply_control.register
    def _apply_set_batch_size(self, command: SetBatchSize, events: EventEmitter) -> None:
        if command.ramp_up_rate_by_model:
            raise InputError(
                f"site {self.name!r} replays measured batch sizes and changes them at once; "
                "leave ramp_up_rate_by_model empty"
            )
        templates = self.workload.inference_data.power_templates
        changed = {}
        for label, batch in command.batch_size_by_model.items():
            if label not in self._column:
                raise unknown_name("model", label, self._labels, f"at site {self.name!r}")
            if batch not in templates.batch_sizes(label):
                raise InputError(
                    f"batch size {batch} of {label!r} has no power template; "
                    f"choose one of {sorted(templates.batch_sizes(label))}"
                )
            if self._batch[self._column[label]] != batch:
                changed[label] = int(batch)
        if not changed:
            return
        for label, batch in changed.items():
            self._batch[self._column[label]] = batch
        self._discard_look_ahead()
        events.emit("datacenter.batch_size.updated", {"site": self.name, "batch_size_by_model": changed})

    @apply_control.register
    def _apply_shift_replicas(self, command: ShiftReplicas, events: EventEmitter) -> None:
        label, delta = command.model_label, int(command.replica_delta)
        if label not in self._column:
            raise unknown_name("model", label, self._labels, f"at site {self.name!r}")
        gpus = delta * self._specs[label].gpus_per_replica
        if gpus > self.available_gpu_capacity():
            raise InputError(
                f"site {self.name!r} has {self.available_gpu_capacity()} free GPUs, not the {gpus} that {delta} "
                f"replicas of {label!r} need; check available_gpu_capacity() before shifting"
            )
        self._replica_shift[self._column[label]] += delta
        self._discard_look_ahead()
        events.emit("datacenter.replicas.shifted", {"site": self.name, "model_label": label, "replica_delta": delta})

    # --- what it shows

    @property
    def record(self) -> OfflineDatacenterRecord:
        """The run so far as arrays."""
        return self._record

    @property
    def state(self) -> OfflineDatacenterState | None:
        if not self._reads_block:
            return super().state
        return self._record[-1] if self._record.n_steps else None

    def history(self, n: int | None = None) -> Sequence[OfflineDatacenterState]:
        if not self._reads_block:
            return super().history(n)
        return self._record[:] if n is None else self._record[max(0, self._record.n_steps - n) :]

    def recorded_states(self) -> Sequence[OfflineDatacenterState]:
        return self._record if self._reads_block else super().recorded_states()

    @property
    def latest_power_w(self) -> Sequence[float]:
        if not self._reads_block:
            return super().latest_power_w
        if not self._record.n_steps:
            raise RuntimeError(f"datacenter {self.name!r} has not stepped yet")
        return self._record.row_power_w(self._record.n_steps - 1)  # type: ignore[return-value]

    def observe(self, labels: Sequence[str]) -> tuple[Ints, Floats]:
        """Active replicas and observed ITL (s) of the latest step, in the order of `labels`."""
        if not self._reads_block:
            return super().observe(labels)
        return self._record.row_service(self._record.n_steps - 1, self._columns_of(labels))

    def _columns_of(self, labels: Sequence[str]) -> Ints:
        """Columns of some models in the record."""
        key = tuple(labels)
        if key != self._observed[0]:
            if unknown := [label for label in labels if label not in self._column]:
                raise unknown_name("model", unknown[0], self._labels, f"at site {self.name!r}")
            self._observed = (key, np.array([self._column[label] for label in labels], dtype=np.int64))
        return self._observed[1]

    @property
    def commanded_batch_size_by_model(self) -> Mapping[str, int]:
        return dict(zip(self._labels, self._batch.tolist(), strict=True))

    @property
    def phase_share_by_model(self) -> Mapping[str, Floats]:
        step = self._record.n_steps - 1
        if step < 0:
            return {}
        counts = self._counts[step - self._block_first]
        key = counts.tobytes()
        if key != self._shares[0]:
            totals = counts.sum(axis=1)
            shares = {label: counts[i] / totals[i] for label, i in self._column.items() if totals[i] > 0}
            self._shares = (key, shares)
        return self._shares[1]

    def current_gpu_usage(self) -> int:
        """GPUs of all replicas that run now (before the first step: by the schedule at its start)."""
        demand = self.demand
        if self._record.n_steps:
            running = self._record.replicas[-1]
            pending = np.maximum(demand.scheduled_replicas(self._record.time_s[-1:])[0] + self._replica_shift, 0)
            running = np.maximum(running, pending)
        else:
            running = np.maximum(demand.scheduled_replicas(np.zeros(1))[0] + self._replica_shift, 0)
        return int(running @ demand.gpus_per_replica)

    def gpus_free_beside_schedule(self) -> int:
        """GPUs of whole servers that neither replicas, shifts commanded counted, nor any later ramp of the schedules
        needs: what can be shifted in and stay.
        """
        return self.demand.gpus_free_from(float(self._record.time_s[-1]), self._replica_shift)

    def available_gpu_capacity(self) -> int:
        """GPUs free for replicas shifted in, a shift already commanded counted."""
        return max(0, self._capacity - self.current_gpu_usage())
