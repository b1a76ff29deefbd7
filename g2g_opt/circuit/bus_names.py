"""A bus by its name, and what else may have been meant where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from g2g_opt.errors import InputError, shown, unknown_name

_Bus = TypeVar("_Bus")
# A bus with the phases that OpenDSS's files write behind it, and several buses in one text.
_PHASES, _BUS_LIST = re.compile(r"[^.]+(\.\d+)+"), re.compile(r"[,;\s]+")


def bus_named(name: str, buses: Mapping[str, _Bus], where: str) -> _Bus:
    """The bus of a name (any case) among those by lower-case name.

    Raises `InputError`, which says `where`, if there is none, or phases or other buses go with it.
    """
    wanted = str(name).strip().lower()
    if wanted in buses:
        return buses[wanted]
    if set(several := _BUS_LIST.split(wanted)) <= set(buses):
        raise InputError(f"{shown(name)} are several buses; name each by itself: {' and '.join(several)}")
    if _PHASES.fullmatch(wanted) and (bus := wanted.partition(".")[0]) in buses:
        raise InputError(f"bus {shown(name)} names phases; name the bus alone: {bus}")
    raise unknown_name("bus", name, buses, where)
