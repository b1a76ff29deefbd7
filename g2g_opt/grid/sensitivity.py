"""Slopes of voltages against a site's power, measured by perturbing the circuit (formulations 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.circuit import Circuit

Floats = NDArray[np.float64]


def measure_slopes(
    circuit: Circuit, injections: Sequence[int], tan_phi: float, perturbation_kw: float, columns: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Finite differences of +dP kW and +dP tan(phi) kvar at each injection, around the present powers.

    Returns dv/dp (pu/kW), shape (len(columns), len(injections)), and the voltages (pu) at the base point. The
    circuit is left solved at the base point. Raises `PowerFlowError` if a perturbed circuit does not converge.
    """
    base_v = circuit.node_base_v[columns]

    def solved_pu() -> Floats:
        circuit.solve()
        return np.abs(circuit.node_voltages()[columns]) / base_v

    v0 = solved_pu()
    slopes = np.empty((len(columns), len(injections)))
    for j, place in enumerate(injections):
        kw, kvar = float(circuit.injection_kw[place]), float(circuit.injection_kvar[place])
        circuit.edit_injection(place, kw + perturbation_kw, kvar + perturbation_kw * tan_phi)
        slopes[:, j] = (solved_pu() - v0) / perturbation_kw
        circuit.edit_injection(place, kw, kvar)
    circuit.solve()
    return slopes, v0
