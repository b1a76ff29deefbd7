"""`Rescue`: scenarios that the fixed point did not solve, by Newton's method, one by one (see `newton_kernel`).

It starts from the solution of the step before and, where there is no way on from there, from the circuit's own. What it
finds is handed back as the state of a fixed point at rest, so that the batch accepts it, or not, by its own rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.held_voltages import HeldVoltages
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.kernel_tables import PORT_COLUMNS, LaneState, Ports
from g2g_opt.batch.load_law import (
    CI,
    CP,
    CURRENT_AT_0,
    CURRENT_SLOPE,
    CZ,
    EDGE_LOW,
    EDGE_MAX,
    EDGE_MIN,
    N_COLUMNS,
    SPECIAL,
    Y_ABOVE,
    Y_BELOW,
)
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.newton_kernel import LaneEquations, LaneFactors, branch_currents, newton, voltages_of_state
from g2g_opt.compiled.lanes import WIDTH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

_ROUNDS = 40
# Turns in which branches change to other pieces of their laws.
_PIECE_TURNS = 24
# Least share of their laws by which branches come closer to them.
_SHARE_STEP_MIN = 1.0 / 64.0
_KEPT = 256
# Corrections of the vars of generators that hold a voltage within one flow.
_HELD_ROUNDS = 40
# Share of the tolerance to which Newton's method goes, and the step (pu) below which it may end in rounding.
_EXACT, _ROUNDED_PU = 1e-3, 1e-6


@dataclass(frozen=True, eq=False)
class LaneSolution:
    """Where Newton's method ended: node voltages (V, in elimination order, ground and one volt behind them), the loads'
    remainders (branch, 2) and the ports' voltages and currents (port, 2).

    `step_pu` is its last step, which is rounding where nothing else is left.
    """

    v: Complexes
    remainder: Floats
    port_v: Floats
    port_a: Floats
    step_pu: float


@dataclass(frozen=True, eq=False)
class _Branches:
    """One set of branches, the circuit's own and ports: places of their ends, laws (branch, column), and where their
    blocks go in the rows of the Jacobian.
    """

    begin: Ints
    end: Ints
    law: Floats
    entry_start: Ints
    entry_column: Ints
    entry_block: Ints


@dataclass(frozen=True, eq=False)
class _Lane:
    """One scenario that has been here: its setting, its equations, the latest factors of their Jacobian, its ports
    among those of its chunk, and how its held voltages move with vars (see `HeldVoltages`).
    """

    setting: Setting
    equations: LaneEquations
    factors: LaneFactors
    ports: Ints
    slope_pu: Floats


@dataclass(frozen=True, eq=False)
class LaneTables:
    """Where the scenarios of a batch stand: ports, state, powers and shares (chunk, .. x lane), settings by slot."""

    ports: Ports
    state: LaneState
    power: Floats
    load_share: Floats
    settings: Sequence[Setting]


class Rescue:
    """Newton's method on the scenarios of one `Jacobian`, whose generators may hold voltages."""

    def __init__(self, jacobian: Jacobian, held: HeldVoltages) -> None:
        self._jacobian, self._held = jacobian, held
        e, network = jacobian.elimination, jacobian.network
        self._dead = ~network.alive[e.order]
        self._source = np.where(network.alive, network.source_a, 0.0)[e.order].astype(np.complex128)
        base = network.base_v[e.order]
        started = np.abs(jacobian.start[: e.n])
        size = np.where(np.isfinite(base), base, started)
        counted = ~self._dead & ~network.judged.unserved[e.order] & (size > 0.0)
        self._per_volt = np.where(counted, 1.0 / np.where(counted, size, 1.0), 0.0)
        self._y: OrderedDict[Setting, tuple[Ints, Ints, Complexes]] = OrderedDict()
        self._known_branches: OrderedDict[bytes, _Branches] = OrderedDict()
        self._lanes: dict[int, _Lane] = {}
        loads = jacobian.loads
        self._share_place = np.where(loads.varies, loads.share_place // WIDTH, 0)
        n = e.n
        column = np.concatenate([e.lower_column, e.upper_column])
        row = np.concatenate(
            [np.repeat(np.arange(n), np.diff(e.lower_start)), np.repeat(np.arange(n), np.diff(e.upper_start))]
        )
        self._pattern = np.sort(np.concatenate([row * n + column, np.arange(n) * (n + 1)]))

    def forget(self, slots: Sequence[int]) -> None:
        """Scenarios begin anew."""
        for slot in slots:
            self._lanes.pop(slot, None)

    def put(self, slots: Ints, lanes: LaneTables, tolerance_pu: float, has_solution: NDArray[np.bool_]) -> Ints:
        """Put scenarios to solutions within the tolerance; returns those that have one. `has_solution` (slot,) is
        written: also where rounding keeps a scenario from the tolerance.
        """
        table, state, found = lanes.ports, lanes.state, []
        n_chunks = len(table.begin)
        remainder, port_v, port_a = (
            array.reshape(n_chunks, -1, 2, WIDTH) for array in (state.remainder, state.port_v, state.port_a)
        )
        power, shares = lanes.power.reshape(n_chunks, -1, 2, WIDTH), lanes.load_share.reshape(n_chunks, -1, WIDTH)
        for slot in slots.tolist():
            c, lane = divmod(slot, WIDTH)
            known = self._lane(slot, lanes)
            own = known.ports
            known.equations.share[len(self._share_place) :] = power[c, own, 0, lane] - 1j * power[c, own, 1, lane]
            begun = self._voltages(known, remainder[c, :, :, lane], port_a[c, own, :, lane])
            solution = self._solve(known, shares[c, :, lane], begun, tolerance_pu)
            has_solution[slot] = solution is not None
            if solution is not None and solution.step_pu < max(tolerance_pu, _ROUNDED_PU):
                remainder[c, :, :, lane] = solution.remainder
                port_v[c, own, :, lane], port_a[c, own, :, lane] = solution.port_v, solution.port_a
                found.append(slot)
        return np.array(found, dtype=np.int64)

    def _lane(self, slot: int, lanes: LaneTables) -> _Lane:
        """What is known of a scenario, at the setting that it has now."""
        known, setting = self._lanes.get(slot), lanes.settings[slot]
        if known is not None and known.setting == setting:
            return known
        e, table = self._jacobian.elimination, lanes.ports
        c, lane = divmod(slot, WIDTH)
        n_chunks, n_ports = table.begin.shape[:2]
        ports = np.flatnonzero(table.begin[c, :, lane] <= self._jacobian.network.n_nodes)
        law = table.law.reshape(n_chunks, n_ports, PORT_COLUMNS, WIDTH)[c, ports, :, lane]
        equations = self._equations(setting, table.begin[c, ports, lane], table.end[c, ports, lane], law)
        if known is None:
            factors = LaneFactors.none(len(e.lower_column), len(e.upper_column), e.n)
            known = _Lane(setting, equations, factors, ports, self._held.slope_pu.copy())
        self._lanes[slot] = replace(known, setting=setting, equations=equations)
        return self._lanes[slot]

    def _solve(self, lane: _Lane, share: Floats, v: Complexes, tolerance_pu: float) -> LaneSolution | None:
        """The scenario's solution, from the node voltages `v` on, with the voltages held that generators hold by their
        vars in `share` (place,); None if there is no way to one.
        """
        before = None
        for _ in range(_HELD_ROUNDS):
            solution = self._solve_as_it_is(lane, share, v, _EXACT * tolerance_pu)
            if solution is None:
                return None
            before = self._held.correct(solution.v, share, lane.slope_pu, tolerance_pu, before)
            if before is None:
                return solution
            v = solution.v
        return None

    def _solve_as_it_is(self, lane: _Lane, share: Floats, begun: Complexes, enough_pu: float) -> LaneSolution | None:
        """The scenario's solution for shares (place,) of the circuit's own loads and units, from the node voltages
        `begun` on; None if there is no way to one. A step below `enough_pu` is not gone after.
        """
        q, n_loads = lane.equations, len(self._share_place)
        q.share[:n_loads] = np.where(self._jacobian.loads.varies, share[self._share_place], 1.0)
        found = self._search(q, lane.factors, begun, enough_pu)
        if found is None:
            return None
        v, step_pu = found
        current = np.zeros(len(q.begin), dtype=np.complex128)
        branch_currents(q, v, current)
        across = v[q.begin] - v[q.end]
        blocks, own = self._jacobian.blocks, across[:n_loads]
        straight = np.stack(
            [blocks[:, 0] * own.real + blocks[:, 1] * own.imag, blocks[:, 2] * own.real + blocks[:, 3] * own.imag],
            axis=-1,
        )
        return LaneSolution(
            v, straight - _pairs(current[:n_loads]), _pairs(across[n_loads:]), _pairs(current[n_loads:]), step_pu
        )

    def _search(
        self, q: LaneEquations, factors: LaneFactors, begun: Complexes, enough_pu: float
    ) -> tuple[Complexes, float] | None:
        """A solution: from `begun`, else from all branches being impedances, from which their laws come gradually."""
        if np.isfinite(begun).all():
            found = _solved(q, factors, begun, enough_pu)
            if found is not None:
                return found
        v = self._jacobian.start.copy()
        factors.held[0] = 0
        if not newton(_blended(q, 0.0), factors, v, _ROUNDS, enough_pu)[0]:
            return None
        share, step = 0.0, 1.0
        while step > _SHARE_STEP_MIN:
            share_next = min(1.0, share + step)
            found = _solved(q if share_next == 1.0 else _blended(q, share_next), factors, v, enough_pu)
            if found is None:
                step *= 0.5
                continue
            if share_next == 1.0:
                return found
            v, share, step = found[0], share_next, 2.0 * step
        return None

    def _voltages(self, lane: _Lane, remainder: Floats, port_a: Floats) -> Complexes:
        """Node voltages (V) that a state stands for, with ground and one volt behind them."""
        f = self._jacobian.factors(lane.setting)
        v = np.zeros(self._jacobian.elimination.n + 2, dtype=np.complex128)
        voltages_of_state(lane.equations, f.lower, f.upper, f.diagonal, np.concatenate([remainder, -port_a]), v)
        return v

    def _equations(self, setting: Setting, begin: Ints, end: Ints, port_law: Floats) -> LaneEquations:
        """The equations of a setting with ports between places; what its branches' `share` is, is written into them."""
        jacobian, e = self._jacobian, self._jacobian.elimination
        if setting not in self._y:
            self._y[setting] = _added_up(*jacobian.admittances(setting), e.n)
            if len(self._y) > _KEPT:
                self._y.popitem(last=False)
        row, column, y = self._y[setting]
        branches = self._branches(row, column, begin, end, port_law)
        return LaneEquations(
            e.lower_start,
            e.lower_column,
            e.lower_start[1:],
            np.zeros(1, dtype=np.int64),
            e.upper_start,
            e.upper_column,
            row,
            column,
            y,
            self._source,
            self._dead,
            branches.begin,
            branches.end,
            branches.law,
            np.zeros(len(branches.begin), dtype=np.complex128),
            branches.entry_start,
            branches.entry_column,
            branches.entry_block,
            self._per_volt,
        )

    def _branches(self, row: Ints, column: Ints, begin: Ints, end: Ints, port_law: Floats) -> _Branches:
        """The circuit's own branches and ports, in a matrix whose admittances have these rows and columns."""
        key = b"".join(array.tobytes() for array in (begin, end, port_law))
        if key not in self._known_branches:
            n = self._jacobian.elimination.n
            begin, end = (
                np.concatenate([own, its]) for own, its in zip(self._jacobian.load_ends, (begin, end), strict=True)
            )
            # As the blocks lie: admittances, dead nodes' ones, four of every branch.
            rows = np.concatenate([row, np.arange(n), np.stack([begin, end, begin, end], axis=1).reshape(-1)])
            columns = np.concatenate([column, np.arange(n), np.stack([begin, end, end, begin], axis=1).reshape(-1)])
            block = np.arange(len(rows))
            kept = (rows < n) & (columns < n)
            kept[len(row) : len(row) + n] = self._dead
            kept[kept] = np.isin(rows[kept] * n + columns[kept], self._pattern)
            rows, columns, block = rows[kept], columns[kept], block[kept]
            order = np.argsort(rows, kind="stable")
            entries = np.searchsorted(rows[order], np.arange(n + 1)), columns[order], block[order]
            law = np.concatenate([self._jacobian.laws, _branch_laws(port_law)])
            self._known_branches[key] = _Branches(begin, end, law, *entries)
            if len(self._known_branches) > _KEPT:
                self._known_branches.popitem(last=False)
        return self._known_branches[key]


def _added_up(row: Ints, column: Ints, y: Complexes, n: int) -> tuple[Ints, Ints, Complexes]:
    """Entries of a matrix of `n` rows, by rows, each place once."""
    places, at = np.unique(row * n + column, return_inverse=True)
    total = np.bincount(at, y.real, len(places)) + 1j * np.bincount(at, y.imag, len(places))
    return places // n, places % n, total


def _solved(
    q: LaneEquations, factors: LaneFactors, begun: Complexes, enough_pu: float
) -> tuple[Complexes, float] | None:
    """A solution from `begun` and the last step to it (pu): on the laws as they are, else on one piece of each.

    Where a law jumps at its window's edge (see `load_law`) Newton's method finds no way down on the laws themselves.
    """
    v = begun.copy()
    at_rest, _, step_pu = newton(q, factors, v, _ROUNDS, enough_pu)
    if at_rest:
        return v, step_pu
    v = begun.copy()
    piece = _pieces(q, v)
    for turn in range(_PIECE_TURNS):
        factors.held[0] = 0
        at_rest, _, step_pu = newton(_of_pieces(q, piece), factors, v, _ROUNDS, enough_pu)
        if not at_rest:
            return None
        right = _pieces(q, v)
        wrong = np.flatnonzero(right != piece)
        if not len(wrong):
            return v, step_pu
        if turn > _PIECE_TURNS // 2:
            # Neighbours that go round in circles together come to rest one after the other.
            across = np.abs(v[q.begin[wrong]] - v[q.end[wrong]])
            edges = q.law[wrong][:, [EDGE_LOW, EDGE_MIN, EDGE_MAX]]
            beyond = np.abs(across[:, None] / np.where(edges > 0.0, edges, np.inf) - 1.0).min(axis=1)
            wrong = wrong[beyond.argmax()]
        piece[wrong] = right[wrong]
    return None


def _pieces(q: LaneEquations, v: Complexes) -> Ints:
    """The piece of its law that every branch is on: 0 below, 1 under the window, 2 inside, 3 above."""
    m = np.abs(v[q.begin] - v[q.end])
    low, least, most = q.law[:, EDGE_LOW], q.law[:, EDGE_MIN], q.law[:, EDGE_MAX]
    return np.where(m <= low, 0, np.where(m <= least, 1, np.where(m > most, 3, 2)))


def _of_pieces(q: LaneEquations, piece: Ints) -> LaneEquations:
    """The equations with one piece of every law at all voltages."""
    law = q.law.copy()
    law[:, EDGE_LOW] = np.where(piece == 0, np.inf, -1.0)
    law[:, EDGE_MIN] = np.where(piece == 1, np.inf, -1.0)
    law[:, EDGE_MAX] = np.where(piece == 3, -1.0, np.inf)
    return q._replace(law=law)


def _blended(q: LaneEquations, share: float) -> LaneEquations:
    """The equations with a share of every branch's law, and for the rest its impedance at rated voltage."""
    law = q.law.copy()
    plain = law[:, SPECIAL] == 0.0
    bounded = plain & np.isfinite(law[:, EDGE_MAX]) & (law[:, EDGE_MAX] > 0.0)
    for part in (0, 1):
        rest = (1.0 - share) * law[:, Y_BELOW + part]
        for column in (CZ, CI, CP, CURRENT_AT_0, CURRENT_SLOPE, Y_ABOVE):
            scaled = share * law[:, column + part] + (rest if column in (CZ, CURRENT_SLOPE, Y_ABOVE) else 0.0)
            law[:, column + part] = np.where(bounded, scaled, law[:, column + part])
    return q._replace(law=law)


def _pairs(values: Complexes) -> Floats:
    return np.stack([values.real, values.imag], axis=-1)


def _branch_laws(port_laws: Floats) -> Floats:
    """Laws (branch, column) of one watt from those of ports."""
    law = np.zeros((len(port_laws), N_COLUMNS))
    least, most, low, below, at_0, slope, above = port_laws.T
    law[:, CP], law[:, EDGE_LOW], law[:, EDGE_MIN], law[:, EDGE_MAX] = 1.0, low, np.sqrt(least), np.sqrt(most)
    law[:, Y_BELOW], law[:, CURRENT_AT_0], law[:, CURRENT_SLOPE], law[:, Y_ABOVE] = below, at_0, slope, above
    return law
