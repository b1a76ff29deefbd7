"""Numbers on the command line: a flag takes what the field behind it takes, and says the range if it does not."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError
from g2g_opt.quantities import bounds_of
from g2g_opt.reading import decimal_comma_words, plain_digits


def number(quantity: Any) -> Callable[[str], Any]:
    """The `type=` of a flag for a named quantity (`g2g_opt.quantities`)."""
    kind, bounds = bounds_of(quantity)

    def read(text: str) -> Any:
        value: Any
        try:
            value = as_period(text, "seconds") if kind is Fraction else kind(plain_digits(text))
        except ValueError as error:
            how = "; write seconds, e.g. 0.1 or 1/10" if isinstance(error, InputError) else decimal_comma_words(text)
            raise ArgumentTypeError(f"{bounds.refusal(text, kind is int)}{how}") from error
        if refusal := bounds.refusal(value, kind is int):
            raise ArgumentTypeError(refusal)
        return value

    return read
