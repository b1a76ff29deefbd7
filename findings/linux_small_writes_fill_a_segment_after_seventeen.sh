#!/usr/bin/env bash
# Linux 6.18, TCP over loopback. Small writes that have to wait (here under TCP_CORK; as well behind a lost segment or a
# closed window) are put together, as everybody expects: 102 writes of 12 bytes leave as one segment of 1,224 bytes, far
# below the maximum. If the same thread writes to another connection in between, they leave as six of 204 bytes: each
# write then lies in a fragment of memory of its own, since both sockets take theirs from one page of the thread's in
# turn, and a segment has 17 fragments (MAX_SKB_FRAGS). So a server that talks to many peers sends a backlog of small
# messages in segments of 17, whatever their size, and loses and repairs them so. TCP_INFO tells (tcpi_data_segs_out).
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uname -sr
python3 - <<'PY'
import socket
import struct

WRITES, BYTES = 102, 12


def connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    return near, far


def segments_sent(end):
    # struct tcp_info: tcpi_data_segs_out is at byte 156 (include/uapi/linux/tcp.h).
    return struct.unpack_from("I", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 156)[0]


found = {}
for words, others in (("alone", 0), ("writing to another one in turn", 1)):
    ends = [connection() for _ in range(1 + others)]
    for _ in range(WRITES):
        for near, _ in ends:
            near.sendall(b"x" * BYTES)
    near, far = ends[0]
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    read = 0
    while read < WRITES * BYTES:
        read += len(far.recv(WRITES * BYTES))
    found[words] = segments_sent(near)
    room = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    print(f"{WRITES} writes of {BYTES} bytes, {words}: {found[words]} segments (one may hold {room} bytes)")
assert list(found.values()) == [1, 6], found
PY
echo "as recorded"
