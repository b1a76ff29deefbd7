"""`TypedRow`: a row of a stored table as a frozen dataclass; its columns and their types are its fields.

Fields are numbers, words, truth values, string enums, None beside any of them, tuples of those, and arrays. A table is
written and read by its class alone, so a name that does not exist is found where it is written, not where it is read.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import lru_cache
from typing import Any, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from g2g_opt.errors import InputError
from studies.shared.task import Row, TaskResult, gather


class TypedRow:
    """Base of the frozen dataclasses that are rows of a table."""

    def to_row(self) -> Row:
        """Plain values by column, the same columns whatever is in them."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The row of plain values; columns that the class does not have are left out.

        Raises `InputError` for one that lacks a column, or holds another type: it was stored by another version.
        """
        hints: dict[str, Any] = _hints(cls)  # type: ignore[arg-type]
        if lacking := [name for name in hints if name not in row]:
            raise InputError(
                f"the stored results have no {', '.join(lacking[:5])}: they were made by another version of g2g; run "
                "the study again in a new folder"
            )
        try:
            return cls(**{name: _typed(row[name], hint) for name, hint in hints.items()})
        except (TypeError, ValueError) as error:
            raise InputError(f"the stored results hold what is no {cls.__name__}: {error}") from error


_Row = TypeVar("_Row", bound=TypedRow)


def gather_as(results: Sequence[TaskResult], table: str, kind: type[_Row]) -> list[_Row]:
    """Rows of one table over all results, in the order of the tasks."""
    return [kind.from_row(row) for row in gather(results, table)]


def to_rows(rows: Sequence[TypedRow]) -> list[Row]:
    """Rows as they are stored."""
    return [row.to_row() for row in rows]


@lru_cache
def _hints(kind: type[TypedRow]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _typed(value: Any, hint: Any) -> Any:
    if value is None:
        return None
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return _typed(value, inner)
    if origin is tuple:
        # Lists of numbers come back as arrays.
        items = value.tolist() if isinstance(value, np.ndarray) else value
        return tuple(_typed(item, get_args(hint)[0]) for item in items)
    if origin is np.ndarray:
        return np.asarray(value, dtype=get_args(get_args(hint)[1])[0])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return hint(value) if hint in (int, float, bool, str) else value
