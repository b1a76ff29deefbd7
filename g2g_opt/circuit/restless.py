"""What a circuit's own controls go on moving where they do not come to rest, and which controls those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from g2g_opt.circuit.element_names import named
from g2g_opt.circuit.element_positions import positions
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import listed
from g2g_opt.failure import Failure, FailureKind

# Rounds of actions that are watched, one after the other.
WATCHED = 6
_NAMED = 4
# The property of a control that names what it moves, by kind.
_MOVES = {"regcontrol": "transformer", "capcontrol": "capacitor"}
_SHOWN = {"regcontrol": "RegControl", "capcontrol": "CapControl", "invcontrol": "InvControl"}


def moving_words(moved: Mapping[str, Sequence[str]]) -> str:
    """A clause on elements ("transformer.sub") that go on moving, with the controls that move each."""
    if not moved:
        return ""
    shown = [f"{name} ({', '.join(by)})" if by else name for name, by in sorted(moved.items())]
    return f"{listed(shown, _NAMED)} go{'es' if len(shown) == 1 else ''} on moving"


def in_brackets(words: str) -> str:
    """Words in brackets, if there are any."""
    return f"({words})" if words else ""


def told_what_moves(circuit: Circuit, failure: Failure) -> Failure:
    """A failure that, if controls do not come to rest, names what they go on moving; the circuit is then of no use."""
    if failure.kind is not FailureKind.RESTLESS_CONTROLS:
        return failure
    return replace(failure, detail=in_brackets(what_moves(circuit)))


def what_moves(circuit: Circuit) -> str:
    """`moving_words` on what moves in a few more rounds of actions of a circuit whose controls act."""
    seen: dict[str, set[str]] = {}
    hour, second = circuit.command("Get hour"), circuit.command("Get sec")
    circuit.command("Set maxcontroliter=2")
    for _ in range(WATCHED):
        # No time passes: what moves now does so without end.
        circuit.command(f"Set hour={hour} sec={second}")
        circuit.solve_a_round()
        for element, values in positions(circuit).items():
            if element.startswith("pvsystem."):
                circuit.ask("PVSystems_Set_Name", element.partition(".")[2].encode())
                values["kw"] = str(circuit.ask("PVSystems_Get_kW"))
            seen.setdefault(element, set()).add(str(values))
    moving = [element for element, values in seen.items() if len(values) > 1]
    return moving_words({element: _movers(circuit, element) for element in moving})


def _movers(circuit: Circuit, element: str) -> list[str]:
    """The controls in service that move an element, in the circuit's order."""
    found = []
    for kind, name in elements(circuit):
        if not circuit.ask("CktElement_Get_Enabled"):
            continue
        moves = ""
        if kind in _MOVES:
            moves = named(circuit.ask_property(f"{kind}.{name}.{_MOVES[kind]}"))
        elif kind == "invcontrol":
            own = ElementProperties(circuit, f"InvControl.{name}").names("derlist")
            moves = element if element in own or (not own and element.startswith(("pvsystem.", "storage."))) else ""
        if moves and moves in (element, element.partition(".")[2]):
            found.append(f"{_SHOWN[kind]} {name}")
    return found
