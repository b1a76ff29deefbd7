"""Generators that hold a voltage (OpenDSS's model 3): their vars in every scenario of a batch.

Such a generator gives its watts, and vars within its limits so that the mean of its phases' voltages is what it is told
to hold. OpenDSS moves the vars a tenth of the way in every iteration; solved tightly it ends where this does: with the
voltage held, or the vars at a limit. Here the vars are corrected within the fixed point by the voltage that a var moves
there (`held_kernel`). What Newton's method solves, for the vars as they are, is corrected here and solved again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.kernel_tables import HeldUnits
from g2g_opt.circuit.units import UnitShare
from g2g_opt.compiled.lanes import WIDTH, aligned

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# A voltage is held to so many times the tolerance of the flow, whose own error is about one of it.
_HELD = 2.0
# Nothing is learned from corrections of less than so many times the tolerance, nor where slopes would stray so far from
# those of the circuit's own solution: voltages have then gone another way than the vars moved them.
_LEARNED, _STRAY = 1e3, 10.0
# Share of a unit's own slope that is added to it: units at one bus move its voltage alike, and no system of equations
# tells them apart. What it leaves over is made up for by the next correction.
_RIDGE = 1e-3
# Where a unit moves its voltage by less, as beside an ideal source, its vars go to a limit.
_SLOPE_MIN_PU = 1e-9


class HeldVoltages:
    """The generators of a network that hold a voltage; `table` is what the compiled power flow knows of them.

    `slope_pu` (unit, unit) is how far a unit's voltage (share of what is held) moves with the vars (share of rating) of
    another at the circuit's own solution.
    """

    def __init__(self, jacobian: Jacobian) -> None:
        network = jacobian.network
        columns = {share: k for k, share in enumerate(network.unit_shares)}
        self._units = [unit for unit in network.units if unit.held is not None]
        held = [unit.held for unit in self._units if unit.held is not None]
        ends = [np.array(unit.branch_nodes(), dtype=np.int64) for unit in self._units]
        self._ends = [jacobian.places(of_unit) for of_unit in ends]
        self._target_v = np.array([one.voltage_v for one in held])
        rating = np.array([one.rating_var for one in held])
        self._least, self._most = (
            np.array([getattr(one, edge) for one in held]) / rating for edge in ("least_var", "most_var")
        )
        names = [UnitShare(f"{unit.kind}.{unit.name}", "reactive") for unit in self._units]
        self._columns = np.array([len(network.load_shapes) + columns[name] for name in names], dtype=np.int64)
        self.slope_pu = self._slopes_pu(jacobian, rating) if held else np.zeros((0, 0))
        own = np.diag_indices(len(held))
        self.slope_pu[own] = np.maximum((1.0 + _RIDGE) * self.slope_pu[own], _SLOPE_MIN_PU)
        self.table = self._table()

    def _table(self) -> HeldUnits:
        n, n_branches = len(self._units), np.array([len(ends) for ends in self._ends], dtype=np.int64)
        ends = 2 * WIDTH * np.concatenate([np.zeros((0, 2), dtype=np.int64), *self._ends])
        return HeldUnits(
            np.concatenate([[0], n_branches.cumsum()]),
            np.ascontiguousarray(ends[:, 0]),
            np.ascontiguousarray(ends[:, 1]),
            1.0 / (n_branches * self._target_v),
            WIDTH * self._columns,
            self._least,
            self._most,
            self.slope_pu.reshape(-1),
            aligned(n * WIDTH),
            aligned(n * WIDTH),
            np.zeros(n, dtype=np.int64),
            np.zeros(n * (n + 1)),
        )

    def _slopes_pu(self, jacobian: Jacobian, rating: Floats) -> Floats:
        """How far a unit's voltage (share of what is held) moves with the vars (share of rating) of another."""
        start = np.append(jacobian.network.start_v, 0.0)
        slopes = np.zeros((len(self._units),) * 2)
        for j, moved in enumerate(self._units):
            ends = np.array(moved.branch_nodes(), dtype=np.int64)
            across = start[ends[:, 0]] - start[ends[:, 1]]
            current = -1j * rating[j] / across.conj()  # into the circuit, by a var more in every branch
            places = jacobian.places(ends)
            response = jacobian.responses(places[:, 0], places[:, 1])
            moves = (response[:, :, :, 0] @ current.real) + (response[:, :, :, 1] @ current.imag)
            volts = moves[:, 0] + 1j * moves[:, 1]
            for i, seen in enumerate(self._units):
                own = np.array(seen.branch_nodes(), dtype=np.int64)
                v = start[own[:, 0]] - start[own[:, 1]]
                at = jacobian.places(own)
                dv = volts[at[:, 0]] - np.where(own[:, 1] >= 0, volts[at[:, 1]], 0.0)
                slopes[i, j] = (np.real(v.conj() * dv) / np.abs(v)).mean() / self._target_v[i]
        return slopes

    def correct(
        self, v: Complexes, share: Floats, slope_pu: Floats, tolerance_pu: float, before: tuple[Floats, Floats] | None
    ) -> tuple[Floats, Floats] | None:
        """Correct the vars in `share` (place,) of one scenario by its node voltages (V; in elimination order, ground
        behind them). Returns the vars as they were and what was missing with them, which the next correction wants
        to know; None if all voltages are held, or their vars at a limit.

        `slope_pu` (unit, unit) learns from what the correction `before` came to (C. G. Broyden, 1965).
        """
        if not self._units:
            return None
        now = share[self._columns]
        held_v = np.array([np.abs(v[ends[:, 0]] - v[ends[:, 1]]).mean() for ends in self._ends])
        missing = 1.0 - held_v / self._target_v
        if before is not None and np.abs(before[1]).max() > _LEARNED * tolerance_pu and (now != before[0]).any():
            moved = now - before[0]
            slope_pu += np.outer(before[1] - missing - slope_pu @ moved, moved) / (moved @ moved)
            if not 1.0 / _STRAY < np.linalg.det(slope_pu) / np.linalg.det(self.slope_pu) < _STRAY:
                slope_pu[:] = self.slope_pu
        free = np.flatnonzero(np.where(missing > 0.0, now < self._most, now > self._least))
        if not (np.abs(missing[free]) > _HELD * tolerance_pu).any():
            return None
        wanted = now.copy()
        wanted[free] += np.linalg.solve(slope_pu[np.ix_(free, free)], missing[free])
        share[self._columns] = np.clip(wanted, self._least, self._most)
        return now, missing
