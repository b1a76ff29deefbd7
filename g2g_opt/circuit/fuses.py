"""The fuses of a compiled circuit: whose current each looks at, and from which on it begins to melt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.opendss_circuit import Circuit


@dataclass(frozen=True)
class FuseSettings:
    """One fuse in service: it looks at conductors 1 to `n_phases` of the first terminal of `element` (kind.name).

    OpenDSS takes the first terminal whichever is named as monitored. `pickup_a` is the current (A) below which it never
    melts: its rating times the least multiple of its curve; infinite without a curve. `is_whole` tells whether all its
    phases are closed where a run begins, `is_rated` whether somebody stated its rating (`rated_a`, A).
    """

    name: str
    element: str
    n_phases: int
    pickup_a: float
    is_whole: bool
    rated_a: float
    is_rated: bool

    @property
    def setting(self) -> str:
        """From what current on it melts, in words."""
        rated = f"rated at {self.rated_a:.6g} A"
        if not self.is_rated:
            rated += ", OpenDSS's figure where none is stated"
        return f"it melts from {self.pickup_a:.6g} A on, {rated}"


def read_fuses(circuit: Circuit, names: Sequence[str]) -> tuple[FuseSettings, ...]:
    """Fuses of a circuit by their names, as they are set now."""
    return tuple(_fuse(circuit, name) for name in names)


def _fuse(circuit: Circuit, name: str) -> FuseSettings:
    own = ElementProperties(circuit, f"Fuse.{name}")
    element, curve = own.text("monitoredobj").lower(), own.text("fusecurve").lower()
    # It opens the switched element phase by phase, as many as that has.
    circuit.activate(own.text("switchedobj") or element)
    n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
    rated_a, pickup_a = own.number("ratedcurrent"), math.inf
    if curve and curve != "none":
        pickup_a = rated_a * float(ElementProperties(circuit, f"TCC_Curve.{curve}").row("c_array")[0])
    is_whole = all(state.startswith("c") for state in own.row("state"))
    circuit.activate(f"Fuse.{name}")
    is_rated = "ratedcurrent" in circuit.stated_properties()
    return FuseSettings(name, element, n_phases, pickup_a, is_whole, rated_a, is_rated)
