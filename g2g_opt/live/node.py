"""A node of a live run: it joins an allocator, reports once a period, and keeps to the cap that it is given."""

from __future__ import annotations

import asyncio
import math
import random
import secrets
from collections.abc import Callable
from functools import partial

from g2g_opt.live.allocator import ALLOCATOR
from g2g_opt.live.record import LiveRecorder
from g2g_opt.live.settings import Address, LiveSettings
from g2g_opt.live.sockets import DatagramPort, Route, StreamEnd
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.live.tally import LiveTally
from g2g_opt.live.ticker import Ticker
from g2g_opt.live.wire import (
    ALLOCATION,
    JOIN,
    LEAVE,
    NO_SESSION,
    REJOIN,
    REPORT,
    SESSION_BYTES,
    WELCOME,
    Codec,
    Message,
    RefusedMessageError,
    SequenceWindow,
    check_node_name,
)

# What a node has available (kW) and measures (pu, NaN: nothing) at a time (s since 1970).
Measure = Callable[[float], tuple[float, float]]
# A node that is refused a connection tries again after so long (s), doubling, with some chance in it.
_RETRY_MIN_S, _RETRY_MAX_S = 0.2, 5.0


class LiveNode:
    """One node with a socket of its own, on the event loop that `start` is called from.

    It speaks at its `phase` of each period, by a `ticker` that it may share with other nodes. `cap_kw` is the newest
    cap, and `effective_kw` what it gives: the least of cap and availability. In silence a node keeps its cap and asks
    to join again.
    """

    def __init__(
        self,
        name: str,
        measure: Measure,
        allocator: Address,
        settings: LiveSettings,
        key: bytes | None = None,
        *,
        phase: float = 0.0,
        ticker: Ticker | None = None,
        recorder: LiveRecorder | None = None,
        tally: LiveTally | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        check_node_name(name)
        self.name, self._measure, self._allocator, self._settings = name, measure, allocator, settings
        self._codec = Codec(key, settings.message_bytes_max)
        self._phase, self._ticker = phase, ticker or Ticker(settings.period_s)
        self._recorder = recorder
        self.tally = tally if tally is not None else LiveTally()
        self._clock = clock or SteadyClock()
        self.cap_kw, self.effective_kw = math.inf, 0.0
        self._applied, self._applied_s = 0, 0.0
        self._sequence = int(1000 * self._clock.now_s())
        self._route: Route | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._stopped = True
        self._joined = False
        self._session = NO_SESSION  # the allocator's, for what we send
        self._own_session = secrets.token_bytes(SESSION_BYTES)
        self._window = SequenceWindow()
        self._welcome_sequence = -1
        self._heard_s = 0.0
        self._silent = False
        if recorder is not None:
            self._report_lane = recorder.lane(name, ALLOCATOR, "report")
            self._allocation_lane = recorder.lane(ALLOCATOR, name, "allocation")

    @property
    def joined(self) -> bool:
        """Has the allocator let it in?"""
        return self._joined

    # --- life

    async def start(self) -> None:
        """Open the socket and begin; a TCP connection that cannot be made is tried again and again."""
        self._stopped = False
        self._heard_s = self._clock.now_s()
        if self._settings.transport == "udp":
            self._route = DatagramPort(self._allocator, True, 0, self._take, self.tally)
        else:
            self._connect()
        self._ticker.add(self._phase, self._tick)

    def quiet(self) -> None:
        """Report no more; what the allocator says is still heard."""
        self._ticker.discard(self._phase, self._tick)

    async def stop(self, goodbye: bool = True) -> None:
        """Say goodbye, unless it is to vanish as if its machine had lost power, and close."""
        self.quiet()
        if goodbye and self._joined:
            self._send(LEAVE)
            await asyncio.sleep(0)
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._route is not None:
            self._route.close()
        await asyncio.sleep(0)

    def _connect(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._try_to_connect())

    async def _try_to_connect(self) -> None:
        loop = asyncio.get_running_loop()
        make = partial(StreamEnd, self._settings, self.tally, self._take, self._stream_began, self._stream_ended)
        wait_s = _RETRY_MIN_S
        while not self._stopped:
            try:
                await asyncio.wait_for(
                    loop.create_connection(make, self._allocator.host, self._allocator.port), self._settings.silence_s
                )
                return
            except (OSError, TimeoutError):
                self.tally["refused_connection"] += 1
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2.0 * wait_s, _RETRY_MAX_S)

    def _stream_began(self, stream: StreamEnd) -> None:
        self._route = stream
        self._join()

    def _stream_ended(self, stream: StreamEnd) -> None:
        self._route = None
        self._begin_session()
        if not self._stopped:
            self._connect()

    # --- once a period

    def _tick(self, slept_s: float) -> None:
        # Who was not given the time to listen says nothing about others.
        self._heard_s += slept_s
        now_s = self._clock.now_s()
        available_kw, voltage_pu = self._measure(now_s)
        self.effective_kw = min(self.cap_kw, available_kw)
        if now_s - self._heard_s > self._settings.silence_s and self._route is not None:
            if not self._silent:
                self._silent = True
                self.tally["allocator_lost"] += 1
                if self._recorder is not None:
                    self._recorder.event(now_s, "allocator_lost", self.name)
            self._begin_session()
        if self._joined:
            self._send(REPORT, self.effective_kw, available_kw, voltage_pu, self._applied, self._applied_s)
        elif self._route is not None:
            self._join()

    def _begin_session(self) -> None:
        """Nothing that was said before counts any more."""
        if self._joined:
            self._joined = False
            self._own_session, self._welcome_sequence = secrets.token_bytes(SESSION_BYTES), -1

    def _join(self) -> None:
        self._joined = False
        self._session = NO_SESSION
        self._send(JOIN, self._own_session)

    def _send(self, kind: int, *values: object) -> None:
        if self._route is None:
            self.tally["unsent"] += 1
            return
        now_s = self._clock.now_s()
        self._sequence += 1
        self._route.send(self._codec.seal((kind, self.name, self._session, self._sequence, now_s, *values)))
        if kind == REPORT and self._recorder is not None:
            self._recorder.sent(self._report_lane, self._sequence, now_s)

    # --- what comes in

    def _take(self, data: bytes, sender: object) -> None:
        try:
            message = self._codec.unseal(data)
            if isinstance(sender, StreamEnd):
                sender.heard_s = asyncio.get_running_loop().time()
            kind = message[0]
            if kind == ALLOCATION:
                self._take_allocation(message)
            elif kind == WELCOME:
                self._take_welcome(message)
            elif kind == REJOIN:
                self._take_rejoin(message)
            else:
                raise RefusedMessageError("malformed")
        except RefusedMessageError as refused:
            self.tally[refused.why] += 1

    def _take_welcome(self, message: Message) -> None:
        if message[2] != self._own_session:
            raise RefusedMessageError("other_session")
        if message[3] <= self._welcome_sequence:
            raise RefusedMessageError("replayed")
        self._welcome_sequence = message[3]
        if self._joined:
            # The answer to a join that was sent again.
            self.tally["late"] += 1
            return
        self._session = message[5]
        self._joined, self._silent = True, False
        self._window = SequenceWindow()
        self._heard_s = self._clock.now_s()

    def _take_rejoin(self, message: Message) -> None:
        # It names the session that we report in: an old one repeated by somebody does not.
        if not self._joined or message[2] != self._session:
            raise RefusedMessageError("other_session")
        self._begin_session()
        self._join()

    def _take_allocation(self, message: Message) -> None:
        sequence, sent_s, cap_kw = message[3], message[4], message[5]
        if not self._joined or message[2] != self._own_session:
            raise RefusedMessageError("other_session")
        if not cap_kw >= 0.0:
            raise RefusedMessageError("malformed")
        order = self._window.take(sequence)
        if order == "replayed":
            raise RefusedMessageError("replayed")
        now_s = self._heard_s = self._clock.now_s()
        if self._recorder is not None:
            self._recorder.arrived(self._allocation_lane, sequence, now_s, sent_s)
        if order == "late":
            self.tally["late"] += 1
            return
        self.tally["allocations"] += 1
        self.cap_kw = cap_kw
        self._applied, self._applied_s = sequence, now_s
        self._silent = False
