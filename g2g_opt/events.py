"""What components tell besides their state: a topic, a time and a few figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from g2g_opt.clock import SimulationClock

EventSource = Literal["datacenter", "grid", "controller"]


@dataclass(frozen=True)
class SimEvent:
    """Something that happened at base tick `tick`, `t_s` seconds into the run."""

    tick: int
    t_s: float
    source: EventSource
    topic: str
    data: dict[str, Any] = field(default_factory=dict)


class EventSink(Protocol):
    """Where events go: a simulation log, or the output of one tick."""

    def emit(self, event: SimEvent) -> None:
        """Take one event."""


class EventEmitter:
    """Stamps events with the clock and one source, and hands them to the sink."""

    def __init__(self, clock: SimulationClock, sink: EventSink, source: EventSource) -> None:
        self._clock = clock
        self._sink = sink
        self._source: EventSource = source

    def emit(self, topic: str, data: dict[str, Any] | None = None) -> None:
        """Record `topic` with `data` at the present time."""
        self._sink.emit(SimEvent(self._clock.step, self._clock.time_s, self._source, topic, dict(data or {})))
