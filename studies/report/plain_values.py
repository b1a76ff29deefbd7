"""Values of results as JSON has them: no numpy, no dataclasses, and null for what is missing."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Set
from datetime import date, datetime
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import numpy as np

# Stands for what is missing, where people read.
MISSING = "–"


def plain_value(value: Any) -> Any:
    """`value` in plain Python, as JSON can hold it; a number that is not finite is None."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, Set):
        return sorted(plain_value(item) for item in value)
    if isinstance(value, Enum):
        return plain_value(value.value)
    if isinstance(value, Fraction):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a {type(value).__name__} has no place in a result: {value!r}")


def in_short(value: Any) -> str:
    """A value as a cell of a table shows it to people: truths as yes and no, what is missing as a dash."""
    if value is None:
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(in_short, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={in_short(item)}" for key, item in value.items())
    return str(value)


def json_in_page(value: Any) -> str:
    """`value` as JSON that can stand in a <script> element whatever its texts hold."""
    text = json.dumps(plain_value(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # A lone surrogate (from a file name) can be in a Python text, and not in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
