"""Elements that a circuit's file makes with `like`, and what OpenDSS leaves out of such a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from g2g_opt.circuit.script_file.described_elements import MAKES_MATRICES, described
from g2g_opt.circuit.script_file.line_copies import IMPEDANCE, MADE_ANEW, MATRIX
from g2g_opt.errors import listed

# Properties that a copy does not get, by kind (OpenDSS C-API 0.14.5; of lines see `_missing`).
_LEFT_OUT = {
    "linecode": ("units",),
    "pvsystem": ("%pmpp", "wattpriority", "pfpriority"),
    "transformer": ("%imag", "leadlag"),
    "regcontrol": ("vlimit",),
    "capcontrol": ("vmin", "vmax", "delay", "deadtime"),
}
_SHOWN = 8


@dataclass(frozen=True)
class _Copy:
    """What is stated of the element that is copied, and whether its matrix had been made."""

    copied: frozenset[str]
    has_matrix: bool


def copied_notes(commands: Sequence[str]) -> tuple[str, ...]:
    """A sentence on copies that do not have all of what the file states of what they copy; none if all have."""
    stated: dict[str, set[str]] = {}
    of_copies: dict[str, set[str]] = {}
    copies: dict[str, _Copy] = {}
    with_matrix: set[str] = set()
    for name, given in described(commands):
        if name == MAKES_MATRICES:
            with_matrix = set(stated)
            continue
        own = stated.setdefault(name, set())
        for parameter in given:
            word = parameter.word
            if word != "like":
                own.add(word)
                continue
            other = f"{name.partition('.')[0]}.{parameter.value.lower()}"
            copied = frozenset(stated.get(other, set()) | of_copies.get(other, set()))
            copies[name] = one = _Copy(copied, other in with_matrix)
            of_copies[name] = {*copied} - {*_missing(name, one, own)}
    missing = {name: _missing(name, one, stated[name]) for name, one in copies.items()}
    told = [f"{name} ({', '.join(words)})" for name, words in missing.items() if words]
    if not told:
        return ()
    return (
        "copies made with `like` that do not get what stands behind them in brackets, whatever OpenDSS tells of them "
        "(a line whose impedance is not copied has its default of 0.058 + 0.1206j ohm per unit of length); state it "
        f"again: {listed(told, _SHOWN)}",
    )


def _missing(name: str, copy: _Copy, own: set[str]) -> list[str]:
    """What a copy does not get of what is stated of the other, and does not state itself."""
    copied, kind = copy.copied - own, name.partition(".")[0]
    if kind != "line":
        return [word for word in _LEFT_OUT.get(kind, ()) if word in copied]
    is_made = copy.has_matrix or own & {*IMPEDANCE, *MADE_ANEW} or copied & {*MADE_ANEW, *MATRIX}
    found = [] if is_made else [word for word in IMPEDANCE if word in copied]
    return [*found, *(["units"] if "units" in copied and "linecode" not in own else [])]
