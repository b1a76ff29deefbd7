"""Sources of a circuit whose stated strength makes no network: a zero-sequence impedance below zero."""

from __future__ import annotations

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements_of
from g2g_opt.circuit.opendss_circuit import Circuit


def source_notes(circuit: Circuit) -> tuple[str, ...]:
    """Three-phase sources with a negative zero-sequence impedance (ohm), each in words, with what makes it so.

    z0 = 3 V^2 / S_1 - 2 z1 is negative where the single-phase short-circuit power S_1 is over 1.5 times the three-phase
    one. OpenDSS has a default for the one that is not stated (S_1 2,100 MVA, I_1 10,540 A), whatever the other says.
    """
    notes = []
    for element in elements_of(circuit, ("vsource",)):
        source = ElementProperties(circuit, element)
        z0_ohm = complex(*(float(part) for part in source.row("z0")))
        if z0_ohm.real >= 0.0 and z0_ohm.imag >= 0.0:
            continue
        single_mva, three_mva = (source.number(size) for size in ("mvasc1", "mvasc3"))
        name = element.partition(".")[2]
        notes.append(
            f"source {name}: zero-sequence impedance {z0_ohm.real:.4g}{z0_ohm.imag:+.4g}j ohm, as no network has it "
            f"(short circuits of {single_mva:,.5g} MVA single-phase, {three_mva:,.5g} MVA three-phase; OpenDSS has a "
            "default for the one that is not stated): unbalance and neutral currents near it are not to be relied on; "
            "state MVAsc1 beside MVAsc3, or Isc1 beside Isc3"
        )
    return tuple(notes)
