"""`question_model`: what makes a class a question, or a part of one: frozen, and checked however it comes about."""

from __future__ import annotations

import functools
from dataclasses import field
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from g2g_opt.errors import InputError

# Errors of one question that are told, and letters of a key that are shown.
_ERRORS_MAX, _KEY_MAX = 20, 60

_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def question_model(kind: _Class) -> _Class:
    """Make a class a frozen pydantic dataclass without further fields, whose faults are `InputError`s in Python too."""
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(kind)
    validate = made.__init__

    @functools.wraps(validate)
    def checked(self: Any, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except ValidationError as error:
            raise InputError(f"{type(self).__name__}: {faults_in_words(error)}") from error

    made.__init__ = checked
    return made  # type: ignore[no-any-return]


def faults_in_words(error: ValidationError) -> str:
    """Every entry that does not fit, by its place; "limits.voltage_min_pu: must lie in (0.5, 1.5) pu, got nan"."""
    parts = []
    for entry in error.errors(include_url=False, include_input=False)[:_ERRORS_MAX]:
        place = ".".join(str(part)[:_KEY_MAX] for part in entry["loc"])
        cause = entry.get("ctx", {}).get("error")
        if entry["type"] == "unexpected_keyword_argument":
            what = "there is no such setting"
        else:
            what = str(cause) if isinstance(cause, InputError) else entry["msg"]
        parts.append(f"{place}: {what}" if place else what)
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
