"""When messages arrive: a channel as a function from sending times to arrival times (equations, section 10).

What a message says changes nothing about when it arrives. So all arrivals of a run are worked out before it, once, from
the lane's own random streams.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from g2g_opt.channel.loss import burst_edges_s, is_lost, outage_edges_s
from g2g_opt.channel.tcp import tcp_arrivals_s
from g2g_opt.communication import ChannelSpec
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

    def delays(count: int, way: str) -> Floats:
        # What is constant needs no draws, either.
        if spec.latency_kind == "constant":
            return np.full(count, spec.latency_s)
        return delays_s(spec, count, draws(f"latency {way}"))

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
    if spec.transport != "tcp":
        leave_s = np.empty(n)
        through_link(sent_s, rate_per_s, spec.queue, leave_s)
        # What can lose nothing needs no draws.
        uniforms = draws("loss forward").random(n) if spec.loss > 0.0 else np.ones(n)
        lost = np.empty(n, dtype=np.bool_)
        which_are_lost(leave_s, uniforms, spec.loss, bursts[0], spec.burst_loss, outages, lost)
        return np.where(lost, np.inf, leave_s + delays(n, "forward"))
    arrival_s = np.empty(n)
    n_draws = 4 * n + 64
    while True:
        done = tcp_arrivals_s(
            sent_s,
            end_s,
            spec.loss,
            bursts[0],
            spec.loss_back,
            bursts[1],
            spec.burst_loss,
            outages,
            *(
                draws(f"loss {way}").random(n_draws) if loss > 0.0 else np.ones(n_draws)
                for loss, way in ((spec.loss, "forward"), (spec.loss_back, "back"))
            ),
            delays(n_draws, "forward"),
            delays(n_draws, "back"),
            rate_per_s,
            spec.queue,
            arrival_s,
        )
        if done:
            return arrival_s
        n_draws *= 2


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


@njit(cache=True)
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


@njit(cache=True)
def which_are_lost(
    time_s: Floats,
    uniforms: Floats,
    loss: float,
    edges_s: Floats,
    burst_loss: float,
    outages_s: Floats,
    lost: NDArray[np.bool_],
) -> None:
    """`is_lost` of many messages; one that never left is lost."""
    for i in range(len(time_s)):
        lost[i] = time_s[i] == np.inf or is_lost(time_s[i], uniforms[i], loss, edges_s, burst_loss, outages_s)


def newest_at(arrival_s: Floats, at_s: Floats, sent_before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Newest message that is there at each of the times `at_s` (s, rising); -1 before the first.

    Of the messages before `sent_before[k]` those count at `at_s[k]` that have arrived by then. One that arrives after a
    newer one changes nothing.
    """
    newest = np.full(len(at_s), -1, dtype=np.int64)
    fill_newest(arrival_s, np.asarray(at_s, dtype=float), sent_before, newest)
    return newest


@njit(cache=True)
def fill_newest(arrival_s: Floats, at_s: Floats, sent_before: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
    """`newest_at`, into `newest`."""
    held, n = -1, len(at_s)
    # First time at which each message may be there, then the newest up to every time.
    best = newest
    best[:] = -1
    place = 0
    for m in range(len(arrival_s)):
        while place < n and sent_before[place] <= m:
            place += 1
        if place == n:
            break
        if arrival_s[m] == np.inf:
            continue
        k = max(place, np.searchsorted(at_s, arrival_s[m], side="left"))
        if k < n:
            best[k] = max(best[k], m)
    for k in range(n):
        held = max(held, best[k])
        newest[k] = held
