"""Numbers on the command line: a flag takes what the field behind it takes, and says the range if it does not."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError, shown
from g2g_opt.quantities import bounds_of, quantity_of


def number_of(owner: type, field: str) -> Callable[[str], Any]:
    """The `type=` of a flag that fills a field, or an entry of it."""
    return number(quantity_of(owner, field))


def number_or_none_of(owner: type, field: str) -> Callable[[str], Any]:
    """As `number_of`, for a field that the word "none" leaves out."""
    read = number_of(owner, field)
    return lambda text: None if text.lower() == "none" else read(text)


def numbers_of(owner: type, field: str, *, besides: str = "") -> Callable[[str], Any]:
    """The `type=` of a flag that takes numbers separated by commas; the word `besides` is None."""
    read = number_of(owner, field)

    def numbers(text: str) -> tuple[Any, ...] | None:
        if besides and text == besides:
            return None
        values = tuple(read(part) for part in text.split(",") if part.strip())
        if not values:
            raise ArgumentTypeError(f"{shown(text)}: numbers separated by commas are needed")
        return values

    return numbers


def number(quantity: Any) -> Callable[[str], Any]:
    """The `type=` of a flag for a named quantity (`g2g_opt.quantities`)."""
    kind, bounds = bounds_of(quantity)

    def read(text: str) -> Any:
        value: Any
        try:
            value = as_period(text, "seconds") if kind is Fraction else kind(text)
        except InputError as error:
            raise ArgumentTypeError(str(error)) from error
        except ValueError as error:
            raise ArgumentTypeError(str(bounds.refusal(text, kind is int))) from error
        if refusal := bounds.refusal(value, kind is int):
            raise ArgumentTypeError(refusal)
        return value

    return read
