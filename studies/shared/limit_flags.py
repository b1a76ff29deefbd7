"""Limits on the command line of a report: the flags of `Limits`, each left as the study has it if it is not given."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from studies.shared.question_flags import FieldFlag, flags_of
from studies.shared.question_model import unused_fields
from studies.shared.task import Question
from studies.shared.words_as_typed import as_typed


def _limit_flags() -> Iterator[FieldFlag]:
    return (replace(one, flag=replace(one.flag, unset="the study's")) for one in flags_of(Limits, Limits()))


def add_limit_flags(parser: argparse.ArgumentParser) -> None:
    """Add an option for every limit."""
    for one in _limit_flags():
        one.add(parser)


def given_limits(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Limits` that were given."""
    return {one.names[0]: vars(options)[one.dest] for one in _limit_flags() if one.dest in vars(options)}


def typed_limits(limits: Limits, given: Mapping[str, Any]) -> Limits:
    """The `limits` with those given in their place; `InputError` in the words of the command line."""
    try:
        return replace(limits, **given)
    except InputError as error:
        raise as_typed(error, Limits) from error


def with_given(question: Question, limits: Limits, given: Mapping[str, Any]) -> Limits:
    """The `limits` of a question with those that were given in their place.

    Raises `InputError` as `typed_limits`, and with the reason for one that the question does not use.
    """
    unused = unused_fields(type(question)).get("limits", {})
    for one in _limit_flags():
        if (name := one.names[0]) in given and name in unused:
            raise InputError(f"{one.flag.name} changes nothing in a {question.study} study: {unused[name]}")
    return typed_limits(limits, given)
