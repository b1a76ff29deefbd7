"""Generators that hold a voltage (model 3) and whose vars OpenDSS moves too fast for its iteration to end.

In every iteration it moves the vars by a share (`pvfactor`) of what it takes to be missing. Where that is too much they
swing about the solution for ever. The share decides how OpenDSS gets to a solution, not which one that is.
"""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.units import HOLDS_VOLTAGE
from g2g_opt.errors import G2GError, listed

# How studies solve, and shares that are tried one after the other; 0: as the file has it, which OpenDSS sets to 0.1. At
# that the IEEE 9500-node feeder comes to no end once its regulators move, and at 0.03 it does.
_TOLERANCE, _ITERATIONS, _STEP_S = 1e-9, 200, 1.0
_SHARES = (0.03, 0.0, 0.01, 0.003)


def generators_held_to_a_voltage(circuit: Circuit) -> list[str]:
    """Names of the generators in service that hold a voltage."""
    return [
        name
        for kind, name in elements(circuit)
        if kind == "generator"
        and circuit.ask("CktElement_Get_Enabled")
        and ElementProperties(circuit, f"Generator.{name}").number("model") == HOLDS_VOLTAGE
    ]


def eased_generators(commands: Sequence[str]) -> tuple[list[str], str]:
    """Commands after which OpenDSS's iteration ends with the controls at rest, and words on them.

    None where there is no such generator, or where its iteration ends with no share that is tried.
    """
    names = generators_held_to_a_voltage(Circuit(commands))
    for share in _SHARES if names else ():
        edits = [f"Edit {as_word(f'Generator.{name}')} pvfactor={share:g}" for name in names] if share else []
        circuit = Circuit(
            [*commands, *edits],
            tolerance=_TOLERANCE,
            max_iterations=_ITERATIONS,
            regulator_control_dt_s=_STEP_S,
        )
        try:
            circuit.finish()
            circuit.settle(lambda: None)
            circuit.solve()
        except G2GError:
            continue
        words = (
            f"vars of {listed([f'generator.{name}' for name in names], 6)}, held to a voltage, are moved more slowly "
            f"(pvfactor {share:g}), as OpenDSS's iteration may come to no end; the solution is the same"
        )
        return edits, words if edits else ""
    return [], ""
