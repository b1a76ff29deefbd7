"""What a message is on the wire, and which ones are refused.

A message is one byte of version (0xA1 unsigned, 0xA3 signed), for a signed one the 16 bytes of the keyed BLAKE2b
(RFC 7693) of what follows, and a msgpack array `[kind, name, session, sequence, sent_s, ...]`: who sends, the session
it belongs to (8 bytes that the *receiver* drew for it, so that what was recorded in another session is worth nothing),
a sequence number that rises by one with every message of a sender to a receiver, and when it was sent (s since 1970). A
datagram is one message; on a stream, two bytes of length (big-endian) come before each.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack

from g2g_opt.errors import InputError, shown

UNSIGNED, SIGNED = 0xA1, 0xA3
TAG_BYTES = 16
SESSION_BYTES = 8
NAME_LETTERS_MAX = 64
NO_SESSION: Final = bytes(SESSION_BYTES)

# Kinds of messages and the types of what comes after the five places that all have.
JOIN, WELCOME, REPORT, ALLOCATION, REJOIN, LEAVE = range(1, 7)
_SHAPES: Final[dict[int, tuple[type, ...]]] = {
    JOIN: (int, str, bytes, int, float, bytes),  # the node's own session, for the answer
    WELCOME: (int, str, bytes, int, float, bytes, float),  # the session that the node is to use, period (s)
    # effective and available power (kW), voltage (pu, NaN: not measured), newest allocation in force and since when (s)
    REPORT: (int, str, bytes, int, float, float, float, float, int, float),
    ALLOCATION: (int, str, bytes, int, float, float),  # cap (kW)
    REJOIN: (int, str, bytes, int, float),
    LEAVE: (int, str, bytes, int, float),
}
# Places of numbers that are finite. A voltage that nobody measured is NaN, and a cap of none endless.
_FINITE: Final = {
    kind: tuple(k for k, one in enumerate(shape) if one is float and (kind, k) not in ((REPORT, 7), (ALLOCATION, 5)))
    for kind, shape in _SHAPES.items()
}
_SEQUENCE_MAX = 2**62

Message = tuple[Any, ...]


class RefusedMessageError(Exception):
    """A message that is not let in; `why` is one of `REFUSALS`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Codec:
    """Makes and opens messages with a shared key; without one, messages are unsigned, and signed ones are refused."""

    def __init__(self, key: bytes | None, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        # Keyed once and copied for every message; an HMAC by OpenSSL costs three times as much for so short a text.
        self._keyed = None
        if key is not None:
            # A key of any length, as the 64 bytes at most that BLAKE2b takes.
            short = hashlib.blake2b(key, person=b"g2g live key").digest()
            self._keyed = hashlib.blake2b(key=short, digest_size=TAG_BYTES)
        self._pack: Callable[[Message], bytes] = msgpack.Packer().pack

    def _tag(self, body: bytes) -> bytes:
        assert self._keyed is not None
        signature = self._keyed.copy()
        signature.update(body)
        return signature.digest()

    def seal(self, message: Message) -> bytes:
        """A message as it goes on the wire."""
        body = self._pack(message)
        return b"\xa1" + body if self._keyed is None else b"\xa3" + self._tag(body) + body

    def unseal(self, data: bytes) -> Message:
        """The message in what came in; raises `RefusedMessageError`. Nothing unsigned is decoded where one signs."""
        if len(data) > self.bytes_max:
            raise RefusedMessageError("oversized")
        if len(data) < 2:
            raise RefusedMessageError("malformed")
        version = data[0]
        if self._keyed is None:
            if version != UNSIGNED:
                raise RefusedMessageError("forged" if version == SIGNED else "malformed")
            body = data[1:]
        else:
            if version != SIGNED:
                raise RefusedMessageError("unsigned" if version == UNSIGNED else "malformed")
            tag, body = data[1 : TAG_BYTES + 1], data[TAG_BYTES + 1 :]
            if not hmac.compare_digest(self._tag(body), tag):
                raise RefusedMessageError("forged")
        try:
            found = msgpack.unpackb(
                body, use_list=False, max_str_len=256, max_bin_len=64, max_array_len=16, max_map_len=0
            )
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise RefusedMessageError("malformed") from error
        return _checked(found)


def check_node_name(name: str) -> None:
    """`InputError` for a name that no message can carry."""
    # Half of a surrogate pair, which no text has, is not printable either.
    if not _is_name(name):
        raise InputError(f"a node has a name of 1 to {NAME_LETTERS_MAX} printable letters, not {shown(name)}")


def _checked(found: Any) -> Message:
    """A message whose places have the types of its kind, a short name, a session, a sequence number, finite numbers."""
    kind = found[0] if type(found) is tuple and found else None
    if type(kind) is not int or tuple(map(type, found)) != _SHAPES.get(kind):
        raise RefusedMessageError("malformed")
    name = found[1]
    if not (_is_name(name) and len(found[2]) == SESSION_BYTES):
        raise RefusedMessageError("malformed")
    if not 0 <= found[3] < _SEQUENCE_MAX:
        raise RefusedMessageError("malformed")
    for place in _FINITE[kind]:
        if not math.isfinite(found[place]):
            raise RefusedMessageError("malformed")
    return found  # type: ignore[no-any-return]


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_LETTERS_MAX and name.isprintable()


class SequenceWindow:
    """Sequence numbers of one sender in one session: which are new, late, or were there before.

    The last 64 below the highest are remembered; an older one cannot be told from a repetition and counts as one.
    """

    _WIDTH = 64

    def __init__(self) -> None:
        self.highest = -1
        self._seen = 0

    def take(self, sequence: int) -> str:
        """One of "new" (higher than all before), "late" (lower, not seen) and "replayed" (seen, or too old to know)."""
        step = sequence - self.highest
        if step > 0:
            self._seen = ((self._seen << step) | 1) & (2**self._WIDTH - 1) if step < self._WIDTH else 1
            self.highest = sequence
            return "new"
        # Widths first: what comes from outside may be any number of steps away.
        if -step >= self._WIDTH or self._seen >> -step & 1:
            return "replayed"
        self._seen |= 1 << -step
        return "late"


def framed(data: bytes) -> bytes:
    """A message with its length before it, as on a stream."""
    return len(data).to_bytes(2, "big") + data


class FrameReader:
    """Cuts a stream into messages; `RefusedMessageError("oversized")` for one that is announced to be too long."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = b""

    def take(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with these bytes; what is left waits for more."""
        held = self._held + data if self._held else data
        at, self._held = 0, b""
        while len(held) - at >= 2:
            length = (held[at] << 8) | held[at + 1]
            if length > self._bytes_max:
                raise RefusedMessageError("oversized")
            if len(held) - at < 2 + length:
                break
            yield held[at + 2 : at + 2 + length]
            at += 2 + length
        self._held = held[at:]
