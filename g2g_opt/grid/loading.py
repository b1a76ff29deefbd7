"""Loading of lines and transformers from node voltages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.branches import read_admittance, read_branches
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch
from g2g_opt.limits import RatingBasis

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedRating:
    """What the loading of an element ("line.650632") is a share of: the rating (A) of each terminal that is judged.

    `conductor_shares` are those of the phase conductors over their terminal's; empty where they are alike.
    `emergency_share` is the first terminal's rating over its emergency rating; 0 where nobody stated one.
    """

    element: str
    terminal_a: tuple[float, ...]
    emergency_share: float
    conductor_shares: tuple[float, ...] = ()


def judged_ratings(branches: Sequence[Branch], basis: RatingBasis = "normal") -> tuple[JudgedRating, ...]:
    """Ratings on a basis of all elements for which somebody stated one (or a nameplate, which it follows from).

    A line's nameplate is its normal rating. `branches` are those of a feeder, read with `ask_stated`.
    """
    found = []
    for b in branches:
        rating_a = _rating_a(b, basis)
        if rating_a > 0.0:
            emergency_a = _rating_a(b, "emergency")
            found.append(
                JudgedRating(
                    f"{b.kind}.{b.name}",
                    tuple(rating_a * share for share in b.terminal_shares),
                    rating_a / emergency_a if emergency_a > 0.0 else 0.0,
                    b.emergency_conductor_shares if basis == "emergency" else b.conductor_shares,
                )
            )
    return tuple(found)


def _rating_a(branch: Branch, basis: RatingBasis) -> float:
    """Rating of a branch's first terminal (A); 0 where it has none, or one that nobody stated."""
    if basis == "emergency":
        return branch.emergency_a if branch.emergency_is_stated else 0.0
    if not branch.rating_is_stated:
        return 0.0
    return branch.rating_a / (branch.normal_over_nameplate if basis == "nameplate" else 1.0)


def rated_branches(
    branches: Sequence[Branch], ratings: Sequence[JudgedRating] | None = None
) -> list[tuple[Branch, JudgedRating]]:
    """Branches that carry current and have a judged rating; without `ratings`, the normal ones they have themselves."""
    of_element = {r.element: r for r in (judged_ratings(branches) if ratings is None else ratings)}
    pairs = ((b, of_element.get(f"{b.kind}.{b.name}")) for b in branches if b.closed and len(b.nodes))
    return [(b, rating) for b, rating in pairs if rating is not None]


def judged_conductors(branch: Branch, rating: JudgedRating) -> Iterator[tuple[int, float]]:
    """(place in the branch's nodes, rating in A) of every phase conductor that is judged."""
    for terminal, rating_a in enumerate(rating.terminal_a):
        for phase in range(branch.n_phases):
            share = rating.conductor_shares[phase] if rating.conductor_shares else 1.0
            yield terminal * branch.n_conductors + phase, rating_a * share


class BranchLoading:
    """Currents over ratings of all closed branches with a rating, for many solutions at once (equation 3.4).

    The loading of a branch is the largest of its phase conductors' currents over their ratings: of a line (and of
    whatever else has two ends) at the first end, of a transformer at all windings. Built from the branches' present
    admittances, so after a tap change it is `renewed`.
    """

    def __init__(self, branches: Sequence[Branch], ratings: Sequence[JudgedRating] | None = None) -> None:
        rated = rated_branches(branches, ratings)
        self.names = [rating.element for _, rating in rated]
        self.emergency_share = np.array([rating.emergency_share for _, rating in rated])
        width = max((len(b.nodes) for b, _ in rated), default=1)
        rows = [
            (branch, place, rating_a)
            for branch, (b, rating) in enumerate(rated)
            for place, rating_a in judged_conductors(b, rating)
        ]
        self._rows = [(rated[branch][1].element, place) for branch, place, _ in rows]
        # One row per phase conductor, padded with ground (place 0 of the extended voltage vector).
        self._node = np.zeros((len(rows), width), dtype=np.int64)
        self._admittance = np.zeros((len(rows), width), dtype=np.complex128)
        for row, (branch, place, _) in enumerate(rows):
            b = rated[branch][0]
            self._node[row, : len(b.nodes)] = b.nodes + 1
            self._admittance[row, : len(b.nodes)] = b.yprim[place]
        self._row_rating_a = np.array([rating_a for _, _, rating_a in rows])
        self._row_node = np.array([int(rated[branch][0].nodes[place]) for branch, place, _ in rows], dtype=np.int64)
        branch_of_row = np.array([branch for branch, _, _ in rows], dtype=np.int64)
        self._first_row = np.flatnonzero(np.diff(branch_of_row, prepend=-1))

    @staticmethod
    def of(circuit: Circuit, ratings: Sequence[JudgedRating] | None = None) -> BranchLoading:
        """Those of a circuit at its present taps."""
        return BranchLoading(read_branches(circuit, ask_stated=ratings is None), ratings)

    def renewed(self, circuit: Circuit, moved: Collection[str]) -> BranchLoading:
        """The same with the present admittances of elements whose taps may have `moved` ("transformer.reg1")."""
        found = copy(self)
        found._admittance = self._admittance.copy()
        yprim = {
            name: read_admittance(circuit, name) for name in dict.fromkeys(e for e, _ in self._rows) if name in moved
        }
        for row, (element, place) in enumerate(self._rows):
            if element in yprim:
                found._admittance[row, : len(yprim[element])] = yprim[element][place]
        return found

    def conductor_loading_pu(self, phasors: Complexes) -> Floats:
        """Share of the rating on every judged conductor, shape (step, row), for phasors (V), (step, node)."""
        if not self.names:
            return np.zeros((len(phasors), 0))
        extended = np.concatenate([np.zeros((len(phasors), 1)), phasors], axis=1)
        conductor_a = np.abs(np.einsum("srw,rw->sr", extended[:, self._node], self._admittance))
        return np.asarray(conductor_a / self._row_rating_a)

    def loading_pu(self, conductor_pu: Floats) -> Floats:
        """Loading of every branch, shape (step, branch): that of its heaviest loaded conductor (step, row)."""
        if not self.names:
            return conductor_pu
        return np.asarray(np.maximum.reduceat(conductor_pu, self._first_row, axis=1))

    def heaviest_nodes(self, row_pu: Floats) -> NDArray[np.int64]:
        """Node (place in the circuit's order; -1 ground) of every branch's heaviest row, by loadings (row,)."""
        ends = np.append(self._first_row, len(row_pu))[1:]
        rows = [first + int(row_pu[first:end].argmax()) for first, end in zip(self._first_row, ends, strict=True)]
        return self._row_node[np.array(rows, dtype=np.int64)]
