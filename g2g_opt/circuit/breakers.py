"""The reclosers and current relays of a compiled circuit: whose current each looks at, and from which on it may act."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.opendss_circuit import Circuit

_CURVES = {
    "recloser": (("phasefast", "phasedelayed"), ("groundfast", "grounddelayed")),
    "relay": (("phasecurve",), ("groundcurve",)),
}


@dataclass(frozen=True)
class BreakerSettings:
    """One recloser or current relay (`device`, kind.name) in service: it looks at conductors `first` to `first` +
    `n_phases` - 1 of `element` (kind.name; 0 is its very first), and at the sum of their currents.

    Below `phase_a` in every phase and `ground_a` of their sum (A; infinite where nothing is set) it never acts: a
    pickup times the least multiple of its curves, or an instantaneous one. `is_closed` tells how runs begin.
    """

    device: str
    element: str
    first: int
    n_phases: int
    phase_a: float
    ground_a: float
    is_closed: bool


def read_breakers(circuit: Circuit, devices: Sequence[str]) -> tuple[BreakerSettings, ...]:
    """Those of some reclosers and relays (kind.name) that look at currents, as they are set now."""
    return tuple(_breaker(circuit, device) for device in devices if looks_at_current(circuit, device))


def looks_at_current(circuit: Circuit, device: str) -> bool:
    """Whether a device (kind.name) is a recloser, or a relay of the type current."""
    kind = device.partition(".")[0]
    if kind == "relay":
        return ElementProperties(circuit, device).text("type").lower() == "current"
    return kind == "recloser"


def _breaker(circuit: Circuit, device: str) -> BreakerSettings:
    own = ElementProperties(circuit, device)
    kind, element = device.partition(".")[0], own.text("monitoredobj").lower()
    circuit.activate(element)
    n_phases, n_conductors = (int(circuit.ask(f"CktElement_Get_Num{what}")) for what in ("Phases", "Conductors"))
    phase_a, ground_a = (
        _pickup_a(circuit, own, side, curves) for side, curves in zip(("phase", "ground"), _CURVES[kind], strict=True)
    )
    first = (int(own.text("monitoredterm")) - 1) * n_conductors
    return BreakerSettings(device, element, first, n_phases, phase_a, ground_a, "open" not in own.text("state").lower())


def _pickup_a(circuit: Circuit, own: ElementProperties, side: str, curves: Sequence[str]) -> float:
    """The least current (A) from which on the phase or ground side may act."""
    trip_a, at_once_a = own.number(f"{side}trip"), own.number(f"{side}inst")
    found = [at_once_a] if at_once_a > 0.0 else []
    for curve in curves:
        name = own.text(curve).strip("[] ").lower()
        if name and name != "none":
            found.append(trip_a * min(1.0, float(ElementProperties(circuit, f"TCC_Curve.{name}").row("c_array")[0])))
    if len(curves) == 1 and own.number("delay") > 0.0:
        # A relay of a stated delay needs no curve.
        found.append(trip_a)
    return min(found, default=math.inf)
