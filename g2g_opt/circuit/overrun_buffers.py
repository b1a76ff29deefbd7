"""Controls with too little room in the engine for what they store, which ends the process that solves them: they are
refused by name (DSS C-API 0.14.5).
"""

from __future__ import annotations

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements_of
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError


def raise_on_overrun(circuit: Circuit) -> None:
    """`InputError` naming a control in service of a compiled circuit that stores more voltages than it has room for."""
    for control in elements_of(circuit, ("capcontrol",)):
        circuit.activate(control)
        own = ElementProperties(circuit, control)
        overrides = own.text("type").lower() == "time" and own.yes("voltoverride") and not own.text("vbus")
        if not overrides or not circuit.ask("CktElement_Get_Enabled"):
            continue
        bank = f"capacitor.{own.text('capacitor').lower().rpartition('.')[2]}"
        element = own.text("element").lower()
        room = _conductors(circuit, bank) * int(circuit.ask("CktElement_Get_NumTerminals"))
        stored = _conductors(circuit, element)
        if stored > room:
            raise InputError(
                f"{control} is of type time with voltoverride and looks at the {stored} voltages of {element}, where "
                f"OpenDSS has room for the {room} of {bank}: it would write beyond its memory and crash; let the "
                "control look at its bank (element), or leave voltoverride out"
            )


def _conductors(circuit: Circuit, element: str) -> int:
    """Conductors of a terminal of an element, which is active then."""
    circuit.activate(element)
    return int(circuit.ask("CktElement_Get_NumConductors"))
