"""`Edges`: the voltages and loadings at which a run's times and depths are kept, and how they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.metrics.power_quality import UNBALANCE_EDGES

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]

LOW_EDGES_PU = (0.90, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97)
HIGH_EDGES_PU = (1.03, 1.04, 1.05, 1.06, 1.08, 1.10)
LOADING_EDGES_PU = (0.8, 1.0, 1.2, 1.5, 2.0)
# Points looked at in one go, so that a long run needs no second copy of its voltages.
_CHUNK_POINTS = 2048


@dataclass(frozen=True)
class Edges:
    """Voltages (pu), loadings (share of the normal rating) and unbalances (share) at which times are kept; rising."""

    low_pu: tuple[float, ...] = LOW_EDGES_PU
    high_pu: tuple[float, ...] = HIGH_EDGES_PU
    loading_pu: tuple[float, ...] = LOADING_EDGES_PU
    unbalance: tuple[float, ...] = UNBALANCE_EDGES

    def including(
        self, low_pu: float, high_pu: float, loading_pu: float | None, unbalance: Sequence[float] = ()
    ) -> Edges:
        """These edges and some more."""
        return Edges(
            tuple(sorted({*self.low_pu, low_pu})),
            tuple(sorted({*self.high_pu, high_pu})),
            tuple(sorted({*self.loading_pu, *(() if loading_pu is None else (loading_pu,))})),
            tuple(sorted({*self.unbalance, *unbalance})),
        )


def count_voltages(voltage_pu: Floats, edges: Edges) -> tuple[Counts, Floats, Floats]:
    """Points by class of the lowest and the highest voltage, and depths (pu) outside every edge."""
    low, high = np.array(edges.low_pu), np.array(edges.high_pu)
    lowest, highest = voltage_pu.min(axis=0), voltage_pu.max(axis=0)
    by_class = np.zeros((len(low) + 1, len(high) + 1), np.int32)
    classes = np.searchsorted(low, lowest, side="right"), np.searchsorted(high, highest, side="left")
    np.add.at(by_class, classes, 1)
    below, above = np.zeros(len(low)), np.zeros(len(high))
    for first in range(0, voltage_pu.shape[1], _CHUNK_POINTS):
        part = slice(first, first + _CHUNK_POINTS)
        for k in np.flatnonzero(low > lowest[part].min()):
            below[k] += np.maximum(low[k] - voltage_pu[:, part], 0.0).sum()
        for k in np.flatnonzero(high < highest[part].max()):
            above[k] += np.maximum(voltage_pu[:, part] - high[k], 0.0).sum()
    return by_class, below, above


def count_loadings(loading_pu: NDArray[np.floating], edges: Edges) -> tuple[Counts, Counts]:
    """Points in which every branch is above every edge, and points by class of the highest loading."""
    over = np.array([(loading_pu > edge).sum(axis=1) for edge in edges.loading_pu]).astype(np.int32)
    classes = np.sum([(loading_pu > edge).any(axis=0) for edge in edges.loading_pu], axis=0)
    n_classes = len(edges.loading_pu) + 1
    by_class = np.bincount(classes, minlength=n_classes) if len(loading_pu) else np.zeros(n_classes)
    return over.reshape(len(edges.loading_pu), len(loading_pu)), by_class.astype(np.int32)


def place_of(edges: Sequence[float], wanted: float) -> int | None:
    """The place of an edge; None if it is none."""
    return next((k for k, edge in enumerate(edges) if abs(edge - wanted) < 1e-12), None)


def edge_of(edges: Sequence[float], wanted: float, what: str) -> int:
    """The place of an edge; `InputError` if no figures were kept there."""
    place = place_of(edges, wanted)
    if place is None:
        raise InputError(f"no {what} figures were kept at {wanted:g} pu; kept: {list(map(float, edges))}")
    return place
