"""The constant matrix of the batch power flow: admittances plus the slopes of the circuit's own loads, factorised."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import kernel_tables as tables
from g2g_opt.batch.elimination import Elimination
from g2g_opt.batch.factorization import (
    Factors,
    eliminate_leading,
    solve_columns,
)
from g2g_opt.batch.load_law import (
    CI,
    EDGE_LOW,
    EDGE_MAX,
    EDGE_MIN,
    MIN_SQUARED,
    N_SERIES,
    SPECIAL,
    admittance,
    law_jacobian,
    window_series,
)
from g2g_opt.batch.moving_elements import MovingElements, Setting
from g2g_opt.batch.moving_factors import MovingFactors
from g2g_opt.batch.network import Network
from g2g_opt.batch.reach_kernel import farthest
from g2g_opt.compiled.lanes import WIDTH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# An ampere's reach is worked out at one setting; between a regulator's ends it grows by (1.1 / 0.9)^2 at most.
_REACH_MARGIN = 1.5
# Settings whose factors are kept; about 70 kB each on the 123-bus feeder.
_KEPT = 1024
_CONSTANT_POWER = 1  # OpenDSS's model
# Right-hand sides solved for at once.
_COLUMNS = 64
# Share of its rated voltage, or of its own, at which a branch is rated for another bus.
_FAR = 0.5
# A law is taken on both sides of its window's edge, this share away; it jumps there if its current does.
_AT_EDGE, _JUMP_SHARE = 1e-9, 1e-6


class Jacobian:
    """Matrix blocks, elimination pattern and start of one network; factors by setting.

    `start` are the network's own node voltages (V) in elimination order, with ground (0 V) and one volt behind them;
    `start_remainder` (branch, 2) what the loads' slopes leave over there (A).
    """

    def __init__(self, network: Network, *, few_moving: bool = False) -> None:
        """`few_moving` where taps or banks will differ from scenario to scenario and move often (see `Elimination`)."""
        self.network = network
        alive = network.alive
        n = network.n_nodes
        kept = np.array(
            [
                alive[a] if b < 0 else alive[b] if a < 0 else alive[a] and alive[b]
                for a, b in zip(network.load_from, network.load_to, strict=True)
            ],
            dtype=np.bool_,
        ).reshape(-1)
        self._begin, self._end = network.load_from[kept], network.load_to[kept]
        self.load_places = np.flatnonzero(kept)
        self._law = np.ascontiguousarray(network.load_law[kept])
        grounded = np.append(network.start_v, 0.0)
        across = grounded[self._begin] - grounded[self._end]
        # Slopes at the rated voltage: a feeder is operated around it, wherever its compiled taps leave it. A load on a
        # conductor that no source serves stays where it is, and so does one that is rated for another voltage than its
        # bus has: it acts as an impedance there, and on a part without a path to ground nothing else may hold it.
        self._base = network.load_base_v[kept]
        unserved = np.append(network.judged.unserved, False)
        size = np.abs(across)
        stays = unserved[self._begin] | unserved[self._end] | (size < _FAR * self._base) | (_FAR * size > self._base)
        rated = np.where(stays, across, across / size * self._base)
        self._block = np.array([law_jacobian(law, v) for law, v in zip(self._law, rated, strict=True)]).reshape(-1, 4)
        # Of what a control steers the law is that of its rating, and the circuit begins with a share of it.
        share = network.first_shares[network.load_shape[kept]]
        drawn = np.array([admittance(law, abs(v)) * v for law, v in zip(self._law, across, strict=True)])
        left = _apply(self._block, across) - share * drawn
        self._drawn, self.start_remainder = (np.stack([i.real, i.imag], axis=-1).reshape(-1, 2) for i in (drawn, left))
        self.moving = MovingElements(network)
        fixed = self._fixed_entries()
        rows, columns, blocks = self._entries(*fixed)
        element, row, column, i, j = self._moving_entries()
        between = self._attachable()
        both = np.concatenate([rows, row, between[0]]), np.concatenate([columns, column, between[1]])
        self.elimination = Elimination.of(*both, n, self.moving.nodes, few_moving=few_moving)
        place = self.elimination.place
        self._place = np.append(place, n)  # -1 is ground
        # Loads stand in the order of the rows that they feed, which a pass over rows then reads one after the other.
        by_row = np.argsort(np.minimum(self._place[self._begin], self._place[self._end]), kind="stable")
        self._begin, self._end = self._begin[by_row], self._end[by_row]
        self.load_places, self._base = self.load_places[by_row], self._base[by_row]
        self._law, self._block = np.ascontiguousarray(self._law[by_row]), self._block[by_row]
        self._drawn, self.start_remainder = self._drawn[by_row], self.start_remainder[by_row]
        self.start = np.concatenate([np.where(alive, network.start_v, 0.0)[self.elimination.order], [0.0, 1.0]])
        self.pattern = self._pattern()
        self._leading = eliminate_leading(self.elimination, rows, columns, blocks)
        in_order = np.lexsort((place[column], place[row]))
        self._entry_column = place[column][in_order]
        first = self.elimination.first_moving
        entry_start = np.searchsorted(place[row][in_order], np.arange(first, n + 1))
        self._moving = self.moving.entries(element[in_order], i[in_order], j[in_order])
        self._moving_row = place[row][in_order]
        self.moving_factors = MovingFactors(
            self.elimination, self._leading, self.moving, self._moving, entry_start, self._entry_column
        )
        self._fixed = place[fixed[0]], place[fixed[1]], fixed[2]
        self._factors: OrderedDict[Setting, Factors] = OrderedDict()
        self._renewing = Lock()

    def places(self, nodes: Ints) -> Ints:
        """Places in elimination order of nodes; ground (-1) comes after the last."""
        return np.asarray(self._place[nodes])

    def _fixed_entries(self) -> tuple[Ints, Ints, NDArray[np.complex128]]:
        """Rows, columns (node numbers) and admittances (S) of what does not move; those of a place add up."""
        network, alive = self.network, self.network.alive
        none = np.zeros(0, dtype=np.int64)
        rows, columns, values = [none], [none], [np.zeros(0, dtype=np.complex128)]
        for element in network.fixed:
            nodes, yprim = element.nodes, element.yprim
            i, j = np.nonzero(yprim)
            real = (nodes[i] >= 0) & (nodes[j] >= 0)
            rows.append(nodes[i[real]])
            columns.append(nodes[j[real]])
            values.append(yprim[i[real], j[real]])
        row, column, y = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
        connected = alive[row] & alive[column]
        return row[connected], column[connected], y[connected]

    def _attachable(self) -> tuple[Ints, Ints]:
        """Pairs of nodes that something may be attached between, which Newton's matrix has entries for."""
        index = {node: i for i, node in enumerate(self.network.nodes)}
        pairs = [
            (index[bus.name, a], index[bus.name, b])
            for bus in self.network.buses.values()
            for a, b in bus.judged_pairs()
            if b and (bus.name, a) in index and (bus.name, b) in index
        ]
        row, column = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        both = self.network.alive[row] & self.network.alive[column]
        return row[both], column[both]

    def _entries(self, row: Ints, column: Ints, y: NDArray[np.complex128]) -> tuple[Ints, Ints, Floats]:
        """Rows, columns (node numbers) and blocks (entry, 4) of all that does not move; blocks of one place add up."""
        blocks = np.stack([y.real, -y.imag, y.imag, y.real], axis=-1)
        parts = [(row, column, blocks)]
        for a, b, sign in (
            (self._begin, self._begin, 1.0),
            (self._end, self._end, 1.0),
            (self._begin, self._end, -1.0),
            (self._end, self._begin, -1.0),
        ):
            real = (a >= 0) & (b >= 0)
            parts.append((a[real], b[real], sign * self._block[real]))
        dead = np.flatnonzero(~self.network.alive)
        parts.append((dead, dead, np.tile([1.0, 0.0, 0.0, 1.0], (len(dead), 1))))
        r, c, v = (np.concatenate([part[k] for part in parts]) for k in range(3))
        return r, c, v

    def _moving_entries(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """Element, row and column (node numbers) of every moving entry, and its row and column in the element."""
        alive, found = self.network.alive, [np.zeros((5, 0), dtype=np.int64)]
        for k, element in enumerate(self.moving.elements):
            nodes = element.nodes
            i, j = np.nonzero(np.any(self.moving.coefficients(k) != 0.0, axis=0))
            real = (nodes[i] >= 0) & (nodes[j] >= 0)
            i, j = i[real], j[real]
            connected = alive[nodes[i]] & alive[nodes[j]]
            i, j = i[connected], j[connected]
            found.append(np.array([np.full(len(i), k), nodes[i], nodes[j], i, j]))
        element_of, row, column, i, j = np.concatenate(found, axis=1)
        return element_of, row, column, i, j

    def _pattern(self) -> tables.Pattern:
        e, network = self.elimination, self.network
        n = network.n_nodes
        at = np.concatenate([self.places(self._begin), self.places(self._end)])
        branch = np.tile(np.arange(len(self._begin)), 2)
        sign = np.repeat([1.0, -1.0], len(self._begin))
        order = np.argsort(at, kind="stable")
        order = order[at[order] < n]
        source = np.where(network.alive, network.source_a, 0.0)[e.order]
        base = network.judged.base_v[e.order]
        return tables.Pattern(
            e.lower_start,
            2 * WIDTH * e.lower_column,
            e.upper_start,
            2 * WIDTH * e.upper_column,
            np.searchsorted(at[order], np.arange(n + 1)),
            2 * WIDTH * branch[order],
            sign[order],
            np.stack([source.real, source.imag], axis=-1).reshape(-1),
            e.order,
            np.where(np.isfinite(base), 1.0 / np.where(np.isfinite(base), base, 1.0), 0.0),
            2 * WIDTH * self.places(network.judged.reference[e.order]),
            e.first_moving,
            e.split,
            e.moving_start,
        )

    def factors(self, setting: Setting) -> Factors:
        """Factors at a setting; the latest are kept."""
        with self._renewing:
            return self._kept_factors(setting)

    def _kept_factors(self, setting: Setting) -> Factors:
        found = self._factors.get(setting)
        if found is None:
            e, leading = self.elimination, self._leading
            moving = self.moving_factors.at(setting)
            found = Factors(leading.lower.copy(), leading.upper.copy(), leading.diagonal.copy())
            for r, i in enumerate(range(e.first_moving, e.n)):
                own = moving.lower[e.moving_start[r] : e.moving_start[r + 1]]
                found.lower[e.split[i] : e.split[i] + len(own)] = own
            found.upper[e.upper_start[e.first_moving] :] = moving.upper
            found.diagonal[e.first_moving :] = moving.diagonal
            self._factors[setting] = found
            if len(self._factors) > _KEPT:
                self._factors.popitem(last=False)
        self._factors.move_to_end(setting)
        return found

    def admittances(self, setting: Setting) -> tuple[Ints, Ints, NDArray[np.complex128]]:
        """Rows, columns (places) and admittances (S) of all linear elements at a setting; those of a place add up."""
        moving = self._moving
        monomials = self.moving.monomials(setting)[moving.element]
        y = (moving.coefficient * monomials).sum(axis=1)
        row, column, fixed_y = self._fixed
        return (
            np.concatenate([row, self._moving_row]),
            np.concatenate([column, self._entry_column]),
            np.concatenate([fixed_y, y]),
        )

    # Responses are taken at the circuit's own setting, whatever that of the scenarios: they steer the iteration only,
    # and what a scenario gets must not depend on its neighbours.

    def responses(self, begin: Ints, end: Ints) -> Floats:
        """Voltages (V) of every place to one real and one imaginary ampere drawn from `end` into `begin` places.

        Shape (place, 2, branch, 2): [.., 0] are the answers to the real ampere, [.., 1] to the imaginary one.
        """
        e, n, factors = self.elimination, self.network.n_nodes, self.factors(Setting())
        x = np.zeros((n + 2, 2, len(begin), 2))
        for part in (0, 1):
            x[begin, part, np.arange(len(begin)), part] += 1.0
            x[end, part, np.arange(len(begin)), part] -= 1.0
        x[n:] = 0.0
        flat = np.ascontiguousarray(x[:n].reshape(n, 2, -1))
        starts = (e.lower_start, e.lower_column, e.upper_start, e.upper_column)
        solve_columns(*starts, factors.lower, factors.upper, factors.diagonal, flat)
        x[:n] = flat.reshape(n, 2, len(begin), 2)
        return x

    def reach_pu_per_a(self, begin: Ints, end: Ints) -> Floats:
        """How far an ampere between two places moves any node's voltage at most (pu), shape (branch, 3).

        The nodes are taken in three groups by phase, since an ampere moves its own phase two or three times farther;
        conductors that no source serves are of no account.
        """
        phase = np.array([phase for _, phase in self.network.nodes])[self.elimination.order]
        counted = ~self.network.judged.unserved[self.elimination.order]
        other, scale = self.pattern.reference // (2 * WIDTH), self.pattern.inverse_base * counted
        reach = np.zeros((len(begin), 3))
        for first in range(0, len(begin), _COLUMNS):
            part = slice(first, first + _COLUMNS)
            farthest(self.responses(begin[part], end[part]), other, scale, phase % 3, reach[part])
        return _REACH_MARGIN * reach

    @property
    def load_ends(self) -> tuple[Ints, Ints]:
        """Places of both ends of the circuit's own load branches in `loads`."""
        return self.places(self._begin), self.places(self._end)

    @property
    def laws(self) -> Floats:
        """Laws of the circuit's own load branches in `loads`, shape (branch, column)."""
        return self._law

    @property
    def blocks(self) -> Floats:
        """Their slopes in the matrix, shape (branch, 4), S."""
        return self._block

    @cached_property
    def loads(self) -> tables.Loads:
        """The circuit's own loads for the tables."""
        begin, end = self.load_ends
        fitted = {
            law.tobytes(): window_series(law) for law in np.unique(self._law[self._law[:, SPECIAL] != 0.0], axis=0)
        }
        kept = [series for series in fitted.values() if series is not None]
        starts = {
            key: k * N_SERIES for k, key in enumerate(key for key, series in fitted.items() if series is not None)
        }
        series_at = np.array([starts.get(law.tobytes(), -1) for law in self._law], dtype=np.int64)
        law = self._law.copy()
        in_series = series_at >= 0
        law[in_series, MIN_SQUARED] = np.maximum(law[in_series, EDGE_MIN], law[in_series, EDGE_LOW]) ** 2
        reach = self.reach_pu_per_a(begin, end)
        return tables.Loads(
            2 * WIDTH * begin,
            2 * WIDTH * end,
            law.reshape(-1),
            np.any(self._law[:, CI : CI + 2] != 0.0, axis=1),
            self._block.reshape(-1),
            reach.reshape(-1),
            (self._law[:, SPECIAL] != 0.0) & (series_at < 0),
            series_at,
            np.concatenate(kept) if kept else np.zeros(0),
            self.network.load_models[self.load_places] == _CONSTANT_POWER,
            self.network.load_varies[self.load_places],
            WIDTH * self.network.load_shape[self.load_places],
            self._drawn.reshape(-1),
            1.0 / self._base,
            *self._jumps(reach),
        )

    def _jumps(self, reach: Floats) -> tuple[Ints, Floats, Floats]:
        """Branches whose law jumps at an edge of its window, the edge (pu), and how far the jump moves a node (pu)."""
        branch, edge_pu, reach_pu = [], [], []
        for b, law in enumerate(self._law):
            for edge in (law[EDGE_MIN], law[EDGE_MAX]):
                if not 0.0 < edge < np.inf:
                    continue
                inside, outside = (admittance(law, edge * (1.0 + by)) for by in (-_AT_EDGE, _AT_EDGE))
                jump_a = abs(inside - outside) * edge
                if jump_a > _JUMP_SHARE * abs(inside) * edge:
                    branch.append(b)
                    edge_pu.append(edge / self._base[b])
                    reach_pu.append(jump_a * reach[b] / _REACH_MARGIN)
        return np.array(branch, dtype=np.int64), np.array(edge_pu), np.array(reach_pu).reshape(-1)


def _apply(blocks: Floats, v: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Blocks (branch, 4) times complex voltages as pairs (re, im)."""
    re = blocks[:, 0] * v.real + blocks[:, 1] * v.imag
    im = blocks[:, 2] * v.real + blocks[:, 3] * v.imag
    return np.asarray(re + 1j * im)
