"""Ways to spoil texts, bytes, trees of values, and files, whatever they hold."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

Spoilt = tuple[str, bytes]

LONG = 200_000

# Values that fit almost nowhere. A number that no machine number holds, and one that text cannot be turned into.
ABSURD_VALUES: tuple[Any, ...] = (
    "", " ", "x", "\0", "a\0b", "a" * LONG, "ä€𝄞\u202e", "nan", "inf", "-1", "1e999", "1/0", "0/0", "../../..", "/",
    ".",
    "/dev/null", "/dev/zero", "~nobody/x.csv", "x.csv", "x.dss", "x.m", "a\nb", "{}", "[]", "None", "=cmd()", "%s%n",
    "\x1b[31m",
    0, 1, -1, 2, 3, 7, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400, -(10**400),
    0.0, -0.0, 0.5, 1.5, -0.5, 1e-300, 5e-324, 1e18, 1e300, 1.7976931348623157e308, float("nan"), float("inf"),
    float("-inf"),
    True, False,
    [], [[]], [[[]]], [None], {}, {"a": 1}, [{}], [0], ["x"], [float("nan")], [1, "x"], list(range(50)), ["x"] * 10_000,
    [0.5] * 10_000,
    {"": ""}, {"kind": "x"}, {"name": 3},
)  # fmt: skip
# Only TOML writes these.
TOML_VALUES: tuple[Any, ...] = (date(1979, 5, 27), time(7, 32), datetime(1979, 5, 27, 7, 32), [date(1, 1, 1)])

Path_ = tuple[str | int, ...]


def places_in(tree: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Every place of a tree of tables and lists, the root left out."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield (*above, key)
        yield from places_in(child, (*above, key))


def replaced(tree: Any, place: Path_, value: Any) -> Any:
    """A copy of a tree with another value at a place."""
    if not place:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[place[0]] = replaced(tree[place[0]], place[1:], value)
    return copy


def without(tree: Any, place: Path_) -> Any:
    """A copy of a tree that lacks a place."""
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = without(tree[place[0]], place[1:])
    return copy


def keys_of(place: Path_) -> tuple[str, ...]:
    """The names on the way to a place, the last first."""
    return tuple(key for key in reversed(place) if isinstance(key, str))


def patterns_of(place: Path_) -> tuple[str, ...]:
    """What a message may call a place: a name on the way to it, also without underscores or unit, or a line."""
    found = []
    for key in keys_of(place):
        words = [word for word in key.split("_") if word]
        found.append("[ _-]".join(words) or "line")
        if len(words) > 1:
            found += ["[ _-]".join(words[:-1]), *(word for word in words if len(word) > 2)]
        if key.endswith("s"):
            found.append("[ _-]".join(words)[:-1])
    # Candidates, sets and placements are buses to people.
    return (*found, r"\bline \d+", r"\bbus\b")


def spoil_text(rng: random.Random, text: str) -> Spoilt:
    """A text spoilt as a whole, as bytes, and how."""
    data = text.encode()
    ways: list[tuple[str, Callable[[], bytes]]] = [
        ("in UTF-16", lambda: text.encode("utf-16")),
        ("in UTF-16 without mark", lambda: text.encode("utf-16-le")),
        ("in UTF-32", lambda: text.encode("utf-32")),
        ("with a byte order mark", lambda: b"\xef\xbb\xbf" + data),
        ("with two byte order marks", lambda: b"\xef\xbb\xbf" * 2 + data),
        ("with a Latin-1 letter", lambda: _inserted(rng, data, b"\xe9")),
        ("with a truncated UTF-8 sequence", lambda: data + b"\xe2\x82"),
        ("with a surrogate in UTF-8", lambda: _inserted(rng, data, b"\xed\xa0\x80")),
        ("with a NUL", lambda: _inserted(rng, data, b"\0")),
        ("with NULs at its end", lambda: data + b"\0" * 4096),
        ("all NUL", lambda: b"\0" * max(1, len(data))),
        ("bytes 0 to 255", lambda: bytes(range(256))),
        ("empty", lambda: b""),
        ("one blank", lambda: b" "),
        ("only line ends", lambda: b"\n" * 50),
        ("carriage returns for line ends", lambda: data.replace(b"\n", b"\r")),
        ("line ends in the middle", lambda: _inserted(rng, data, b"\r\r\n\n")),
        ("cut", lambda: data[: rng.randrange(len(data) + 1)]),
        ("cut at the front", lambda: data[rng.randrange(len(data) + 1) :]),
        ("bytes flipped", lambda: _flipped(rng, data, 5)),
        ("many bytes flipped", lambda: _flipped(rng, data, 200)),
        ("random bytes", lambda: rng.randbytes(2000)),
        ("gzipped", lambda: b"\x1f\x8b\x08\x00" + rng.randbytes(200)),
        ("a zip file's first bytes", lambda: b"PK\x03\x04" + rng.randbytes(200)),
        ("HTML", lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"),
        ("one line of 200,000 letters", lambda: b"a" * LONG),
        ("one line of 200,000 digits", lambda: b"9" * LONG),
        ("one line of 200,000 commas", lambda: b"," * LONG),
        ("one line of 200,000 quotes", lambda: b'"' * (LONG + 1)),
        ("100,000 brackets", lambda: b"[" * 100_000),
        ("100,000 braces", lambda: b'{"a":' * 100_000),
        ("twice", lambda: data + data),
        ("a line twice", lambda: _line_twice(rng, data)),
        ("a line left out", lambda: _without_line(rng, data)),
        ("lines mixed", lambda: _mixed(rng, data)),
        ("a quote left open", lambda: _inserted(rng, data, b'"')),
        ("a letter put in", lambda: _inserted(rng, data, bytes([rng.randrange(33, 127)]))),
        ("in upper case", lambda: text.upper().encode()),
        ("Windows line ends", lambda: data.replace(b"\n", b"\r\n")),
        ("other line ends of Unicode", lambda: text.replace("\n", rng.choice("\u2028\x85\x0b\x0c\x1c")).encode()),
    ]
    words, way = rng.choice(ways)
    return words, way()


def _inserted(rng: random.Random, data: bytes, what: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + what + data[at:]


def _flipped(rng: random.Random, data: bytes, n: int) -> bytes:
    found = bytearray(data or b"\0")
    for _ in range(n):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _line_twice(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def _without_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _mixed(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def spoil_place(rng: random.Random, path: Path) -> str:
    """Put something that is no file where a file is expected; says what."""
    words = rng.choice(
        ["nothing", "a folder", "a pipe", "a link to nothing", "a link to itself", "a link to /dev/null",
         "a link to /dev/zero", "a socket", "a link to a folder", "a sparse file of 1 TB"]
    )  # fmt: skip
    path.unlink(missing_ok=True)
    if words == "a folder":
        path.mkdir()
    elif words == "a pipe":
        os.mkfifo(path)
    elif words == "a socket":
        import socket

        with socket.socket(socket.AF_UNIX) as listener:
            # A socket's whole name has room for 107 letters.
            listener.bind(os.path.relpath(path))
    elif words == "a sparse file of 1 TB":
        with path.open("wb") as file:
            file.truncate(10**12)
    elif words.startswith("a link"):
        target = {
            "a link to nothing": f"{path.stem}_nowhere",
            "a link to itself": path.name,
            "a link to /dev/null": "/dev/null",
            "a link to /dev/zero": "/dev/zero",
            "a link to a folder": ".",
        }[words]
        path.symlink_to(target)
    return words
