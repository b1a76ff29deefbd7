"""Datagrams and streams of messages on an event loop: what is queued is bounded, what fails is counted."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from g2g_opt.errors import InputError
from g2g_opt.live.settings import Address, LiveSettings
from g2g_opt.live.tally import LiveTally
from g2g_opt.live.wire import FrameReader, RefusedMessageError, framed

# Datagrams that a bound socket reads at a time before others of the loop have their turn. A connected one hears of one
# peer, and finds a second one on the loop's next round.
_READ_AT_ONCE = 64
_DATAGRAM_MAX = 65_535
# Read of a stream at a time: a message or two.
_BUFFER_BYTES = 2048


class Route(Protocol):
    """A way to one peer."""

    def send(self, data: bytes) -> None:
        """Send a message, or queue it; what cannot be sent is counted."""

    def close(self) -> None:
        """Let go of the connection, if there is one."""


@contextmanager
def naming(address: Address) -> Iterator[None]:
    """Have what the system refuses at an address be an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        # Servers of streams put words of their own around the system's; names that no host has, have other numbers.
        number = error.errno or 0
        words = os.strerror(number) if number > 0 else error.strerror or str(error)
        free = "; choose another port, or 0 for any that is free" if number == errno.EADDRINUSE else ""
        raise InputError(f"{address}: {words.lower()}{free}") from error


class DatagramPort:
    """A UDP socket, bound (`connected` False) or connected to one peer; `take(data, address)` is called for each.

    Raises `InputError` if it cannot be bound, or no host has that name.
    """

    def __init__(
        self, address: Address, connected: bool, buffer_bytes: int, take: Callable[[bytes, Any], None], tally: LiveTally
    ) -> None:
        with naming(address):
            family, *_, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        self._take, self._tally = take, tally
        self._at_once = 1 if connected else _READ_AT_ONCE
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            if buffer_bytes:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            with naming(address):
                self._socket.connect(place) if connected else self._socket.bind(place)
        except InputError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return Address(host, port)

    def _read(self) -> None:
        for _ in range(self._at_once):
            try:
                data, sender = self._socket.recvfrom(_DATAGRAM_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # what the system tells of an earlier datagram: nobody listens there
                self._tally["refused_connection"] += 1
                return
            self._take(data, sender)

    def send(self, data: bytes) -> None:
        """To the connected peer."""
        try:
            self._socket.send(data)
        except ConnectionError:
            self._tally["refused_connection"] += 1
        except OSError:
            self._tally["unsent"] += 1

    def send_to(self, data: bytes, peer: Any) -> None:
        """To any peer."""
        try:
            self._socket.sendto(data, peer)
        except OSError:
            self._tally["unsent"] += 1

    def kernel_drops(self) -> int:
        """Datagrams that the system has dropped because its queue was full; 0 where it does not tell (Linux does)."""
        inode = str(os.fstat(self._socket.fileno()).st_ino)
        for table in ("/proc/net/udp", "/proc/net/udp6"):
            with suppress(OSError):
                for line in Path(table).read_bytes().decode("ascii", "replace").splitlines()[1:]:
                    cells = line.split()
                    if len(cells) > 12 and cells[9] == inode:
                        return int(cells[12])
        return 0

    def close(self) -> None:
        """Stop reading; once is enough."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class DatagramRoute:
    """A peer of a bound datagram socket."""

    __slots__ = ("_port", "peer")

    def __init__(self, port: DatagramPort, peer: Any) -> None:
        self._port, self.peer = port, peer

    def send(self, data: bytes) -> None:
        """Send a message to the peer."""
        self._port.send_to(data, self.peer)

    def close(self) -> None:
        """A datagram socket has no connection to let go of."""


class StreamEnd(asyncio.BufferedProtocol):
    """One end of a TCP connection that carries messages.

    `take(data, self)` is called for each, `ended(self)` once it is closed. While the other side does not read, messages
    wait in a queue of `queue_messages`; the oldest goes first. `heard_s` is the loop's time of the last valid message,
    which the owner sets.
    """

    def __init__(
        self,
        settings: LiveSettings,
        tally: LiveTally,
        take: Callable[[bytes, StreamEnd], None],
        began: Callable[[StreamEnd], None],
        ended: Callable[[StreamEnd], None],
    ) -> None:
        self._settings, self._tally = settings, tally
        self._take, self._began, self._ended = take, began, ended
        self._frames = FrameReader(settings.message_bytes_max)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self.heard_s = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio once the connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # A few messages under way are enough: what is older than those is overtaken anyway.
        transport.set_write_buffer_limits(high=4 * self._settings.message_bytes_max)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tally["connected"] += 1
        self._began(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio puts what it reads."""
        # Of its own: asyncio would make one of 256 KiB for each message that comes.
        return self._buffer

    def buffer_updated(self, n_bytes: int) -> None:
        """Called by asyncio when so many bytes were read: every whole message among them is taken."""
        try:
            for message in self._frames.take(bytes(self._buffer[:n_bytes])):
                self._take(message, self)
        except RefusedMessageError as refused:
            # Where the next message begins is not known any more.
            self._tally[refused.why] += 1
            self.close()

    def pause_writing(self) -> None:
        """Called by asyncio while the other side does not read: messages wait from now on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by asyncio when there is room again: what waits is sent."""
        self._paused = False
        while self._waiting and not self._paused:
            self._write(self._waiting.popleft())

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio once the connection is gone; what waits is counted as lost."""
        self._transport = None
        self._tally["disconnected"] += 1
        self._tally["queue_full"] += len(self._waiting)
        self._waiting.clear()
        self._ended(self)

    def send(self, data: bytes) -> None:
        """Send a message, or let it wait."""
        if self._transport is None or self._transport.is_closing():
            self._tally["unsent"] += 1
        elif self._paused:
            if len(self._waiting) >= self._settings.queue_messages:
                self._waiting.popleft()
                self._tally["queue_full"] += 1
            self._waiting.append(data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(framed(data))

    def close(self) -> None:
        """End the connection at once; what waits is lost."""
        if self._transport is not None:
            self._transport.abort()
