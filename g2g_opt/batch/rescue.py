"""`Rescue`: scenarios that the fixed point did not solve, by Newton's method, one by one (see `lane_search`).

It starts from the solution of the step before. What it finds is handed back as the state of a fixed point at rest, so
that the batch accepts it, or not, by its own rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.held_voltages import HeldVoltages
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.kernel_tables import PORT_COLUMNS, LaneState, Ports
from g2g_opt.batch.lane_search import LaneSearch
from g2g_opt.batch.load_law import (
    CP,
    CURRENT_AT_0,
    CURRENT_SLOPE,
    EDGE_LOW,
    EDGE_MAX,
    EDGE_MIN,
    N_COLUMNS,
    Y_ABOVE,
    Y_BELOW,
)
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.newton_kernel import LaneEquations, LaneFactors, NewtonRoom
from g2g_opt.compiled.lanes import WIDTH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

_KEPT = 256
# Corrections of the vars of generators that hold a voltage within one flow.
_HELD_ROUNDS = 40
# Share of the tolerance to which Newton's method goes, and the step (pu) below which it may end in rounding.
_EXACT, _ROUNDED_PU = 1e-3, 1e-6


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
    """One scenario that has been here: its setting, the search for its solutions, its ports among those of its chunk,
    and how its held voltages move with vars (see `HeldVoltages`).
    """

    setting: Setting
    search: LaneSearch
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
        self._rooms: dict[tuple[int, int, int], NewtonRoom] = {}
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
        n_loads = len(self._share_place)
        for slot in slots.tolist():
            c, lane = divmod(slot, WIDTH)
            known = self._lane(slot, lanes)
            own, search = known.ports, known.search
            search.equations.share[n_loads:] = power[c, own, 0, lane] - 1j * power[c, own, 1, lane]
            search.begin(_complex(np.concatenate([remainder[c, :, :, lane], -port_a[c, own, :, lane]])))
            has_solution[slot] = is_solved = self._solve(known, shares[c, :, lane], tolerance_pu)
            if is_solved and search.room.last_step_pu[0] < max(tolerance_pu, _ROUNDED_PU):
                self._write(search, remainder[c, :, :, lane])
                state.share.reshape(shares.shape)[c, :, lane] = shares[c, :, lane]
                port_v[c, own, :, lane] = _pairs(search.across()[n_loads:])
                port_a[c, own, :, lane] = _pairs(search.room.current[n_loads:])
                found.append(slot)
        return np.array(found, dtype=np.int64)

    def _write(self, search: LaneSearch, remainder: Floats) -> None:
        """What the loads' slopes leave over of their currents at a solution into `remainder` (branch, 2), A."""
        n_loads, blocks = len(self._share_place), self._jacobian.blocks
        own, current = search.across()[:n_loads], search.room.current[:n_loads]
        remainder[:, 0] = blocks[:, 0] * own.real + blocks[:, 1] * own.imag - current.real
        remainder[:, 1] = blocks[:, 2] * own.real + blocks[:, 3] * own.imag - current.imag

    def _lane(self, slot: int, lanes: LaneTables) -> _Lane:
        """What is known of a scenario, at the setting that it has now."""
        known, setting = self._lanes.get(slot), lanes.settings[slot]
        if known is None or known.setting != setting:
            c, lane = divmod(slot, WIDTH)
            table = lanes.ports
            n_chunks, n_ports = table.begin.shape[:2]
            ports = np.flatnonzero(table.begin[c, :, lane] <= self._jacobian.network.n_nodes)
            law = table.law.reshape(n_chunks, n_ports, PORT_COLUMNS, WIDTH)[c, ports, :, lane]
            ends = table.begin[c, ports, lane], table.end[c, ports, lane]
            search = self._search(setting, *ends, law, None if known is None else known.search.factors)
            slope_pu = self._held.slope_pu.copy() if known is None else known.slope_pu
            known = self._lanes[slot] = _Lane(setting, search, ports, slope_pu)
        return known

    def _solve(self, lane: _Lane, share: Floats, tolerance_pu: float) -> bool:
        """Whether there is a way to the scenario's solution from the voltages in its room, with those held that
        generators hold by their vars in `share` (place,) of the circuit's own loads and units.
        """
        search, before = lane.search, None
        varies, place = self._jacobian.loads.varies, self._share_place
        for _ in range(_HELD_ROUNDS):
            search.equations.share[: len(place)] = np.where(varies, share[place], 1.0)
            if not search.find(_EXACT * tolerance_pu):
                return False
            before = self._held.correct(search.room.v, share, lane.slope_pu, tolerance_pu, before)
            if before is None:
                return True
        return False

    def _search(
        self, setting: Setting, begin: Ints, end: Ints, port_law: Floats, factors: LaneFactors | None
    ) -> LaneSearch:
        """The search for solutions of a setting with ports between places."""
        jacobian, e = self._jacobian, self._jacobian.elimination
        if setting not in self._y:
            self._y[setting] = _added_up(*jacobian.admittances(setting), e.n)
            if len(self._y) > _KEPT:
                self._y.popitem(last=False)
        row, column, y = self._y[setting]
        branches = self._branches(row, column, begin, end, port_law)
        equations = LaneEquations(
            e.lower_start,
            e.lower_column,
            e.lower_start[1:],
            np.zeros(1, dtype=np.int64),
            e.upper_start,
            e.upper_column,
            np.searchsorted(row, np.arange(e.n + 1)),
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
        sizes = len(y) + e.n + 4 * len(branches.begin), len(branches.entry_block), len(branches.begin)
        if sizes not in self._rooms:
            self._rooms[sizes] = NewtonRoom.of(e.n, *sizes)
        f = jacobian.factors(setting)
        shared = LaneFactors(f.lower, f.upper, f.diagonal, np.ones(1, dtype=np.int64))
        return LaneSearch(equations, shared, self._rooms[sizes], jacobian.start, factors)

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


def _pairs(values: Complexes) -> Floats:
    return np.stack([values.real, values.imag], axis=-1)


def _complex(pairs: Floats) -> Complexes:
    return pairs[:, 0] + 1j * pairs[:, 1]


def _branch_laws(port_laws: Floats) -> Floats:
    """Laws (branch, column) of one watt from those of ports."""
    law = np.zeros((len(port_laws), N_COLUMNS))
    least, most, low, below, at_0, slope, above = port_laws.T
    law[:, CP], law[:, EDGE_LOW], law[:, EDGE_MIN], law[:, EDGE_MAX] = 1.0, low, np.sqrt(least), np.sqrt(most)
    law[:, Y_BELOW], law[:, CURRENT_AT_0], law[:, CURRENT_SLOPE], law[:, Y_ABOVE] = below, at_0, slope, above
    return law
