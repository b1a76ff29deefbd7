"""`OnlineDatacenter`: a cluster that runs, in the place of a replayed one (hardware in the loop)."""

from __future__ import annotations

import functools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock, as_period
from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.cluster_link import (
    ClusterConnection,
    CommandPost,
    EndpointState,
    MetricsEndpoint,
    ToldOfExchange,
)
from g2g_opt.datacenter.cluster_metrics import PHASES
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec
from g2g_opt.datacenter.record import OfflineDatacenterRecord
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter

Floats = NDArray[np.float64]
PowerSource = Literal["unknown", "measured", "held", "rated"]
# Of several endpoints, the one that is known least well says what the power is.
_WORSE: tuple[PowerSource, ...] = get_args(PowerSource)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnlineDatacenterState(LLMDatacenterState):
    """State of a running cluster; besides an LLM datacenter's, that of each endpoint by its address, the age (s) of the
    oldest sample in use, and what the power is: "measured", "held" (stale or lost), "rated", or "unknown" (no sample
    yet: base load alone).
    """

    endpoints: dict[str, EndpointState] = field(default_factory=dict)
    age_s: float = 0.0
    power_source: PowerSource = "unknown"


class OnlineDatacenter(LLMBatchSizeControlledDatacenter[OnlineDatacenterState]):
    """Reads a running cluster and commands its batch sizes; each step shows the newest that has arrived.

    `specs` are the models that controllers know (a cluster names them by `model_id` or label), `start_batch_sizes`
    those in force before the first command, by label. `config.base_kw_per_phase` is added to what the GPUs draw.
    `speed` is how many seconds of the run pass in one of wall time (1 for anything real). `told` hears of every
    exchange.
    """

    def __init__(
        self,
        specs: Sequence[InferenceModelSpec],
        connection: ClusterConnection,
        *,
        name: str,
        dt_s: Fraction,
        start_batch_sizes: Mapping[str, int],
        config: DatacenterConfig | None = None,
        speed: float = 1.0,
        told: ToldOfExchange = lambda topic, number, began_s, ended_s: None,
    ) -> None:
        super().__init__(name=name)
        self._specs = {spec.model_label: spec for spec in sorted(specs, key=lambda spec: spec.model_label)}
        self._labels = tuple(self._specs)
        for label in start_batch_sizes:
            self._check_label(label)
        self._connection, self._config, self._speed, self._told = connection, config or DatacenterConfig(), speed, told
        self._dt_s = as_period(dt_s, f"site {name!r}")
        self._start_sizes = {
            label: int(start_batch_sizes.get(label, spec.feasible_batch_sizes[0]))
            for label, spec in self._specs.items()
        }
        self._endpoints: list[MetricsEndpoint] = []
        self._post: CommandPost | None = None
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    @property
    def model_labels(self) -> tuple[str, ...]:
        """Labels of the models served, in alphabetical order."""
        return self._labels

    @property
    def record(self) -> OfflineDatacenterRecord:
        """The run so far as arrays; power per model is not measured, and NaN."""
        return self._record

    @property
    def troubles(self) -> Counter[str]:
        """How often an exchange went wrong, by kind."""
        return sum((worker.troubles for worker in self._workers), Counter())

    @property
    def _workers(self) -> Sequence[MetricsEndpoint | CommandPost]:
        return [*self._endpoints, *([self._post] if self._post is not None else [])]

    def _check_label(self, label: str) -> None:
        if label not in self._specs:
            raise unknown_name("model", label, self._labels, f"at site {self.name!r}")

    # --- life

    def reset(self) -> None:
        self._record = OfflineDatacenterRecord(self._labels)
        self._set_points = dict(self._start_sizes)
        self._itl_s = dict.fromkeys(self._labels, math.nan)
        self._power_w = np.zeros(3)
        self._gpu_power_w = np.zeros(3)
        self._seen: dict[str, EndpointState] = {}
        self.endpoint_changes: list[tuple[float, str, str]] = []  # time (s), state, address and why

    def start(self) -> None:
        """Begin to read, and wait for the first samples, at most as long as a request may take.

        A cluster that cannot be reached is a state.
        """
        self._endpoints = [
            MetricsEndpoint(text, self._connection, self._speed, self._told) for text in self._connection.metrics
        ]
        self._post = CommandPost(self._connection, self._speed, self._told) if self._connection.command else None
        for worker in self._workers:
            worker.start()
        for endpoint in self._endpoints:
            endpoint.tried.wait(self._connection.time_out_s)

    def stop(self) -> None:
        """Stop reading; a command that the cluster has not taken is given up."""
        for worker in self._workers:
            worker.stop(self._connection.time_out_s)

    # --- the run

    def step(self, clock: SimulationClock, events: EventEmitter) -> OnlineDatacenterState:
        """What has arrived by now."""
        base_w = 1e3 * self._config.base_kw_per_phase
        power_w, oldest_s = np.zeros(3), 0.0
        source: PowerSource = "unknown"
        replicas = dict.fromkeys(self._labels, 0)
        sizes = dict(self._start_sizes) | (self._post.in_force if self._post is not None else {})
        grown = dict.fromkeys(self._labels, (0.0, 0.0))
        states: dict[str, EndpointState] = {}
        for endpoint in self._endpoints:
            state, age_s, sample, latency = endpoint.look()
            states[endpoint.address.text] = state
            if sample is None:
                continue
            oldest_s = max(oldest_s, age_s)
            rated = state == "lost" and self._connection.lost_rule == "rated"
            how: PowerSource = "measured" if state == "fresh" else "rated" if rated else "held"
            source = max(source, how, key=_WORSE.index)
            measured_w = self._by_phase(sample.power_w)
            total_w = float(measured_w.sum())
            if rated and total_w > 0.0:
                measured_w *= max(1.0, sample.n_gpus * self._connection.rated_gpu_w / total_w)
            power_w += measured_w
            for served, count in sample.replicas.items():
                if (label := self._label_of(served)) is not None:
                    replicas[label] += count
            sizes |= {label: b for served, b in sample.batch_size.items() if (label := self._label_of(served))}
            for served, (seconds, tokens) in latency.items():
                if (label := self._label_of(served)) is not None:
                    grown[label] = (grown[label][0] + seconds, grown[label][1] + tokens)
        for label, (seconds, tokens) in grown.items():
            if tokens > 0.0:
                self._itl_s[label] = seconds / tokens
        itl_s = {label: self._itl_s[label] if replicas[label] else math.nan for label in self._labels}
        for text, state in states.items():
            if self._seen.get(text) != state:
                trouble = next(e.last_trouble for e in self._endpoints if e.address.text == text)
                events.emit("datacenter.endpoint", {"site": self.name, "address": text, "state": state, "why": trouble})
                self.endpoint_changes.append((clock.time_s, f"endpoint {state}", f"{text} {trouble}".strip()))
                if trouble:
                    logger.warning("t=%g s: %s of site %s is %s: %s", clock.time_s, text, self.name, state, trouble)
        self._seen = states
        self._gpu_power_w = power_w
        self._keep(clock.time_s, power_w + base_w, sizes, replicas, itl_s)
        a, b, c = (power_w + base_w).tolist()
        return OnlineDatacenterState(
            clock.time_s, ThreePhase(a, b, c), sizes, replicas, itl_s, states, oldest_s, source
        )

    def _by_phase(self, power_by_host_w: Mapping[str, float]) -> Floats:
        phase_of = self._connection.names.phase_of_host
        power_w = np.zeros(3)
        for host, host_w in power_by_host_w.items():
            phase = phase_of.get(host)
            if phase is None:
                power_w += host_w / 3.0
            else:
                power_w[PHASES.index(phase)] += host_w
        return power_w

    def _label_of(self, served: str) -> str | None:
        if served in self._specs:
            return served
        return next((label for label, spec in self._specs.items() if spec.model_id == served), None)

    def _keep(
        self,
        time_s: float,
        power_w: Floats,
        sizes: Mapping[str, int],
        replicas: Mapping[str, int],
        itl_s: Mapping[str, float],
    ) -> None:
        step, labels = self._record.n_steps, self._labels
        self._record.write(
            step,
            np.array([time_s]),
            power_w[None, :],
            np.full((1, len(labels)), np.nan),
            np.array([[sizes[label] for label in labels]], dtype=np.int32),
            np.array([[replicas[label] for label in labels]], dtype=np.int64),
            np.array([[itl_s[label] for label in labels]]),
        )
        self._record.n_steps = step + 1

    @property
    def phase_share_by_model(self) -> Mapping[str, Floats]:
        """Shares by phase of the power measured last, for every model alike: which GPU serves which is not told."""
        total_w = float(self._gpu_power_w.sum())
        share = self._gpu_power_w / total_w if total_w > 0.0 else np.full(3, 1.0 / 3.0)
        return dict.fromkeys(self._labels, share)

    @property
    def commanded_batch_size_by_model(self) -> Mapping[str, int]:
        """The batch sizes that were last commanded, whether the cluster has taken them or not."""
        return self._set_points

    # --- commands

    @functools.singledispatchmethod
    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        """Post a command; raises `InputError` for a kind or a size that this site does not know."""
        raise InputError(f"site {self.name!r} cannot follow {type(command).__name__}; it takes SetBatchSize")

    @apply_control.register
    def _apply_set_batch_size(self, command: SetBatchSize, events: EventEmitter) -> None:
        for label, size in command.batch_size_by_model.items():
            self._check_label(label)
            if size not in self._specs[label].feasible_batch_sizes:
                raise InputError(
                    f"batch size {size} of {label!r} is not feasible; "
                    f"feasible: {list(self._specs[label].feasible_batch_sizes)}"
                )
        self._set_points.update({label: int(size) for label, size in command.batch_size_by_model.items()})
        if self._post is None:
            events.emit("datacenter.command.nowhere", {"site": self.name})
            return
        self._post.post(self._set_points)
        events.emit("datacenter.batch_size.posted", {"site": self.name, "batch_size_by_model": dict(self._set_points)})
