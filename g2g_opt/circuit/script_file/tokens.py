"""A line of an OpenDSS script as parameters, read as OpenDSS itself reads it.

Values may stand in any of five pairs of quotes, `!` and `//` begin a comment, blanks, commas and `=` divide. A value is
written again in its own quotes, so that OpenDSS reads what was read here and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CLOSING = {'"': '"', "'": "'", "(": ")", "[": "]", "{": "}"}
# A value in quotes, or a bare one that ends at a blank, a comma, an equals sign or a comment. To OpenDSS, blanks are
# spaces and tabs alone.
_VALUE = re.compile(
    r""""(?P<d>[^"]*)"|'(?P<s>[^']*)'|\((?P<p>[^)]*)\)|\[(?P<b>[^\]]*)\]|\{(?P<c>[^}]*)\}|"""
    r"(?P<bare>(?:(?!//)[^ \t,=!])+)"
)
# Not every sign that ends a line for Python does so for OpenDSS.
_LINE_ENDS = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"[ \t]*")


class ScriptError(Exception):
    """A line of a script cannot be used; the words say why, the reader of the file adds where."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`value` as it stood between its `quote`s (empty for none), and the `name` before its equals sign, if any."""

    name: str | None
    value: str
    quote: str = ""

    @property
    def word(self) -> str:
        """The name in lower case; empty for none."""
        return (self.name or "").lower()

    @property
    def text(self) -> str:
        """The value in its quotes."""
        if self.quote or not self.value:
            quote = self.quote or '"'
            return f"{quote}{self.value}{_CLOSING[quote]}"
        return self.value

    def __str__(self) -> str:
        return self.text if self.name is None else f"{self.name}={self.text}"


def quoted(value: str, *, but: str = "") -> str:
    """`value` in quotes that it does not hold itself, nor are in `but`. Raises `ScriptError`."""
    for begin, end in _CLOSING.items():
        if end not in value and begin not in but:
            return f"{begin}{value}{end}"
    raise ScriptError(f"{value} holds quotes and brackets of all kinds, which OpenDSS cannot read")


def parameters(line: str) -> list[Parameter]:
    """The parameters of one line, its comment left out. Raises `ScriptError`."""
    found: list[Parameter] = []
    at = _skip(line, 0)
    while at < len(line) and not _is_comment(line, at):
        value, end = _value(line, at)
        at = _skip(line, end)
        if at < len(line) and line[at] == "=":
            if value.quote or not value.value:
                raise ScriptError(f"{value.text} cannot be the name of a value")
            named, end = _value(line, _skip(line, at + 1))
            value = Parameter(value.value, named.value, named.quote)
            at = _skip(line, end)
            if at < len(line) and line[at] == "=":
                raise ScriptError(f"{value.name}= is followed by {named.text}=, so it has no value")
            if named.quote and at > end:
                # OpenDSS does not see a comma behind such a blank: it then stands for an empty value.
                found.append(value)
                continue
        found.append(value)
        if at < len(line) and line[at] == ",":
            at = _skip(line, at + 1)
    return found


def _value(line: str, at: int) -> tuple[Parameter, int]:
    """The value at `at`, which is empty where none is, and where it ends."""
    if at >= len(line) or line[at] in ",=" or _is_comment(line, at):
        return Parameter(None, ""), at
    match = _VALUE.match(line, at)
    assert match is not None
    kind = match.lastgroup
    quote = "" if kind == "bare" else line[at]
    if not quote and line[at] in _CLOSING:
        raise ScriptError(f"{line[at]!r} is opened and not closed")
    assert kind is not None
    return Parameter(None, match.group(kind), quote), match.end()


def _skip(line: str, at: int) -> int:
    match = _BLANK.match(line, at)
    assert match is not None
    return match.end()


def _is_comment(line: str, at: int) -> bool:
    return line[at] == "!" or line.startswith("//", at)


def script_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without those that a block comment spans."""
    inside = False
    for number, line in enumerate(_LINE_ENDS.split(text), 1):
        # At the very beginning of a line: elsewhere it is none to OpenDSS.
        if not inside and line.startswith("/*"):
            inside = True
        if inside:
            inside = "*/" not in line
            continue
        yield number, line


def only_value(verb: str, rest: list[Parameter]) -> str:
    """The file or folder that a command names. Raises `ScriptError` if it names none."""
    if not rest or not rest[0].value:
        raise ScriptError(f"{verb} names no file or folder")
    return rest[0].value
