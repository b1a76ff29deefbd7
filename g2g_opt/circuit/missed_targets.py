"""Targets of a StorageController that its storage does not reach where the circuit's controls came to rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import fed_in_kva
from g2g_opt.circuit.opendss_circuit import Circuit

_SAME = 1e-2  # powers by one phase and by all are told apart from here on
# Modes of discharging that hold a flow at kWTarget: its kW, of the last but one thousands of amperes.
_IN_KW, _IN_KA = frozenset({"peakshave", "follow"}), "i-peakshave"
_PHASES = {"max": "that of the largest phase", "min": "that of the smallest phase"}


def missed_targets(circuit: Circuit, controllers: Sequence[str]) -> list[str]:
    """Sentences on `controllers` whose target is missed in the latest solution by more than half their band."""
    return [words for name in controllers if (words := _missed(circuit, name))]


def _missed(circuit: Circuit, name: str) -> str:
    own = ElementProperties(circuit, f"StorageController.{name}")
    mode = own.text("modedischarge").lower()
    if mode not in _IN_KW and mode != _IN_KA:
        return ""
    target, half_band = own.number("kwtarget"), 0.5 * own.number("kwband")
    element, terminal, phase = own.text("element").lower(), int(own.number("terminal")), own.text("monphase").lower()
    circuit.activate(element)
    n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
    kva = circuit.ask_array("CktElement_Get_Powers", "double")
    amps = circuit.ask_array("CktElement_Get_CurrentsMagAng", "double")[0::2]
    n_conductors = int(circuit.ask("CktElement_Get_NumConductors"))
    first = (terminal - 1) * n_conductors
    kw, amps = kva[0::2][first : first + n_phases], amps[first : first + n_phases]
    if mode == _IN_KA:
        unit, counted, half_band = "kA", 1e-3 * _of_phases(amps, phase), 1e-3 * half_band
    else:
        unit, counted = "kW", n_phases * _of_phases(kw, phase)
    if counted <= target + half_band:
        return ""
    seen = f"{counted:,.4g} {unit} flow there"
    if unit == "kW" and abs(counted - float(kw.sum())) > _SAME * abs(counted):
        which = _PHASES.get(phase, f"that of phase {phase}")
        seen += f" as it counts ({n_phases} times {which}, {kw.sum():,.4g} kW in all)"
    return (
        f"storagecontroller {name} does not reach its target at {element}: {target:,.4g} {unit}, while {seen} and "
        f"its storage gives {_given_kw(circuit, own):,.4g} kW"
    )


def _of_phases(values: NDArray[np.float64], phase: str) -> float:
    if phase == "max":
        return float(values.max())
    if phase == "min":
        return float(values.min())
    return float(values.mean() if phase == "avg" else values[int(phase) - 1])


def _given_kw(circuit: Circuit, own: ElementProperties) -> float:
    """What the storage of a controller gives (kW); it lists all of the circuit's where its file names none."""
    return sum(fed_in_kva(circuit, f"storage.{name.rpartition('.')[2]}").real for name in own.names("elementlist"))
