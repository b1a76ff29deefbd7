"""Faults that a circuit's file puts into service: short circuits, some of which come or go as time passes."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import listed

_SHOWN = 8


@dataclass(frozen=True)
class FaultInService:
    """A Fault by `name` ("fault.f") at a `bus`, of so many `ohm`; it comes after `from_s` seconds, and goes below
    `until_a` amperes (0: it stays).
    """

    name: str
    bus: str
    ohm: float
    from_s: float
    until_a: float

    @property
    def moves_in_time(self) -> bool:
        """Whether it comes or goes while time passes."""
        return self.from_s > 0.0 or self.until_a > 0.0

    def __str__(self) -> str:
        begins = f", from {self.from_s:g} s on" if self.from_s > 0.0 else ""
        ends = f", until it carries less than {self.until_a:g} A" if self.until_a > 0.0 else ""
        return f"{self.name} ({self.ohm:g} ohm at {self.bus}{begins}{ends})"


def read_faults(circuit: Circuit) -> list[FaultInService]:
    """The faults in service of a circuit."""
    found = []
    for name in in_service(circuit, "fault"):
        own = ElementProperties(circuit, name)
        until_a = own.number("minamps") if own.yes("temporary") else 0.0
        bus = own.text("bus1").partition(".")[0].lower()
        found.append(FaultInService(name, bus, own.number("r"), own.number("ontime"), until_a))
    return found


def fault_notes(circuit: Circuit) -> tuple[str, ...]:
    """A sentence on the faults in service."""
    faults = read_faults(circuit)
    if not faults:
        return ()
    return (
        "the circuit is studied with its faults in service, those that come or go in time only where its own controls "
        f"act in time: {listed([str(fault) for fault in faults], _SHOWN)}",
    )
