"""What both sides of a live run agree on: period, transport, limits of what they keep, and the key they share."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.quantities import Bounds, Count, DurationS, check_number, check_quantities
from g2g_opt.reading import read_bytes

LiveTransport = Literal["udp", "tcp"]
LivePeriodS = Annotated[float, Bounds(0.01, 3600, "s")]
MessageBytes = Annotated[int, Bounds(200, 65_000, "bytes")]
BufferBytes = Annotated[int, Bounds(1, 2**30, "bytes")]
PortNumber = Annotated[int, Bounds(0, 65535)]
KEY_BYTES_MIN, KEY_BYTES_MAX = 16, 4096


@dataclass(frozen=True)
class LiveSettings:
    """Nodes report every `period_s`, and the allocator allocates as often.

    A side that has not heard of the other for `silence_s` takes it for lost, and a connection that says nothing valid
    for so long is closed. Messages of more than `message_bytes_max` are refused. An allocator takes up to `nodes_max`
    nodes (also the backlog of its listening socket), and a sender keeps up to `queue_messages` that its connection does
    not take yet; the oldest goes first. `receive_buffer_bytes` is what the allocator asks the system to keep of
    datagrams that it has not read (systems give less where their own limit is lower).
    """

    transport: LiveTransport = "udp"
    period_s: LivePeriodS = 1.0
    silence_s: DurationS = 5.0
    nodes_max: Count = 4096
    message_bytes_max: MessageBytes = 1200
    queue_messages: Count = 16
    receive_buffer_bytes: BufferBytes = 4 * 2**20

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.transport not in get_args(LiveTransport):
            raise unknown_name("transport", self.transport, get_args(LiveTransport))
        if self.silence_s <= self.period_s:
            raise InputError(f"silence_s={self.silence_s:g} s is no longer than the period of {self.period_s:g} s")


@dataclass(frozen=True)
class Address:
    """An IP address or host name, and a port (0: any that is free)."""

    host: str
    port: PortNumber

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.host:
            raise InputError("an address needs a host: HOST:PORT, e.g. 127.0.0.1:5555")
        try:
            # As the system's resolver has it.
            self.host.encode("idna")
        except UnicodeError as error:
            raise InputError(f"{shown(self.host)} cannot be the name of a host") from error

    @property
    def is_loopback(self) -> bool:
        """Can only this machine reach it?"""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Address:
        """From HOST:PORT (an IPv6 host in brackets); `InputError` for anything else."""
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not port.isascii() or not port.isdecimal() or len(port) > 5:
            raise InputError(f"address {shown(text)} is no HOST:PORT, e.g. 127.0.0.1:5555")
        check_number(int(port), PortNumber, f"the port of {shown(text)}")
        return Address(host, int(port))


def check_who_may_listen(address: Address, key: bytes | None) -> None:
    """`InputError` for a socket that other machines can reach and that nobody has to sign for."""
    if key is None and not address.is_loopback:
        raise InputError(
            f"{address} can be reached from other machines: give --key-file, so that only messages signed with the "
            "shared key count (g2g live key FILE makes one); without a key only loopback addresses are listened on"
        )


def load_key(path: Path) -> bytes:
    """The shared key of a file, all of its bytes; `InputError` if it is too short or others may read it."""
    key = read_bytes(path, "key file", KEY_BYTES_MAX)
    if len(key) < KEY_BYTES_MIN:
        raise InputError(f"key file {path} holds {len(key)} bytes; a key has at least {KEY_BYTES_MIN}")
    if os.name == "posix" and os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"key file {path} may be used by others; chmod 600 it")
    return key


def write_key(path: Path) -> None:
    """A new random key of 32 bytes in a file of its own, for its owner alone; `InputError` if there is one already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(f"{path} is there already; a key is not overwritten") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
