"""`NetworkLosses`: what lines, transformers and all else but sources take up, at voltages of many scenarios."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix

from g2g_opt.batch.network import Network

Floats = NDArray[np.float64]

# Elements whose real power is no loss.
_SOURCES = frozenset({"vsource", "isource"})


class NetworkLosses:
    """Real power (kW) that lines, transformers and all else but sources take up, as OpenDSS's Circuit.Losses."""

    def __init__(self, network: Network) -> None:
        rows, columns, values = [], [], []
        for element in (*network.fixed, *network.capacitors):
            if element.kind in _SOURCES:
                continue
            i, j = np.nonzero(element.yprim)
            real = (element.nodes[i] >= 0) & (element.nodes[j] >= 0)
            rows.append(element.nodes[i[real]])
            columns.append(element.nodes[j[real]])
            values.append(element.yprim[i[real], j[real]])
        n = network.n_nodes
        self._fixed = csr_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
        )
        # Windings one below the other: a coefficient matrix for each monomial of their ratios, and whose ratios (0: 1)
        # it is the product of.
        tapped = network.tapped
        n_monomials = max((len(winding.c) for winding in tapped), default=0)
        self._nodes = np.concatenate([winding.nodes for winding in tapped]) if tapped else np.zeros(0, dtype=np.int64)
        self._first = np.cumsum([0, *(len(winding.nodes) for winding in tapped)][:-1])
        self._coefficients = [
            block_diag([_padded(winding.c, k) for winding in tapped], format="csr") for k in range(n_monomials)
        ]
        place = {name: 1 + k for k, name in enumerate(network.start_taps)}
        self._factors = np.zeros((n_monomials, 2, len(tapped)), dtype=np.int64)
        for w, winding in enumerate(tapped):
            of = [place[name] for name in winding.regulators]
            pairs = [(0, 0), *((0, one) for one in of), *((a, b) for k, a in enumerate(of) for b in of[k:])]
            self._factors[: len(pairs), :, w] = pairs

    def kw(self, v: NDArray[np.complex128], taps_pu: Floats) -> Floats:
        """Losses (scenario,) at node voltages (node, scenario) and taps (regulator, scenario)."""
        watts = _real_power(v, self._fixed @ v).sum(axis=0)
        if len(self._nodes):
            grounded = np.concatenate([v, np.zeros((1, v.shape[1]))])
            own = grounded[self._nodes]
            inverse = np.concatenate([np.ones((1, v.shape[1])), 1.0 / taps_pu])
            for c, (a, b) in zip(self._coefficients, self._factors, strict=True):
                of_winding = np.add.reduceat(_real_power(own, c @ own), self._first, axis=0)
                watts += (of_winding * inverse[a] * inverse[b]).sum(axis=0)
        return np.asarray(watts / 1e3)


def _padded(coefficients: NDArray[np.complex128], k: int) -> NDArray[np.complex128]:
    """The k-th matrix of coefficients, nothing where there are fewer."""
    return coefficients[k] if k < len(coefficients) else np.zeros_like(coefficients[0])


def _real_power(v: NDArray[np.complex128], current: NDArray[np.complex128]) -> Floats:
    """Of currents that flow into nodes, W."""
    return np.asarray(v.real * current.real + v.imag * current.imag)
