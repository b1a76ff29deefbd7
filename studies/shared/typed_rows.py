"""`TypedRow`: a row of a stored table as a frozen dataclass; its columns and their types are its fields.

Fields are numbers, words, truth values, string enums, None beside any of them, tuples of those, and arrays. A table is
written and read by its class alone, so a name that does not exist is found where it is written, not where it is read.
What people are shown of a field is said in its annotation: `power_mw: Annotated[float, ShownAs("peak MW", 2)]`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from g2g_opt.errors import InputError
from studies.shared.conclusion import Column, ResultTable
from studies.shared.task import Row, TaskResult, gather


@dataclass(frozen=True)
class ShownAs:
    """The column of a field, or of a property by what it returns: `title`, `digits` and `secondary` as of `Column`."""

    title: str
    digits: int | None = None
    secondary: bool = False


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


def columns_of(kind: type[TypedRow], *chosen: str | Column) -> tuple[Column, ...]:
    """Columns of a table of such rows: of all fields that are shown, or of those `chosen`, by their names.

    Names may stand in one text, separated by blanks; a `Column` is the table's own.
    """
    known = _columns(kind)  # type: ignore[arg-type]
    if not chosen:
        return tuple(known.values())
    listed = [[one] if isinstance(one, Column) else [known[name] for name in one.split()] for one in chosen]
    return tuple(column for columns in listed for column in columns)


def table_of(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[TypedRow | Mapping[str, Any]],
    folded: bool = False,
) -> ResultTable:
    """A table of rows: of records with all their figures, arrays left out, and what the columns ask for besides."""
    shown = [row if isinstance(row, Mapping) else as_shown(row, columns) for row in rows]
    return ResultTable(name, title, tuple(columns), shown, folded)


def as_shown(row: TypedRow, columns: Sequence[Column], more: Mapping[str, Any] = MappingProxyType({})) -> Row:
    """A record's figures by column, with `more` that are none of its own."""
    found = {name: value for name, value in vars(row).items() if not isinstance(value, np.ndarray)} | dict(more)
    return found | {column.name: getattr(row, column.name) for column in columns if column.name not in found}


@lru_cache
def _columns(kind: type[TypedRow]) -> dict[str, Column]:
    hints = get_type_hints(kind, include_extras=True)
    for of in reversed(kind.__mro__):
        for name, member in vars(of).items():
            if isinstance(member, property):
                hints[name] = get_type_hints(member.fget, include_extras=True).get("return")
    return {
        name: Column(name, one.title, one.digits, one.secondary)
        for name, hint in hints.items()
        for one in getattr(hint, "__metadata__", ())
        if isinstance(one, ShownAs)
    }


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
