"""Elements that a circuit's file makes with `like`, and what OpenDSS leaves out of such a copy."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.script_file.allow_list import find_word, words
from g2g_opt.circuit.script_file.tokens import Parameter, ScriptError, parameters
from g2g_opt.errors import listed

# Properties that a copy does not get, by kind (OpenDSS C-API 0.14.5; of lines see `_missing`).
_LEFT_OUT = {
    "linecode": ("units",),
    "pvsystem": ("%pmpp", "wattpriority", "pfpriority"),
    "transformer": ("%imag", "leadlag"),
    "regcontrol": ("vlimit",),
    "capcontrol": ("vmin", "vmax", "delay", "deadtime"),
}
# Words of a line whose impedance is its own, and of one whose impedance its code or its wires make anew.
_IMPEDANCE = ("r1", "x1", "r0", "x0", "rmatrix", "xmatrix")
_MADE_ANEW = ("linecode", "geometry", "spacing", "wires", "switch")
# Commands that make the matrices of all lines, which is what a copy takes.
_SETTLING = ("solve", "calcvoltagebases", "makebuslist")
_SHOWN = 8


def copied_notes(commands: Sequence[str]) -> tuple[str, ...]:
    """A sentence on copies that do not have all of what the file states of what they copy; none if all have."""
    stated: dict[str, set[str]] = {}
    settled: set[str] = set()
    found: dict[str, list[str]] = {}
    for command in commands:
        verb, name, properties = _described(command)
        if verb in _SETTLING:
            settled = set(stated)
        if not name:
            continue
        kind = name.partition(".")[0]
        own = {word for word in properties if word != "like"}
        if other := properties.get("like"):
            of_other = f"{kind}.{other.lower()}"
            copied = stated.get(of_other, set())
            missing = _missing(kind, copied, own, of_other in settled)
            if missing:
                found[name] = missing
            own |= copied - {*missing}
        elif name in found:
            found[name] = [word for word in found[name] if word not in own]
        stated.setdefault(name, set()).update(own)
    told = [f"{name} ({', '.join(missing)})" for name, missing in found.items() if missing]
    if not told:
        return ()
    return (
        "copies made with `like` that do not get what stands behind them in brackets, whatever OpenDSS tells of them "
        "(a line whose impedance is not copied has its default of 0.058 + 0.1206j ohm per unit of length); state it "
        f"again: {listed(told, _SHOWN)}",
    )


def _missing(kind: str, copied: set[str], own: set[str], is_settled: bool) -> list[str]:
    """What a copy does not get of what is stated of the other, and does not state itself."""
    if kind != "line":
        return [word for word in _LEFT_OUT.get(kind, ()) if word in copied - own]
    has_own = own & {*_IMPEDANCE, *_MADE_ANEW}
    found = [] if has_own or is_settled or copied & {*_MADE_ANEW} else [w for w in _IMPEDANCE if w in copied]
    return [*found, *(["units"] if "units" in copied - own and not own & {"linecode"} else [])]


def _described(command: str) -> tuple[str, str, dict[str, str]]:
    """Verb, element (kind.name, empty without one) and named properties of a command, all words in full."""
    try:
        verb, *rest = parameters(command)
    except (ScriptError, ValueError):
        return "", "", {}
    known = words()
    what = find_word(verb.value, known.commands) if verb.name is None else None
    if what not in ("new", "edit") or not rest:
        return what or "", "", {}
    kind, _, name = rest[0].value.lower().partition(".")
    of_kind = known.properties.get(kind, ())
    return what, f"{kind}.{name}", _named(rest[1:], of_kind)


def _named(given: Sequence[Parameter], of_kind: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for parameter in given:
        if parameter.name is not None and (word := find_word(parameter.name, of_kind)) is not None:
            found[word] = parameter.value
    return found
