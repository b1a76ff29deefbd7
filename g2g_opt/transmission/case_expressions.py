"""Expressions of a case's statements, parsed and evaluated at once on tables of real numbers and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.transmission.case_arithmetic import (
    ALL,
    CONSTANTS,
    FUNCTIONS,
    Index,
    Opaque,
    Value,
    call,
    check_columns,
    figures,
    index_of,
    numbers,
    operate,
    scalar,
    side_by_side,
    steps,
    taken,
)
from g2g_opt.transmission.case_text import CaseText, FiguresError, Token, read_figures

Floats = NDArray[np.float64]


# Brackets in brackets beyond any case.
_DEPTH_MAX = 50
# Signs from the loosest to the tightest; a range of numbers is between the second and the third.
_LEVELS = (
    ("||", "|"),
    ("&&", "&"),
    ("==", "~=", "<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", ".*", "./", "\\", ".\\"),
)
_RANGE_BELOW = 3
_POWERS = ("^", ".^")
# Kinds of tokens at which a statement is over.
ENDS = ("end", "eof")


class Expressions:
    """Reads one expression after the other from a text; `_values` are what its names stand for."""

    def __init__(self, text: CaseText) -> None:
        self._text = text
        self._values: dict[str, Value] = {}
        # Blanks part the entries of a table, but not within the round brackets of one of its entries.
        self._blanks_part = False
        # What `end` stands for in the indices that are being read.
        self._ends: list[int] = []
        self._depth = 0

    def _expression(self) -> Value:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ValueError(f"has more than {_DEPTH_MAX} brackets in brackets")
        value = self._level(0)
        self._depth -= 1
        return value

    def _level(self, k: int) -> Value:
        if k == _RANGE_BELOW:
            return self._range(k)
        return self._signs(k) if k < len(_LEVELS) else self._unary()

    def _signs(self, k: int) -> Value:
        left = self._level(k + 1)
        while self._text.peek().text in _LEVELS[k] and self._text.peek().kind == "sign" and not self._parts():
            sign = self._text.take().text
            right = self._level(k + 1)
            if sign in ("&&", "||"):
                raise ValueError(f"uses '{sign}', which is not known here")
            left = operate(sign, numbers(left), numbers(right))
        return left

    def _range(self, k: int) -> Value:
        first = self._signs(k)
        if self._text.peek().text != ":":
            return first
        parts = [numbers(first)]
        while self._text.peek().text == ":" and len(parts) < 3:
            self._text.take()
            parts.append(numbers(self._signs(k)))
        return steps(parts[0], parts[1] if len(parts) == 3 else scalar(1.0), parts[-1])

    def _unary(self) -> Value:
        signs: list[str] = []
        while (token := self._text.peek()).kind == "sign" and token.text in ("+", "-", "~", "!"):
            signs.append(self._text.take().text)
            if len(signs) > _DEPTH_MAX:
                raise ValueError(f"has more than {_DEPTH_MAX} signs in a row")
        value = self._power()
        for sign in reversed(signs):
            table = figures(numbers(value))
            value = table if sign == "+" else -table if sign == "-" else table == 0.0
        return value

    def _power(self) -> Value:
        left = self._transposed()
        while self._text.peek().kind == "sign" and self._text.peek().text in _POWERS:
            sign = self._text.take().text
            negative = False
            while self._text.peek().text in ("+", "-"):
                negative ^= self._text.take().text == "-"
            right = figures(numbers(self._transposed()))
            left = operate(sign, numbers(left), -right if negative else right)
        return left

    def _transposed(self) -> Value:
        value = self._primary()
        while self._text.peek().kind == "sign" and self._text.peek().text in ("'", ".'"):
            self._text.take()
            value = numbers(value).T
        return value

    def _primary(self) -> Value:
        token = self._text.peek()
        if token.kind == "name":
            return self._named()
        self._text.take()
        if token.kind == "number":
            follows = self._text.peek()
            if follows.kind in ("name", "number", "text") and not follows.spaced:
                raise ValueError(f"has {(token.text + follows.text)[:40]!r}, which is no number")
            return scalar(float(token.text.replace("d", "e").replace("D", "e")))
        if token.kind == "figures":
            return self._figures(token)
        if token.kind == "text":
            return Opaque(f"the text {token.text[:40]}")
        if token.text == "(":
            parted, self._blanks_part = self._blanks_part, False
            value = self._expression()
            self._blanks_part = parted
            self._expect(")")
            return value
        if token.text == "[":
            return self._table()
        if token.text == "{":
            return self._cells()
        words = "ends where a value is expected" if token.kind in ENDS else f"has {token.text!r} in place of a value"
        raise ValueError(words)

    def _figures(self, token: Token) -> Floats:
        try:
            return read_figures(token.text)
        except FiguresError as error:
            raise self._text.error(str(error), token.place + error.at) from error

    def _named(self) -> Value:
        """A variable, a field, either with an index; a constant; `end` in an index; a function of tables."""
        if self._text.peek().text == "end" and self._ends:
            self._text.take()
            return scalar(self._ends[-1])
        name = self._dotted()
        opens = self._text.peek().text == "(" and not self._parts()
        if name in self._values:
            value = self._values[name]
            if not opens:
                return value
            table = numbers(value)
            index, like = self._index(table)
            return taken(table, index, like)
        if name in CONSTANTS and not opens:
            return scalar(CONSTANTS[name])
        if name in FUNCTIONS and opens:
            self._text.take()
            given = [numbers(one) for one in self._arguments()]
            return call(name, given)
        raise ValueError(f"uses {name[:60]!r}, which is not known here")

    def _index(self, table: Floats, *, grows: bool = False) -> tuple[list[Index], Floats | None]:
        """What stands in the round brackets behind a table, and the value itself if it is a single one."""
        self._expect("(")
        n_places = self._count_places()
        if n_places > 2:
            raise ValueError("has an index of more than two places")
        parted, self._blanks_part = self._blanks_part, False
        index: list[Index] = []
        like: Floats | None = None
        for k in range(n_places):
            n = table.size if n_places == 1 else table.shape[k]
            if self._text.peek().text == ":" and self._text.peek(1).text in (",", ")"):
                self._text.take()
                index.append(ALL)
            else:
                self._ends.append(n)
                like = numbers(self._expression())
                self._ends.pop()
                index.append(index_of(like, n, grows=grows))
            self._expect("," if k + 1 < n_places else ")")
        self._blanks_part = parted
        return index, like

    def _count_places(self) -> int:
        """How many places the index has that has just been opened: it decides what `end` means in it."""
        depth, n, k = 0, 1, 0
        while (token := self._text.peek(k)).kind != "eof" and not (token.kind == "end" and token.text == "\n"):
            if token.kind != "text":
                depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
                n += token.text == "," and depth == 0
            if depth < 0:
                return n
            k += 1
        raise ValueError("opens a round bracket that is not closed")

    def _arguments(self) -> list[Value]:
        parted, self._blanks_part = self._blanks_part, False
        given: list[Value] = []
        while True:
            given.append(self._expression())
            if self._text.peek().text == ")":
                break
            self._expect(",")
        self._text.take()
        self._blanks_part = parted
        return given

    def _table(self) -> Floats:
        """[...; ...], rows parted by semicolons or lines, entries by commas or blanks."""
        parted, self._blanks_part = self._blanks_part, True
        rows: list[Floats] = []
        row: list[Floats] = []
        while True:
            token = self._text.peek()
            if token.kind == "eof":
                raise ValueError("opens a bracket that is not closed")
            if token.text in (";", "\n", "]"):
                if (band := side_by_side(row)).size:
                    rows.append(band)
                    check_columns(rows)
                row = []
            if token.text in (";", "\n", "]", ","):
                self._text.take()
                if token.text == "]":
                    break
            else:
                row.append(numbers(self._expression()))
        self._blanks_part = parted
        return np.vstack(rows) if rows else np.zeros((0, 0))

    def _cells(self) -> Opaque:
        depth = 1
        while depth:
            token = self._text.take()
            if token.kind == "eof":
                raise ValueError("opens a curly bracket that is not closed")
            depth += (token.text == "{") - (token.text == "}")
        return Opaque("cells")

    # --- tokens

    def _parts(self) -> bool:
        """Does the blank before the next token part two entries of a table? `[1 -2]` has two, `[1 - 2]` one."""
        token = self._text.peek()
        if not (self._blanks_part and token.spaced):
            return False
        return token.text == "(" or (token.text in ("+", "-") and not self._text.peek(1).spaced)

    def _dotted(self) -> str:
        name = self._text.take().text
        while self._text.peek().text == "." and self._text.peek(1).kind == "name":
            self._text.take()
            name += f".{self._text.take().text}"
        return name

    def _expect(self, text: str) -> None:
        token = self._text.take()
        if token.text != text:
            found = "its end" if token.kind in ENDS else f"{token.text[:20]!r}"
            raise ValueError(f"has {found} where {text!r} is expected")
