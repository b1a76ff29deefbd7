"""When messages arrive: a channel as a function from sending times to arrival times (equations, section 10).

What a message says changes nothing about when it arrives. So all arrivals of a run are worked out before it, once, from
the lane's own random streams.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.loss import burst_edges_s, is_lost_in, outage_edges_s
from g2g_opt.channel.tcp import DONE, MORE_DRAWS, MORE_ROOM, tcp_arrivals_s
from g2g_opt.communication import ChannelSpec
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.randomness import Key, keyed_generator

Floats = NDArray[np.float64]


def arrivals_s(spec: ChannelSpec, sent_s: Floats, seed: int, *key: Key) -> Floats:
    """Arrival times (s) of messages sent at `sent_s` (s, rising), inf where one never arrives; shape (message,).

    All draws are keyed by `(seed, *key)`, which names scenario and lane. A longer run of the same lane begins alike.
    """
    if spec.transparent or len(sent_s) == 0:
        return np.array(sent_s, dtype=float)
    sent_s = np.ascontiguousarray(sent_s, dtype=float)

    def draws(what: str) -> np.random.Generator:
        return keyed_generator(seed, *key, what)

    outages = outage_edges_s(spec.outages)
    if spec.transport == "recorded":
        return _recorded_arrivals_s(spec, sent_s, outages)
    # Beyond the last message, for what tcp still sends.
    end_s = float(sent_s[-1]) + 1.0
    bursts = [
        burst_edges_s(loss, spec.burst_s, spec.burst_loss, end_s, draws(f"bursts {way}"))
        if spec.burst_s > 0.0
        else np.zeros(0)
        for loss, way in ((spec.loss, "forward"), (spec.loss_back, "back"))
    ]
    rate_per_s = spec.rate_per_s or 0.0
    n = len(sent_s)
    arrival_s, one, alike = np.empty(n), np.ones(1), np.full(1, spec.latency_s)
    if spec.transport != "tcp":
        leave_s = np.empty(n)
        through_link(sent_s, rate_per_s, spec.queue, leave_s)
        # What can lose nothing needs no draws, and what is constant neither.
        uniforms = draws("loss forward").random(n) if spec.loss > 0.0 else one
        delay_s = alike if spec.latency_kind == "constant" else delays_s(spec, n, draws("latency forward"))
        datagram_arrivals_s(leave_s, uniforms, spec.loss, bursts[0], spec.burst_loss, outages, delay_s, arrival_s)
        return arrival_s
    # About what is sent in a round trip and a repair is under way at a time.
    span_s = max(float(sent_s[-1] - sent_s[0]), 1e-9)
    n_draws, n_max = 2 * n + 64, 64 + min(n, int(n / span_s * (2.0 * spec.latency_s + 0.5)))
    while True:
        chances = (
            draws(f"loss {way}").random(n_draws) if loss > 0.0 else one
            for loss, way in ((spec.loss, "forward"), (spec.loss_back, "back"))
        )
        latencies = (
            alike if spec.latency_kind == "constant" else delays_s(spec, n_draws, draws(f"latency {way}"))
            for way in ("forward", "back")
        )
        said = tcp_arrivals_s(
            sent_s,
            end_s,
            spec.loss,
            bursts[0],
            spec.loss_back,
            bursts[1],
            spec.burst_loss,
            outages,
            *chances,
            *latencies,
            rate_per_s,
            spec.queue,
            n_max,
            arrival_s,
        )
        if said == DONE:
            return arrival_s
        n_draws *= 2 if said == MORE_DRAWS else 1
        n_max *= 2 if said == MORE_ROOM else 1


def _recorded_arrivals_s(spec: ChannelSpec, sent_s: Floats, outages_s: Floats) -> Floats:
    """Arrivals (s) of messages that fare one after the other as those of a recorded run did."""
    place = np.arange(len(sent_s)) % len(spec.latency_trace_s)
    lost = np.isin(place, spec.lost_messages) | (np.searchsorted(outages_s, sent_s, side="right") % 2 == 1)
    return np.where(lost, np.inf, sent_s + np.array(spec.latency_trace_s)[place])


def delays_s(spec: ChannelSpec, n: int, draws: np.random.Generator) -> Floats:
    """One-way latencies (s) of the first `n` messages or segments (equation 10.4)."""
    match spec.latency_kind:
        case "exponential":
            return spec.latency_s * draws.standard_exponential(n)
        case "lognormal":
            std = spec.latency_log_std
            return spec.latency_s * np.exp(std * draws.standard_normal(n) - 0.5 * std**2)
        case "trace":
            trace_s = np.array(spec.latency_trace_s)
            return np.asarray(trace_s[(draws.integers(len(trace_s)) + np.arange(n)) % len(trace_s)])
        case _:
            return np.full(n, spec.latency_s)


@kernel
def through_link(sent_s: Floats, rate_per_s: float, queue: int, leave_s: Floats) -> None:
    """When messages leave a link that passes `rate_per_s` (0: any) and holds `queue`, into `leave_s` (equation 10.5);
    inf: dropped.
    """
    free_s = -np.inf
    for i in range(len(sent_s)):
        if rate_per_s <= 0.0:
            leave_s[i] = sent_s[i]
        elif (free_s - sent_s[i]) * rate_per_s > queue:
            leave_s[i] = np.inf
        else:
            free_s = max(free_s, sent_s[i]) + 1.0 / rate_per_s
            leave_s[i] = free_s


@kernel
def datagram_arrivals_s(
    leave_s: Floats,
    uniforms: Floats,
    loss: float,
    edges_s: Floats,
    burst_loss: float,
    outages_s: Floats,
    delay_s: Floats,
    arrival_s: Floats,
) -> None:
    """Arrival times (s) of messages that leave at `leave_s` (rising; inf: never) into `arrival_s`; inf for one that
    `is_lost`. `uniforms` and `delay_s` are those of each message, or one for all.
    """
    n, n_edges, n_outage_edges = len(leave_s), len(edges_s), len(outages_s)
    last_uniform, last_delay = len(uniforms) - 1, len(delay_s) - 1
    edge, outage_edge = 0, 0  # edges up to the present message
    for i in range(n):
        if leave_s[i] == np.inf:
            # One that was dropped says nothing of the time.
            arrival_s[i] = np.inf
            continue
        while edge < n_edges and edges_s[edge] <= leave_s[i]:
            edge += 1
        while outage_edge < n_outage_edges and outages_s[outage_edge] <= leave_s[i]:
            outage_edge += 1
        uniform, at_s = uniforms[min(i, last_uniform)], leave_s[i] + delay_s[min(i, last_delay)]
        lost = is_lost_in(outage_edge % 2 == 1, n_edges > 0, edge % 2 == 1, uniform, loss, burst_loss)
        arrival_s[i] = np.inf if lost else at_s


def newest_at(arrival_s: Floats, at_s: Floats, sent_before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Newest message that is there at each of the times `at_s` (s, rising); -1 before the first.

    Of the messages before `sent_before[k]` those count at `at_s[k]` that have arrived by then. One that arrives after a
    newer one changes nothing.
    """
    newest = np.full(len(at_s), -1, dtype=np.int64)
    fill_newest(arrival_s, np.asarray(at_s, dtype=float), sent_before, newest)
    return newest


@kernel
def fill_newest(arrival_s: Floats, at_s: Floats, sent_before: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
    """`newest_at`, into `newest`."""
    held, n = -1, len(at_s)
    newest[:] = -1
    place = 0
    for m in range(len(arrival_s)):
        while place < n and sent_before[place] <= m:
            place += 1
        k = first_at(at_s, arrival_s[m], place)
        if k < n:
            newest[k] = max(newest[k], m)
    for k in range(n):
        held = max(held, newest[k])
        newest[k] = held


@inner
def first_at(at_s: Floats, time_s: float, place: int) -> int:
    """The first place, from `place` on, of a time at or after `time_s` among the rising `at_s`; their number if none.

    Most are near: it looks twice as far each time.
    """
    n = len(at_s)
    if place >= n or time_s == np.inf:
        return n
    if at_s[place] >= time_s:
        return place
    low, step = place, 1
    while low + step < n and at_s[low + step] < time_s:
        low += step
        step *= 2
    high = min(low + step, n)
    while high - low > 1:
        middle = (low + high) // 2
        if at_s[middle] < time_s:
            low = middle
        else:
            high = middle
    return high
