"""The text of a MATPOWER-style case as tokens: comments left out, strings, numbers and operators told apart.

A case is a function in MATLAB's language. Lines keep their numbers, so that whatever is refused can be named by its
line; tables of plain figures, which are nearly all of a file, are one token each.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError, shown

Floats = NDArray[np.float64]

# Comments over several lines begin and end with a line of their own.
_COMMENT_BEGIN, _COMMENT_END = re.compile(r"[ \t]*%\{[ \t]*"), re.compile(r"[ \t]*%\}[ \t]*")
# A quote behind a value transposes it, any other begins a text. Every part of it moves on: no file makes it slow.
_TEXT = r"(?<![\w)\]}'.])'(?:[^'\n]|'')*+'|\"[^\"\n]*+\""
_NO_FIGURE = re.compile(rf"{_TEXT}|%[^\n]*+|\.\.\.[^\n]*+\n")
# Stands for the end of a line that goes on with the next: a blank that is counted.
_GOES_ON = "\v"
_TOKEN = re.compile(
    rf"(?P<blank>[ \t\v\f]++)|(?P<end>[;,\n])|(?P<text>{_TEXT})|(?P<name>[A-Za-z]\w*+)|"
    r"(?P<number>(?:\d++(?:\.(?![*/^'\\])\d*+)?|\.\d++)(?:[eEdD][+-]?\d++)?)|"
    r"(?P<sign>\.[*/^'\\]|[=~<>]=|&&|\|\||[-+*/\\^=<>&|~!:()\[\]{}'.@])|(?P<other>.)"
)
_FIGURES = re.compile(r"\[((?:[\d.eE+\-\s,;]|[Ii]nf|NaN)*+)\]")
# Signs that may be a sum: `1 - 2` and `1-2`; `1 -2` are two figures, as `1e-2` is one.
_SUM = re.compile(r"[+-]\s|[\d.fN][+-]")
_ROW_END = re.compile(r"[;\n]")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a case: `kind` is end, text, name, number, figures (a table of plain figures), sign or eof.

    `place` is where it begins in the text, `spaced` whether a blank is before it.
    """

    kind: str
    text: str
    place: int
    spaced: bool = False


class CaseText:
    """Tokens of a case, one after the other, and errors that name its lines; `where` is the file."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._text = _without_comments(text)
        self._place = 0
        self._depth = 0
        # Where the last token is that was taken.
        self.behind = 0
        self._ahead: deque[Token] = deque()

    def peek(self, k: int = 0) -> Token:
        """The token `k` from here; the last one is eof again and again."""
        while len(self._ahead) <= k:
            self._ahead.append(self._scan())
        return self._ahead[k]

    def take(self) -> Token:
        """The next token, which is then behind."""
        token = self.peek()
        self._ahead.popleft()
        if token.kind not in ("end", "eof"):
            self.behind = token.place
        return token

    def line(self, place: int) -> int:
        """The line, from 1, of a place in the text."""
        return self._text.count("\n", 0, place) + self._text.count(_GOES_ON, 0, place) + 1

    def error(self, reason: str, place: int | None = None) -> InputError:
        """What is wrong with the line of a place (None: of the last token taken), by file and line."""
        place = self.behind if place is None else place
        begin, end = self._text.rfind("\n", 0, place) + 1, self._text.find("\n", place)
        line = self._text[begin : end if end >= 0 else None].replace(_GOES_ON, " ").strip()
        return InputError(f"{self.where}, line {self.line(place)}: {shown(line)} {reason}")

    def _scan(self) -> Token:
        spaced = False
        while self._place < len(self._text):
            at = self._place
            if self._text[at] == "[" and self._depth == 0:
                figures = _FIGURES.match(self._text, at)
                if figures is not None and not _SUM.search(figures[1]):
                    self._place = figures.end()
                    return Token("figures", figures[1], at, spaced)
            found = _TOKEN.match(self._text, at)
            if found is None:  # a line's end is `end`, all else is `other`
                raise AssertionError("the pattern of tokens matches any character")
            self._place = found.end()
            if found.lastgroup == "blank":
                spaced = True
                continue
            kind, text = str(found.lastgroup), found[0]
            self._depth += (text in ("[", "{", "(")) - (text in ("]", "}", ")"))
            return Token(kind, text, at, spaced)
        return Token("eof", "", len(self._text), spaced)


class FiguresError(ValueError):
    """What is wrong in a table of plain figures, `at` so many characters from its opening bracket."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.at = at


def read_figures(text: str) -> Floats:
    """The table (row, column) between two brackets; `FiguresError` for a row unlike the first, or what is no figure."""
    rows: list[list[str]] = []
    at = 1
    for line in _ROW_END.split(text):
        if cells := line.replace(",", " ").split():
            if rows and len(cells) != len(rows[0]):
                reason = (
                    f"has {len(cells)} columns in row {len(rows) + 1} of the table; it needs {len(rows[0])} like row 1"
                )
                raise FiguresError(reason, at + len(line) - len(line.lstrip()))
            rows.append(cells)
        at += len(line) + 1
    try:
        return np.array(rows, dtype=np.float64) if rows else np.zeros((0, 0))
    except ValueError:
        for cell in re.finditer(r"[^\s,;]++", text):
            try:
                float(cell[0])
            except ValueError as error:
                raise FiguresError(f"has {cell[0][:40]!r}, which is no number", 1 + cell.start()) from error
        raise


def _without_comments(text: str) -> str:
    """The text without comments, its lines where they were."""
    lines, depth = [], 0
    for line in text.replace("\r\n", "\n").replace("\r", "\n").replace(_GOES_ON, " ").split("\n"):
        depth += bool(_COMMENT_BEGIN.fullmatch(line))
        lines.append("" if depth else line)
        depth -= bool(depth and _COMMENT_END.fullmatch(line))
    kept = {"%": "", ".": _GOES_ON}
    return _NO_FIGURE.sub(lambda part: kept.get(part[0][0], part[0]), "\n".join(lines))
