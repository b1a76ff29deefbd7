"""Messages on the wire: what is refused and why, sequence numbers, frames of a stream."""

from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.live.wire import (
    ALLOCATION,
    REPORT,
    Codec,
    FrameReader,
    RefusedMessageError,
    SequenceWindow,
    framed,
)

KEY = b"a key of sixteen bytes, and more"
MESSAGE = (REPORT, "n1", b"12345678", 7, 1.5, 5.0, 10.0, math.inf, 3, 0.5)
SIGNS, PLAIN = Codec(KEY, 1200), Codec(None, 1200)


def why(codec: Codec, data: bytes) -> str:
    with pytest.raises(RefusedMessageError) as refused:
        codec.unseal(data)
    return refused.value.why


@pytest.mark.parametrize("codec", [SIGNS, PLAIN])
def test_a_message_is_read_as_it_was_sealed(codec: Codec) -> None:
    assert codec.unseal(codec.seal(MESSAGE)) == MESSAGE


def test_what_is_not_signed_with_the_key_is_refused() -> None:
    assert why(SIGNS, PLAIN.seal(MESSAGE)) == "unsigned"
    assert why(SIGNS, Codec(b"another key of some bytes", 1200).seal(MESSAGE)) == "forged"
    assert why(PLAIN, SIGNS.seal(MESSAGE)) == "forged"
    assert why(Codec(KEY, 20), SIGNS.seal(MESSAGE)) == "oversized"


@pytest.mark.parametrize("place", range(1, len(SIGNS.seal(MESSAGE))))
def test_a_signed_message_with_one_bit_changed_is_refused(place: int) -> None:
    data = bytearray(SIGNS.seal(MESSAGE))
    data[place] ^= 1
    assert why(SIGNS, bytes(data)) == "forged"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb(7),
        msgpack.packb([]),
        msgpack.packb({"kind": 3}),
        msgpack.packb([9, "n", b"12345678", 1, 1.0]),
        msgpack.packb([True, "n", b"12345678", 1, 1.0]),
        msgpack.packb([*MESSAGE, 1]),
        msgpack.packb(MESSAGE[:-1]),
        msgpack.packb([ALLOCATION, "n", b"1234567", 1, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "n" * 65, b"12345678", 1, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "n\n", b"12345678", 1, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "", b"12345678", 1, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "n", b"12345678", -1, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "n", b"12345678", 2**63, 1.0, 5.0]),
        msgpack.packb([ALLOCATION, "n", b"12345678", 1, math.nan, 5.0]),
        msgpack.packb([ALLOCATION, "n", b"12345678", 1, 1.0, 5]),
        b"\x91" * 1100,
        msgpack.packb(MESSAGE) + b"\0",
    ],
)
def test_anything_else_is_malformed_also_where_it_is_signed(body: bytes) -> None:
    assert why(PLAIN, b"\xa1" + body) == "malformed"


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_bytes_at_random_are_refused_with_a_reason(data: bytes) -> None:
    assert why(SIGNS, data) in ("malformed", "unsigned", "forged")


@settings(max_examples=50)
@given(st.lists(st.one_of(st.integers(0, 200), st.integers(0, 2**62)), max_size=60))
def test_a_number_is_taken_once_at_most(numbers: list[int]) -> None:
    window, taken = SequenceWindow(), []
    for number in numbers:
        before = window.highest
        match window.take(number):
            case "new":
                assert number > before
                taken.append(number)
            case "late":
                assert before - 64 < number < before
                taken.append(number)
            case _:
                assert number in taken or number <= before - 64
    assert len(set(taken)) == len(taken)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 7))
def test_frames_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], size: int) -> None:
    stream, reader = b"".join(framed(message) for message in messages), FrameReader(1200)
    found = [m for at in range(0, len(stream), size) for m in reader.take(stream[at : at + size])]
    assert found == messages


def test_messages_before_an_oversized_one_count() -> None:
    messages = FrameReader(10).take(framed(b"abc") + b"\xff\xff...")
    assert next(messages) == b"abc"
    with pytest.raises(RefusedMessageError, match="oversized"):
        next(messages)
