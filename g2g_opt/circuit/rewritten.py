"""What commands of a circuit's file make of elements stated before them, where that is not what it reads like."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.described_elements import BATCH, described, first_behind_clear, hold_any, reaches
from g2g_opt.errors import listed

_SETS_KV = "setloadandgenkv"
_EVERY = ".*"
_KV_APART = 0.05
_SHOWN, _NAMES = 8, 4


def rewritten_notes(commands: Sequence[str]) -> tuple[str, ...]:
    """Sentences on units that `SetLoadAndGenKV` rates for another voltage, and on batch edits of other elements than
    whoever wrote them may think.
    """
    found = []
    if hold_any(commands, (_SETS_KV,)) and (rated := _rated_by_their_bus(commands)):
        found.append(
            "SetLoadAndGenKV of the file rates loads and generators for the voltage of their bus to ground, whatever "
            "they lie between, so that those between two conductors take up to four times their power; state their kv "
            f"behind it, or leave it out: {listed(rated, _SHOWN)}"
        )
    if hold_any(commands, (BATCH,)) and (edited := _batch_edits(commands)):
        found.append(
            "BatchEdit changes every element whose name holds its pattern anywhere (EPRI's OpenDSS 10.1 knows whole "
            f"names and .* alone), which is here: {listed(edited, _SHOWN)}"
        )
    return tuple(found)


def _rated_by_their_bus(commands: Sequence[str]) -> list[str]:
    """Units that stand at another kV than ahead of the first `SetLoadAndGenKV`, and were changed there."""
    places = [k for k, one in enumerate(commands) if one.strip().lower() == _SETS_KV]
    begin = first_behind_clear(commands)
    first = next((k for k in places if k >= begin), None)
    if first is None:
        return []
    circuit = Circuit(commands[:first])
    before = _kv(circuit)
    circuit.command(commands[first])
    behind = _kv(circuit)
    for command in commands[first + 1 :]:
        circuit.command(command)
    now = _kv(circuit)
    return [
        f"{name} {kv:.4g} to {now[name]:.4g} kV"
        for name, kv in before.items()
        if name in now and abs(behind[name] / kv - 1.0) > _KV_APART and now[name] == behind[name]
    ]


def _kv(circuit: Circuit) -> dict[str, float]:
    names = [name for kind in ("load", "generator") for name in in_service(circuit, kind)]
    kv = {name: float(circuit.ask_property(f"{name}.kv")) for name in names}
    return {name: value for name, value in kv.items() if value > 0.0}


def _batch_edits(commands: Sequence[str]) -> list[str]:
    """Patterns that reach no element, or others than those of that whole name, with what they reach."""
    made: dict[str, dict[str, None]] = {}
    edited = []
    for named, _ in described(commands):
        name = named.removeprefix(f"{BATCH} ")
        kind, _, own = name.partition(".")
        if name == named:
            made.setdefault(kind, {})[own] = None
        elif (reached := reaches(own, made.get(kind, {}))) is not None:
            meant = list(made.get(kind, {})) if own == _EVERY else [own]
            if not reached or reached != meant:
                edited.append(f"{name} ({listed(reached, _NAMES) or 'none'})")
    return edited
