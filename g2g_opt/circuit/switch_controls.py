"""SwtControls: which of a circuit's switches are where they stay, and which will be put elsewhere once controls act."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.opendss_circuit import Circuit


def switches_that_move(commands: Sequence[str], controlled: Circuit, names: Sequence[str]) -> list[str]:
    """Those SwtControls (kind.name) whose switch stands elsewhere in a `controlled` circuit than in the same circuit
    without controls.

    OpenDSS puts a switch where its control has it as soon as controls may act, before time passes, and not again
    without a command: it is where it stays, or it moves at once.
    """
    if not names:
        return []
    held = Circuit(commands)
    return [name for name in names if _is_open(held, name) != _is_open(controlled, name)]


def _is_open(circuit: Circuit, control: str) -> tuple[bool, ...]:
    """Each conductor of the terminal that a control opens."""
    own = ElementProperties(circuit, control)
    terminal, switched = int(own.text("switchedterm")), own.text("switchedobj")
    if not circuit.has(switched):
        # One that controls nothing.
        return ()
    n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
    return tuple(bool(circuit.ask("CktElement_IsOpen", terminal, phase + 1)) for phase in range(n_phases))
