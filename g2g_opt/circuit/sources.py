"""Sources of a circuit whose stated strength makes no network: a zero-sequence impedance below zero, or nearly none."""

from __future__ import annotations

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements_of, fed_in_kva, in_service
from g2g_opt.circuit.frequencies import silent_sources, solved_at_hz
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError, listed

_TWO, _THREE, _IDEAL = 2, 3, "i"
# Share of what sources give that one of them may take up: two substations feed each other's feeders by less.
_TAKES = 0.25
_SHOWN = 4
_SEQUENCE = {"z1": "positive-sequence", "z0": "zero-sequence"}
# Beside an impedance so many times larger, rounding is some 1e-4 of what a source of less gives or stands at.
_NEARLY_NONE = 1e-11


def raise_on_singular_sources(circuit: Circuit) -> None:
    """`InputError` on three-phase sources with nearly no impedance in one sequence beside another's.

    OpenDSS inverts their matrix, of which nothing but rounding is left then: voltages of 0 and 1.84 pu at a source.
    """
    for element in in_service(circuit, "vsource"):
        source = ElementProperties(circuit, element)
        if source.number("phases") != _THREE or source.text("model").lower().startswith(_IDEAL):
            continue
        ohm = {name: abs(complex(*(float(part) for part in source.row(name)))) for name in ("z1", "z0")}
        least, most = min(ohm, key=lambda name: ohm[name]), max(ohm.values())
        if ohm[least] < _NEARLY_NONE * most:
            raise InputError(
                f"{element} has {ohm[least]:.3g} ohm of {_SEQUENCE[least]} impedance beside {most:.3g} ohm of the "
                "other, and OpenDSS cannot tell its matrix from a singular one: its voltages would be rounding; state "
                "both by R1, X1, R0 and X0, alike for a source that holds its voltage, or MVAsc1 below 1.5 times MVAsc3"
            )


def source_notes(circuit: Circuit) -> tuple[str, ...]:
    """Three-phase sources with a negative zero-sequence impedance (ohm), each in words, with what makes it so; and
    sources of a solved circuit that work against each other.

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
    return (*notes, *_working_against_each_other(circuit))


def _working_against_each_other(circuit: Circuit) -> list[str]:
    """A sentence on sources that take up a good part of what others give; none of a circuit with one source."""
    powers = {source: fed_in_kva(circuit, source).real for source in in_service(circuit, "vsource")}
    given_kw = sum(kw for kw in powers.values() if kw > 0.0)
    taking = [f"{source} ({-kw:,.4g} kW)" for source, kw in powers.items() if -kw > _TAKES * given_kw]
    # One of another frequency is told as such.
    if len(powers) < _TWO or not taking or silent_sources(circuit, solved_at_hz(circuit)):
        return []
    return [
        f"sources that take up what others give ({given_kw:,.4g} kW in all), as voltages or angles unlike theirs make "
        f"them (basekv, pu, angle, behind a winding that turns by 30 degrees as well): {listed(taking, _SHOWN)}"
    ]
