"""Tables of a study file beside the question they stand for: what they leave out, and None, which TOML does not know.

A table that holds a part of a noun (`[limits]` with one limit) changes that part of the question's own default, as the
flags of a command do. None is left out of a file where it is the default anyway, and is the word "none" elsewhere.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

NONE = "none"


def completed(kind: type, table: Mapping[str, Any], default: Any = None) -> dict[str, Any]:
    """The fields of a question or noun as a file has them, with those that its `default` (an instance) has otherwise
    than the class, and with None for its word.
    """
    found: dict[str, Any] = {}
    for name, (hint, of_class) in _fields(kind).items():
        usual = of_class() if default is None else getattr(default, name)
        if name in table:
            found[name] = _read(hint, table[name], usual)
        elif default is not None and usual != of_class():
            found[name] = usual
    return {**{name: value for name, value in table.items() if name not in found}, **found}


def with_none_written(kind: type, table: Mapping[str, Any], default: Any = None) -> dict[str, Any]:
    """The same for a file: plain values without None, so that `completed` gives them back."""
    known, found = _fields(kind), {}
    for name, value in table.items():
        hint, of_class = known.get(name, (None, lambda: None))
        usual = of_class() if default is None else getattr(default, name, None)
        if value is not None:
            found[name] = _written(hint, value, usual)
        elif usual is not None:
            found[name] = NONE
    return found


def _read(hint: Any, value: Any, usual: Any) -> Any:
    kind, optional = _bare(hint)
    if value == NONE and optional and (usual is not None or not _takes_text(kind)):
        return None
    if isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
        return completed(kind, value, usual if isinstance(usual, kind) else None)
    if isinstance(value, list) and get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis:
        return [_read(get_args(kind)[0], item, None) for item in value]
    return value


def _written(hint: Any, value: Any, usual: Any) -> Any:
    kind, _ = _bare(hint)
    if isinstance(value, Mapping):
        if isinstance(kind, type) and is_dataclass(kind):
            return with_none_written(kind, value, usual if isinstance(usual, kind) else None)
        return {key: _written(None, item, None) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        inner = get_args(kind)[0] if get_origin(kind) is tuple and get_args(kind) else None
        return [_written(inner, item, None) for item in value]
    return value


@cache
def _fields(kind: type) -> dict[str, tuple[Any, Any]]:
    """Annotation of every field that can be given, and a function that gives its default (None if it has none)."""
    known = getattr(kind, "__pydantic_fields__", None)
    if known is not None:
        return {
            name: (field.annotation, lambda field=field: None if field.is_required() else _default_of(field))
            for name, field in known.items()
        }
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind, include_extras=True)

    def default_of(field: Any) -> Any:
        if field.default_factory is not MISSING:
            return field.default_factory()
        return None if field.default is MISSING else field.default

    return {f.name: (hints[f.name], lambda f=f: default_of(f)) for f in fields(kind) if f.init}


def _default_of(field: Any) -> Any:
    return field.get_default(call_default_factory=True)


def _bare(hint: Any) -> tuple[Any, bool]:
    """The type without notes and None, and whether None is allowed; of several types none is left."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        optional = len(rest) < len(get_args(hint))
        return (_bare(rest[0])[0] if len(rest) == 1 else None), optional
    return hint, False


def _takes_text(kind: Any) -> bool:
    return kind is None or kind is str
