"""Wires and cables of which a circuit's commands leave out what the impedances of their lines are made of.

OpenDSS fills in zeros and defaults: a cable without its insulation (`DiaIns`, `InsLayer`) has a capacitance below zero,
one without a unit of its resistance a thousand times that, and others make a line that cannot be solved.
"""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.script_file.described_elements import described, hold_any
from g2g_opt.circuit.script_file.tokens import Parameter
from g2g_opt.errors import listed

# What has to be stated of each class, where any one word of a row does.
_SIZE = ("gmrac", "radius", "diam")
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "wiredata": (("rac", "rdc"), ("runits",), _SIZE),
    "cndata": (
        ("rac", "rdc"),
        ("runits",),
        _SIZE,
        ("k",),
        ("diastrand", "gmrstrand"),
        ("rstrand",),
        ("diains",),
        ("inslayer",),
        ("diacable",),
    ),
    "tsdata": (("rac", "rdc"), ("runits",), _SIZE, ("tapelayer",), ("diains",), ("inslayer",), ("diashield",)),
}
CONDUCTOR_BY_PROPERTY = {
    "wire": "wiredata",
    "wires": "wiredata",
    "cncable": "cndata",
    "cncables": "cndata",
    "tscable": "tsdata",
    "tscables": "tsdata",
}
_CONDUCTORS = frozenset({*CONDUCTOR_BY_PROPERTY, "conductors"})
_SHOWN = 6


def conductor_gaps(commands: Sequence[str]) -> str:
    """Conductors of lines that lack something, and lines that have a spacing and no conductors, in words; or empty."""
    if not hold_any(commands, (*_NEEDED, "spacing")):
        return ""
    stated: dict[str, set[str]] = {}
    spaced: dict[str, bool] = {}
    used: dict[str, None] = {}
    for name, given in described(commands):
        kind = name.partition(".")[0]
        if kind in _NEEDED:
            _note_stated(name, given, stated)
        elif kind in ("line", "linegeometry"):
            words = {parameter.word for parameter in given}
            spaced[name] = (spaced.get(name, False) or "spacing" in words) and not words & _CONDUCTORS
            used.update(dict.fromkeys(_conductors(given)))
    told = [f"{name} ({', '.join(lacking)})" for name in used if (lacking := _lacking(name, stated.get(name, set())))]
    bare = [name for name, is_bare in spaced.items() if is_bare]
    parts = []
    if told:
        parts.append(
            "wires and cables that do not state what the impedance of a line is made of, so that OpenDSS takes zeros "
            f"or its defaults: {listed(told, _SHOWN)}"
        )
    if bare:
        parts.append(f"a spacing without wires or cables: {listed(bare, _SHOWN)}")
    return "; ".join(parts)


def why_of_conductors(commands: Sequence[str], told: str = "line.") -> str:
    """`conductor_gaps` as the end of a sentence on what went wrong, where it is `told` of a line."""
    gaps = conductor_gaps(commands) if "line." in told else ""
    return f"; {gaps}" if gaps else ""


def _note_stated(name: str, given: Sequence[Parameter], stated: dict[str, set[str]]) -> None:
    own = stated.setdefault(name, set())
    for parameter in given:
        word = parameter.word
        if word == "like":
            own |= stated.get(f"{name.partition('.')[0]}.{parameter.value.lower()}", set())
        else:
            own.add(word)


def _conductors(given: Sequence[Parameter]) -> list[str]:
    found = []
    for parameter in given:
        word = parameter.word
        if word in _CONDUCTORS:
            names = parameter.value.lower().replace(",", " ").split()
            found += [name if "." in name else f"{CONDUCTOR_BY_PROPERTY.get(word, '')}.{name}" for name in names]
    return found


def _lacking(name: str, own: set[str]) -> list[str]:
    """What is missing of a conductor, each as the first of the words that would do."""
    if not own:
        return []  # never made: that is told elsewhere
    return [f"no {row[0]}" for row in _NEEDED[name.partition(".")[0]] if not own & set(row)]
