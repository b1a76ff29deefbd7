"""Loading of lines and transformers from node voltages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.circuit_parts import Branch

Complexes = NDArray[np.complex128]


class BranchLoading:
    """Currents over ratings of all closed branches with a rating, for many solutions at once.

    The loading of a branch is its largest phase-conductor current at the first terminal over its normal rating;
    OpenDSS gives both ratings and percentages there. Built from the branches' present admittances, so it must be
    built anew after a tap change.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        rated = [b for b in branches if b.closed and b.rating_a > 0.0 and len(b.nodes)]
        self.names = [f"{b.kind}.{b.name}" for b in rated]
        self.rating_a = np.array([b.rating_a for b in rated])
        width = max((len(b.nodes) for b in rated), default=1)
        rows = [(branch, conductor) for branch, b in enumerate(rated) for conductor in range(b.n_phases)]
        # One row per phase conductor, padded with ground (place 0 of the extended voltage vector).
        self._node = np.zeros((len(rows), width), dtype=np.int64)
        self._admittance = np.zeros((len(rows), width), dtype=np.complex128)
        for row, (branch, conductor) in enumerate(rows):
            b = rated[branch]
            self._node[row, : len(b.nodes)] = b.nodes + 1
            self._admittance[row, : len(b.nodes)] = b.yprim[conductor]
        self._first_row = np.array([i for i, (_, conductor) in enumerate(rows) if conductor == 0], dtype=np.int64)

    def currents_a(self, phasors: Complexes) -> NDArray[np.float64]:
        """Largest phase current (A) of each branch at its first terminal, shape (step, branch)."""
        if not self.names:
            return np.zeros((len(phasors), 0))
        extended = np.concatenate([np.zeros((len(phasors), 1)), phasors], axis=1)
        conductor_a = np.abs(np.einsum("srw,rw->sr", extended[:, self._node], self._admittance))
        return np.asarray(np.maximum.reduceat(conductor_a, self._first_row, axis=1))

    def loading_pu(self, phasors: Complexes) -> NDArray[np.float64]:
        """Share of the normal rating, shape (step, branch), for phasors (V) of shape (step, node)."""
        return np.asarray(self.currents_a(phasors) / self.rating_a)
