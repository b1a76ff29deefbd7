"""The allocator of a live run: it lets nodes join, hears their reports, and sends each its cap once a period."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from g2g_opt.errors import G2GError
from g2g_opt.live.allocation import AllocationRule, NodeReport
from g2g_opt.live.record import LiveRecorder
from g2g_opt.live.settings import Address, LiveSettings, check_who_may_listen
from g2g_opt.live.sockets import DatagramPort, DatagramRoute, Route, StreamEnd, naming
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.live.tally import LiveTally
from g2g_opt.live.wire import (
    ALLOCATION,
    JOIN,
    LEAVE,
    REJOIN,
    REPORT,
    SESSION_BYTES,
    WELCOME,
    Codec,
    Message,
    RefusedMessageError,
    SequenceWindow,
)

ALLOCATOR = "allocator"
# Allocations go out in groups of so many milliseconds' worth over the first half of a period, so that answers do not
# come all at once.
_PACE_S = 0.01
# Joins of one node that are waiting to be confirmed: who repeats old joins of others does not push a fresh one out.
_PENDING_MAX = 4
# Clocks of different machines are that far apart without meaning anything (s).
_CLOCKS_APART_S = 0.5


@dataclass(frozen=True, slots=True)
class _Join:
    """A join that no report has confirmed: the node's own session, the message's number, and the way to it."""

    node_session: bytes
    sequence: int
    route: Route


@dataclass(slots=True)
class _Peer:
    """A node: the session it reports in, its own session for what we send, the way to it, and what it said last."""

    name: str
    session: bytes = b""
    node_session: bytes = b""
    route: Route | None = None
    window: SequenceWindow = field(default_factory=SequenceWindow)
    pending: dict[bytes, _Join] = field(default_factory=dict)  # by the session that it would have
    report: tuple[float, float, float] = (0.0, 0.0, 0.0)
    heard_s: float = 0.0
    acknowledged: int = 0
    join_sequence: int = -1
    sequence: int = 0
    lost: bool = False
    report_lane: int = 0
    allocation_lane: int = 0


class AllocatorNode:
    """Serves nodes on one socket; everything runs on the event loop that `start` is called from.

    `tally` counts what happens, `nodes` says who is there. Raises `InputError` if its address is taken, or
    can be reached from other machines where messages are not signed.
    """

    def __init__(
        self,
        rule: AllocationRule,
        settings: LiveSettings,
        key: bytes | None = None,
        *,
        recorder: LiveRecorder | None = None,
        tally: LiveTally | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        self._rule, self._settings, self._key = rule, settings, key
        self._codec = Codec(key, settings.message_bytes_max)
        self._recorder = recorder
        self.tally = tally if tally is not None else LiveTally()
        self._clock = clock or SteadyClock()
        self._peers: dict[str, _Peer] = {}
        self._streams: set[StreamEnd] = set()
        self._port: DatagramPort | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._kernel_full = 0

    # --- life

    async def start(self, address: Address) -> Address:
        """Listen; returns the address, with the port that was found."""
        check_who_may_listen(address, self._key)
        if self._settings.transport == "udp":
            self._port = DatagramPort(
                address, False, self._settings.receive_buffer_bytes, self._take_datagram, self.tally
            )
            found = self._port.address
        else:
            loop = asyncio.get_running_loop()
            make = partial(StreamEnd, self._settings, self.tally, self._take, self._stream_began, self._stream_ended)
            with naming(address):
                self._server = await loop.create_server(
                    make, address.host, address.port, backlog=max(self._settings.nodes_max, 128)
                )
            host, port = self._server.sockets[0].getsockname()[:2]
            found = Address(host, port)
        self._tasks = [asyncio.create_task(self._allocate()), asyncio.create_task(self._watch())]
        return found

    async def quiet(self) -> None:
        """Send no more allocations; what nodes say is still heard. Raises what a rule raised besides `G2GError`."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def stop(self) -> None:
        """Close everything; raises as `quiet` does."""
        try:
            await self.quiet()
        finally:
            if self._server is not None:
                self._server.close()
            for stream in list(self._streams):
                stream.close()
            if self._port is not None:
                self._count_kernel_drops()
                self._port.close()
            await asyncio.sleep(0)

    @property
    def nodes(self) -> Mapping[str, NodeReport]:
        """What the nodes that are there reported last."""
        now_s = self._clock.now_s()
        return {
            peer.name: NodeReport(*peer.report, now_s - peer.heard_s)
            for peer in self._peers.values()
            if peer.session and not peer.lost and peer.window.highest >= 0
        }

    # --- what comes in

    def _take_datagram(self, data: bytes, sender: Any) -> None:
        assert self._port is not None
        self._take(data, DatagramRoute(self._port, sender))

    def _stream_began(self, stream: StreamEnd) -> None:
        self._streams.add(stream)
        if len(self._streams) > self._settings.nodes_max:
            self.tally["too_many"] += 1
            stream.close()

    def _stream_ended(self, stream: StreamEnd) -> None:
        self._streams.discard(stream)

    def _take(self, data: bytes, route: Route) -> None:
        try:
            message = self._codec.unseal(data)
            if isinstance(route, StreamEnd):
                route.heard_s = asyncio.get_running_loop().time()
            kind = message[0]
            if kind == REPORT:
                self._take_report(message, route)
            elif kind == JOIN:
                self._take_join(message, route)
            elif kind == LEAVE:
                self._take_leave(message, route)
            else:
                raise RefusedMessageError("malformed")
        except RefusedMessageError as refused:
            self.tally[refused.why] += 1

    def _take_join(self, message: Message, route: Route) -> None:
        name, node_session = message[1], message[5]
        peer = self._peers.get(name)
        if peer is None:
            if len(self._peers) >= self._settings.nodes_max and not self._forget_one():
                self.tally["too_many"] += 1
                return
            # Higher than any number sent to it before, also by an allocator that was here before us.
            peer = self._peers[name] = _Peer(name, sequence=int(1000 * self._clock.now_s()))
            if self._recorder is not None:
                peer.report_lane = self._recorder.lane(name, ALLOCATOR, "report")
                peer.allocation_lane = self._recorder.lane(ALLOCATOR, name, "allocation")
        if node_session == peer.node_session:
            if message[3] <= peer.join_sequence:
                raise RefusedMessageError("replayed")
            # Sent again before our welcome reached it.
            peer.join_sequence = message[3]
            self.tally["late"] += 1
            return
        session = next((own for own, join in peer.pending.items() if join.node_session == node_session), None)
        if session is None:
            session = secrets.token_bytes(SESSION_BYTES)
            while len(peer.pending) >= _PENDING_MAX:
                del peer.pending[next(iter(peer.pending))]
        elif message[3] <= peer.pending[session].sequence:
            raise RefusedMessageError("replayed")
        # Only a report in this session, which whoever repeats an old join cannot make, puts it in the place of the old.
        peer.pending[session] = _Join(node_session, message[3], route)
        self._send(peer, route, (WELCOME, ALLOCATOR, node_session, 0, 0.0, session, self._settings.period_s))

    def _forget_one(self) -> bool:
        """Make room: forget a node that is lost, or one that joined and never reported."""
        for name, peer in self._peers.items():
            if peer.lost or not peer.session:
                del self._peers[name]
                return True
        return False

    def _confirmed(self, message: Message, route: Route) -> _Peer:
        """The node of a message in its present session, which may have begun with this very message."""
        peer = self._peers.get(message[1])
        session = message[2]
        if peer is None or (session != peer.session and session not in peer.pending):
            if peer is None or not peer.session or peer.lost:
                # It joined an allocator that was here before us, or we have given it up.
                route.send(self._codec.seal((REJOIN, ALLOCATOR, session, message[3], self._clock.now_s())))
            raise RefusedMessageError("other_session")
        if session != peer.session:
            self.tally["rejoined" if peer.session else "joined"] += 1
            join = peer.pending[session]
            if peer.route is not None and peer.route is not join.route:
                peer.route.close()
            peer.session, peer.node_session, peer.route = session, join.node_session, join.route
            peer.join_sequence = join.sequence
            peer.window, peer.pending, peer.lost = SequenceWindow(), {}, False
        return peer

    def _take_report(self, message: Message, route: Route) -> None:
        peer = self._confirmed(message, route)
        sequence, sent_s = message[3], message[4]
        order = peer.window.take(sequence)
        if order == "replayed":
            raise RefusedMessageError("replayed")
        now_s = self._clock.now_s()
        if sent_s > now_s + _CLOCKS_APART_S:
            self.tally["from_the_future"] += 1
        if self._recorder is not None:
            self._recorder.arrived(peer.report_lane, sequence, now_s, sent_s)
        peer.heard_s = now_s
        if order == "late":
            self.tally["late"] += 1
            return
        if peer.lost:
            peer.lost = False
            self.tally["rejoined"] += 1
        # Whoever speaks in the session is the node, wherever it is now.
        peer.route = route
        peer.report = message[5:8]
        self.tally["reports"] += 1
        if message[8] > peer.acknowledged:
            peer.acknowledged = message[8]
            self.tally["acknowledged"] += 1

    def _take_leave(self, message: Message, route: Route) -> None:
        peer = self._confirmed(message, route)
        if peer.window.take(message[3]) == "replayed":
            raise RefusedMessageError("replayed")
        self.tally["left"] += 1
        del self._peers[peer.name]

    # --- what goes out

    def _send(self, peer: _Peer, route: Route, message: Message) -> None:
        """Send with the next sequence number and the time."""
        now_s = self._clock.now_s()
        peer.sequence += 1
        route.send(self._codec.seal((*message[:3], peer.sequence, now_s, *message[5:])))
        if message[0] == ALLOCATION and self._recorder is not None:
            self._recorder.sent(peer.allocation_lane, peer.sequence, now_s)

    async def _allocate(self) -> None:
        """Once a period: ask the rule, and send what it says, spread over half a period."""
        loop = asyncio.get_running_loop()
        period_s = self._settings.period_s
        at_s = loop.time()
        while True:
            at_s += period_s
            if (late := loop.time() - at_s) > period_s:
                missed = int(late / period_s)
                self.tally["rule_late"] += missed
                at_s += missed * period_s
            await asyncio.sleep(at_s - loop.time())
            reports = self.nodes
            if not reports:
                continue
            try:
                caps = await loop.run_in_executor(None, self._rule.allocate, reports, self._clock.now_s())
            except G2GError as error:
                self.tally["rule_failed"] += 1
                self._note("rule_failed", str(error))
                continue
            await self._send_caps(list(caps.items()), period_s)

    async def _send_caps(self, caps: list[tuple[str, float]], period_s: float) -> None:
        loop = asyncio.get_running_loop()
        began_s, at_once = loop.time(), -(-len(caps) // max(1, int(0.5 * period_s / _PACE_S)))
        for k, (name, cap_kw) in enumerate(caps):
            # By the clock: a loop that is late catches up instead of falling behind by a pause more.
            if k % at_once == 0 and (wait_s := began_s + k // at_once * _PACE_S - loop.time()) > 0.0:
                await asyncio.sleep(wait_s)
            peer = self._peers.get(name)
            if peer is not None and peer.route is not None and peer.session:
                self._send(peer, peer.route, (ALLOCATION, ALLOCATOR, peer.node_session, 0, 0.0, float(cap_kw)))

    async def _watch(self) -> None:
        """Once a period: who is lost, what the system dropped, whether the clock jumped; and write the record."""
        loop = asyncio.get_running_loop()
        period_s, silence_s = self._settings.period_s, self._settings.silence_s
        awake_s = loop.time()
        while True:
            await asyncio.sleep(period_s)
            # Who was not given the time to listen says nothing about others.
            slept_s, awake_s = max(0.0, loop.time() - awake_s - 2.0 * period_s), loop.time()
            now_s = self._clock.now_s()
            if slept_s:
                self._note("slept", f"{slept_s:.3f} s")
                for peer in self._peers.values():
                    peer.heard_s += slept_s
                for stream in self._streams:
                    stream.heard_s += slept_s
            for peer in self._peers.values():
                if peer.session and not peer.lost and now_s - peer.heard_s > silence_s:
                    peer.lost = True
                    self.tally["lost"] += 1
                    self._note("lost", peer.name)
            for stream in [s for s in self._streams if loop.time() - s.heard_s > silence_s]:
                self.tally["idle_closed"] += 1
                stream.close()
            if jump_s := self._clock.jump_s():
                self.tally["clock_jumps"] += 1
                self._note("clock_jump", f"{jump_s:+.3f} s")
            self._count_kernel_drops()
            if self._recorder is not None:
                self._recorder.flush()

    def _count_kernel_drops(self) -> None:
        if self._port is not None:
            drops = self._port.kernel_drops()
            self.tally["kernel_full"] += drops - self._kernel_full
            self._kernel_full = drops

    def _note(self, name: str, detail: str) -> None:
        if self._recorder is not None:
            self._recorder.event(self._clock.now_s(), name, detail)
