"""A relay on loopback that does to real messages what a simulated channel does, without privileges.

It stands between nodes and allocator: nodes talk to the relay. Datagrams are lost, delayed or queued by a
`ChannelSpec`. Of a TCP stream a relay can only hold up the bytes: segments are the kernel's (losing them takes a device
below it in a network namespace of one's own: `benchmarks/tcp_over_loss.py`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import numpy as np

from g2g_opt.channel.loss import burst_edges_s, is_lost, outage_edges_s
from g2g_opt.channel.transport import delays_s
from g2g_opt.clock import DAY_S
from g2g_opt.communication import ChannelSpec
from g2g_opt.errors import InputError
from g2g_opt.live.settings import Address, LiveSettings, check_who_may_listen
from g2g_opt.live.sockets import DatagramPort, naming
from g2g_opt.live.tally import LiveTally
from g2g_opt.randomness import keyed_generator

_DRAWN_AT_ONCE = 1024
# Bytes of a stream that wait in a relay before it reads no more.
_STREAM_HELD_MAX = 65_536


class LossyWay:
    """One direction through a channel: when each message leaves it, asked as messages come."""

    def __init__(self, spec: ChannelSpec, loss: float, seed: int, *key: str) -> None:
        self._spec, self._loss = spec, loss
        self._losses = keyed_generator(seed, *key, "loss")
        self._latencies = keyed_generator(seed, *key, "latency")
        bursts = keyed_generator(seed, *key, "bursts")
        self._edges_s = (
            burst_edges_s(loss, spec.burst_s, spec.burst_loss, DAY_S, bursts) if spec.burst_s > 0.0 else np.zeros(0)
        )
        self._outages_s = outage_edges_s(spec.outages)
        self._delays_s: list[float] = []
        self._free_s = -np.inf

    def leaves_s(self, now_s: float) -> float | None:
        """When a message leaves that comes at `now_s` (s since the relay began), None if it is lost."""
        spec = self._spec
        leave_s = now_s
        if spec.rate_per_s is not None:
            if (self._free_s - now_s) * spec.rate_per_s > spec.queue:
                return None
            self._free_s = leave_s = max(self._free_s, now_s) + 1.0 / spec.rate_per_s
        uniform = float(self._losses.random())
        if is_lost(leave_s % DAY_S, uniform, self._loss, self._edges_s, spec.burst_loss, self._outages_s):
            return None
        if not self._delays_s:
            self._delays_s = delays_s(spec, _DRAWN_AT_ONCE, self._latencies).tolist()[::-1]
        return leave_s + self._delays_s.pop()

    def held_until_s(self, now_s: float) -> float:
        """When bytes of a stream leave: after the latency, and not while an outage holds."""
        place = int(np.searchsorted(self._outages_s, now_s, side="right"))
        free_s = float(self._outages_s[place]) if place % 2 == 1 else now_s
        if not self._delays_s:
            self._delays_s = delays_s(self._spec, _DRAWN_AT_ONCE, self._latencies).tolist()[::-1]
        return free_s + self._delays_s.pop()


class LossRelay:
    """Listens for nodes and passes on to an allocator what the channel lets through, both ways.

    Raises `InputError` for a channel of the other transport, and for losses and rates of a TCP stream.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        target: Address,
        settings: LiveSettings,
        *,
        seed: int = 0,
        tally: LiveTally | None = None,
    ) -> None:
        if spec.transport not in ("ideal", settings.transport):
            raise InputError(f"nodes use {settings.transport}, so the relay's channel cannot be {spec.transport!r}")
        if settings.transport == "tcp" and (spec.loss or spec.loss_back or spec.rate_per_s is not None):
            raise InputError(
                "a relay can only delay a TCP stream: segments are lost below it. Give latency and outages alone; "
                "docs/live.md says how segments can be lost"
            )
        self._spec, self._target, self._settings, self._seed = spec, target, settings, seed
        self.tally = tally if tally is not None else LiveTally()
        self._ports: dict[Any, tuple[DatagramPort, LossyWay, LossyWay]] = {}
        self._port: DatagramPort | None = None
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self, address: Address) -> Address:
        """Listen; returns the address, with the port that was found."""
        check_who_may_listen(address, None)
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        if self._settings.transport == "udp":
            self._port = DatagramPort(address, False, self._settings.receive_buffer_bytes, self._forward, self.tally)
            return self._port.address
        with naming(address):
            self._server = await asyncio.start_server(
                self._join_streams, address.host, address.port, backlog=self._settings.nodes_max
            )
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def stop(self) -> None:
        """Close everything; what is under way is lost."""
        if self._port is not None:
            self._port.close()
        for port, _, _ in self._ports.values():
            port.close()
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    # --- datagrams

    def _ways(self, who: str) -> tuple[LossyWay, LossyWay]:
        spec = self._spec
        there = LossyWay(spec, spec.loss, self._seed, "relay", who, "there")
        # Losses of datagrams are those of the way, whichever direction it goes.
        return there, LossyWay(spec, spec.loss, self._seed, "relay", who, "back")

    def _forward(self, data: bytes, sender: Any) -> None:
        known = self._ports.get(sender)
        if known is None:
            if len(self._ports) >= self._settings.nodes_max:
                self.tally["too_many"] += 1
                return
            back = partial(self._back, sender)
            port = DatagramPort(self._target, True, 0, back, self.tally)
            known = self._ports[sender] = (port, *self._ways(str(len(self._ports))))
        port, there, _ = known
        self._pass(there, port.send, data)

    def _back(self, sender: Any, data: bytes, _: Any) -> None:
        if self._port is not None:
            self._pass(self._ports[sender][2], partial(self._port.send_to, peer=sender), data)

    def _pass(self, way: LossyWay, send: Any, data: bytes) -> None:
        now_s = self._loop.time() - self._began_s
        leave_s = way.leaves_s(now_s)
        if leave_s is None:
            self.tally["relay_dropped"] += 1
            return
        self.tally["relay_passed"] += 1
        if leave_s > now_s:
            self._loop.call_later(leave_s - now_s, send, data)
        else:
            send(data)

    # --- streams

    async def _join_streams(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            self.tally["refused_connection"] += 1
            writer.close()
            return
        there, back = self._ways(str(self.tally["connected"]))
        self.tally["connected"] += 1
        for way, source, sink in ((there, reader, far_writer), (back, far_reader, writer)):
            pump = asyncio.create_task(self._pump(way, source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, way: LossyWay, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass bytes on, in order, each after its delay; pieces wait in a queue, and a full one stops the reading."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=_STREAM_HELD_MAX // 1024)

        async def read() -> None:
            leave_s = 0.0
            while data := await source.read(1024):
                leave_s = max(leave_s, way.held_until_s(self._loop.time() - self._began_s))
                await waiting.put((leave_s, data))
            await waiting.put((leave_s, b""))

        reading = asyncio.create_task(read())
        try:
            while True:
                leave_s, data = await waiting.get()
                await asyncio.sleep(leave_s - (self._loop.time() - self._began_s))
                if not data:
                    return
                sink.write(data)
                self.tally["relay_passed"] += 1
                await sink.drain()
        except ConnectionError:
            self.tally["disconnected"] += 1
        finally:
            reading.cancel()
            sink.close()
