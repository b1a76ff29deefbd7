"""Why a circuit has no solution, or does not serve what hangs on it, as far as the circuit itself can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from g2g_opt.circuit.eased_generators import generators_held_to_a_voltage
from g2g_opt.circuit.elements import load_branches, passive_elements
from g2g_opt.circuit.node_roles import ungrounded_nodes
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.restless import told_what_moves
from g2g_opt.errors import listed
from g2g_opt.failure import Failure, FailureKind

# The load model whose vars jump at the edges of its window, by the square of the edge, against the voltage.
_JUMPS = 6
# How near to an edge (pu) such a load stands where there is no solution: the voltage goes to and fro across it.
_NEAR_PU = 0.01
_SHOWN = 6


def told_why(circuit: Circuit, failure: Failure, opened: Iterable[str] = ()) -> Failure:
    """A failure with what of the circuit it comes from: controls that go on moving, parts that nothing holds to ground,
    loads whose vars jump, generators that hold a voltage, protection that has `opened`. The circuit is of no use after.
    """
    if failure.kind is FailureKind.NOT_SERVED and (names := list(opened)):
        return replace(
            failure, detail=f"{failure.detail}; {', '.join(names)} {'has' if len(names) == 1 else 'have'} opened"
        )
    if failure.kind is FailureKind.NOT_CONVERGED and (loose := _held_by_nothing(circuit)):
        return replace(
            failure,
            detail=f"since nothing holds the nodes {listed(loose, _SHOWN)} to ground, so that their voltages are any: "
            "a winding in delta, or a star whose neutral is open, needs OpenDSS's ppm_antifloat, or a path to ground",
        )
    if failure.kind is FailureKind.NOT_CONVERGED and (jumping := _loads_at_an_edge(circuit)):
        detail = (
            f"in {circuit.iterations} iterations; loads of model 6 draw fewer vars just below their vminpu than just "
            "above it, and more just above their vmaxpu, so that no voltage between is a solution: "
            f"{listed(jumping, _SHOWN)}; a window that ends elsewhere, or another model, has one"
        )
        return replace(failure, detail=detail)
    if failure.kind is FailureKind.NOT_CONVERGED and (holding := generators_held_to_a_voltage(circuit)):
        named = ", ".join(f"generator.{name}" for name in holding)
        detail = (
            f"in {circuit.iterations} iterations; OpenDSS moves the vars of {named}, held to a voltage "
            "(model 3), from iteration to iteration, and may come to no end where there is a solution; model=1 with "
            "vars of one's own has none of that"
        )
        return replace(failure, detail=detail)
    return told_what_moves(circuit, failure)


def _held_by_nothing(circuit: Circuit) -> list[str]:
    """Nodes ("bus.number") of parts without any admittance to ground, of a circuit whose voltages are no numbers."""
    if np.isfinite(circuit.node_voltages()).all():
        return []
    loose = ungrounded_nodes(len(circuit.node_bus), passive_elements(circuit))
    return [f"{circuit.node_bus[k]}.{circuit.node_phase[k]}" for k in np.flatnonzero(loose)]


def _loads_at_an_edge(circuit: Circuit) -> list[str]:
    """Loads of model 6 with a branch whose latest voltage is near an edge of their window."""
    voltage = np.append(circuit.node_voltages(), 0.0)
    found = []
    for load in load_branches(circuit):
        if load.model == _JUMPS:
            across = [abs(voltage[a] - voltage[b]) / load.branch_base_v for a, b in load.branch_nodes()]
            if any(abs(pu - edge) < _NEAR_PU for pu in across for edge in load.window_pu):
                found.append(f"load.{load.name}")
    return found
