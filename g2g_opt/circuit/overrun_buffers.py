"""Controls that write or read beyond what the engine keeps for them, which ends the process that solves them or makes
their action any: they are refused by name (DSS C-API 0.14.5).
"""

from __future__ import annotations

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements_of, in_service
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


def raise_on_unread_phases(circuit: Circuit) -> None:
    """`InputError` naming a regulator in service that looks at another phase than the first of a remote bus.

    OpenDSS reads one conductor of such a bus, and takes for the others what its memory holds: of sixty compilations of
    one circuit fifty-seven ended at the highest tap, one at the lowest, and two came to no rest.
    """
    for control in in_service(circuit, "regcontrol"):
        own = ElementProperties(circuit, control)
        if (bus := own.text("bus").lower()) and (phase := own.phase("ptphase")) > 1:
            raise InputError(
                f"{control} looks at phase {phase} of the remote bus {bus}, of which OpenDSS reads the first conductor "
                "alone: what it compares is what its memory holds, and its tap is any; name the phase at the bus "
                f"(bus={bus.partition('.')[0]}.{phase}) and leave ptphase at 1"
            )


def _conductors(circuit: Circuit, element: str) -> int:
    """Conductors of a terminal of an element, which is active then."""
    circuit.activate(element)
    return int(circuit.ask("CktElement_Get_NumConductors"))
