"""A MATPOWER-style case carried out statement by statement: tables, and the arithmetic that follows them.

Published cases of distribution networks convert their own units in statements like
`mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;`. What such statements use is carried out here, on tables of real
numbers and nothing else; a statement that is not understood is refused by its line, and none is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
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
    put,
    scalar,
    side_by_side,
    steps,
    taken,
    without,
)
from g2g_opt.transmission.case_columns import COLUMNS
from g2g_opt.transmission.case_columns import CONSTANTS as NAMED_COLUMNS
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
_ENDS = ("end", "eof")


@dataclass
class CaseFields:
    """What a case's statements leave: fields of its struct by name, and the line where each was last given."""

    values: dict[str, Value] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def carry_out(text: str, where: str, fields: dict[str, str]) -> CaseFields:
    """The fields of the case in `text`; `where` names its file.

    `fields` are those that a case may have, each with an empty text, or with why it cannot be taken into account.
    Raises `InputError` with the line for every other field, and for a statement that is not understood.
    """
    return _Interpreter(CaseText(text, where), fields).run()


class _Interpreter:
    """Parses and carries out at once: a case has no loops and no branches."""

    def __init__(self, text: CaseText, fields: dict[str, str]) -> None:
        self._text = text
        self._fields = fields
        self._struct = "mpc"
        self._values: dict[str, Value] = {}
        self._lines: dict[str, int] = {}
        # Blanks part the entries of a table, but not within the round brackets of one of its entries.
        self._blanks_part = False
        # What `end` stands for in the indices that are being read.
        self._ends: list[int] = []
        self._depth = 0

    def run(self) -> CaseFields:
        self._signature()
        while (token := self._text.peek()).kind != "eof":
            if token.kind == "end":
                self._text.take()
                continue
            self._text.behind = token.place
            try:
                with np.errstate(all="ignore"):
                    if not self._statement(token):
                        break
            except ValueError as error:
                if isinstance(error, InputError):
                    raise
                raise self._text.error(str(error)) from error
        prefix = f"{self._struct}."
        own = {name.removeprefix(prefix): value for name, value in self._values.items() if name.startswith(prefix)}
        return CaseFields(own, self._lines)

    # --- statements

    def _signature(self) -> None:
        """`function mpc = name`: what the struct is called. Without one it is `mpc`."""
        while self._text.peek().kind == "end":
            self._text.take()
        token = self._text.peek()
        if token.text != "function":
            return
        self._text.take()
        name, equals, function = (self._text.take() for _ in range(3))
        if name.text == "[":
            raise self._text.error(
                "gives its tables one by one; save the case in format 2, where they are mpc.bus", token.place
            )
        if (name.kind, equals.text, function.kind) != ("name", "=", "name"):
            raise self._text.error("is not understood; a case begins with e.g. function mpc = name", token.place)
        self._struct = name.text
        while self._text.peek().kind not in _ENDS:  # no arguments, in brackets
            if self._text.take().text not in ("(", ")"):
                raise self._text.error("takes arguments; a case takes none", token.place)

    def _statement(self, first: Token) -> bool:
        """Carry one out. False where the case ends: what follows is only done when it is called."""
        if first.kind == "name" and self._text.peek(1).kind in _ENDS:
            self._text.take()
            if first.text in ("end", "return", "endfunction"):
                return first.text != "return"
            if first.text == "define_constants":
                self._values |= {name: scalar(number) for name, number in NAMED_COLUMNS.items()}
                return True
            raise ValueError("is no statement of a case that is understood here")
        if first.text == "function":
            return False
        if first.kind in ("figures", "sign") and first.text[:1] in ("", "["):
            self._hand_out()
        else:
            self._assign(first)
        if self._text.peek().kind not in _ENDS:
            raise ValueError(f"is not understood from {self._text.peek().text[:20]!r} on")
        return True

    def _hand_out(self) -> None:
        """`[PQ, PV, REF] = idx_bus;`."""
        self._expect("[")
        names: list[str] = []
        while (token := self._text.take()).text != "]":
            if token.kind == "name" or token.text == "~":
                names.append(token.text)
            elif token.text != ",":
                raise ValueError("is not understood: names of columns are expected in its brackets")
        self._expect("=")
        function = self._text.take().text
        if function not in COLUMNS or len(names) > len(COLUMNS[function]):
            raise ValueError(f"is not understood: {function[:40]!r} hands out no such names here")
        for name, (_, number) in zip(names, COLUMNS[function], strict=False):
            if name != "~":
                self._values[name] = scalar(number)

    def _assign(self, first: Token) -> None:
        """`name = ...`, `mpc.bus = ...`, `mpc.bus(:, 3) = ...`."""
        if first.kind != "name":
            raise ValueError("is no statement of a case that is understood here")
        name, at_index = self._dotted(), None
        self._check_name(name)
        if self._text.peek().text == "(":
            if name not in self._values:
                if not name.startswith(f"{self._struct}."):
                    raise ValueError("is no statement of a case that is understood here")
                raise ValueError(f"changes {name}, which is not there yet")
            table = numbers(self._values[name])
            at_index, _ = self._index(table, grows=True)
        if self._text.peek().text != "=":
            raise ValueError("is no statement of a case that is understood here")
        self._text.take()
        token = self._text.peek()
        takes_out = token.kind == "figures" and not token.text.strip() and self._text.peek(1).kind in _ENDS
        if (columns := COLUMNS.get(token.text)) is not None and self._text.peek(1).kind in _ENDS and not at_index:
            self._text.take()
            self._values |= {f"{name}.{column}": scalar(number) for column, number in columns}
            return
        value = self._expression()
        if at_index is not None:
            value = without(table, at_index) if takes_out else put(table, at_index, numbers(value))
        self._values[name] = value
        if name.startswith(f"{self._struct}."):
            self._lines[name.removeprefix(f"{self._struct}.")] = self._text.line(first.place)

    def _check_name(self, name: str) -> None:
        base, _, rest = name.partition(".")
        if base != self._struct or not rest:
            if base == self._struct or "." in name:
                raise ValueError(f"gives {name} as a whole; give its fields, as {self._struct}.bus")
            return
        reason = self._fields.get(rest)
        if reason is None:
            raise ValueError(f"gives {rest}, which is no field of a case that is known here")
        if reason and not (self._text.peek().text == "=" and self._is_nothing(self._text.peek(1))):
            raise ValueError(reason)

    def _is_nothing(self, token: Token) -> bool:
        return token.kind == "figures" and not token.text.strip()

    # --- expressions

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
        words = "ends where a value is expected" if token.kind in _ENDS else f"has {token.text!r} in place of a value"
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
            found = "its end" if token.kind in _ENDS else f"{token.text[:20]!r}"
            raise ValueError(f"has {found} where {text!r} is expected")
