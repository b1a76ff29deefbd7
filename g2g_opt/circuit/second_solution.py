"""Where a circuit has two solutions at one load: loads whose power jumps at the edge of their voltage window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import PowerFlowError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# From how far below and above the load is brought to its level, and by how much two solutions differ (pu).
_FROM = (0.8, 1.2)
TOLD_MIN_PU = 1e-4


@dataclass(frozen=True)
class SecondSolution:
    """Another solution of the same loads: the node that differs most, its voltage as taken and in the other (pu)."""

    node: str
    taken_pu: float
    other_pu: float

    def __str__(self) -> str:
        return (
            f"the circuit has two solutions at this load, as loads stand at the edge of their voltage window: taken is "
            f"{self.taken_pu:.4f} pu at {self.node}, the other has {self.other_pu:.4f} pu there"
        )


def second_solution(
    circuit: Circuit, load_level: float, voltages_pu: Callable[[Complexes], Floats], names: Sequence[str]
) -> SecondSolution | None:
    """Another solution than that of a solved `circuit` at a level of its own load, its controls held.

    `voltages_pu` makes judged voltages (of these `names`, NaN where there is none) of phasors. None if neither a rising
    nor a falling load leads to another. The circuit is left in the solution that was found last.
    """
    taken = voltages_pu(circuit.node_voltages())
    for share in _FROM:
        if not _approach(circuit, load_level, share):
            continue
        other = voltages_pu(circuit.node_voltages())
        apart = np.nan_to_num(np.abs(other - taken))
        worst = int(apart.argmax()) if len(apart) else 0
        if len(apart) and apart[worst] > TOLD_MIN_PU:
            return SecondSolution(names[worst], float(taken[worst]), float(other[worst]))
    return None


def _approach(circuit: Circuit, load_level: float, share: float) -> bool:
    """Let the load come from a `share` of its level; whether there is a solution on the way and there."""
    try:
        for level in (share * load_level, load_level):
            circuit.set_load_share(level)
            circuit.solve(held=True)
    except PowerFlowError:
        return False
    return True
