"""Threads that read a running cluster's metrics and post commands to it, so that nothing waits for a network.

What goes wrong is a state: an endpoint is "waiting" before its first sample, "fresh", "stale" (its sample is older than
`age_max_s`) or "lost" (older than `lost_s`, or never one in that time).
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from g2g_opt.datacenter.cluster_metrics import ClusterSample, MetricNames, mean_latency_s, read_cluster_sample
from g2g_opt.datacenter.http_exchange import ExchangeError, HttpAddress, exchange
from g2g_opt.errors import InputError
from g2g_opt.quantities import DurationS, GpuPowerW, check_quantities

EndpointState = Literal["waiting", "fresh", "stale", "lost"]
LostRule = Literal["hold", "rated"]
# Told of every exchange: topic, number, when it began, and when it ended well (None: not), in wall time (monotonic, s).
ToldOfExchange = Callable[[str, int, float, float | None], None]
_METRICS_BYTES_MAX = 64 * 2**20
_ANSWER_BYTES_MAX = 2**20


@dataclass(frozen=True)
class ClusterConnection:
    """Where a cluster's figures come from and where its commands go; times are seconds of the run, the time-out's those
    of wall time.

    `metrics` are addresses of Prometheus texts, read every `poll_s`; `command` is the address that batch sizes are
    posted to (none: the cluster takes no commands), `token` goes with every exchange. A sample older than `age_max_s`
    is stale, and held; one older than `lost_s` is lost: its power is held too, or taken as `rated_gpu_w` times the GPUs
    last seen there ("rated", which bounds it from above).
    """

    metrics: tuple[str, ...]
    command: str | None = None
    names: MetricNames = field(default_factory=MetricNames)
    poll_s: DurationS = 1.0
    time_out_s: DurationS = 2.0
    age_max_s: DurationS = 5.0
    lost_s: DurationS = 30.0
    lost_rule: LostRule = "hold"
    rated_gpu_w: GpuPowerW = 700.0
    token: str | None = None

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.metrics:
            raise InputError("a cluster needs at least one address of metrics (--metrics)")
        if self.lost_rule not in ("hold", "rated"):
            raise InputError(f"lost_rule is 'hold' or 'rated', got {self.lost_rule!r}")
        if not self.age_max_s < self.lost_s:
            raise InputError(f"age_max_s={self.age_max_s:g} s is not below lost_s={self.lost_s:g} s")
        for address in (*self.metrics, *([self.command] if self.command is not None else [])):
            HttpAddress.parse(address)


class _Worker:
    """A thread that does something again and again until it is stopped, or when it is woken; counts its troubles."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self.troubles: Counter[str] = Counter()
        self.last_trouble = ""
        self._wake, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, at_most_s: float) -> None:
        """End, and wait for what is under way."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(at_most_s)

    def _run(self) -> None:
        while not self._stopped:
            wait_s = self._work()
            self._wake.wait(wait_s)
            self._wake.clear()

    def _work(self) -> float | None:
        raise NotImplementedError


class MetricsEndpoint(_Worker):
    """Reads one address of metrics. `speed` is how many seconds of the run pass in one of wall time."""

    def __init__(self, text: str, connection: ClusterConnection, speed: float, told: ToldOfExchange) -> None:
        super().__init__(f"metrics {text}")
        self.address = HttpAddress.parse(text)
        self._connection, self._speed, self._told = connection, speed, told
        self._sample: ClusterSample | None = None
        self._sampled_s = self._began_s = time.monotonic()
        self._latency: dict[str, tuple[float, float]] = {}
        self._number = 0
        self.tried = threading.Event()  # once the first exchange is over, whatever came of it

    def start(self) -> None:
        self._began_s = self._sampled_s = time.monotonic()
        super().start()

    def _work(self) -> float:
        began_s = time.monotonic()
        self._number += 1
        ended_s: float | None = None
        try:
            text = exchange(
                self.address,
                time_out_s=self._connection.time_out_s,
                bytes_max=_METRICS_BYTES_MAX,
                token=self._connection.token,
            )
            self._keep(read_cluster_sample(text.decode("utf-8"), self._connection.names), began_s)
            ended_s = time.monotonic()
        except ExchangeError as error:
            self._note(error.trouble, str(error))
        except (ValueError, KeyError, IndexError) as error:  # what the parser says of a text that is none
            self._note("malformed", f"{self.address.text} gives no Prometheus text: {error}"[:200])
        self.tried.set()
        self._told("site", self._number, began_s, ended_s)
        now_s = time.monotonic()
        # A text that takes long to read is not read without a pause.
        return max(began_s + self._connection.poll_s / self._speed, now_s + (now_s - began_s)) - now_s

    def _keep(self, sample: ClusterSample, began_s: float) -> None:
        with self._lock:
            if self._sample is not None:
                for model in sample.latency_count:
                    seconds, tokens = mean_latency_s(self._sample, sample, model)
                    if tokens > 0.0:
                        self._latency[model] = (seconds, tokens)
            self._sample, self._sampled_s = sample, began_s
            self.troubles["readings refused"] += sample.refused
            self.last_trouble = ""

    def _note(self, trouble: str, words: str) -> None:
        with self._lock:
            self.troubles[trouble] += 1
            self.last_trouble = words

    def look(self) -> tuple[EndpointState, float, ClusterSample | None, dict[str, tuple[float, float]]]:
        """State, age of the newest sample (s of the run), the sample, and by model seconds and tokens of its ITL."""
        with self._lock:
            age_s = (time.monotonic() - self._sampled_s) * self._speed
            if age_s > self._connection.lost_s:
                state: EndpointState = "lost"
            elif self._sample is None:
                state = "waiting"
            else:
                state = "stale" if age_s > self._connection.age_max_s else "fresh"
            return state, age_s, self._sample, dict(self._latency)


class CommandPost(_Worker):
    """Posts set-points to one address until it takes them; a newer one replaces what is waiting.

    A post is JSON: `{"batch_size_by_model": {label: size}, "sequence": n}`. Answered with status 2xx, it is in force.
    """

    def __init__(self, connection: ClusterConnection, speed: float, told: ToldOfExchange) -> None:
        assert connection.command is not None
        super().__init__(f"commands {connection.command}")
        self.address = HttpAddress.parse(connection.command)
        self._connection, self._speed, self._told = connection, speed, told
        self._waiting: tuple[int, dict[str, int]] | None = None
        self._sequence = 0
        self._tried = 0
        self._in_force: dict[str, int] = {}

    def post(self, batch_size_by_model: Mapping[str, int]) -> None:
        """Have these batch sizes set; returns at once."""
        with self._lock:
            self._sequence += 1
            if self._waiting is not None:
                self.troubles["superseded"] += 1
            self._waiting = (self._sequence, dict(batch_size_by_model))
        self._wake.set()

    @property
    def in_force(self) -> dict[str, int]:
        """The batch sizes that the cluster took last."""
        with self._lock:
            return dict(self._in_force)

    def _work(self) -> float | None:
        with self._lock:
            waiting = self._waiting
        if waiting is None:
            return None
        sequence, sizes = waiting
        began_s = time.monotonic()
        ended_s: float | None = None
        body: dict[str, Any] = {"batch_size_by_model": sizes, "sequence": sequence}
        try:
            exchange(
                self.address,
                time_out_s=self._connection.time_out_s,
                bytes_max=_ANSWER_BYTES_MAX,
                body=json.dumps(body).encode(),
                token=self._connection.token,
            )
            ended_s = time.monotonic()
        except ExchangeError as error:
            with self._lock:
                self.troubles[error.trouble] += 1
                self.last_trouble = str(error)
        self._tried += 1
        self._told("command", self._tried, began_s, ended_s)
        with self._lock:
            if ended_s is not None:
                self._in_force.update(sizes)
                self.last_trouble = ""
                if self._waiting is waiting:
                    self._waiting = None
                    return None
        return max(0.0, began_s + self._connection.poll_s / self._speed - time.monotonic())
