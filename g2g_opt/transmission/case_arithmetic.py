"""Values and operations of the arithmetic in MATPOWER-style cases: tables (row, column), indices from 1, functions.

What MATLAB would do, for real numbers in two dimensions; whatever else it might do is a `ValueError` that says what.
A comparison gives a table of truth values, which as an index says which entries are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Entries of a value; the tables of the largest published cases have a few million.
ENTRIES_MAX = 20_000_000


@dataclass(frozen=True)
class Opaque:
    """A value that no figure can follow from: a text, or cells."""

    what: str


# All rows, columns or entries: the colon in `bus(:, 3)`.
ALL = slice(None)
Value = Floats | Opaque
Index = Ints | slice

CONSTANTS = {
    "pi": np.pi, "Inf": np.inf, "inf": np.inf, "NaN": np.nan, "nan": np.nan, "eps": np.finfo(float).eps,
    "true": True, "false": False,
}  # fmt: skip


def scalar(value: float) -> Floats:
    """A table of one entry."""
    return np.full((1, 1), value, dtype=np.bool_ if isinstance(value, bool) else np.float64)


def figures(table: Floats) -> Floats:
    """The table with 1 for true and 0 for false."""
    return table.astype(np.float64) if table.dtype == np.bool_ else table


def numbers(value: Value) -> Floats:
    """The value as a table of numbers; `ValueError` for a text or cells."""
    if isinstance(value, Opaque):
        raise ValueError(f"calculates with {value.what}")
    return value


def operate(sign: str, left: Floats, right: Floats) -> Floats:
    """`left sign right`; `ValueError` for what does not fit, is not real, or is no arithmetic of tables."""
    left, right = figures(left), figures(right)
    one = left.size == 1 or right.size == 1
    if sign == "*" and not one:
        if left.shape[1] != right.shape[0]:
            raise ValueError(f"multiplies tables of {_size(left)} and {_size(right)}")
        _check_size(left.shape[0], right.shape[1])
        return left @ right
    if sign == "/" and right.size != 1:
        raise ValueError("divides by a matrix, which solves equations; './' divides entry by entry")
    if sign == "^" and not (left.size == right.size == 1):
        raise ValueError("takes a power of a matrix; '.^' takes that of every entry")
    if sign not in _BY_ENTRY:
        raise ValueError(f"uses '{sign}', which is not known here")
    try:
        rows, columns = np.broadcast_shapes(left.shape, right.shape)
    except ValueError as error:
        raise ValueError(f"combines tables of {_size(left)} and {_size(right)}") from error
    _check_size(rows, columns)
    return real(np.asarray(_BY_ENTRY[sign](left, right)), left, right)


def steps(first: Floats, step: Floats, last: Floats) -> Floats:
    """first:step:last, a row."""
    if not first.size == step.size == last.size == 1 or not np.isfinite([first, step, last]).all() or not step.item():
        raise ValueError("has a range that is not from a number to a number")
    n = int(np.floor(np.clip((last - first).item() / step.item() + 1e-10, -1.0, 2.0 * ENTRIES_MAX))) + 1
    _check_size(1, n)
    return np.asarray(first.item() + step.item() * np.arange(n))[None, :]


def side_by_side(parts: Sequence[Floats]) -> Floats:
    """The table of its parts from left to right; those without entries are none."""
    parts = [part for part in parts if part.size]
    if len({len(part) for part in parts}) > 1:
        raise ValueError("puts tables of unlike height side by side")
    return np.hstack(parts) if parts else np.zeros((0, 0))


def check_columns(rows: Sequence[Floats]) -> None:
    """`ValueError` if the last of some tables, one below the other, has other columns than the first."""
    if rows[-1].shape[1] != rows[0].shape[1]:
        n = sum(map(len, rows))
        raise ValueError(
            f"has {rows[-1].shape[1]} columns in row {n} of the table; it needs {rows[0].shape[1]} like row 1"
        )


def index_of(value: Floats, n: int, *, grows: bool = False) -> Ints:
    """Places, from 0, that an index names among `n`, all of them there unless the table `grows`."""
    flat = value.ravel(order="F")
    if flat.dtype == np.bool_:
        places = np.flatnonzero(flat)
    elif not (np.isfinite(flat).all() and (flat == np.round(flat)).all() and (flat >= 1.0).all()):
        raise ValueError("has an index that is no whole number from 1 on")
    else:
        places = np.clip(flat, 1.0, 2.0**62).astype(np.int64) - 1
    if len(places) and places.max() >= n and not grows:
        raise ValueError(f"asks for entry {places.max() + 1} where there are {n}")
    return np.asarray(places, dtype=np.int64)


def taken(table: Floats, index: Sequence[Index], like: Floats | None) -> Floats:
    """The entries of a table at an index of one or two places; `like` is the index's own value, if one was given."""
    if len(index) == 2:
        rows, columns = (np.arange(n)[k] for k, n in zip(index, table.shape, strict=True))
        return np.asarray(table[np.ix_(rows, columns)])
    flat = table.ravel(order="F")[index[0]]
    if like is None:
        return flat[:, None]
    vector, row = 1 in like.shape, table.shape[0] == 1 and table.shape[1] != 1
    if len(flat) != like.size or (vector and 1 in table.shape and table.size > 1):
        return flat[None, :] if row else flat[:, None]
    return flat.reshape(like.shape, order="F")


def put(table: Floats, index: Sequence[Index], value: Floats) -> Floats:
    """The table with a value at an index, larger by zeros where the index is beyond its end."""
    if len(index) == 1:
        if 1 not in table.shape and isinstance(index[0], np.ndarray) and _end(index[0]) > table.size:
            raise ValueError("names one entry beyond the end of a table")
        row = table.shape[0] == 1
        index = [np.zeros(1, dtype=np.int64), index[0]] if row else [index[0], np.zeros(1, dtype=np.int64)]
        if 1 not in table.shape:
            flat = table.ravel(order="F")[:, None]
            return np.asarray(put(flat, index, value).reshape(table.shape, order="F"))
    # A colon over what is not there yet takes the value's size.
    shape = [
        max(n, _end(k)) if isinstance(k, np.ndarray) else n or (1 if value.size == 1 else m)
        for k, n, m in zip(index, table.shape, value.shape, strict=True)
    ]
    _check_size(*shape)
    grown = np.zeros(shape)
    grown[: table.shape[0], : table.shape[1]] = table
    rows, columns = (np.arange(n)[k] for k, n in zip(index, shape, strict=True))
    if value.size != 1 and value.shape != (len(rows), len(columns)):
        if value.size != len(rows) * len(columns) or (1 not in value.shape) or 1 not in (len(rows), len(columns)):
            raise ValueError(f"puts a table of {_size(value)} where {len(rows)} x {len(columns)} entries are")
        value = value.reshape(len(rows), len(columns))
    grown[np.ix_(rows, columns)] = value
    return grown


def without(table: Floats, index: Sequence[Index]) -> Floats:
    """The table without whole rows or columns."""
    if len(index) != 2 or sum(isinstance(k, slice) for k in index) == 0:
        raise ValueError("takes out entries; whole rows or columns can be taken out")
    axis = 1 if isinstance(index[0], slice) else 0
    return np.delete(table, index[axis], axis=axis)


def call(name: str, given: Sequence[Floats]) -> Floats:
    """A function of tables; `ValueError` if it is not known, or not with so many arguments."""
    given = [figures(one) for one in given]
    if name in _OF_ONE and len(given) == 1:
        return real(np.asarray(_OF_ONE[name](given[0]), dtype=np.float64), *given)
    if name in _OF_TWO and len(given) == 2:
        return operate(f"{name}()", *given)
    if name in _SUMMARY and len(given) in (1, 2):
        if len(given) == 2 and given[1].size != 1:
            raise ValueError(f"asks {name}() for more than one direction")
        default = 1 if given[0].shape[0] == 1 else 0
        axis = default if len(given) == 1 else int(given[1].item()) - 1
        if axis not in (0, 1):
            raise ValueError(f"asks {name}() for a direction that a table has not")
        return np.asarray(_SUMMARY[name](given[0], axis=axis, keepdims=True))
    if name in ("max", "min") and len(given) == 1 and given[0].size:
        return np.asarray(getattr(np, f"n{name}")(given[0], axis=int(given[0].shape[0] == 1), keepdims=True))
    if name in ("ones", "zeros") and len(given) in (1, 2) and all(one.size == 1 for one in given):
        shape = [int(max(0.0, min(one.item(), ENTRIES_MAX + 1.0))) for one in (given[0], given[-1])]
        _check_size(*shape)
        return np.full(shape, float(name == "ones"))
    if name == "size" and len(given) == 2 and given[1].size == 1:
        return scalar(given[0].shape[int(given[1].item()) - 1] if given[1].item() in (1.0, 2.0) else 1.0)
    raise ValueError(f"calls {name}(), which is not known here")


def real(found: Floats, *of: Floats) -> Floats:
    """A result that is real; `ValueError` if it is not (a root of -1)."""
    if np.isnan(found).any() and not any(np.isnan(one).any() for one in of):
        raise ValueError("gives no real number")
    return found


def _rounded(x: Floats) -> Floats:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _found(x: Floats) -> Floats:
    places: Floats = np.flatnonzero(x.ravel(order="F")) + np.float64(1.0)
    return places[None, :] if x.shape[0] == 1 else places[:, None]


_BY_ENTRY: dict[str, Callable[[Floats, Floats], NDArray[np.generic]]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, ".*": np.multiply, "/": np.divide, "./": np.divide,
    "^": np.power, ".^": np.power, "==": np.equal, "~=": np.not_equal, "<": np.less, "<=": np.less_equal,
    ">": np.greater, ">=": np.greater_equal, "&": np.logical_and, "|": np.logical_or,
    "max()": np.fmax, "min()": np.fmin, "atan2()": np.arctan2, "hypot()": np.hypot, "mod()": np.mod,
}  # fmt: skip
_OF_ONE: dict[str, Callable[[Floats], NDArray[np.generic] | Floats]] = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "log10": np.log10, "abs": np.abs, "sign": np.sign,
    "floor": np.floor, "ceil": np.ceil, "fix": np.trunc, "round": _rounded, "find": _found,
    "deg2rad": np.deg2rad, "rad2deg": np.rad2deg, "sind": lambda x: np.sin(np.deg2rad(x)),
    "cosd": lambda x: np.cos(np.deg2rad(x)), "tand": lambda x: np.tan(np.deg2rad(x)),
    "length": lambda x: scalar(max(x.shape) if x.size else 0), "numel": lambda x: scalar(x.size),
    "size": lambda x: np.array([x.shape], dtype=np.float64),
}  # fmt: skip
_OF_TWO = frozenset({"max", "min", "atan2", "hypot", "mod"})
_SUMMARY: dict[str, Callable[..., NDArray[np.generic]]] = {
    "sum": np.sum, "prod": np.prod, "mean": np.mean, "any": np.any, "all": np.all,
}  # fmt: skip
FUNCTIONS = frozenset({*_OF_ONE, *_OF_TWO, *_SUMMARY, "ones", "zeros"})


def _end(places: Ints) -> int:
    return int(places.max()) + 1 if len(places) else 0


def _size(table: Floats) -> str:
    return f"{table.shape[0]} x {table.shape[1]}"


def _check_size(rows: int, columns: int) -> None:
    if rows * columns > ENTRIES_MAX:
        raise ValueError(f"makes a table of more than {ENTRIES_MAX:,} entries")
