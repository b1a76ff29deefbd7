"""What tests of live runs share: loops with a time limit, waiting for what is to become true, a hand-made node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from g2g_opt.live.allocation import ProportionalRule
from g2g_opt.live.allocator import AllocatorNode
from g2g_opt.live.node import LiveNode
from g2g_opt.live.settings import Address, LiveSettings
from g2g_opt.live.wire import ALLOCATION, JOIN, NO_SESSION, REPORT, WELCOME, Codec, Message

KEY = b"a key of sixteen bytes, and more"
ANY_PORT = Address("127.0.0.1", 0)


def settings(transport: str = "udp", **others: Any) -> LiveSettings:
    """Periods of a test: short, with silences that a busy machine does not make by itself."""
    given: dict[str, Any] = {"transport": transport, "period_s": 0.05, "silence_s": 1.0, **others}
    return LiveSettings(**given)


def run(coroutine: Coroutine[Any, Any, None], seconds: float = 30.0) -> None:
    """Run to the end, or fail."""
    asyncio.run(asyncio.wait_for(coroutine, seconds))


async def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something to become true."""
    end_s = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < end_s, "it has not come true"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def allocator_at(
    address: Address, chosen: LiveSettings, key: bytes | None = KEY, **others: Any
) -> AsyncIterator[tuple[AllocatorNode, Address]]:
    """An allocator that serves 10 kW in all."""
    allocator = AllocatorNode(ProportionalRule(10.0), chosen, key, **others)
    found = await allocator.start(address)
    try:
        yield allocator, found
    finally:
        await allocator.stop()


@asynccontextmanager
async def nodes_at(
    address: Address, chosen: LiveSettings, *names: str, key: bytes | None = KEY
) -> AsyncIterator[list[LiveNode]]:
    """Nodes with 10 kW each."""
    nodes = [LiveNode(name, lambda time_s: (10.0, 1.0), address, chosen, key) for name in names]
    for node in nodes:
        await node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


class HandMadeNode:
    """A node of the test's own on UDP, which keeps the bytes it sends."""

    def __init__(self, allocator: Address, name: str = "by hand", key: bytes | None = KEY) -> None:
        self.codec = Codec(key, 1200)
        self.name, self.session, self.sequence = name, NO_SESSION, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((allocator.host, allocator.port))
        self.socket.setblocking(False)

    def send(self, kind: int, *values: Any) -> bytes:
        self.sequence += 1
        data = self.codec.seal((kind, self.name, self.session, self.sequence, 1.0, *values))
        self.socket.send(data)
        return data

    async def hear(self, kind: int) -> Message:
        """The next message of a kind."""
        loop = asyncio.get_running_loop()
        while True:
            message = self.codec.unseal(await asyncio.wait_for(loop.sock_recv(self.socket, 2000), 10.0))
            if message[0] == kind:
                return message

    async def join(self, own_session: bytes) -> bytes:
        """Join; returns the bytes of the message that asked for it."""
        self.session = NO_SESSION
        asked = self.send(JOIN, own_session)
        self.session = (await self.hear(WELCOME))[5]
        return asked

    def report(self, effective_kw: float = 5.0) -> bytes:
        return self.send(REPORT, effective_kw, 10.0, 1.0, 0, 0.0)

    async def allocation(self) -> Message:
        return await self.hear(ALLOCATION)
