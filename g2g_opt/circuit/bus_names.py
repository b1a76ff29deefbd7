"""Finding a bus by what a person calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from g2g_opt.circuit.parts import Bus
from g2g_opt.errors import InputError, shown, unknown_name

# A bus with the phases that OpenDSS's files write behind it, and several buses in one text.
_PHASES, _SEVERAL = re.compile(r"[^.]+(\.\d+)+"), re.compile(r"[,;\s]+")


def bus_named(name: object, buses: Mapping[str, Bus], where: str) -> Bus:
    """A bus by its name, whatever the case and with blanks around it; `where` they are ends what is said of no bus.

    Raises `InputError` if there is none, or if phases or other buses go with it.
    """
    wanted = str(name).strip().lower()
    if wanted in buses:
        return buses[wanted]
    if set(several := _SEVERAL.split(wanted)) <= set(buses):
        raise InputError(f"{shown(name)} are several buses; name each by itself: {' and '.join(several)}")
    if _PHASES.fullmatch(wanted) and (bus := wanted.partition(".")[0]) in buses:
        raise InputError(f"bus {shown(name)} names phases; name the bus alone: {bus}")
    raise unknown_name("bus", name, buses, where)
