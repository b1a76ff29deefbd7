"""Loadings of lines and transformers in a batch: admittance rows of every rated branch, by tap setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import kernel_tables as tables
from g2g_opt.batch.jacobian import Jacobian, Setting
from g2g_opt.batch.lanes import WIDTH
from g2g_opt.batch.network import TappedWinding
from g2g_opt.grid.loading import JudgedRating, judged_conductors, rated_branches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Loadings:
    """Rated, closed branches as `grid.loading.BranchLoading` has them: largest share of a phase conductor's rating.

    A conductor's current is the sum of its entries' admittances times voltages. `coefficients(setting)` are the
    admittances (entry, 2) in S at a tap setting.
    """

    def __init__(self, jacobian: Jacobian, ratings: Sequence[JudgedRating] | None = None) -> None:
        network = jacobian.network
        rated = rated_branches(network.branches, ratings)
        self.names = tuple(rating.element for _, rating in rated)
        self.emergency_share = np.array([rating.emergency_share for _, rating in rated])
        phases = [phase for _, phase in network.nodes]
        self._phase: list[float] = []
        tapped = {(winding.kind, winding.element): winding for winding in network.tapped}
        branch_start, row_start = [0], [0]
        node: list[int] = []
        values: list[complex] = []
        # A conductor's admittances are taken in proportion to its terminal's rating, so that one rating does for all.
        self._tapped: list[tuple[TappedWinding, int, float, Ints, Ints]] = []
        for b, rating in rated:
            for conductor, rating_a in judged_conductors(b, rating):
                scale = rating.terminal_a[0] / rating_a
                self._phase.append(float(phases[b.nodes[conductor]] if b.nodes[conductor] >= 0 else 0))
                entries = [k for k in range(len(b.nodes)) if b.nodes[k] >= 0 and b.yprim[conductor, k] != 0.0]
                if (b.kind, b.name) in tapped:
                    winding, within = tapped[b.kind, b.name], np.array(entries, dtype=np.int64)
                    places = np.arange(len(node), len(node) + len(entries))
                    self._tapped.append((winding, conductor, scale, within, places))
                node += [int(b.nodes[k]) for k in entries]
                values += [scale * complex(b.yprim[conductor, k]) for k in entries]
                row_start.append(len(node))
            branch_start.append(len(row_start) - 1)
        self._y = np.array(values, dtype=np.complex128)
        self._start_taps = network.start_taps
        self._branch_start = np.array(branch_start, dtype=np.int64)
        self._row_start = np.array(row_start, dtype=np.int64)
        self._node = 2 * WIDTH * jacobian.places(np.array(node, dtype=np.int64))
        self._inverse_rating = np.array([1.0 / rating.terminal_a[0] for _, rating in rated])

    def coefficients(self, setting: Setting) -> Floats:
        """Admittances (entry, 2) at a setting."""
        y = self._y.copy()
        taps = {**self._start_taps, **dict(setting.taps)}
        for winding, conductor, scale, entries, places in self._tapped:
            y[places] = scale * winding.yprim(taps)[conductor, entries]
        return np.stack([y.real, y.imag], axis=-1)

    def table(self, shared: Sequence[Setting], mixed: Sequence[Sequence[Setting]]) -> tables.Ratings:
        """For the kernel: coefficients of every shared setting, and of chunks with one setting for each lane."""
        n = 2 * len(self._y)
        of_shared = [self.coefficients(setting).reshape(-1) for setting in shared]
        of_mixed = [np.stack([self.coefficients(s) for s in lanes], axis=-1).reshape(-1) for lanes in mixed]
        return tables.Ratings(
            self._branch_start,
            self._row_start,
            self._node,
            self._inverse_rating,
            np.array(self._phase),
            np.array(of_shared).reshape(len(of_shared), n),
            np.array(of_mixed).reshape(len(of_mixed), n * WIDTH),
        )


def no_ratings() -> tables.Ratings:
    """A table of no branches."""
    start, none = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return tables.Ratings(start, start, none, np.zeros(0), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))
