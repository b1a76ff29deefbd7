"""What of a circuit is of another frequency than the one at which it is solved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.described_elements import described, hold_any
from g2g_opt.errors import InputError, listed
from g2g_opt.reading import is_number

_SAME_HZ = 1e-3  # OpenDSS's own
_SHOWN = 8


def raise_on_silent_sources(circuit: Circuit) -> None:
    """Raise `InputError` if every voltage source is of another frequency than the circuit is solved at."""
    hz = solved_at_hz(circuit)
    silent = silent_sources(circuit, hz)
    voltages = in_service(circuit, "vsource")
    if voltages and all(name in silent for name in voltages):
        told = ", ".join(f"{name} is of {silent[name]:g} Hz" for name in voltages[:_SHOWN])
        raise InputError(
            f"no source gives a voltage: {told}, and the circuit is solved at {hz:g} Hz, where OpenDSS lets it give "
            f"none (set by Frequency or BaseFrequency, by DefaultBaseFrequency behind New Circuit, or by a frequency "
            f"of the source); for a circuit at {hz:g} Hz put Set DefaultBaseFrequency={hz:g} ahead of New Circuit"
        )


def frequency_notes(circuit: Circuit, commands: Sequence[str]) -> tuple[str, ...]:
    """A sentence on sources, and one on other elements, whose frequency (Hz) is not that of the solution."""
    hz, notes = solved_at_hz(circuit), []
    if silent := silent_sources(circuit, hz):
        notes.append(
            f"sources of another frequency than the circuit is solved at ({hz:g} Hz), which give nothing there, and "
            f"of which a Vsource is a short circuit behind its impedance: {_in_words(silent.items())}"
        )
    converted = {
        name: float(parameter.value)
        for name, given in (described(commands) if hold_any(commands, ("basefreq",)) else ())
        for parameter in given
        if parameter.word == "basefreq" and is_number(parameter.value)
    }
    others = [(name, own) for name, own in converted.items() if abs(own - hz) > _SAME_HZ]
    if others:
        notes.append(
            f"stated at another frequency than the circuit is solved at ({hz:g} Hz), so that OpenDSS converts "
            f"reactances and capacitances: {_in_words(others)}"
        )
    return tuple(notes)


def solved_at_hz(circuit: Circuit) -> float:
    """The frequency (Hz) at which a circuit is solved."""
    return float(circuit.ask("Solution_Get_Frequency"))


def silent_sources(circuit: Circuit, hz: float) -> dict[str, float]:
    """Sources in service, with their frequency, that give nothing at that of the solution."""
    sources = in_service(circuit, "vsource", "isource")
    own = {name: ElementProperties(circuit, name).number("frequency") for name in sources}
    return {name: at for name, at in own.items() if abs(at - hz) > _SAME_HZ}


def _in_words(names: Iterable[tuple[str, float]]) -> str:
    return listed([f"{name} ({hz:g} Hz)" for name, hz in names], _SHOWN)
