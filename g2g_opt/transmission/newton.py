"""Newton's method for AC power flows of one network, one after the other; the only file that calls lightsim2grid.

Its compiled method keeps the ordering of the Jacobian's factors from one power flow to the next, as long as the same
buses hold their voltage.
"""

from __future__ import annotations

import numpy as np
from lightsim2grid.algorithm import NRSing_KLU
from numpy.typing import NDArray
from scipy.sparse import csc_array, csc_matrix

Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

# Those of MATPOWER and PYPOWER: powers that are missed by less (pu), and steps after which there is no solution.
TOLERANCE_PU = 1e-8
_STEPS_MAX = 10


class Newton:
    """Power flows with one admittance matrix (bus, bus) in pu, and one bus whose voltage is given (equation 5.11)."""

    def __init__(self, admittance_pu: csc_array, reference: int) -> None:
        self.admittance_pu = csc_matrix(admittance_pu)
        self._reference = np.array([reference], dtype=np.int32)
        self._share = np.zeros(admittance_pu.shape[0])
        self._share[reference] = 1.0
        self._method = NRSing_KLU()
        self._held: Bools | None = None
        self._pv = self._pq = self._reference[:0]

    def solve(self, injected_pu: Complexes, begin_pu: Complexes, held: Bools) -> Complexes | None:
        """Voltages (bus,) at which buses inject `injected_pu`, from `begin_pu` on; None if there is no convergence.

        Buses that are `held` keep the magnitude that they begin with, and inject what reactive power that takes.
        """
        if self._held is None or not np.array_equal(held, self._held):
            self._method.reset()
            self._held = held.copy()
            free = np.ones(len(held), dtype=np.bool_)
            free[self._reference] = False
            self._pv = np.flatnonzero(held & free).astype(np.int32)
            self._pq = np.flatnonzero(~held & free).astype(np.int32)
        converged = self._method.solve(
            self.admittance_pu,
            begin_pu.copy(),  # it works on what it is given
            injected_pu,
            self._reference,
            self._share,
            self._pv,
            self._pq,
            _STEPS_MAX,
            TOLERANCE_PU,
        )
        if not converged:
            # What it kept of a factorisation that failed is not the next one's.
            self._held = None
            return None
        voltage = np.array(self._method.get_V(), dtype=np.complex128)
        return voltage if np.isfinite(voltage).all() else None
