"""Generators that hold a voltage (OpenDSS's model 3): their vars in every scenario of a batch.

Such a generator gives its watts, and vars within its limits so that the mean of its phases' voltages is what it is told
to hold. OpenDSS moves the vars a tenth of the way in every iteration; solved tightly it ends where this does: with the
voltage held, or the vars at a limit. Here the vars are corrected within the fixed point by the voltage that a var moves
there (`held_kernel`). What Newton's method has solved, for the vars as they were, is corrected here and solved again.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.kernel_tables import Held, Solutions
from g2g_opt.circuit.units import UnitShare
from g2g_opt.compiled.lanes import WIDTH, aligned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Corrections of the vars within one flow; each leaves some hundredths of what was missing.
_ROUNDS = 40
# A voltage is held to so many times the tolerance of the flow, whose own error is about one of it.
_HELD = 2.0
# Share of a unit's own slope that is added to it: units at one bus move its voltage alike, and no system of equations
# tells them apart. What it leaves over is made up for by the next correction.
_RIDGE = 1e-3


class _Flow(Protocol):
    """What is needed of a `BatchPowerFlow`."""

    n_chunks: int
    load_share: Floats

    @property
    def solutions(self) -> Solutions: ...
    @property
    def sensed_v(self) -> Floats: ...
    def solve_at_rest(self, slots: Ints, tolerance_pu: float) -> None: ...


class HeldVoltages:
    """The generators of a network that hold a voltage; `first` is the place of their voltages among the sensed ones.

    `nodes` are those whose voltages `settle` needs, both ends of every branch; -1 is ground. `table` is what the
    compiled power flow knows of them.
    """

    def __init__(self, jacobian: Jacobian, first: int) -> None:
        network = jacobian.network
        columns = {share: k for k, share in enumerate(network.unit_shares)}
        self._units = [unit for unit in network.units if unit.held is not None]
        held = [unit.held for unit in self._units if unit.held is not None]
        self.nodes: list[int] = []
        self._places: list[Ints] = []
        for unit in self._units:
            ends = unit.branch_nodes()
            self._places.append(first + len(self.nodes) + np.arange(2 * len(ends)).reshape(-1, 2))
            self.nodes += [node for pair in ends for node in pair]
        self._target_v = np.array([one.voltage_v for one in held])
        rating = np.array([one.rating_var for one in held])
        self._least, self._most = (
            np.array([getattr(one, edge) for one in held]) / rating for edge in ("least_var", "most_var")
        )
        names = [UnitShare(f"{unit.kind}.{unit.name}", "reactive") for unit in self._units]
        self._columns = np.array([len(network.load_shapes) + columns[name] for name in names], dtype=np.int64)
        self._slope_pu = self._slopes_pu(jacobian, rating) if held else np.zeros((0, 0))
        self._slope_pu[np.diag_indices(len(held))] *= 1.0 + _RIDGE
        self.table = self._table(jacobian)

    def _table(self, jacobian: Jacobian) -> Held:
        n, n_branches = len(self._units), np.array([len(places) for places in self._places], dtype=np.int64)
        ends = 2 * WIDTH * jacobian.places(np.array(self.nodes, dtype=np.int64)).reshape(-1, 2)
        return Held(
            np.concatenate([[0], n_branches.cumsum()]),
            np.ascontiguousarray(ends[:, 0]),
            np.ascontiguousarray(ends[:, 1]),
            1.0 / (n_branches * self._target_v),
            WIDTH * self._columns,
            self._least,
            self._most,
            self._slope_pu.reshape(-1),
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

    def __bool__(self) -> bool:
        return bool(self._units)

    def settle(self, flow: _Flow, slots: Ints, tolerance_pu: float) -> None:
        """Correct vars and solve again until scenarios `slots` of a flow hold their voltages, or are unsolved."""
        shares = flow.load_share.reshape(flow.n_chunks, -1, WIDTH)
        for _ in range(_ROUNDS):
            slots = slots[flow.solutions.solved[slots]]
            chunk, lane = np.divmod(slots, WIDTH)
            now = shares[chunk[:, None], self._columns, lane[:, None]].T
            missing = 1.0 - self._held_v(flow, slots) / self._target_v[:, None]
            moves = np.abs(missing) > _HELD * tolerance_pu
            at_limit = np.where(missing > 0.0, now >= self._most[:, None], now <= self._least[:, None])
            moves &= ~at_limit
            some = moves.any(axis=0)
            if not some.any():
                return
            slots, now, missing, moves = slots[some], now[:, some], missing[:, some], moves[:, some]
            wanted = now + self._corrections(missing, moves)
            chunk, lane = np.divmod(slots, WIDTH)
            shares[chunk[:, None], self._columns, lane[:, None]] = np.clip(
                wanted, self._least[:, None], self._most[:, None]
            ).T
            flow.solve_at_rest(slots, tolerance_pu)
        flow.solutions.solved[slots] = False

    def _held_v(self, flow: _Flow, slots: Ints) -> Floats:
        """Mean voltage (V) of each unit's branches, shape (unit, slot)."""
        v = flow.sensed_v[:, :, slots]
        found = np.empty((len(self._units), len(slots)))
        for k, places in enumerate(self._places):
            across = v[places[:, 0]] - v[places[:, 1]]
            found[k] = np.hypot(across[:, 0], across[:, 1]).mean(axis=0)
        return found

    def _corrections(self, missing: Floats, moves: NDArray[np.bool_]) -> Floats:
        """Shares of rating (unit, slot) by which the vars of units that may move make up for what is missing."""
        found = np.zeros(missing.shape)
        for pattern in np.unique(moves, axis=1).T:
            same = (moves == pattern[:, None]).all(axis=0)
            own = np.flatnonzero(pattern)
            slopes = self._slope_pu[np.ix_(own, own)]
            found[np.ix_(own, np.flatnonzero(same))] = np.linalg.solve(slopes, missing[own][:, same])
        return found
