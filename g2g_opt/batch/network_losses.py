"""`NetworkLosses`: what lines, transformers and all else but sources take up, at voltages of many scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.network import Network
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import WIDTH, fma, load, spread, store
from g2g_opt.compiled.records import Complexes1, Ints1, Ints2

# Elements whose real power is no loss.
_SOURCES = frozenset({"vsource", "isource"})


class LossTerms(NamedTuple):
    """Admittances `y` (S) from node `row` to node `column`, those of a group from its `start` on.

    They count times the inverses of two ratios, the `factors` of the group; 0 is none.
    """

    start: Ints1  # (group + 1,)
    row: Ints1
    column: Ints1
    y: Complexes1
    factors: Ints2  # (group, 2)


@inner
def losses_w(t: LossTerms, v: Any, inverse: Any, watts: Any) -> None:
    """`watts` (scenario,) at voltages (node, 2, scenario), V, and inverses of ratios (1 + regulator, scenario)."""
    n = len(watts)
    for first in range(0, n, WIDTH):
        total = spread(0.0)
        for group in range(len(t.factors)):
            of_group = spread(0.0)
            for entry in range(t.start[group], t.start[group + 1]):
                y, i, j = t.y[entry], 2 * n * t.row[entry] + first, 2 * n * t.column[entry] + first
                g, b, re, im = spread(y.real), spread(y.imag), load(v, j), load(v, j + n)
                current_re, current_im = fma(g, re, spread(0.0) - b * im), fma(g, im, b * re)
                of_group = fma(load(v, i), current_re, fma(load(v, i + n), current_im, of_group))
            one, other = n * t.factors[group, 0] + first, n * t.factors[group, 1] + first
            total = fma(of_group, load(inverse, one) * load(inverse, other), total)
        store(watts, first, total)


class NetworkLosses:
    """Real power that lines, transformers and all else but sources take up, as OpenDSS's Circuit.Losses: its `terms`,
    which `losses_w` adds up.
    """

    def __init__(self, network: Network) -> None:
        place = {name: 1 + k for k, name in enumerate(network.start_taps)}
        groups: dict[tuple[int, int, int], dict[tuple[int, int], complex]] = {(0, 0, 0): {}}

        def add(group: tuple[int, int, int], nodes: NDArray[np.int64], y: NDArray[np.complex128]) -> None:
            of_group: dict[tuple[int, int], complex] = groups.setdefault(group, {})
            for i, j in zip(*np.nonzero(y), strict=True):
                at = int(nodes[i]), int(nodes[j])
                if min(at) >= 0:
                    of_group[at] = of_group.get(at, 0.0) + complex(y[i, j])

        for element in (*network.fixed, *network.capacitors):
            if element.kind not in _SOURCES:
                add((0, 0, 0), element.nodes, element.yprim)
        for k, winding in enumerate(network.tapped, 1):
            of = [place[name] for name in winding.regulators]
            pairs = [(0, 0), *((0, one) for one in of), *((a, b) for k, a in enumerate(of) for b in of[k:])]
            for pair, coefficients in zip(pairs, winding.c, strict=True):
                add((k if any(pair) else 0, *pair), winding.nodes, coefficients)
        self.terms = _terms(groups)


def _terms(groups: Mapping[tuple[int, int, int], Mapping[tuple[int, int], complex]]) -> LossTerms:
    entries = [(*at, y) for of_group in groups.values() for at, y in of_group.items()]
    return LossTerms(
        np.cumsum([0, *(len(of_group) for of_group in groups.values())]),
        np.array([row for row, _, _ in entries], dtype=np.int64),
        np.array([column for _, column, _ in entries], dtype=np.int64),
        np.array([y for _, _, y in entries], dtype=np.complex128),
        np.array([factors for _, *factors in groups], dtype=np.int64),
    )
