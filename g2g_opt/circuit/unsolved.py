"""Why a circuit has no solution, or does not serve what hangs on it, as far as the circuit itself can tell."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.circuit.eased_generators import generators_held_to_a_voltage
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.restless import told_what_moves
from g2g_opt.failure import Failure, FailureKind

_PROTECTION = frozenset({"fuse", "recloser", "relay"})


def told_why(circuit: Circuit, failure: Failure) -> Failure:
    """A failure with what of the circuit it comes from: controls that go on moving, generators that hold a voltage,
    protection that has opened. The circuit is of no use after that.
    """
    if failure.kind is FailureKind.NOT_SERVED and (opened := _opened_protection(circuit)):
        return replace(failure, detail=f"{failure.detail}; {', '.join(opened)} has opened")
    if failure.kind is FailureKind.NOT_CONVERGED and (holding := generators_held_to_a_voltage(circuit)):
        named = ", ".join(f"generator.{name}" for name in holding)
        detail = (
            f"in {circuit.iterations} iterations; OpenDSS moves the vars of {named}, held to a voltage "
            "(model 3), from iteration to iteration, and may come to no end where there is a solution; model=1 with "
            "vars of one's own has none of that"
        )
        return replace(failure, detail=detail)
    return told_what_moves(circuit, failure)


def _opened_protection(circuit: Circuit) -> list[str]:
    return [
        f"{kind}.{name}"
        for kind, name in elements(circuit)
        if kind in _PROTECTION and "open" in ElementProperties(circuit, f"{kind}.{name}").text("state").lower()
    ]
