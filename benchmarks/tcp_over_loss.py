"""Age of information over real kernel TCP whose segments are lost: a TUN device in a network namespace of its own.

    unshare -rn python benchmarks/tcp_over_loss.py --seconds 200 --connections 60

Packets to 10.99.0.2 leave through the device, are read here, lost with the probability of their direction, and come
back with source and destination exchanged (which leaves all checksums right), so that a kernel talks to itself through
the loss. Every case has a port of its own. Loss begins when all connections stand. No privileges are needed, where user
namespaces are allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import random
import socket
import struct
import subprocess
import time

HERE, THERE = "10.99.0.1", "10.99.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MESSAGE = struct.Struct("!Id")
# (loss of data, loss of what comes back, whether the receiver answers every message)
CASES = [
    (0.1, 0.0, False),
    (0.2, 0.0, False),
    (0.3, 0.0, False),
    (0.6, 0.0, False),
    (0.1, 0.1, False),
    (0.2, 0.2, False),
    (0.3, 0.3, False),
    (0.6, 0.6, False),
    (0.3, 0.3, True),
]
PORT = 5000


def open_tun() -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", b"lossy0", IFF_TUN | IFF_NO_PI))
    for words in (f"addr add {HERE}/24 dev lossy0", "link set lossy0 txqueuelen 20000", "link set lossy0 up"):
        subprocess.run(["ip", *words.split()], check=True)
    return descriptor


def state_of(sender: socket.socket) -> tuple[int, ...]:
    """Congestion state (4: loss), time-outs and back-off, RTO (ms), congestion window, segments out, sacked, lost, sent
    again (Linux, `struct tcp_info`).
    """
    found = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    state, retransmits, backoff = found[1], found[2], found[4]
    words = struct.unpack_from("24I", found, 8)
    return state, retransmits, backoff, words[0] // 1000, words[18], *words[4:8]


class Relay:
    """Loses packets and returns the others; keeps what it saw of some connections, with what the sending side then
    thought of each (`TCP_INFO`).
    """

    def __init__(self, descriptor: int, watched: int) -> None:
        self.descriptor, self.lossy, self.random = descriptor, False, random.Random(7)
        self.watched, self.began_s, self.seen = watched, 0.0, {}
        self.counts: dict[tuple[int, bool], list[int]] = {}
        self.senders: dict[tuple[int, int], socket.socket] = {}

    def read(self) -> None:
        while True:
            try:
                packet = os.read(self.descriptor, 70000)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4 or packet[9] != 6:
                continue
            head = 4 * (packet[0] & 15)
            source, target, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, head)
            forward = target < PORT + len(CASES) and target >= PORT
            case, peer = (target, source) if forward else (source, target)
            loss = CASES[case - PORT][0 if forward else 1]
            lost = self.lossy and self.random.random() < loss
            counts = self.counts.setdefault((case, forward), [0, 0])
            counts[0] += 1
            counts[1] += lost
            if self.lossy:
                of_case = self.seen.setdefault(case, {})
                if peer in of_case or len(of_case) < self.watched:
                    length = len(packet) - head - 4 * (offset >> 4)
                    now_s = round(time.monotonic() - self.began_s, 4)
                    row = (
                        now_s,
                        "->" if forward else "<-",
                        seq,
                        ack,
                        length,
                        flags,
                        "lost" if lost else "",
                        *state_of(self.senders[case, peer]),
                    )
                    of_case.setdefault(peer, []).append(row)
            if not lost:
                os.write(self.descriptor, packet[:12] + packet[16:20] + packet[12:16] + packet[20:])


async def read_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool, found: list) -> None:
    while True:
        try:
            seq, sent_s = MESSAGE.unpack(await reader.readexactly(MESSAGE.size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        found.append((seq, sent_s, time.monotonic()))
        if answers:
            writer.write(MESSAGE.pack(seq, sent_s))


async def send_messages(writer: asyncio.StreamWriter, first_s: float, n: int) -> None:
    for k in range(n):
        await asyncio.sleep(max(0.0, first_s + k - time.monotonic()))
        writer.write(MESSAGE.pack(k, time.monotonic()))


def mean_age_s(found: list[tuple[int, float, float]], first_s: float, horizon_s: float) -> float:
    """Time-average of now minus the sending time of the newest message received, from the first sending on."""
    integral, at_s, newest_s, end_s = 0.0, first_s, first_s, first_s + horizon_s
    for _, sent_s, arrived_s in [*found, (0, 0.0, end_s)]:
        upto_s = min(arrived_s, end_s)
        if upto_s > at_s:
            integral += (upto_s - at_s) * ((upto_s + at_s) / 2.0 - newest_s)
            at_s = upto_s
        newest_s = max(newest_s, sent_s)
    return integral / horizon_s


async def measure(seconds: int, connections: int, watched: int) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    relay = Relay(open_tun(), watched)
    loop.add_reader(relay.descriptor, relay.read)
    heard: dict[tuple[int, int], list[tuple[int, float, float]]] = {}
    writers, tasks = [], []
    for case, (_, _, answers) in enumerate(CASES):
        accepted: asyncio.Queue[object] = asyncio.Queue()

        def accept(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            case: int = case,
            answers: bool = answers,
            queue: asyncio.Queue[object] = accepted,
        ) -> None:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found = heard.setdefault((case, writer.get_extra_info("peername")[1]), [])
            queue.put_nowait(None)
            # Cancelled with everything else at the end, without the complaints that a server's own tasks make.
            tasks.append(asyncio.create_task(read_messages(reader, writer, answers, found)))

        await asyncio.start_server(accept, HERE, PORT + case, backlog=1024)
        for _ in range(connections):
            reader, writer = await asyncio.open_connection(THERE, PORT + case)
            await accepted.get()
            writers.append((case, writer))
            sender = writer.get_extra_info("socket")
            relay.senders[PORT + case, sender.getsockname()[1]] = sender
            if answers:
                tasks.append(asyncio.create_task(read_messages(reader, writer, False, [])))
    # A first exchange without loss, as after a join: both sides then know the round trip.
    for _, writer in writers:
        writer.write(MESSAGE.pack(0, time.monotonic()))
    await asyncio.sleep(2.0)
    relay.lossy, relay.began_s = True, time.monotonic()
    for found in heard.values():
        found.clear()
    first: dict[tuple[int, int], float] = {}
    for case, writer in writers:
        first_s = relay.began_s + 0.2 + random.random()
        first[case, writer.get_extra_info("sockname")[1]] = first_s
        tasks.append(asyncio.create_task(send_messages(writer, first_s, seconds)))
    await asyncio.sleep(seconds + 3.0)
    loop.remove_reader(relay.descriptor)
    rows = []
    for case, (loss, back, answers) in enumerate(CASES):
        row: dict[str, object] = {"data": loss, "back": back, "answers": answers, "counts": {}}
        for horizon_s in (60, 200):
            if horizon_s <= seconds:
                ages = [mean_age_s(heard[key], first[key], horizon_s) for key in first if key[0] == case]
                mean = sum(ages) / len(ages)
                std = (sum((a - mean) ** 2 for a in ages) / len(ages) ** 2) ** 0.5
                row[f"age_{horizon_s}_s"] = (round(mean, 3), round(std, 3))
        in_order = all(a[0] <= b[0] for key in first for a, b in zip(heard[key], heard[key][1:], strict=False))
        row["in_order"] = in_order
        row["counts"] = {"->" if f else "<-": c for (port, f), c in relay.counts.items() if port == PORT + case}
        rows.append(row)
    first_s = {f"{PORT + case},{peer}": at_s - relay.began_s for (case, peer), at_s in first.items()}
    return {"rows": rows, "seen": relay.seen, "first_s": first_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=200)
    parser.add_argument("--connections", type=int, default=60)
    parser.add_argument("--case", action="append", help="DATA,BACK loss of a case of its own; repeat for several")
    parser.add_argument("--watched", type=int, default=0, help="connections of each case whose packets are kept")
    parser.add_argument("--out", help="file for the packets kept (JSON)")
    options = parser.parse_args()
    if options.case:
        CASES[:] = [(*map(float, case.split(",")), False) for case in options.case]
    found = asyncio.run(measure(options.seconds, options.connections, options.watched))
    for row in found["rows"]:  # type: ignore[attr-defined]
        print(row)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as stream:
            json.dump({"seen": found["seen"], "first_s": found["first_s"]}, stream)


if __name__ == "__main__":
    main()
