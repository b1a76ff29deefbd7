"""Names inside commands: those of elements that are added are safe there, a circuit's own are put in quotes."""

from __future__ import annotations

import re

from g2g_opt.errors import InputError

INJECTION_PREFIX = "g2g_"  # of every element we add, so that none collides with a circuit's own
_SAFE_NAME = re.compile(r"[A-Za-z0-9_\-]+")
# Blanks, commas and equals signs end a name, "!" and "//" the line, and quotes and brackets are not read at its start.
_NEEDS_QUOTES = re.compile(r"""[\s,=!@"]|//|^[({\['"]""")

# OpenDSS writes these before a name or not.
_KINDS_TOLD = ("transformer", "autotrans", "capacitor", "xycurve")


def check_name(kind: str, name: str) -> str:
    """`name` if it is safe inside an OpenDSS command, else `InputError`."""
    if not _SAFE_NAME.fullmatch(name):
        raise InputError(
            f"{kind} name {name!r} is not safe in an OpenDSS command; use letters, digits, '_' and '-' only"
        )
    return name


def as_word(name: str) -> str:
    """A circuit's own name ("load.My Load", "old mill.1.2") as a command needs it: in quotes where it holds blanks."""
    return f'"{name}"' if _NEEDS_QUOTES.search(name) else name


def named(told: str) -> str:
    """The name, in lower case, in what OpenDSS tells of an element or curve that another refers to."""
    kind, _, name = told.strip().lower().partition(".")
    return name if kind in _KINDS_TOLD else told.strip().lower()
