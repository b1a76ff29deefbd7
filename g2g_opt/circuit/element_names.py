"""Names of elements that are added to a circuit: safe inside a command, and none that a circuit has itself."""

from __future__ import annotations

import re

from g2g_opt.errors import InputError

INJECTION_PREFIX = "g2g_"  # of every element we add, so that none collides with a circuit's own
_SAFE_NAME = re.compile(r"[A-Za-z0-9_\-]+")


def check_name(kind: str, name: str) -> str:
    """`name` if it is safe inside an OpenDSS command, else `InputError`."""
    if not _SAFE_NAME.fullmatch(name):
        raise InputError(
            f"{kind} name {name!r} is not safe in an OpenDSS command; use letters, digits, '_' and '-' only"
        )
    return name
