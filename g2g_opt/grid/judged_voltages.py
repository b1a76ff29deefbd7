"""Between what voltages are judged: line to neutral where there is a neutral, line to line where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import Bus

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class JudgedVoltages:
    """Between what the voltage of every node is taken: to node `reference` (-1 ground), in pu of `base_v` (V).

    Line to neutral where a bus has a neutral, over its base; line to line (1 to 2, 2 to 3, 3 to 1) over 1.73 times it
    where not. `monitored` are the nodes that stand for a voltage of their own: served phases, and of the two phases of
    a two-phase bus without neutral the first. `unserved` are conductors that no source serves: what stands on them is
    of no account.
    """

    reference: Ints
    base_v: Floats
    monitored: NDArray[np.bool_]
    unserved: NDArray[np.bool_]

    @staticmethod
    def to_ground(nodes: Sequence[tuple[str, int]], base_v: Floats) -> JudgedVoltages:
        """Every node against ground; phases 1 to 3 are monitored."""
        phases = np.array([1 <= number <= 3 for _, number in nodes], dtype=np.bool_)
        return JudgedVoltages(np.full(len(nodes), -1, dtype=np.int64), base_v, phases, np.zeros(len(nodes), np.bool_))

    @staticmethod
    def of(buses: Mapping[str, Bus], nodes: Sequence[tuple[str, int]], base_v: Floats) -> JudgedVoltages:
        """For nodes (bus, number) with line-to-neutral bases (V; NaN without)."""
        index = {node: place for place, node in enumerate(nodes)}
        reference = np.full(len(nodes), -1, dtype=np.int64)
        judged, monitored = base_v.copy(), np.zeros(len(nodes), dtype=np.bool_)
        unserved = np.zeros(len(nodes), dtype=np.bool_)
        for bus in buses.values():
            for phase in bus.unserved:
                if (bus.name, phase) in index:
                    unserved[index[bus.name, phase]] = True
            for phase, other in bus.judged_pairs():
                place = index.get((bus.name, phase))
                if place is None:
                    continue
                reference[place] = index[bus.name, other] if other else -1
                monitored[place] = True
                if bus.three_wire:
                    judged[place] *= 2.0 if bus.legs else np.sqrt(3.0)
        return JudgedVoltages(reference, judged, monitored, unserved)

    @cached_property
    def _to_ground(self) -> bool:
        return bool((self.reference < 0).all())

    def magnitudes_pu(self, phasors: Complexes) -> Floats:
        """Magnitudes (pu) of node voltages (V) whose last axis is the node."""
        if self._to_ground:
            return np.asarray(np.abs(phasors) / self.base_v)
        across = phasors - np.where(self.reference < 0, 0.0, phasors[..., self.reference])
        return np.asarray(np.abs(across) / self.base_v)
