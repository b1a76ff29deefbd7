"""Why a circuit has no solution, or does not serve what hangs on it, as far as the circuit itself can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from g2g_opt.circuit.eased_generators import generators_held_to_a_voltage
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.restless import told_what_moves
from g2g_opt.failure import Failure, FailureKind


def told_why(circuit: Circuit, failure: Failure, opened: Iterable[str] = ()) -> Failure:
    """A failure with what of the circuit it comes from: controls that go on moving, generators that hold a voltage,
    protection that has `opened`. The circuit is of no use after that.
    """
    if failure.kind is FailureKind.NOT_SERVED and (names := list(opened)):
        return replace(
            failure, detail=f"{failure.detail}; {', '.join(names)} {'has' if len(names) == 1 else 'have'} opened"
        )
    if failure.kind is FailureKind.NOT_CONVERGED and (holding := generators_held_to_a_voltage(circuit)):
        named = ", ".join(f"generator.{name}" for name in holding)
        detail = (
            f"in {circuit.iterations} iterations; OpenDSS moves the vars of {named}, held to a voltage "
            "(model 3), from iteration to iteration, and may come to no end where there is a solution; model=1 with "
            "vars of one's own has none of that"
        )
        return replace(failure, detail=detail)
    return told_what_moves(circuit, failure)
