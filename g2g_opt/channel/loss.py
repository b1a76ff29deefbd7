"""What a link loses: each message by itself, or in bursts that come and go in time (Gilbert-Elliott)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def burst_edges_s(loss: float, burst_s: float, burst_loss: float, end_s: float, draws: np.random.Generator) -> Floats:
    """Times (s) at which a link turns bad, good, bad, ... until `end_s` (equation 10.3); it is bad in `loss /
    burst_loss` of the time.

    Both states last exponential times, bad ones `burst_s` on average; at 0 s it is bad with that same share. A link
    that begins bad has its first edge at 0 s.
    """
    share = loss / burst_loss
    if share <= 0.0:
        return np.zeros(0)
    means = np.array([burst_s, burst_s * (1.0 - share) / share])
    begins_bad = draws.random() < share
    edges = [0.0] if begins_bad else []
    at_s, bad = 0.0, begins_bad
    while at_s <= end_s:
        at_s += draws.exponential(means[0 if bad else 1])
        edges.append(at_s)
        bad = not bad
    return np.array(edges)


@inner
def is_lost_in(is_out: bool, has_bursts: bool, is_bad: bool, uniform: float, loss: float, burst_loss: float) -> bool:
    """`is_lost` of what is sent while an outage holds (`is_out`), or while a link that `has_bursts` is bad."""
    if is_out:
        return True
    if has_bursts:
        return is_bad and uniform < burst_loss
    return uniform < loss


@kernel
def is_lost(
    time_s: float, uniform: float, loss: float, edges_s: Floats, burst_loss: float, outage_edges_s: Floats
) -> bool:
    """Is what is sent at `time_s` lost (equation 10.3)? `uniform` is its draw in [0, 1).

    `edges_s` are those of bursts, in which `burst_loss` is lost; where there are none, each is lost with `loss`.
    `outage_edges_s` are begin, end, begin, ... of outages, in which all is lost.
    """
    is_out = np.searchsorted(outage_edges_s, time_s, side="right") % 2 == 1
    is_bad = np.searchsorted(edges_s, time_s, side="right") % 2 == 1
    return bool(is_lost_in(is_out, len(edges_s) > 0, is_bad, uniform, loss, burst_loss))


def outage_edges_s(outages: tuple[tuple[float, float], ...]) -> Floats:
    """Begin, end, begin, ... (s) of the time in which any of the outages holds."""
    edges: list[float] = []
    for start_s, end_s in sorted(outages):
        if edges and start_s <= edges[-1]:
            edges[-1] = max(edges[-1], end_s)
        else:
            edges += [start_s, end_s]
    return np.array(edges)
