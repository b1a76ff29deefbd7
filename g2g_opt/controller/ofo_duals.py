"""Voltage multipliers of OFO (4.1) and what they ask of a site (4.2), over all bus-phases; scenarios innermost."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True, error_model="numpy")
def update_voltage_duals(
    dual_low: Floats, dual_high: Floats, voltage_pu: Floats, rows: Ints, step_size: float, v_min: float, v_max: float
) -> None:
    """lambda <- [lambda + rho_v (distance outside the band)]+ for both limits, in place (4.1).

    The multipliers have shape (bus-phase, scenario); their voltages (pu) are rows `rows` of `voltage_pu`.
    """
    for i in range(len(rows)):
        row = rows[i]
        for s in range(dual_low.shape[1]):
            v = voltage_pu[row, s]
            dual_low[i, s] = max(dual_low[i, s] + step_size * (v_min - v), 0.0)
            dual_high[i, s] = max(dual_high[i, s] + step_size * (v - v_max), 0.0)


@njit(cache=True, error_model="numpy")
def voltage_pull(dual_low: Floats, dual_high: Floats, slopes: Floats, column: Ints, pull: Floats) -> None:
    """(lambda_hi - lambda_lo)' H of every site (4.2) into `pull` (3, site).

    `slopes` dv/dp (pu/kW) have shape (bus-phase, 3, site); `column[site]` is the scenario whose multipliers it obeys.
    """
    pull[:] = 0.0
    n_sites = len(column)
    straight = True
    for r in range(n_sites):
        straight = straight and column[r] == r
    difference = np.empty(n_sites)
    for i in range(len(dual_low)):
        # Most voltages are inside the band most of the time, and have no multiplier.
        largest = 0.0
        if straight:
            for r in range(n_sites):
                difference[r] = dual_high[i, r] - dual_low[i, r]
        else:
            for r in range(n_sites):
                difference[r] = dual_high[i, column[r]] - dual_low[i, column[r]]
        for r in range(n_sites):
            largest = max(largest, abs(difference[r]))
        if largest == 0.0:
            continue
        for phase in range(3):
            for r in range(n_sites):
                pull[phase, r] += difference[r] * slopes[i, phase, r]
