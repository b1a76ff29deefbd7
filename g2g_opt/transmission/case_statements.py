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
    Value,
    numbers,
    put,
    scalar,
    without,
)
from g2g_opt.transmission.case_columns import COLUMNS
from g2g_opt.transmission.case_columns import CONSTANTS as NAMED_COLUMNS
from g2g_opt.transmission.case_expressions import ENDS, Expressions
from g2g_opt.transmission.case_text import CaseText, Token

Floats = NDArray[np.float64]


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


class _Interpreter(Expressions):
    """Parses and carries out at once: a case has no loops and no branches."""

    def __init__(self, text: CaseText, fields: dict[str, str]) -> None:
        super().__init__(text)
        self._fields = fields
        self._struct = "mpc"
        self._lines: dict[str, int] = {}

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
        while self._text.peek().kind not in ENDS:  # no arguments, in brackets
            if self._text.take().text not in ("(", ")"):
                raise self._text.error("takes arguments; a case takes none", token.place)

    def _statement(self, first: Token) -> bool:
        """Carry one out. False where the case ends: what follows is only done when it is called."""
        if first.kind == "name" and self._text.peek(1).kind in ENDS:
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
        if self._text.peek().kind not in ENDS:
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
        takes_out = token.kind == "figures" and not token.text.strip() and self._text.peek(1).kind in ENDS
        if (columns := COLUMNS.get(token.text)) is not None and self._text.peek(1).kind in ENDS and not at_index:
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
