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
Bools = NDArray[np.bool_]


@njit(cache=True, error_model="numpy")
def update_voltage_duals(
    dual_low: Floats, dual_high: Floats, voltage_pu: Floats, rows: Ints, step_size: float, v_min: float, v_max: float
) -> Bools:
    """lambda <- [lambda + rho_v (distance outside the band)]+ for both limits, in place (4.1).

    The multipliers have shape (bus-phase, scenario); their voltages (pu) are rows `rows` of `voltage_pu`. Returns in
    which scenarios a voltage is outside the band.
    """
    outside = np.zeros(dual_low.shape[1], dtype=np.bool_)
    for i in range(len(rows)):
        row = rows[i]
        for s in range(dual_low.shape[1]):
            v = voltage_pu[row, s]
            dual_low[i, s] = max(dual_low[i, s] + step_size * (v_min - v), 0.0)
            dual_high[i, s] = max(dual_high[i, s] + step_size * (v - v_max), 0.0)
            outside[s] |= v < v_min or v > v_max
    return outside


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

    Curve parameters (b0, L, x0, k) of power (W per replica), latency (s) and throughput (tokens/s per replica) have
    shape (3, row). Where `n_knots` (3, row) is above 0, a curve through measured points stands in their place, with
    `knots` (3, row, knot) and `coefficients` (3, row, interval, 4) as in `MeasuredCurve`, padded with zeros.
    `by_value` (row) marks models whose power does not rise with every batch size: of these the feasible size with the
    least Lagrangian is looked for, and the slope is that of the straight line to it.
    `throughput_max` is T_i(x_max). x is clipped to [`log2_low`, `log2_high`]. `sizes` (row, size) are the
    feasible batch sizes, `midpoints` (row, size - 1) lie between neighbours; both padded as in `FeasibleTable`.
    """

    site: Ints
    base: Floats
    amplitude: Floats
    midpoint: Floats
    steepness: Floats
    n_knots: Ints
    knots: Floats
    coefficients: Floats
    by_value: Bools
    throughput_max: Floats
    deadline_s: Floats
    log2_low: Floats
    log2_high: Floats
    sizes: Ints
    midpoints: Floats


@njit(cache=True, error_model="numpy")
def curve_slope(rows: OFORows, kind: int, r: int, x: float) -> float:
    """dy/dx of a row's curve of one kind (0 power, 1 latency, 2 throughput) at x = log2(batch size)."""
    if rows.n_knots[kind, r] == 0:
        # s (1 - s) of the logistic s is (1 - tanh^2) / 4, which cannot overflow (2.1).
        half = np.tanh(0.5 * rows.steepness[kind, r] * (x - rows.midpoint[kind, r]))
        slope: float = 0.25 * rows.amplitude[kind, r] * rows.steepness[kind, r] * (1.0 - half * half)
        return slope
    j, u, _ = _interval(rows, kind, r, x)
    c = rows.coefficients[kind, r, j]
    return float(c[1] + u * (2.0 * c[2] + 3.0 * u * c[3]))


@njit(cache=True, error_model="numpy")
def curve_value(rows: OFORows, kind: int, r: int, x: float) -> float:
    """Value of a row's curve, as `curve_slope`."""
    if rows.n_knots[kind, r] == 0:
        half = np.tanh(0.5 * rows.steepness[kind, r] * (x - rows.midpoint[kind, r]))
        value: float = rows.base[kind, r] + 0.5 * rows.amplitude[kind, r] * (1.0 + half)
        return value
    j, u, beyond = _interval(rows, kind, r, x)
    c = rows.coefficients[kind, r, j]
    return float(c[0] + u * (c[1] + u * (c[2] + u * c[3])) + beyond * (c[1] + u * (2.0 * c[2] + 3.0 * u * c[3])))


@njit(cache=True, error_model="numpy")
def _interval(rows: OFORows, kind: int, r: int, x: float) -> tuple[int, float, float]:
    """The interval of a measured curve that `x` is in, how far in it, and how far outside all of them."""
    n = rows.n_knots[kind, r]
    knots = rows.knots[kind, r]
    inside = min(max(x, knots[0]), knots[n - 1])
    j = 0
    while j < n - 2 and inside >= knots[j + 1]:
        j += 1
    return j, inside - knots[j], x - inside


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
    at_best: Bools,
) -> None:
    """Latency multipliers (4.1), gradient (4.2), primal step and nearest feasible batch size (4.3), in place.

    `pull` (3, site) is that of `voltage_pull`; `servers` (row, 3) are server counts, or shares, by phase (even shares
    where there are none); `replicas`, `itl_s` (s) and `batch`, which is written, are arrays [row]. A latency that is
    NaN (no replicas) leaves its multiplier.

    `at_best` [row], written too: voltages pull at the model, and it already runs at the feasible size that is best for
    them: the last one in the direction of the pull, or of a model `by_value` the one with the least Lagrangian; or its
    iterate stays where it is, because its curves are flat there; or it has no active replicas.
    """
    for r in range(len(state.x)):
        if not np.isnan(itl_s[r]):
            excess = tuning.latency_dual_step_size * (itl_s[r] - rows.deadline_s[r])
            state.dual_latency[r] = max(state.dual_latency[r] + excess, 0.0)
        x = state.x[r]
        on = servers[r, 0] + servers[r, 1] + servers[r, 2]
        per_kw = 0.0
        for phase in range(3):
            share = servers[r, phase] / on if on > 0.0 else 1.0 / 3.0
            per_kw += share * pull[phase, rows.site[r]]
        of_power = tuning.voltage_gradient_scale / 1000.0 * per_kw
        of_throughput = tuning.w_throughput / rows.throughput_max[r]
        best = np.nan
        if rows.by_value[r]:
            best, gradient = _best_size(rows, r, x, replicas[r] * of_power, replicas[r] * of_throughput, state)
        else:
            gradient = replicas[r] * (
                of_power * curve_slope(rows, 0, r, x) - of_throughput * curve_slope(rows, 2, r, x)
            )
            gradient += state.dual_latency[r] * curve_slope(rows, 1, r, x)
        gradient += tuning.w_switch * (x - state.x_previous[r])
        size = rows.sizes[r, _place(rows, r, x)]
        at_best[r] = per_kw != 0.0 and (replicas[r] == 0 or _is_best(rows, r, size, per_kw, best))
        state.x_previous[r] = x
        after = x - tuning.primal_step_size * gradient
        if (x - best) * (after - best) < 0.0:
            after = best
        after = min(max(after, rows.log2_low[r]), rows.log2_high[r])
        at_best[r] |= per_kw != 0.0 and after == x
        state.x[r] = after
        batch[r] = rows.sizes[r, _place(rows, r, after)]


@njit(cache=True, error_model="numpy")
def _place(rows: OFORows, r: int, x: float) -> int:
    """Place of the feasible size nearest to 2**x; of two equally near sizes it is the smaller one."""
    place, wanted = 0, np.exp2(x)
    while place < rows.midpoints.shape[1] and wanted > rows.midpoints[r, place]:
        place += 1
    return place


@njit(cache=True, error_model="numpy")
def _is_best(rows: OFORows, r: int, size: int, pull_per_kw: float, best: float) -> bool:
    """Is a size the best one (`best`, its log2, if that is known), or the last one in the direction of the pull?"""
    if rows.by_value[r]:
        return bool(np.log2(size) == best)
    return bool(size == rows.sizes[r, 0 if pull_per_kw > 0.0 else rows.sizes.shape[1] - 1])


@njit(cache=True, error_model="numpy")
def _best_size(
    rows: OFORows, r: int, x: float, of_power: float, of_throughput: float, state: OFOState
) -> tuple[float, float]:
    """Log2 of the feasible size with the least Lagrangian, the nearest of equal ones, and the mean slope towards it.

    The Lagrangian is what (4.2) is the gradient of, but for the weight on moving. `of_power` and `of_throughput` are
    its weights of a replica's power and throughput.
    """
    here = _lagrangian(rows, r, x, of_power, of_throughput, state)
    best, least = x, np.inf
    for place in range(rows.sizes.shape[1]):
        at = np.log2(rows.sizes[r, place])
        value = _lagrangian(rows, r, at, of_power, of_throughput, state)
        if value < least or (value == least and abs(at - x) < abs(best - x)):
            best, least = at, value
    if best == x:
        return best, 0.0
    return best, max(here - least, 0.0) / (x - best)


@njit(cache=True, error_model="numpy")
def _lagrangian(rows: OFORows, r: int, x: float, of_power: float, of_throughput: float, state: OFOState) -> float:
    value = of_power * curve_value(rows, 0, r, x) - of_throughput * curve_value(rows, 2, r, x)
    return float(value + state.dual_latency[r] * curve_value(rows, 1, r, x))
