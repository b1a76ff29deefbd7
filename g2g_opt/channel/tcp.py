"""A TCP stream of small messages whose segments or acknowledgements are lost: when each message is delivered, in order.

Modelled after what a Linux kernel was seen to do (`benchmarks/tcp_over_loss.py`, 6.18): given which packets of it were
lost, the model delivers when the kernel did (`benchmarks/tcp_same_fates.py`).

- Every segment is acknowledged at once and cumulatively; what comes out of order (SACK) or twice (DSACK) is told apart.
- A lone segment that is not acknowledged is sent again as a tail-loss probe after two round trips and 0.2 s, then at
  retransmission time-outs of a round trip and 0.2 s, which double up to 120 s until new data are acknowledged. Behind
  an older one that is not acknowledged either, the probe is due at once and the older one's time-out goes on.
- A segment that was lost and repaired by the probe leaves the probe armed: the next one has none, its first repair is
  the time-out, and doubling begins one repair earlier. If only the acknowledgement was lost, the answer to the probe
  says that it came twice, and the next segment has its probe.
- Timers fire late by the slot of the wheel they wait in: time-outs of 0.4 s and more by up to an eighth.
- From the first time-out on nothing but the oldest segment is sent until an acknowledgement comes through, whichever
  loss it was; then the window is as before. So where acknowledgements are lost too, it is the round trip, (1 - p)^2,
  that ends the waiting, although (1 - p) of the segments arrive.
- What waited leaves in segments of 17 messages at most: each message of a process that writes to several connections
  lies in a fragment of memory of its own, and a segment has no more. A repair takes along what was sent after it.
- An acknowledgement of later data has every earlier segment that is missing sent again at once (RACK).

Delayed acknowledgements and congestion windows larger than what is written are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.loss import is_lost
from g2g_opt.compiled.kernel import inner, kernel

Floats = NDArray[np.float64]

RTO_MIN_S, RTO_MAX_S = 0.2, 120.0
# Ticks of the kernel's timers, which wait in wheels of 63 slots: each next wheel turns eight times slower, and what
# waits in it comes at the end of its slot, up to an eighth late.
TICK_S, SLOTS = 0.004, 63
# Messages of a few dozen bytes in a segment: one for each of its fragments (MAX_SKB_FRAGS).
MESSAGES_PER_SEGMENT = 17
# What a run of the model says: all is worked out, or give it more draws, or room for more segments under way.
DONE, MORE_DRAWS, MORE_ROOM = range(3)


@kernel
def fires_s(now_s: float, wait_s: float) -> float:
    """When a timer of the kernel that is set at `now_s` to `wait_s` fires (s): never early, and late by its wheel."""
    ticks, slot = max(math.ceil(wait_s / TICK_S - 1e-6), 1), 1
    while ticks >= SLOTS * slot:
        slot *= 8
    return (math.floor((math.floor(now_s / TICK_S + 1e-6) + ticks) / slot) + 1) * slot * TICK_S


@inner
def _timeout_s(srtt_s: float, deviation_s: float) -> float:
    """Retransmission time-out (s) before any doubling, in whole ticks."""
    wanted_s = srtt_s + max(RTO_MIN_S, 4.0 * deviation_s)
    return min(math.ceil(wanted_s / TICK_S - 1e-6) * TICK_S, RTO_MAX_S)


@kernel
def tcp_arrivals_s(
    sent_s: Floats,
    end_s: float,
    loss: float,
    edges_s: Floats,
    loss_back: float,
    edges_back_s: Floats,
    burst_loss: float,
    outage_edges_s: Floats,
    uniforms: Floats,
    uniforms_back: Floats,
    delays_s: Floats,
    delays_back_s: Floats,
    rate_per_s: float,
    queue: int,
    n_max: int,
    arrival_s: Floats,
) -> int:
    """Delivery times (s) of messages written at `sent_s` (rising) into `arrival_s` (equation 10.6); inf for none by
    `end_s`.

    The k-th segment sent takes `uniforms[k]` (is it lost?) and `delays_s[k]`, the k-th acknowledgement those of the way
    back; an array of one place holds for all of them. `rate_per_s` (0: none) and `queue` are those of the link that
    segments pass. At most `n_max` segments, and as many acknowledgements, are under way at a time. Returns `DONE`,
    `MORE_DRAWS` if the draws do not last (give longer ones that begin alike), or `MORE_ROOM` if `n_max` does not.
    """
    n = len(sent_s)
    plain = len(edges_s) == 0 and len(edges_back_s) == 0 and len(outage_edges_s) == 0
    arrival_s[:] = np.inf
    received = np.zeros(n, dtype=np.bool_)
    n_received = 0  # all before it have come, in order
    # Segments sent and not yet acknowledged, oldest first: messages from, to (none: merged into an earlier one); last
    # sent at; when it came; and whether the sender knows that.
    first, last = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    tx_s, came_s, sacked = np.zeros(n + 1), np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.bool_)
    oldest, n_segments, n_merged = 0, 0, 0
    written, unsent = 0, 0
    # Under way: segments (place, up to which message, when it was sent), acknowledgements (cumulative, newest segment,
    # when that was sent, when it came, whether it had come before: DSACK), and when they are there.
    seg_at, seg_place, seg_tx = np.zeros(n_max), np.zeros(n_max, dtype=np.int64), np.zeros(n_max)
    seg_to = np.zeros(n_max, dtype=np.int64)
    ack_at, ack_to = np.zeros(n_max), np.zeros(n_max, dtype=np.int64)
    ack_place, ack_tx = np.zeros(n_max, dtype=np.int64), np.zeros(n_max)
    ack_made, ack_again = np.zeros(n_max), np.zeros(n_max, dtype=np.bool_)
    n_seg, n_ack = 0, 0
    k, k_back = 0, 0
    link_free_s = 0.0
    # A first exchange, as when a node joins, has told the round trip.
    srtt_s = delays_s[0] + delays_back_s[0]
    deviation_s = srtt_s / 2.0
    rto_s = _timeout_s(srtt_s, deviation_s)
    in_loss = False
    probe_place = -1  # segment that the last probe repeated, while no later one is acknowledged
    timer_s, timer_is_probe = np.inf, False
    resend = -1  # segment to be sent again now
    # Segments before `overtaken`, from `overtaken_next` on, are sent again now if they were sent before this time.
    overtaken, overtaken_next, overtaken_tx = -1, 0, 0.0
    now_s = 0.0
    while True:
        # What is next: a write, an arrival, an acknowledgement, or the timer.
        next_s, kind, which = timer_s, 3, -1
        if written < n and sent_s[written] <= next_s:
            next_s, kind = sent_s[written], 0
        for i in range(n_seg):
            if seg_at[i] < next_s:
                next_s, kind, which = seg_at[i], 1, i
        for i in range(n_ack):
            if ack_at[i] < next_s:
                next_s, kind, which = ack_at[i], 2, i
        if next_s > end_s or next_s == np.inf:
            return DONE
        now_s = next_s
        if kind == 0:
            written += 1
        elif kind == 1:
            place, of_tx, to = seg_place[which], seg_tx[which], seg_to[which]
            n_seg -= 1
            seg_at[which], seg_place[which], seg_tx[which] = seg_at[n_seg], seg_place[n_seg], seg_tx[n_seg]
            seg_to[which] = seg_to[n_seg]
            again = received[first[place]]
            received[first[place] : to] = True
            if to == last[place]:
                came_s[place] = min(came_s[place], now_s)
            while n_received < n and received[n_received]:
                arrival_s[n_received] = now_s
                n_received += 1
            if k_back >= len(uniforms_back) > 1 or k_back >= len(delays_back_s) > 1:
                return MORE_DRAWS
            uniform = uniforms_back[min(k_back, len(uniforms_back) - 1)]
            lost = uniform < loss_back
            if not plain:
                lost = is_lost(now_s, uniform, loss_back, edges_back_s, burst_loss, outage_edges_s)
            if not lost:
                if n_ack == n_max:
                    return MORE_ROOM
                delay_s = delays_back_s[min(k_back, len(delays_back_s) - 1)]
                ack_at[n_ack], ack_to[n_ack] = now_s + delay_s, n_received
                ack_place[n_ack], ack_tx[n_ack], ack_made[n_ack], ack_again[n_ack] = place, of_tx, now_s, again
                n_ack += 1
            k_back += 1
        elif kind == 2:
            to, place, of_tx = ack_to[which], ack_place[which], ack_tx[which]
            made_s, again = ack_made[which], ack_again[which]
            n_ack -= 1
            ack_at[which], ack_to[which] = ack_at[n_ack], ack_to[n_ack]
            ack_place[which], ack_tx[which] = ack_place[n_ack], ack_tx[n_ack]
            ack_made[which], ack_again[which] = ack_made[n_ack], ack_again[n_ack]
            advanced = False
            while oldest < n_segments and last[oldest] <= to:
                n_merged -= first[oldest] == last[oldest]
                oldest += 1
                advanced = True
            for i in range(oldest, place + 1):
                sacked[i] |= came_s[i] <= made_s
            if advanced:
                rtt_s = now_s - of_tx
                deviation_s += (abs(rtt_s - srtt_s) - deviation_s) / 4.0
                srtt_s += (rtt_s - srtt_s) / 8.0
                rto_s = _timeout_s(srtt_s, deviation_s)
                in_loss = False
                if probe_place >= 0 and oldest > probe_place + 1:
                    probe_place = -1
            if place == probe_place and (again or not advanced):
                probe_place = -1
            # Later data have come and earlier ones have not: these are sent again.
            if place > oldest and not in_loss:
                overtaken, overtaken_next, overtaken_tx = place, oldest, of_tx
            if advanced:
                timer_s = np.inf
        elif timer_is_probe and probe_place < 0:
            probe_place = n_segments - 1
            while first[probe_place] == last[probe_place]:
                probe_place -= 1
            resend = probe_place
        elif timer_is_probe:
            # The probe is spent: the time-out takes its place.
            timer_s, timer_is_probe = fires_s(now_s, tx_s[oldest] + rto_s - now_s), False
            continue
        else:
            in_loss, probe_place = True, -1
            rto_s = min(2.0 * rto_s, RTO_MAX_S)
            resend = oldest
        # Send: what is sent again, else what is new, unless only the oldest may go.
        while True:
            while overtaken_next < overtaken and (
                sacked[overtaken_next]
                or tx_s[overtaken_next] >= overtaken_tx
                or first[overtaken_next] == last[overtaken_next]
            ):
                overtaken_next += 1
            again = resend >= 0 or overtaken_next < overtaken
            if resend >= 0:
                place, resend = resend, -1
            elif again:
                place, overtaken_next = overtaken_next, overtaken_next + 1
            elif unsent < written and not in_loss:
                place = n_segments
                first[place], last[place] = unsent, min(written, unsent + MESSAGES_PER_SEGMENT)
                unsent = last[place]
                n_segments += 1
            else:
                break
            if k >= len(uniforms) > 1 or k >= len(delays_s) > 1:
                return MORE_DRAWS
            if again:
                # What was sent after it and is not known to have come either goes into the same segment.
                after = place + 1
                while after < n_segments and not sacked[after] and last[after] - first[place] <= MESSAGES_PER_SEGMENT:
                    if first[after] < last[after]:
                        last[place], came_s[place] = last[after], max(came_s[place], came_s[after])
                        first[after] = last[after]
                        n_merged += 1
                    after += 1
            tx_s[place] = now_s
            leave_s, dropped = now_s, False
            if rate_per_s > 0.0:
                waiting = (link_free_s - now_s) * rate_per_s
                dropped = waiting > queue
                if not dropped:
                    link_free_s = max(link_free_s, now_s) + 1.0 / rate_per_s
                    leave_s = link_free_s
            uniform = uniforms[min(k, len(uniforms) - 1)]
            lost = uniform < loss
            if not plain:
                lost = is_lost(now_s, uniform, loss, edges_s, burst_loss, outage_edges_s)
            lost = lost or dropped
            if not lost:
                if n_seg == n_max:
                    return MORE_ROOM
                delay_s = delays_s[min(k, len(delays_s) - 1)]
                seg_at[n_seg], seg_place[n_seg], seg_tx[n_seg] = leave_s + delay_s, place, now_s
                seg_to[n_seg] = last[place]
                n_seg += 1
            k += 1
            if again:
                # After a probe of what is not the oldest, that one's time-out holds.
                wait_s = rto_s if probe_place < 0 else tx_s[oldest] + rto_s - now_s
                timer_s, timer_is_probe = fires_s(now_s, wait_s), False
            elif timer_s == np.inf or timer_is_probe:
                timer_s = np.inf
        if oldest == n_segments:
            timer_s = np.inf
        elif timer_s == np.inf:
            wait_s = 2.0 * srtt_s + (RTO_MIN_S if n_segments - oldest - n_merged == 1 else 2.0 * TICK_S)
            left_s = tx_s[oldest] + rto_s - now_s
            timer_s, timer_is_probe = fires_s(now_s, min(wait_s, left_s) if left_s > 0.0 else wait_s), True
