"""Loading of lines and transformers from node voltages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.circuit import Circuit
from g2g_opt.grid.circuit_branches import read_branches
from g2g_opt.grid.circuit_parts import Branch

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]


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
        self.emergency_share = np.array([emergency_share(b) for b in rated])
        width = max((len(b.nodes) for b in rated), default=1)
        rows = [(branch, conductor) for branch, b in enumerate(rated) for conductor in range(b.n_phases)]
        # One row per phase conductor, padded with ground (place 0 of the extended voltage vector).
        self._node = np.zeros((len(rows), width), dtype=np.int64)
        self._admittance = np.zeros((len(rows), width), dtype=np.complex128)
        for row, (branch, conductor) in enumerate(rows):
            b = rated[branch]
            self._node[row, : len(b.nodes)] = b.nodes + 1
            self._admittance[row, : len(b.nodes)] = b.yprim[conductor]
        self._row_branch = np.array([branch for branch, _ in rows], dtype=np.int64)
        node_row = [int(rated[branch].nodes[conductor]) for branch, conductor in rows]
        self._row_node = np.array(node_row, dtype=np.int64)
        self._first_row = np.array([i for i, (_, conductor) in enumerate(rows) if conductor == 0], dtype=np.int64)

    @staticmethod
    def of(circuit: Circuit) -> BranchLoading:
        """Those of a circuit at its present taps."""
        return BranchLoading(read_branches(circuit))

    def conductor_loading_pu(self, phasors: Complexes) -> Floats:
        """Share of the normal rating on every phase conductor, shape (step, row), for phasors (V), (step, node)."""
        if not self.names:
            return np.zeros((len(phasors), 0))
        extended = np.concatenate([np.zeros((len(phasors), 1)), phasors], axis=1)
        conductor_a = np.abs(np.einsum("srw,rw->sr", extended[:, self._node], self._admittance))
        return np.asarray(conductor_a / self.rating_a[self._row_branch])

    def loading_pu(self, conductor_pu: Floats) -> Floats:
        """Loading of every branch, shape (step, branch): that of its heaviest loaded conductor (step, row)."""
        if not self.names:
            return conductor_pu
        return np.asarray(np.maximum.reduceat(conductor_pu, self._first_row, axis=1))

    def heaviest_nodes(self, row_pu: Floats) -> NDArray[np.int64]:
        """Node (place in the circuit's order; -1 ground) of every branch's heaviest row, by loadings (row,)."""
        ends = np.append(self._first_row, len(row_pu))[1:]
        rows = [first + int(row_pu[first:end].argmax()) for first, end in zip(self._first_row, ends, strict=True)]
        return self._row_node[np.array(rows, dtype=np.int64)]


def emergency_share(branch: Branch) -> float:
    """Normal over emergency rating; 0 for a branch without an emergency rating."""
    return branch.rating_a / branch.emergency_a if branch.emergency_a > 0.0 else 0.0
