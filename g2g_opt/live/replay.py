"""A recorded live run in figures, and as channels of the simulator, whose messages fare as the recorded ones did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from g2g_opt.channel.age import mean_age_s
from g2g_opt.communication import CONTROLLER, GRID, Channels, ChannelSpec, Lane, Topic
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.live.allocator import ALLOCATOR
from g2g_opt.live.record import LiveLane, LiveRun

# Nobody waits longer for a message in a simulation.
_DELAY_MAX_S = 1e4


@dataclass(frozen=True)
class LaneFigures:
    """Messages sent, share lost, mean and 95th percentile (s) of the delays, and mean age of information (s, from the
    first sending to the last).
    """

    n_sent: int
    loss: float
    delay_mean_s: float
    delay_p95_s: float
    age_s: float


def lane_figures(lane: LiveLane) -> LaneFigures:
    """The figures of a lane; NaN where nothing arrived."""
    delays_s = (lane.arrived_s - lane.sent_s)[np.isfinite(lane.arrived_s)]
    some = len(delays_s) > 0
    return LaneFigures(
        len(lane.sent_s),
        lane.loss,
        float(delays_s.mean()) if some else float("nan"),
        float(np.quantile(delays_s, 0.95)) if some else float("nan"),
        mean_age_s(lane.sent_s, lane.arrived_s, float(lane.sent_s[-1])) if len(lane.sent_s) > 1 else float("nan"),
    )


def recorded_channel(lane: LiveLane) -> ChannelSpec:
    """The channel whose messages fare one after the other as those of the lane; `InputError` without messages."""
    if not len(lane.sent_s):
        raise InputError("a lane without messages says nothing about a channel")
    delays_s = lane.arrived_s - lane.sent_s
    lost = ~(delays_s <= _DELAY_MAX_S)
    # Clocks of two machines may differ by a little more than a message takes.
    delays_s = np.maximum(np.where(lost, 0.0, delays_s), 0.0)
    return ChannelSpec(
        transport="recorded",
        latency_kind="trace",
        latency_trace_s=tuple(delays_s.tolist()),
        lost_messages=tuple(np.flatnonzero(lost).tolist()),
    )


def channels_of_run(run: LiveRun, node_of: Mapping[str, str]) -> Channels:
    """Channels of a simulated run whose sites (and "grid") go by the messages of recorded nodes.

    `node_of` names a node for each: what it reported is what controllers hear from the site or the grid, and what it
    was sent are commands. Raises `InputError` for a node that is not in the record, or only in the record of one side.
    """
    nodes = sorted({source for source, _, topic in run.lanes if topic in ("report", "site")})
    lanes = []
    for name, node in node_of.items():
        if node not in nodes:
            raise unknown_name("node", node, nodes, "in the record")
        topic: Topic = "voltage" if name == GRID else "site"
        there = run.lanes.get((node, ALLOCATOR, "report")) or run.lanes[node, CONTROLLER, "site"]
        back = run.lanes.get((ALLOCATOR, node, "allocation")) or run.lanes.get((CONTROLLER, node, "command"))
        if back is None:
            raise InputError(f"node {node} was sent nothing, or kept no record of what arrived")
        lanes.append(Lane(recorded_channel(there), name, CONTROLLER, topic))
        lanes.append(Lane(recorded_channel(back), CONTROLLER, name, "command"))
    return Channels(lanes=tuple(lanes))
