"""Elements whose admittances differ from scenario to scenario: tapped windings and capacitor banks.

Their admittances are sums of monomials of what moves: 1, 1 / t and products of two of them for a winding with tap
ratios t, and 1 or 0 for a bank that is on or off. All scenarios share the coefficients; a scenario is a small matrix of
monomials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.network import Network, TappedWinding
from g2g_opt.circuit.parts import LinearElement
from g2g_opt.errors import unknown_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class Setting:
    """Taps (regulator, ratio in pu; those left out as compiled), capacitors that are switched off, and those that the
    circuit was compiled without and are switched on.
    """

    taps: tuple[tuple[str, float], ...] = ()
    open_capacitors: tuple[str, ...] = ()
    closed_capacitors: tuple[str, ...] = ()


class Entries(NamedTuple):
    """Entries of a matrix that move: the element of each, and its coefficients (entry, monomial), S."""

    element: Ints
    coefficient: Complexes


NO_ENTRIES = Entries(np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.complex128))


class MovingElements:
    """The moving elements of a network, banks first, and what they are made of.

    `nodes` are all nodes they touch. Raises `InputError` for a setting that names what the network has not.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._banks = (*network.capacitors, *network.banks_off.values())
        self._begins_on = np.array([1.0] * len(network.capacitors) + [0.0] * len(network.banks_off))
        self._bank_row = {bank.name: k for k, bank in enumerate(self._banks)}
        self.elements: tuple[LinearElement | TappedWinding, ...] = (*self._banks, *network.tapped)
        self._regulators = tuple(network.start_taps)
        place = {name: k for k, name in enumerate(self._regulators)}
        self._start = np.array([network.start_taps[name] for name in self._regulators])
        self._place = place
        most = max((len(winding.regulators) for winding in network.tapped), default=0)
        self.n_monomials = 1 + most + most * (most + 1) // 2
        # Row and column of every 1 / t and of every product of two of them, and whose they are.
        single: list[tuple[int, int, int]] = []
        double: list[tuple[int, int, int, int]] = []
        for row, winding in enumerate(network.tapped, len(self._banks)):
            of = [place[name] for name in winding.regulators]
            single += [(row, 1 + k, changer) for k, changer in enumerate(of)]
            both = [(a, b) for k, a in enumerate(of) for b in of[k:]]
            double += [(row, 1 + len(of) + k, a, b) for k, (a, b) in enumerate(both)]
        self._single = np.ascontiguousarray(np.array(single, dtype=np.int64).reshape(-1, 3).T)
        self._double = np.ascontiguousarray(np.array(double, dtype=np.int64).reshape(-1, 4).T)
        touched = {int(node) for element in self.elements for node in element.nodes if node >= 0}
        self.nodes = np.array(sorted(touched), dtype=np.int64)

    def coefficients(self, element: int) -> Complexes:
        """Coefficients (monomial, row, column) of an element's admittances, of its first monomials alone."""
        found = self.elements[element]
        return found.c if isinstance(found, TappedWinding) else found.yprim[None]

    def entries(self, element: Ints, row: Ints, column: Ints) -> Entries:
        """Entries (row, column) of the elements' admittances."""
        coefficient = np.zeros((len(element), self.n_monomials), dtype=np.complex128)
        for k, (e, i, j) in enumerate(zip(element.tolist(), row.tolist(), column.tolist(), strict=True)):
            c = self.coefficients(e)
            coefficient[k, : len(c)] = c[:, i, j]
        return Entries(np.ascontiguousarray(element), coefficient)

    @property
    def start(self) -> tuple[Floats, Floats]:
        """Ratios (regulator,) in pu and states (bank,), 1 or 0, as the circuit was compiled."""
        return self._start, self._begins_on

    @property
    def products(self) -> tuple[Ints, Ints]:
        """Row and column of every monomial that is the inverse of a ratio, and whose (3, ..); and of every product of
        two of them, and whose (4, ..).
        """
        return self._single, self._double

    def places(self, regulators: Iterable[str]) -> list[int]:
        """Places of regulators among all."""
        return [self._place[name] for name in regulators]

    def bank_places(self, banks: Iterable[str]) -> list[int]:
        """Places of capacitor banks among all."""
        return [self._bank_row[name] for name in banks]

    def monomials(self, setting: Setting) -> Floats:
        """Monomials (element, monomial) at a setting."""
        on, taps = self._begins_on.copy(), self._start.copy()
        for name, ratio in setting.taps:
            if name not in self._place:
                raise unknown_name("regulator", name, self._place, "in this network")
            taps[self._place[name]] = ratio
        for names, state in ((setting.open_capacitors, 0.0), (setting.closed_capacitors, 1.0)):
            for name in names:
                if name not in self._bank_row:
                    raise unknown_name("capacitor", name, self._bank_row, "in this network")
                on[self._bank_row[name]] = state
        return np.asarray(self.monomials_at(taps[None], on[None])[0])

    def monomials_at(self, taps: Floats, on: Floats) -> Floats:
        """Monomials (scenario, element, monomial) at `taps` (scenario, regulator), ratios in pu, and with banks `on`
        (scenario, bank), 1 or 0.
        """
        found = np.zeros((len(taps), len(self.elements), self.n_monomials))
        n_banks = on.shape[1]
        found[:, :n_banks, 0], found[:, n_banks:, 0] = on, 1.0
        inverse = 1.0 / taps
        row, column, a = self._single
        found[:, row, column] = inverse[:, a]
        row, column, a, b = self._double
        found[:, row, column] = inverse[:, a] * inverse[:, b]
        return found


def entry_values(entries: Entries, monomials: Floats) -> Floats:
    """Entries (.., entry, 2) in S, real and imaginary parts, at scenarios' monomials (.., element, monomial)."""
    y = (entries.coefficient * monomials[..., entries.element, :]).sum(axis=-1)
    return np.stack([y.real, y.imag], axis=-1)
