"""`LaneSearch`: the ways to a solution of one scenario's equations, all by Newton's method (see `newton_kernel`).

From where the scenario stands; where laws jump at their windows' edges (see `load_law`), on one piece of each at a
time; and where there is no way on from there, from all branches being impedances, from which their laws come gradually.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.load_law import (
    CI,
    CP,
    CURRENT_AT_0,
    CURRENT_SLOPE,
    CZ,
    EDGE_LOW,
    EDGE_MAX,
    EDGE_MIN,
    SPECIAL,
    Y_ABOVE,
    Y_BELOW,
)
from g2g_opt.batch.newton_kernel import (
    LaneEquations,
    LaneFactors,
    NewtonCall,
    NewtonRoom,
    branch_currents,
    newton,
    voltages_of_state,
)
from g2g_opt.compiled.records import pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

_ROUNDS = 40
# Turns in which branches change to other pieces of their laws.
_PIECE_TURNS = 24
# Least share of their laws by which branches come closer to them.
_SHARE_STEP_MIN = 1.0 / 64.0


class LaneSearch:
    """One scenario's equations; `factors` are the latest of its Jacobian, kept for the next search.

    Voltages and currents are in `room`, which scenarios share one after the other.
    """

    def __init__(
        self,
        equations: LaneEquations,
        shared: LaneFactors,
        room: NewtonRoom,
        start: Complexes,
        factors: LaneFactors | None = None,
    ) -> None:
        """`shared` are the factors of its setting, `start` the circuit's own solution (node + 2, V)."""
        self.equations, self.room, self._shared, self._start = equations, room, shared, start
        sizes = (len(equations.lower_column), len(equations.upper_column), len(equations.source))
        self.factors = factors or LaneFactors.none(*sizes)
        self._packed = pack(NewtonCall(equations, self.factors, shared, room))

    def begin(self, current: Complexes) -> None:
        """Begin where branches put `current` (branch,), A, into their nodes."""
        self.room.current[:] = current
        voltages_of_state(self._packed.address)

    def across(self) -> Complexes:
        """Voltages across all branches (V)."""
        v, q = self.room.v, self.equations
        return np.asarray(v[q.begin] - v[q.end])

    def find(self, enough_pu: float) -> bool:
        """Whether there is a way from the voltages in `room` to a solution, which is there then, as are its currents.

        A step below `enough_pu` is not gone after.
        """
        found = (np.isfinite(self.room.v).all() and self._find_from_here(self.equations.law, enough_pu)) or (
            self._find_gradually(enough_pu)
        )
        if found:
            branch_currents(self._packed.address)
        return found

    def _newton(self, law: Floats, enough_pu: float) -> bool:
        """Newton's method with other laws of the branches, or with theirs."""
        if law is self.equations.law:
            return bool(newton(self._packed.address, _ROUNDS, enough_pu))
        self.factors.held[0] = 0
        packed = pack(NewtonCall(self.equations._replace(law=law), self.factors, self._shared, self.room))
        return bool(newton(packed.address, _ROUNDS, enough_pu))

    def _find_gradually(self, enough_pu: float) -> bool:
        law = self.equations.law
        self.room.v[:] = self._start
        if not self._newton(_blended(law, 0.0), enough_pu):
            return False
        share, step = 0.0, 1.0
        while step > _SHARE_STEP_MIN:
            share_next = min(1.0, share + step)
            if not self._find_from_here(law if share_next == 1.0 else _blended(law, share_next), enough_pu):
                step *= 0.5
                continue
            if share_next == 1.0:
                return True
            share, step = share_next, 2.0 * step
        return False

    def _find_from_here(self, law: Floats, enough_pu: float) -> bool:
        """On the laws as they are, else on one piece of each; the voltages stay where they were if there is no way."""
        if self._newton(law, enough_pu):
            return True
        q, v = self.equations, self.room.v
        begun = v.copy()
        piece = _pieces(q, law, v)
        for turn in range(_PIECE_TURNS):
            if not self._newton(_of_pieces(law, piece), enough_pu):
                break
            right = _pieces(q, law, v)
            wrong = np.flatnonzero(right != piece)
            if not len(wrong):
                return True
            if turn > _PIECE_TURNS // 2:
                # Neighbours that go round in circles together come to rest one after the other.
                across = np.abs(v[q.begin[wrong]] - v[q.end[wrong]])
                edges = law[wrong][:, [EDGE_LOW, EDGE_MIN, EDGE_MAX]]
                beyond = np.abs(across[:, None] / np.where(edges > 0.0, edges, np.inf) - 1.0).min(axis=1)
                wrong = wrong[beyond.argmax()]
            piece[wrong] = right[wrong]
        v[:] = begun
        return False


def _pieces(q: LaneEquations, law: Floats, v: Complexes) -> Ints:
    """The piece of its law that every branch is on: 0 below, 1 under the window, 2 inside, 3 above."""
    m = np.abs(v[q.begin] - v[q.end])
    low, least, most = law[:, EDGE_LOW], law[:, EDGE_MIN], law[:, EDGE_MAX]
    return np.where(m <= low, 0, np.where(m <= least, 1, np.where(m > most, 3, 2)))


def _of_pieces(law: Floats, piece: Ints) -> Floats:
    """Laws with one piece of each at all voltages."""
    law = law.copy()
    law[:, EDGE_LOW] = np.where(piece == 0, np.inf, -1.0)
    law[:, EDGE_MIN] = np.where(piece == 1, np.inf, -1.0)
    law[:, EDGE_MAX] = np.where(piece == 3, -1.0, np.inf)
    return law


def _blended(law: Floats, share: float) -> Floats:
    """A share of every branch's law, and for the rest its impedance at rated voltage."""
    law = law.copy()
    plain = law[:, SPECIAL] == 0.0
    bounded = plain & np.isfinite(law[:, EDGE_MAX]) & (law[:, EDGE_MAX] > 0.0)
    for part in (0, 1):
        rest = (1.0 - share) * law[:, Y_BELOW + part]
        for column in (CZ, CI, CP, CURRENT_AT_0, CURRENT_SLOPE, Y_ABOVE):
            scaled = share * law[:, column + part] + (rest if column in (CZ, CURRENT_SLOPE, Y_ABOVE) else 0.0)
            law[:, column + part] = np.where(bounded, scaled, law[:, column + part])
    return law
