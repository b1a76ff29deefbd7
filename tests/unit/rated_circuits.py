"""Circuits whose ratings are read."""

from __future__ import annotations

from batch_rigs import circuit_commands

from g2g_opt.circuit.branches import read_branches
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch


def branches_of(*body: str, after: tuple[str, ...] = ()) -> dict[str, Branch]:
    circuit = Circuit(circuit_commands(body, after=after))
    circuit.finish()
    return {f"{b.kind}.{b.name}": b for b in read_branches(circuit, ask_stated=True)}
