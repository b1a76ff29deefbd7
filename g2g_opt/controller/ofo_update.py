"""The update rules of OFO (4.1 to 4.3), compiled, for one site as for all sites of a batch.

Voltages come as (bus-phase, scenario), sites as places in the last axis, and models as rows: one for every model at
every site, with `site[row]` saying where it runs.
"""

from __future__ import annotations

from typing import NamedTuple

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


class OFORows(NamedTuple):
    """What the update needs to know of each row's model, arrays [row] unless said.

    Curve parameters (L, x0, k) of power (W per replica), latency (s) and throughput (tokens/s per replica) have shape
    (3, row); `throughput_max` is T_i(x_max). x is clipped to [`log2_low`, `log2_high`]. `sizes` (row, size) are the
    feasible batch sizes, `midpoints` (row, size - 1) lie between neighbours; both padded as in `FeasibleTable`.
    """

    site: Ints
    amplitude: Floats
    midpoint: Floats
    steepness: Floats
    throughput_max: Floats
    deadline_s: Floats
    log2_low: Floats
    log2_high: Floats
    sizes: Ints
    midpoints: Floats


class OFOTuning(NamedTuple):
    """Step sizes rho_x and rho_l, weights w_T and w_S, scale k_v."""

    primal_step_size: float
    latency_dual_step_size: float
    w_throughput: float
    w_switch: float
    voltage_gradient_scale: float


class OFOState(NamedTuple):
    """Latency multipliers and iterates, arrays [row], changed in place."""

    dual_latency: Floats
    x: Floats
    x_previous: Floats


@njit(cache=True, error_model="numpy")
def update_batches(
    state: OFOState,
    pull: Floats,
    servers: Floats | Ints,
    replicas: Floats | Ints,
    itl_s: Floats,
    rows: OFORows,
    tuning: OFOTuning,
    batch: Ints,
) -> None:
    """Latency multipliers (4.1), gradient (4.2), primal step and nearest feasible batch size (4.3), in place.

    `pull` (3, site) is that of `voltage_pull`; `servers` (row, 3) are server counts, or shares, by phase (even shares
    where there are none); `replicas`, `itl_s` (s) and `batch`, which is written, are arrays [row]. A latency that is
    NaN (no replicas) leaves its multiplier.
    """
    slope = np.empty(3)
    for r in range(len(state.x)):
        if not np.isnan(itl_s[r]):
            excess = tuning.latency_dual_step_size * (itl_s[r] - rows.deadline_s[r])
            state.dual_latency[r] = max(state.dual_latency[r] + excess, 0.0)
        x = state.x[r]
        for kind in range(3):
            # s (1 - s) of the logistic s is (1 - tanh^2) / 4, which cannot overflow (2.1).
            half = np.tanh(0.5 * rows.steepness[kind, r] * (x - rows.midpoint[kind, r]))
            slope[kind] = 0.25 * rows.amplitude[kind, r] * rows.steepness[kind, r] * (1.0 - half * half)
        on = servers[r, 0] + servers[r, 1] + servers[r, 2]
        per_kw = 0.0
        for phase in range(3):
            share = servers[r, phase] / on if on > 0.0 else 1.0 / 3.0
            per_kw += share * pull[phase, rows.site[r]]
        power, latency, throughput = slope
        gradient = replicas[r] * (
            tuning.voltage_gradient_scale / 1000.0 * per_kw * power
            - tuning.w_throughput / rows.throughput_max[r] * throughput
        )
        gradient += state.dual_latency[r] * latency + tuning.w_switch * (x - state.x_previous[r])
        state.x_previous[r] = x
        x = min(max(x - tuning.primal_step_size * gradient, rows.log2_low[r]), rows.log2_high[r])
        state.x[r] = x
        # Of two equally near sizes it is the smaller one.
        place, wanted = 0, np.exp2(x)
        while place < rows.midpoints.shape[1] and wanted > rows.midpoints[r, place]:
            place += 1
        batch[r] = rows.sizes[r, place]
