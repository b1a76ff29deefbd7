"""A line of an OpenDSS script as parameters, read as OpenDSS itself reads it.

Values may stand in any of five pairs of quotes, `!` and `//` begin a comment, blanks, commas and `=` divide. A value is
written again in its own quotes, so that OpenDSS reads what was read here and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLOSING = {'"': '"', "'": "'", "(": ")", "[": "]", "{": "}"}
# A value in quotes, or a bare one that ends at a blank, a comma, an equals sign or a comment.
_VALUE = re.compile(
    r""""(?P<d>[^"]*)"|'(?P<s>[^']*)'|\((?P<p>[^)]*)\)|\[(?P<b>[^\]]*)\]|\{(?P<c>[^}]*)\}|(?P<bare>(?:(?!//)[^\s,=!])+)"""
)
_BLANK = re.compile(r"\s*")


class ScriptError(Exception):
    """A line of a script cannot be used; the words say why, the reader of the file adds where."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`value` as it stood between its `quote`s (empty for none), and the `name` before its equals sign, if any."""

    name: str | None
    value: str
    quote: str = ""

    @property
    def text(self) -> str:
        """The value in its quotes."""
        if self.quote:
            return f"{self.quote}{self.value}{_CLOSING[self.quote]}"
        # A quotation mark inside a bare value is part of it, which only other quotes can say.
        return f'"{self.value}"' if any(mark in self.value for mark in "'([{") and '"' not in self.value else self.value

    def __str__(self) -> str:
        return self.text if self.name is None else f"{self.name}={self.text}"


def parameters(line: str) -> list[Parameter]:
    """The parameters of one line, its comment left out. Raises `ScriptError`."""
    found: list[Parameter] = []
    at = _skip(line, 0)
    while at < len(line) and not _is_comment(line, at):
        if line[at] == ",":
            # Two commas in a row pass over a value.
            found.append(Parameter(None, ""))
            at = _skip(line, at + 1)
            continue
        value, at = _value(line, at)
        if at < len(line) and line[at] == "=":
            if value.quote or not value.value:
                raise ScriptError(f"{value.text} cannot be the name of a value")
            name = value.value
            at = _skip(line, at + 1)
            if at >= len(line) or _is_comment(line, at) or line[at] == ",":
                value = Parameter(name, "")
            else:
                plain, at = _value(line, at)
                value = Parameter(name, plain.value, plain.quote)
                if at < len(line) and line[at] == "=":
                    raise ScriptError(f"{name}= is followed by {plain.text}=, so it has no value")
        found.append(value)
        if at < len(line) and line[at] == ",":
            at = _skip(line, at + 1)
    return found


def _value(line: str, at: int) -> tuple[Parameter, int]:
    match = _VALUE.match(line, at)
    if match is None:
        raise ScriptError("an equals sign has no name before it" if line[at] == "=" else f"{line[at]!r} is not closed")
    kind = match.lastgroup
    quote = "" if kind == "bare" else line[at]
    if not quote and line[at] in _CLOSING:
        raise ScriptError(f"{line[at]!r} is opened and not closed")
    assert kind is not None
    return Parameter(None, match.group(kind), quote), _skip(line, match.end())


def _skip(line: str, at: int) -> int:
    match = _BLANK.match(line, at)
    assert match is not None
    return match.end()


def _is_comment(line: str, at: int) -> bool:
    return line[at] == "!" or line.startswith("//", at)
