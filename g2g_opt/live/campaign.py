"""A whole live run on one machine: an allocator, nodes with a socket each, and a relay between if one is asked for."""

from __future__ import annotations

import asyncio
import math
import resource
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from g2g_opt.communication import ChannelSpec
from g2g_opt.errors import InputError
from g2g_opt.live.allocation import AllocationRule
from g2g_opt.live.allocator import AllocatorNode
from g2g_opt.live.node import LiveNode, Measure
from g2g_opt.live.record import LiveRecorder, record_path
from g2g_opt.live.relay import LossRelay
from g2g_opt.live.settings import Address, LiveSettings
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.live.tally import LiveTally
from g2g_opt.live.ticker import Ticker
from g2g_opt.randomness import keyed_generator

LOOPBACK = Address("127.0.0.1", 0)
# Descriptors that a process has besides its sockets.
_OTHER_DESCRIPTORS = 64
# Nodes that open their sockets at a time.
_STARTED_AT_ONCE = 50


@dataclass(frozen=True)
class CampaignOutcome:
    """What a run did and cost: counts of each part, CPU time (s) over the `seconds` in which all nodes had joined, and
    the most memory (MiB) of the process since it began.
    """

    allocator: LiveTally
    nodes: LiveTally
    relay: LiveTally
    seconds: float
    cpu_s: float
    memory_mib: float

    @property
    def tally(self) -> LiveTally:
        """All parts together."""
        return LiveTally(self.allocator + self.nodes + self.relay)


async def run_nodes(nodes: list[LiveNode], until: asyncio.Event) -> None:
    """Start nodes, a few at a time, wait for the event, and stop them."""
    try:
        for first in range(0, len(nodes), _STARTED_AT_ONCE):
            await asyncio.gather(*(node.start() for node in nodes[first : first + _STARTED_AT_ONCE]))
            await asyncio.sleep(0.005)
        await until.wait()
        for node in nodes:
            node.quiet()
        await asyncio.sleep(0.2)
    finally:
        for node in nodes:
            await node.stop()


async def run_campaign(
    measures: Mapping[str, Measure],
    seconds: float,
    rule: AllocationRule,
    settings: LiveSettings,
    *,
    channel: ChannelSpec | None = None,
    seed: int = 0,
    record_in: Path | None = None,
    tell: Callable[[str], None] = lambda words: None,
    clock: SteadyClock | None = None,
    beside: Callable[[Sequence[LiveNode]], Coroutine[None, None, None]] | None = None,
) -> CampaignOutcome:
    """Run nodes, by name and what they measure, for `seconds` once all have joined (or twice `silence_s` after the
    beginning, if some have not). Until the end, `beside(nodes)` runs on the same event loop.

    Messages are signed with a key drawn for the run. The record is written to `record_in`. Raises `InputError` for more
    nodes than `settings.nodes_max`, or than this system gives sockets to one process.
    """
    n_nodes = len(measures)
    if n_nodes > settings.nodes_max:
        raise InputError(f"{n_nodes} nodes, but nodes_max={settings.nodes_max}")
    allow_sockets(n_nodes * (3 if channel is not None else 2 if settings.transport == "tcp" else 1))
    key, clock = secrets.token_bytes(32), clock or SteadyClock()
    tallies = LiveTally(), LiveTally(), LiveTally()
    recorder = None
    if record_in is not None:
        recorder = LiveRecorder(record_path(record_in, "campaign"), "campaign", clock.now_s(), tallies[0])
    allocator = AllocatorNode(rule, settings, key, recorder=recorder, tally=tallies[0], clock=clock)
    relay: LossRelay | None = None
    try:
        meeting = await allocator.start(LOOPBACK)
        if channel is not None:
            relay = LossRelay(channel, meeting, settings, seed=seed, tally=tallies[2])
            meeting = await relay.start(LOOPBACK)
        ticker = Ticker(settings.period_s)
        phases = keyed_generator(seed, "live", "phases").random(n_nodes)
        nodes = [
            LiveNode(
                name, measure, meeting, settings, key, phase=float(phase), ticker=ticker, recorder=recorder,
                tally=tallies[1], clock=clock,
            )
            for (name, measure), phase in zip(measures.items(), phases, strict=True)
        ]  # fmt: skip
        done = asyncio.Event()
        running = asyncio.create_task(run_nodes(nodes, done))
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + 2.0 * settings.silence_s
        while sum(node.joined for node in nodes) < n_nodes and loop.time() < give_up_s:
            await asyncio.sleep(0.05)
        n_joined = sum(node.joined for node in nodes)
        tell(f"{n_joined} of {n_nodes} nodes have joined")
        world = asyncio.create_task(beside(nodes)) if beside is not None else None
        began_s, cpu_s = loop.time(), _cpu_s()
        for second in range(math.ceil(seconds)):
            await asyncio.sleep(max(0.0, began_s + min(second + 1, seconds) - loop.time()))
            if second % 10 == 9:
                tell(f"{second + 1} s: {tallies[0]['reports']} reports, {tallies[1]['allocations']} allocations")
        cpu_s, ran_s = _cpu_s() - cpu_s, loop.time() - began_s
        if world is not None:
            world.cancel()
            await asyncio.wait([world])
            if not world.cancelled() and (error := world.exception()) is not None:
                raise error
        await allocator.quiet()
        done.set()
        await running
        await asyncio.sleep(0.05)
    finally:
        await allocator.stop()
        if relay is not None:
            await relay.stop()
        if recorder is not None:
            recorder.close()
    return CampaignOutcome(*tallies, ran_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def allow_sockets(n_sockets: int) -> None:
    """Raise this process's limit of open files if it must be; `InputError` if the system does not let it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_sockets + _OTHER_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise InputError(f"{n_sockets} sockets need {wanted} open files; this system allows {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
