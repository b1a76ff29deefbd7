"""SwtControls: where a file leaves their switches, and which of them will be put elsewhere once controls act.

OpenDSS puts a switch where its SwtControl has it as soon as a solution mode is named, even the one that it is in: what
`Open` and `Close` in the file have done before is gone. Its own solution of the file, in which none is named, keeps it
(`findings/opendss_naming_the_mode_closes_a_switch.sh`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import SETTLING_ROUNDS, Circuit
from g2g_opt.circuit.protection import Protection
from g2g_opt.errors import G2GError, listed


def switches_as_left(circuit: Circuit, commands: Sequence[str]) -> tuple[list[str], str]:
    """Commands by which switches of the circuit that `commands` have built stay as its own solution leaves them, and
    words on it; none where they do.
    """
    names = in_service(circuit, "swtcontrol")
    if not names:
        return [], ""
    left = Circuit(commands)
    Protection(left).hold()
    left.command(f"Set controlmode=static maxcontroliter={SETTLING_ROUNDS}")
    # Controls that find no rest have put switches where they go in their first round.
    with suppress(G2GError):
        left.ask("Solution_Solve")
    named = Circuit(commands)
    named.command("Set mode=snapshot")
    found, told = [], []
    for name in names:
        is_open = _is_open(left, name)
        # A switch of which some conductors are open is in no state that a SwtControl has.
        if is_open != _is_open(named, name) and len(set(is_open)) == 1:
            state = "open" if is_open[0] else "closed"
            found.append(f"Edit {as_word(name)} normal={state} state={state}")
            told.append(f"{ElementProperties(left, name).text('switchedobj').lower()} ({state})")
    if not found:
        return [], ""
    return found, (
        f"switches that stay as the file's own solution has them, though their SwtControls would move them: "
        f"{listed(told, 6)} (OpenDSS moves them as soon as a mode is named)"
    )


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
