"""Devices that open and close lines: where a file leaves their switches, and which stand elsewhere once controls act.

OpenDSS puts a switch where its SwtControl, fuse, recloser or relay has it as soon as a solution mode is named, even the
one that it is in: what `Open` and `Close` in the file have done before is gone. Its own solution of the file, in which
none is named, keeps it (`findings/opendss_naming_the_mode_closes_an_open_line.sh`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from g2g_opt.circuit.element_names import as_word, named
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import SETTLING_ROUNDS, Circuit
from g2g_opt.circuit.protection import PROTECTION, Protection
from g2g_opt.errors import G2GError, listed

_WORDS = {True: "open", False: "closed"}


def switches_as_left(circuit: Circuit, commands: Sequence[str]) -> tuple[list[str], str]:
    """Commands by which switches and capacitor banks of the circuit that `commands` have built stay as its own solution
    leaves them, and words on it; none where they do.
    """
    devices = in_service(circuit, "swtcontrol", *PROTECTION)
    banks = [_bank_of(circuit, name) for name in in_service(circuit, "capcontrol")]
    if not devices and not banks:
        return [], ""
    named = Circuit(commands)
    named.command("Set mode=snapshot")
    # What each command keeps, in words.
    kept: dict[str, str] = {}
    lost: dict[str, None] = {}
    for device, is_open in _moved(circuit, named, commands, devices).items():
        switched = ElementProperties(circuit, device).text("switchedobj").lower()
        if state := _state_of(device, is_open):
            kept[f"Edit {as_word(device)} normal={state} state={state}"] = f"{switched} ({_in_words(is_open)})"
        else:
            lost[f"{switched} (by {device})"] = None
    for bank in banks:
        if any(_open_phases(circuit, bank, 1)) and not any(_open_phases(named, bank, 1)):
            # Its control may switch it on from there, as from where it is.
            n_steps = len(ElementProperties(circuit, bank).row("states"))
            kept[f"Edit {as_word(bank)} states=[{' '.join('0' * n_steps)}]"] = f"{bank} (off)"
    words = []
    if kept:
        words.append(
            "stays as the file's own solution has it, though a device or control of it would move it: "
            f"{listed(list(dict.fromkeys(kept.values())), 6)} (OpenDSS does as soon as a mode is named)"
        )
    if lost:
        words.append(f"open in part in the file's own solution, and studied closed: {listed(list(lost), 6)}")
    return list(kept), "; ".join(words)


def _moved(
    circuit: Circuit, named: Circuit, commands: Sequence[str], devices: Sequence[str]
) -> dict[str, tuple[bool, ...]]:
    """Which phases the circuit's own solution has open, by device whose switch stands elsewhere once a mode is
    `named`.
    """
    compiled, by_mode = ({device: _is_open(one, device) for device in devices} for one in (circuit, named))
    if compiled == by_mode:
        return {}
    # What a SwtControl is told to do, it does in the first round of a solution. Protection is held there, which closes
    # what it guards; what it has opened, it has before any solution.
    left = Circuit(commands)
    Protection(left).hold()
    left.command(f"Set controlmode=static maxcontroliter={SETTLING_ROUNDS}")
    with suppress(G2GError):
        left.ask("Solution_Solve")
    own = compiled | {one: _is_open(left, one) for one in devices if one.startswith("swtcontrol.")}
    return {device: is_open for device, is_open in own.items() if is_open != by_mode[device]}


def _state_of(device: str, is_open: Sequence[bool]) -> str:
    """What a device is in that has opened so; empty for what it has no state for."""
    if device.startswith("fuse."):
        return f"[{' '.join(_WORDS[one] for one in is_open)}]"
    return _WORDS[is_open[0]] if len(set(is_open)) == 1 else ""


def _in_words(is_open: Sequence[bool]) -> str:
    return "open" if all(is_open) else "open in part" if any(is_open) else "closed"


def _bank_of(circuit: Circuit, control: str) -> str:
    return f"capacitor.{named(ElementProperties(circuit, control).text('capacitor'))}"


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


def _is_open(circuit: Circuit, device: str) -> tuple[bool, ...]:
    """Each phase of the terminal that a device opens."""
    own = ElementProperties(circuit, device)
    return _open_phases(circuit, own.text("switchedobj"), int(own.text("switchedterm")))


def _open_phases(circuit: Circuit, element: str, terminal: int) -> tuple[bool, ...]:
    """Whether each phase of a terminal is open; none of an element that is not there, which a device cannot open."""
    if not circuit.has(element):
        return ()
    n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
    return tuple(bool(circuit.ask("CktElement_IsOpen", terminal, phase + 1)) for phase in range(n_phases))
