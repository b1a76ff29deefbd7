"""Circuits in which rounding alone keeps OpenDSS from its tolerance, and what is done about it.

A part of a circuit without a path to ground (a delta winding behind a star whose neutral is left open, as it feeds
generators and storage) is held to ground by OpenDSS's own shunts alone, some millionths of the winding. What rounding
leaves of a current moves the whole part against ground by some 1e-5 pu, in every iteration anew, while the voltages
between its phases stand still to 1e-12. OpenDSS looks at voltages to ground, so that it never comes to rest below that.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

# Solutions of the fewest iterations that OpenDSS makes, by which the end of an iteration is told from rounding.
_LOOKS, _ITERATIONS = 10, 2
# Rounding moves a voltage by as much in the last looks as in the first ones; an iteration on its way has shrunk.
_SHRINKS = 0.3
# Tolerances that rounding does not reach: solutions to them, which depend on where they begin, are left as they are.
_LOOSE_PU = 1e-5
# What moves by more is not called rounding, nor what moves voltages between phases by more than this share of it.
_ROUNDING_MAX_PU, _BETWEEN_PHASES = 1e-3, 0.02
# Of the nodes that move most, how many are looked at: the open neutral itself moves against its phases.
_CANDIDATES = 12
# Share of the load by which it grows from look to look, far below what moves a voltage by a tolerance.
_CHANGE = 1e-10
# Rounding below this share of a tolerance is never in its way.
_BELOW = 0.05
# How much further than was seen rounding may go before a solution counts as not solved.
_ROOM = 5.0


@dataclass(frozen=True)
class GroundRounding:
    """How far (pu) rounding moves a circuit's voltages to ground, and the node ("bus.number") that it moves most.

    `iterations` are those that OpenDSS makes at least since then, so that all other voltages come to rest.
    """

    voltage_pu: float
    node: str
    iterations: int

    def __str__(self) -> str:
        return (
            f"OpenDSS solves the circuit to {self.voltage_pu:.0e} pu only, as rounding moves voltages to ground by so "
            f"much, most at {self.node}, where nothing leads to ground; voltages between phases there are not moved"
        )


class _Circuit(Protocol):
    """What is needed of a `Circuit`."""

    node_bus: list[str]
    node_phase: NDArray[np.int64]
    node_base_v: Floats
    load_share: float

    @property
    def converged(self) -> bool: ...
    def command(self, text: str) -> str: ...
    def set_load_share(self, share: float) -> None: ...
    def solve_a_round(self, *, held: bool = False) -> None: ...
    def node_voltages(self) -> Complexes: ...


def allow_for_rounding(circuit: _Circuit, tolerance: float, max_iterations: int) -> GroundRounding | None:
    """Loosen the tolerance of a circuit that was just solved, to it or not, if rounding alone keeps OpenDSS from it.

    None, with the circuit's options as they were, where rounding is far below it, or something else is in the way.
    """
    if tolerance >= _LOOSE_PU:
        return None
    base_v = np.where(circuit.node_base_v > 0.0, circuit.node_base_v, np.inf)

    share, looks = circuit.load_share, itertools.count(1)

    def look() -> Complexes:
        # Without any change, rounding may repeat itself to the last bit.
        circuit.set_load_share(share * (1.0 + next(looks) * _CHANGE))
        circuit.solve_a_round(held=True)
        return np.asarray(circuit.node_voltages() / base_v)

    def moves_of(seen: Sequence[Complexes]) -> Floats:
        return np.asarray(np.abs(np.diff(np.abs(seen), axis=0)))

    circuit.command(f"Set maxiterations={_ITERATIONS}")
    seen, found, least = [look() for _ in range(3)], None, _BELOW * tolerance
    if circuit.converged and moves_of(seen).max(initial=0.0) <= least:
        circuit.command(f"Set maxiterations={max_iterations}")
        circuit.set_load_share(share)
        return None
    seen += [look() for _ in range(_LOOKS - 2)]
    moves = moves_of(seen)
    first, last = moves[: _LOOKS // 2].max(axis=0), moves[_LOOKS // 2 :].max(axis=0)
    is_moved, most = last > least, float(last.max(initial=0.0))
    goes_on = is_moved.any() and last[is_moved].sum() > _SHRINKS * first[is_moved].sum()
    node = (
        _floating_node(circuit, np.array(seen[_LOOKS // 2 :]), last) if goes_on and most <= _ROUNDING_MAX_PU else None
    )
    if node is not None:
        # From the voltages without load, further away than any step of a study is from the one before.
        circuit.set_load_share(0.0)
        circuit.solve_a_round(held=True)
        at, move, n = look(), np.inf, 1
        while move > tolerance and n * _ITERATIONS < max_iterations:
            before, at, n = at, look(), n + 1
            move = float(np.abs(np.abs(at) - np.abs(before))[~is_moved].max(initial=0.0))
        found = GroundRounding(most, f"{circuit.node_bus[node]}.{circuit.node_phase[node]}", _ITERATIONS * n)
        circuit.command(f"Set tolerance={max(tolerance, _ROOM * most):.3g} miniterations={found.iterations}")
    circuit.command(f"Set maxiterations={max_iterations}")
    circuit.set_load_share(share)
    return found


def _floating_node(circuit: _Circuit, seen: Complexes, moves: Floats) -> int | None:
    """The node with the largest of the `moves` (pu, node) among those whose bus moves as a whole; None if none does.

    `seen` are voltages (look, node) in pu: those between phases of such a bus stand still.
    """
    for node in np.argsort(-moves)[:_CANDIDATES].tolist():
        beside = [k for k, bus in enumerate(circuit.node_bus) if bus == circuit.node_bus[node] and k != node]
        between = np.ptp(np.abs(seen[:, beside] - seen[:, [node]]), axis=0)
        if between.min(initial=np.inf) < _BETWEEN_PHASES * moves[node]:
            return int(node)
    return None
