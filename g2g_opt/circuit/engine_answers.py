"""What the engine answers in its own memory, as text and figures of ours. For `opendss_circuit` only."""

from __future__ import annotations

import json
from typing import Any

from g2g_opt.circuit.engine_library import ffi
from g2g_opt.errors import InputError


def text_of(answer: Any) -> str:
    """A text; empty where the engine has none."""
    return "" if answer == ffi.NULL else str(ffi.string(answer).decode(errors="replace"))


def json_of(answer: Any) -> Any:
    """What the engine wrote as JSON; `InputError` where it holds NaN or an infinite figure, which it writes bare."""
    text = text_of(answer)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"an element's figure is no finite number: {text[:200]}") from error
