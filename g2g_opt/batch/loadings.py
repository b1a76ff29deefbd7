"""Loadings of lines and transformers in a batch: admittance rows of every rated branch, by tap setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import kernel_tables as tables
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.moving_elements import Setting, entry_values
from g2g_opt.batch.network import TappedWinding
from g2g_opt.compiled.lanes import WIDTH, aligned
from g2g_opt.grid.loading import JudgedRating, judged_conductors, rated_branches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Loadings:
    """Rated, closed branches as `grid.loading.BranchLoading` has them: largest share of a phase conductor's rating.

    A conductor's current is the sum of its entries' admittances times voltages. `coefficients` are the admittances
    (entry, 2) in S at a setting, `moving_entries` the entries that move.
    """

    def __init__(self, jacobian: Jacobian, ratings: Sequence[JudgedRating] | None = None) -> None:
        network, self._moving = jacobian.network, jacobian.moving
        rated = rated_branches(network.branches, ratings)
        self.names = tuple(rating.element for _, rating in rated)
        self.emergency_share = np.array([rating.emergency_share for _, rating in rated])
        phases = [phase for _, phase in network.nodes]
        tapped = {
            (element.kind, element.element): k
            for k, element in enumerate(self._moving.elements)
            if isinstance(element, TappedWinding)
        }
        phase: list[float] = []
        branch_start, row_start, first_moving = [0], [0], []
        node: list[int] = []
        values: list[complex] = []
        moving: list[tuple[int, int, int]] = []
        moving_scale: list[float] = []
        self._moving_places: list[int] = []
        # A conductor's admittances are taken in proportion to its terminal's rating, so that one rating does for all.
        for b, rating in rated:
            winding = tapped.get((b.kind, b.name))
            first_moving.append(-1 if winding is None else len(moving))
            for conductor, rating_a in judged_conductors(b, rating):
                scale = rating.terminal_a[0] / rating_a
                phase.append(float(phases[b.nodes[conductor]] if b.nodes[conductor] >= 0 else 0))
                entries = [k for k in range(len(b.nodes)) if b.nodes[k] >= 0 and b.yprim[conductor, k] != 0.0]
                if winding is not None:
                    self._moving_places += range(len(node), len(node) + len(entries))
                    moving += [(winding, conductor, k) for k in entries]
                    moving_scale += [scale] * len(entries)
                node += [int(b.nodes[k]) for k in entries]
                values += [scale * complex(b.yprim[conductor, k]) for k in entries]
                row_start.append(len(node))
            branch_start.append(len(row_start) - 1)
        self._y = np.array(values, dtype=np.complex128)
        element, row, column = np.array(moving, dtype=np.int64).reshape(-1, 3).T
        in_siemens = self._moving.entries(element, row, column)
        self.moving_entries = in_siemens._replace(coefficient=in_siemens.coefficient * np.array(moving_scale)[:, None])
        self._phase = np.array(phase)
        self._branch_start = np.array(branch_start, dtype=np.int64)
        self._row_start = np.array(row_start, dtype=np.int64)
        self._first_moving = np.array(first_moving, dtype=np.int64)
        self._node = 2 * WIDTH * jacobian.places(np.array(node, dtype=np.int64))
        self._inverse_rating = np.array([1.0 / rating.terminal_a[0] for _, rating in rated])

    def coefficients(self, setting: Setting) -> Floats:
        """Admittances (entry, 2) at a setting."""
        y = np.stack([self._y.real, self._y.imag], axis=-1)
        y[self._moving_places] = entry_values(self.moving_entries, self._moving.monomials(setting))
        return y

    def table(self, shared: Sequence[Setting], n_mixed: int) -> tables.Ratings:
        """For the kernel: coefficients of every shared setting, and room for chunks with one setting for each lane."""
        n, of_shared = 2 * len(self._y), [self.coefficients(setting).reshape(-1) for setting in shared]
        return tables.Ratings(
            self._branch_start,
            self._row_start,
            self._node,
            self._inverse_rating,
            self._phase,
            self._first_moving,
            np.array(of_shared).reshape(len(of_shared), n),
            aligned(n_mixed, 2 * len(self._moving_places) * WIDTH),
        )


def no_ratings() -> tables.Ratings:
    """A table of no branches."""
    start, none = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    empty = np.zeros((0, 0))
    return tables.Ratings(start, start, none, np.zeros(0), np.zeros(0), none, empty, empty)
