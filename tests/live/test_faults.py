"""What goes wrong in a live run is counted, and the run goes on: real sockets on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from live_rigs import ANY_PORT, KEY, HandMadeNode, allocator_at, nodes_at, run, settings, until

from g2g_opt.errors import G2GError, InputError
from g2g_opt.live.allocation import NodeReport
from g2g_opt.live.allocator import AllocatorNode
from g2g_opt.live.settings import Address
from g2g_opt.live.sockets import StreamEnd
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.live.tally import LiveTally
from g2g_opt.live.wire import Codec, framed

BOTH = pytest.mark.parametrize("transport", ["udp", "tcp"])


@BOTH
def test_nodes_join_report_and_keep_to_their_caps(transport: str) -> None:
    async def body() -> None:
        chosen = settings(transport)
        async with allocator_at(ANY_PORT, chosen) as (allocator, meeting), nodes_at(meeting, chosen, "a", "b") as nodes:
            # 10 kW for two nodes that have 10 kW each.
            await until(lambda: [node.effective_kw for node in nodes] == [5.0, 5.0])
            await until(lambda: allocator.tally["acknowledged"] >= 2)
            assert {name: report.available_kw for name, report in allocator.nodes.items()} == {"a": 10.0, "b": 10.0}
            assert (allocator.tally["joined"], allocator.tally.n_refused) == (2, 0)

    run(body())


@BOTH
def test_a_node_that_vanishes_is_lost_and_its_share_goes_to_the_others(transport: str) -> None:
    async def body() -> None:
        chosen = settings(transport)
        async with allocator_at(ANY_PORT, chosen) as (allocator, meeting), nodes_at(meeting, chosen, "a", "b") as nodes:
            await until(lambda: nodes[0].effective_kw == 5.0)
            await nodes[1].stop(goodbye=False)
            await until(lambda: allocator.tally["lost"] == 1)
            await until(lambda: nodes[0].effective_kw == 10.0)
            assert list(allocator.nodes) == ["a"]
            await nodes[1].start()
            await until(lambda: allocator.tally["rejoined"] == 1 and nodes[0].effective_kw == 5.0)

    run(body())


def test_the_process_of_a_node_is_killed() -> None:
    program = (
        "import asyncio, sys\n"
        "from g2g_opt.live.node import LiveNode\n"
        "from g2g_opt.live.settings import Address, LiveSettings\n"
        "async def live():\n"
        "    chosen = LiveSettings(period_s=0.05, silence_s=1.0)\n"
        "    meeting = Address('127.0.0.1', int(sys.argv[1]))\n"
        "    node = LiveNode('a', lambda t: (10.0, 1.0), meeting, chosen, sys.argv[2].encode())\n"
        "    await node.start()\n"
        "    await asyncio.sleep(60.0)\n"
        "asyncio.run(live())\n"
    )

    async def body() -> None:
        async with allocator_at(ANY_PORT, settings()) as (allocator, meeting):
            command = [sys.executable, "-c", program, str(meeting.port), KEY.decode()]
            node = subprocess.Popen(command)
            try:
                await until(lambda: "a" in allocator.nodes)
            finally:
                os.kill(node.pid, signal.SIGKILL)
                node.wait(10.0)
            await until(lambda: allocator.tally["lost"] == 1)
            assert not allocator.nodes

    run(body())


@BOTH
def test_an_allocator_that_is_started_again_finds_its_nodes(transport: str) -> None:
    async def body() -> None:
        chosen = settings(transport)
        async with allocator_at(ANY_PORT, chosen) as (_, meeting):
            pass
        async with nodes_at(meeting, chosen, "a", "b") as nodes:
            for _ in range(2):
                async with allocator_at(meeting, chosen) as (allocator, _):
                    await until(lambda: len(allocator.nodes) == 2 and all(node.joined for node in nodes))
                    await until(lambda: all(node.effective_kw == 5.0 for node in nodes))
                    for node in nodes:
                        await until(lambda n=node, taken=node.tally["allocations"]: n.tally["allocations"] > taken)
            if transport == "tcp":
                await until(lambda: all(node.tally["disconnected"] for node in nodes))
            await until(lambda: all(node.tally["refused_connection"] > 0 for node in nodes))
            assert all(node.effective_kw == 5.0 for node in nodes), "without an allocator nodes keep their caps"

    run(body())


@BOTH
def test_what_is_no_valid_message_is_counted_by_kind_and_changes_nothing(transport: str) -> None:
    async def body() -> None:
        chosen = settings(transport)
        async with allocator_at(ANY_PORT, chosen) as (allocator, meeting), nodes_at(meeting, chosen, "a") as nodes:
            await until(lambda: nodes[0].effective_kw == 10.0)
            plain = Codec(None, 1200).seal((6, "a", bytes(8), 1, 1.0))
            forged = Codec(b"another key of some bytes", 1200).seal((6, "a", bytes(8), 1, 1.0))
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            with socket.socket(socket.AF_INET, kind) as stranger:
                stranger.connect((meeting.host, meeting.port))
                for data in (b"\xa0nonsense", b"", plain, plain, forged):
                    stranger.send(data if transport == "udp" else framed(data))
                stranger.send(b"x" * 2000)
                wanted = {"malformed": 2, "unsigned": 2, "forged": 1, "oversized": 1}
                await until(lambda: {name: allocator.tally[name] for name in wanted} == wanted)
                if transport == "tcp":
                    # Where the next message begins is not known: the connection ends.
                    await until(lambda: allocator.tally["disconnected"] == 1)
            before = allocator.tally["reports"]
            await until(lambda: allocator.tally["reports"] > before)
            assert nodes[0].tally["disconnected"] == 0

    run(body())


def test_a_connection_that_says_nothing_is_closed() -> None:
    async def body() -> None:
        chosen = settings("tcp", silence_s=0.3)
        async with allocator_at(ANY_PORT, chosen) as (allocator, meeting):
            with socket.create_connection((meeting.host, meeting.port)):
                await until(lambda: allocator.tally["idle_closed"] == 1)

    run(body())


def test_repeated_messages_are_refused_in_their_session_and_after_it() -> None:
    async def body() -> None:
        async with allocator_at(ANY_PORT, settings()) as (allocator, meeting):
            node, tally = HandMadeNode(meeting), allocator.tally
            first_join = await node.join(b"session1")
            first_report = node.report(5.0)
            await until(lambda: tally["reports"] == 1)
            node.socket.send(first_report)
            node.socket.send(first_join)
            await until(lambda: tally["replayed"] == 2)
            await node.join(b"session2")
            node.report(7.0)
            await until(lambda: tally["rejoined"] == 1)
            # All of this is signed with the right key, and of an earlier session.
            node.socket.send(first_report)
            node.socket.send(first_join)
            await until(lambda: tally["other_session"] == 1)
            node.report(8.0)
            await until(lambda: tally["reports"] == 3)
            assert allocator.nodes["by hand"].effective_kw == 8.0
            while (await node.allocation())[2] == b"session1":
                pass  # those that were sent before
            node.socket.send(first_join)
            assert {(await node.allocation())[2] for _ in range(3)} == {b"session2"}, "an old join takes nobody's place"
            node.socket.close()

    run(body())


def test_a_report_that_was_overtaken_is_not_taken() -> None:
    async def body() -> None:
        async with allocator_at(ANY_PORT, settings()) as (allocator, meeting):
            node = HandMadeNode(meeting)
            await node.join(b"session1")
            node.report(5.0)
            node.sequence += 5
            node.report(6.0)
            node.sequence -= 3
            node.report(7.0)
            await until(lambda: allocator.tally["late"] == 1)
            assert allocator.nodes["by hand"].effective_kw == 6.0
            node.socket.close()

    run(body())


def test_a_datagram_queue_that_is_full_is_told_by_the_system() -> None:
    if not os.path.exists("/proc/net/udp"):
        pytest.skip("only Linux tells")

    async def body() -> None:
        async with allocator_at(ANY_PORT, settings(receive_buffer_bytes=4096)) as (allocator, meeting):
            node = HandMadeNode(meeting)
            await node.join(b"session1")
            # Nobody reads meanwhile: this is the allocator's own thread.
            for _ in range(200):
                node.report()
            await until(lambda: allocator.tally["kernel_full"] > 0)
            await until(lambda: allocator.tally["reports"] + allocator.tally["kernel_full"] == 200)
            node.socket.close()

    run(body())


def test_a_peer_that_does_not_read_fills_a_queue_that_is_bounded() -> None:
    async def body() -> None:
        loop, chosen, tally = asyncio.get_running_loop(), settings("tcp"), LiveTally()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            end = StreamEnd(chosen, tally, lambda data, who: None, lambda who: None, lambda who: None)
            writer = socket.create_connection(listener.getsockname())
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await loop.create_connection(lambda: end, sock=writer)
            reader, _ = listener.accept()
            message, n = b"x" * 1000, 0
            while not tally["queue_full"]:
                end.send(message)
                n += 1
                assert n < 100_000
                await asyncio.sleep(0)
            for k in range(100):
                end.send(str(k).encode())
            assert tally["queue_full"] > 100 - chosen.queue_messages
            # The peer wakes up: what it gets last is what was sent last.
            reader.setblocking(False)
            got = b""
            while not got.endswith(framed(b"99")):
                got += await asyncio.wait_for(loop.sock_recv(reader, 2**16), 10.0)
            assert len(got) == sum(len(framed(message)) for _ in range(n - tally["queue_full"] + 100 - 16)) + 16 * 4
            reader.close()
            end.close()
            await until(lambda: tally["disconnected"] == 1)

    run(body())


def test_a_clock_that_jumps_is_counted_and_moves_nothing() -> None:
    ahead_s = 0.0
    clock = SteadyClock(wall=lambda: time.time() + ahead_s)

    async def body() -> None:
        nonlocal ahead_s
        chosen = settings()
        async with (
            allocator_at(ANY_PORT, chosen, clock=clock) as (allocator, meeting),
            nodes_at(meeting, chosen, "a") as nodes,
        ):
            await until(lambda: nodes[0].effective_kw == 10.0)
            for jump_s in (3600.0, -86400.0):
                ahead_s += jump_s
                n_jumps, n_reports = allocator.tally["clock_jumps"], allocator.tally["reports"]
                await until(
                    lambda n=n_jumps, r=n_reports: allocator.tally["clock_jumps"] > n and allocator.tally["reports"] > r
                )
            assert (allocator.tally["clock_jumps"], allocator.tally["lost"], nodes[0].tally["allocator_lost"]) == (
                2,
                0,
                0,
            )
            assert abs(clock.now_s() - time.time()) < 5.0

    run(body())


def test_messages_from_a_machine_whose_clock_is_ahead_are_counted() -> None:
    async def body() -> None:
        behind = SteadyClock(wall=lambda: time.time() - 60.0)
        async with (
            allocator_at(ANY_PORT, settings(), clock=behind) as (allocator, meeting),
            nodes_at(meeting, settings(), "a"),
        ):
            await until(lambda: allocator.tally["from_the_future"] >= 2)
            assert "a" in allocator.nodes

    run(body())


def test_more_nodes_than_may_be_are_refused_and_room_is_made_of_lost_ones() -> None:
    async def body() -> None:
        chosen = settings(nodes_max=1, silence_s=0.5)
        async with allocator_at(ANY_PORT, chosen) as (allocator, meeting), nodes_at(meeting, chosen, "a") as nodes:
            await until(lambda: "a" in allocator.nodes)
            async with nodes_at(meeting, chosen, "b") as more:
                await until(lambda: allocator.tally["too_many"] > 0)
                assert not more[0].joined
                await nodes[0].stop(goodbye=False)
                await until(lambda: list(allocator.nodes) == ["b"])

    run(body())


def test_a_rule_without_an_answer_leaves_the_caps_as_they_are() -> None:
    class Moody:
        def __init__(self) -> None:
            self.fails = False

        def allocate(self, reports: dict[str, NodeReport], time_s: float) -> dict[str, float]:
            if self.fails:
                raise G2GError("no solution")
            return dict.fromkeys(reports, 4.0)

    async def body() -> None:
        rule, chosen = Moody(), settings()
        allocator = AllocatorNode(rule, chosen, KEY)
        meeting = await allocator.start(ANY_PORT)
        async with nodes_at(meeting, chosen, "a") as nodes:
            await until(lambda: nodes[0].effective_kw == 4.0)
            rule.fails = True
            await until(lambda: allocator.tally["rule_failed"] >= 2)
            assert nodes[0].cap_kw == 4.0
            rule.fails = False
            before = nodes[0].tally["allocations"]
            await until(lambda: nodes[0].tally["allocations"] > before)
        await allocator.stop()

    run(body())


def test_nobody_listens_beyond_this_machine_without_a_key() -> None:
    async def body() -> None:
        with pytest.raises(InputError, match="--key-file"):
            async with allocator_at(Address("0.0.0.0", 0), settings(), key=None):
                pass

    run(body())


def test_a_rule_that_is_at_fault_is_not_passed_over() -> None:
    class Faulty:
        def allocate(self, reports: dict[str, NodeReport], time_s: float) -> dict[str, float]:
            raise ZeroDivisionError

    async def body() -> None:
        chosen = settings()
        allocator = AllocatorNode(Faulty(), chosen, KEY)
        meeting = await allocator.start(ANY_PORT)
        async with nodes_at(meeting, chosen, "a"):
            await until(lambda: "a" in allocator.nodes)
            await asyncio.sleep(0.3)
        with pytest.raises(ZeroDivisionError):
            await allocator.stop()

    run(body())
