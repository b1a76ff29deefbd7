"""`question_model`: what makes a class a question, or a part of one: frozen, and checked however it comes about."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, fields
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass, rebuild_dataclass

from g2g_opt.errors import InputError, shown
from g2g_opt.flag import Flag

# Errors of one question that are told, and letters of a key that are shown.
_ERRORS_MAX, _KEY_MAX = 20, 60

# What a value has to be, where pydantic says it in words of its own.
_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
}

_Class = TypeVar("_Class", bound=type)


@plain_dataclass(frozen=True)
class NounFlags:
    """What a question says of the fields of a noun in it: the `group` of their flags, flags that mean something else
    here (`instead`), and fields it does not use (`without`, with the reason), which have no flag and stay as they are.
    """

    group: str = ""
    without: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, Flag] = field(default_factory=dict)


@plain_dataclass(frozen=True)
class ReadBy:
    """How the texts of a repeated flag become a field: by a function of them and of the question so far."""

    read: Callable[[Sequence[str], Any], Any]


@plain_dataclass(frozen=True)
class NotHere:
    """A field that other questions have, by their `flag`, and why this one cannot (see `not_here`)."""

    flag: str
    reason: str


def not_here(kind: type) -> Mapping[str, NotHere]:
    """Fields of other questions that this kind refuses, by name: its class attribute `not_here`."""
    found: Mapping[str, NotHere] = getattr(kind, "not_here", {})
    return found


def check_not_here(kind: type, given: Iterable[str]) -> None:
    """Raise `InputError` with the reason for a field among the `given` ones that this kind refuses."""
    refused = not_here(kind)
    for name in given:
        if name in refused:
            raise InputError(f"{name} ({refused[name].flag}): {refused[name].reason}")


def unused_fields(kind: type) -> dict[str, Mapping[str, str]]:
    """By field of a question that holds a noun: the noun's fields that the question does not use, with the reason."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: note.without for name, hint in hints.items() for note in get_args(hint) if isinstance(note, NounFlags)
    }


def check_unused(question: Any) -> None:
    """Raise `InputError` with the reason for a field that is not used (`unused_fields`) but was changed."""
    usual = type(question)()
    for name, unused in unused_fields(type(question)).items():
        for inner, reason in unused.items():
            if getattr(getattr(question, name), inner) != getattr(getattr(usual, name), inner):
                raise InputError(f"{name}.{inner} changes nothing here: {reason}")


def check_no_effect(question: Any, names: Iterable[str], where: str) -> None:
    """Raise `InputError` for a field among `names`, which change nothing `where` the question is as it is."""
    usual = type(question)()
    for name in names:
        if getattr(question, name) != getattr(usual, name):
            raise InputError(f"{name} changes nothing {where}")


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def question_model(kind: _Class) -> _Class:
    """Make a class a frozen pydantic dataclass without further fields, whose faults are `InputError`s in Python too."""
    # What it validates by is built where the first question is made or read, not by everybody who imports it.
    config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
    made: Any = dataclass(frozen=True, config=config)(kind)
    validate = made.__init__

    @functools.wraps(validate)
    def checked(self: Any, *args: Any, **values: Any) -> None:
        built(made)
        check_not_here(type(self), values)
        names = [one.name for one in fields(made)]
        if len(args) <= len(names) and not values.keys() & set(names[: len(args)]):
            # By their names, so that faults have those and no places.
            args, values = (), dict(zip(names, args, strict=False)) | values
        try:
            validate(self, *args, **values)
        except ValidationError as error:
            raise InputError(f"{type(self).__name__}: {faults_in_words(error)}") from error

    made.__init__ = checked
    return made  # type: ignore[no-any-return]


def built(kind: _Class) -> _Class:
    """A class of `question_model`, with what it validates by."""
    of: Any = kind
    if not getattr(of, "__pydantic_complete__", True):
        # Building puts pydantic's own in the place of this.
        checked = of.__init__
        rebuild_dataclass(of)
        of.__init__ = checked
    return kind


def faults_in_words(error: ValidationError) -> str:
    """Every entry that does not fit, by its place; "limits.voltage_min_pu: must lie in (0.5, 1.5) pu, got nan"."""
    parts = []
    for entry in error.errors(include_url=False)[:_ERRORS_MAX]:
        place = ".".join(str(part)[:_KEY_MAX] for part in entry["loc"])
        cause = entry.get("ctx", {}).get("error")
        if entry["type"] == "unexpected_keyword_argument":
            what = "there is no such setting"
        elif entry["type"] in _KINDS:
            what = f"must be {_KINDS[entry['type']]}, got {shown(entry['input'])}"
        elif entry["type"] == "literal_error":
            what = f"must be {entry['ctx']['expected']}, got {shown(entry['input'])}"
        else:
            what = str(cause) if isinstance(cause, InputError) else entry["msg"]
        parts.append(f"{place}: {what}" if place else what)
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
