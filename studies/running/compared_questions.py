"""In which figures the question of a stored study is another one than what is asked now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from g2g_opt.errors import listed
from g2g_opt.reading import parse_json

_SHOWN_MAX, _LETTERS = 3, 60


def differences(stored: str, asked: str) -> str:
    """What a stored question has otherwise than one that is asked, as its fields are written: "n=2, limits.x=0.9".

    Both are canonical JSON (`question_json`).
    """
    there, here = (parse_json(text, "the question") for text in (stored, asked))
    if there["study"] != here["study"]:
        return f"study={there['study']}"
    return listed([f"{name}={_short(value)}" for name, value in _others(there, here)], _SHOWN_MAX)


def _others(there: dict[str, Any], here: dict[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Fields and stored values of what is not the same, those of nouns behind the noun's name."""
    for name in sorted({*there, *here}):
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _others(old, new, f"{inside}{name}.")
        elif old != new:
            yield f"{inside}{name}", old


def _short(value: Any) -> str:
    """A value as a study file has it, cut where it is long."""
    text = value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 3]}..."
