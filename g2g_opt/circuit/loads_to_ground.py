"""Loads that lie to ground where nothing else of a circuit leads there, so that they place its neutral themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Bus, LoadBranch
from g2g_opt.errors import listed

_IMPEDANCE = 2  # OpenDSS's load model, which holds a neutral as any path to ground does
_SHOWN = 8


def loads_to_ground(circuit: Circuit, loads: Sequence[LoadBranch], buses: Mapping[str, Bus]) -> list[str]:
    """Names of the loads ("load.a"), but impedances, with a branch to ground at a bus that floats."""
    found = []
    for load in loads:
        ends = [a for a, b in load.branch_nodes() if b < 0 <= a]
        if load.model != _IMPEDANCE and any(buses[circuit.node_bus[end]].floats for end in ends):
            found.append(f"load.{load.name}")
    return found


def to_ground_notes(names: Sequence[str]) -> tuple[str, ...]:
    """A sentence on such loads; none without any."""
    if not names:
        return ()
    return (
        "loads to ground where nothing else leads there: they alone place the neutral, and those of one power at any "
        "voltage have several places for it, of which OpenDSS takes one by where its iteration begins and how tightly "
        "it ends; state conn=delta, or what earths that part of the circuit: "
        f"{listed(list(names), _SHOWN)}",
    )
