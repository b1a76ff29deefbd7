"""Why no source serves a bus, as far as the circuit tells: what is open on the way there, or a bus's name misspelt."""

from __future__ import annotations

import re

from g2g_opt.errors import InputError, did_you_mean, listed
from g2g_opt.feeder import Feeder

_SHOWN = 4
_DIGITS = re.compile(r"\d+")


def raise_on_unserved(feeder: Feeder, bus: str, what_then: str = "") -> None:
    """`InputError` if no source serves any conductor of a bus, with why and `what_then`, what to do about it."""
    if bus in feeder.isolated_buses:
        raise InputError(
            f"bus {bus!r} of feeder {feeder.name} is served by no source{why_unserved(feeder, bus)}{what_then}"
        )


def why_unserved(feeder: Feeder, bus: str) -> str:
    """The end of a sentence on an unserved bus; empty where nothing tells why.

    Named is what is open between the bus's part of the circuit and others, else a bus of that part whose name is nearly
    one of another part: a slip of it there makes a bus of its own, and the part behind it an island.
    """
    part = _part_of(feeder, bus)
    ways = [
        f"{branch.kind}.{branch.name}"
        for branch in feeder.branches
        if not branch.closed and part & set(branch.buses) and not part.issuperset(branch.buses)
    ]
    if ways:
        return f"; open or disabled on the way to it: {listed(ways, _SHOWN)}"
    others = [other for other in feeder.buses if other not in part and other not in feeder.isolated_buses]
    for own in sorted(part, key=lambda one: (one != bus, one)):
        # Buses that are numbered differ in their numbers, slip or none; a bus that is a part by itself has a slip.
        alike = [o for o in others if len(part) == 1 or _DIGITS.findall(o) == _DIGITS.findall(own)]
        if hint := did_you_mean(own, alike):
            alone = f"nothing else is at bus {own}"
            return f"; {alone if len(part) == 1 else f'nothing connects its part of the circuit, with bus {own}'}{hint}"
    return ""


def _part_of(feeder: Feeder, bus: str) -> set[str]:
    """The buses that closed branches connect with one, itself among them."""
    neighbours: dict[str, set[str]] = {}
    for branch in feeder.branches:
        for end in branch.buses if branch.closed else ():
            neighbours.setdefault(end, set()).update(branch.buses)
    part, waiting = {bus}, [bus]
    while waiting:
        new = neighbours.get(waiting.pop(), set()) - part
        part |= new
        waiting += new
    return part
