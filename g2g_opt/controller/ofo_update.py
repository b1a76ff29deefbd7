"""The update rules of OFO (equations 4.1 to 4.3), compiled, for one site as for all sites of a batch.

Voltages come as (bus-phase, scenario), sites as places in the last axis, and models as rows: one for every model at
every site, with `site[row]` saying where it runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import WIDTH, aligned, any_less, higher, load, spread, store, where_less
from g2g_opt.compiled.program import DONE
from g2g_opt.compiled.records import Bools1, Floats1, Floats2, Floats3, Floats4, Ints1, Ints2, reader

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class DualsStep(NamedTuple):
    """Multipliers of the voltage limits (bus-phase, scenario) and what they are changed by.

    Their voltages (pu) are rows `rows` of `voltage_pu` (node, scenario), in as many scenarios as fill lanes. `pulls`
    (bus-phase) says whether any scenario has a multiplier there: of the others none is read. Written besides those:
    `outside` (scenario), 1 where a voltage is outside the band. `done` is the last step that was made.
    """

    low: Floats2
    high: Floats2
    voltage_pu: Floats2
    rows: Ints1
    step_size: float
    v_min: float
    v_max: float
    pulls: Bools1
    outside: Floats1
    done: Ints1

    @staticmethod
    def of(voltage_pu: Floats, rows: Ints, step_size: float, v_min: float, v_max: float) -> DualsStep:
        """Without multipliers, for the voltages that will stand in an array."""
        low, high = (aligned(len(rows), voltage_pu.shape[1]) for _ in range(2))
        marks = np.zeros(len(rows), dtype=np.bool_), aligned(voltage_pu.shape[1]), np.full(1, -1)
        return DualsStep(low, high, voltage_pu, rows, float(step_size), float(v_min), float(v_max), *marks)


_read_duals = reader(DualsStep)


@kernel
def update_voltage_duals(address: int, step: int) -> int:
    """lambda <- [lambda + rho_v (distance outside the band)]+ for both limits of a `DualsStep` (equation 4.1).

    A second call for the same step changes nothing.
    """
    d = _read_duals(address)
    if d.done[0] == step:
        return DONE
    d.done[0] = step
    n = d.voltage_pu.shape[1]
    v_min, v_max, rho, zero, one = spread(d.v_min), spread(d.v_max), spread(d.step_size), spread(0.0), spread(1.0)
    for first in range(0, n, WIDTH):
        store(d.outside, first, zero)
    for i in range(len(d.rows)):
        row, pulled, pulls = d.rows[i] * n, d.pulls[i], False
        for first in range(0, n, WIDTH):
            own, v = i * n + first, load(d.voltage_pu, row + first)
            is_outside = any_less(v, v_min) or any_less(v_max, v)
            # Most voltages are inside the band most of the time, and have no multiplier.
            if not (is_outside or pulled):
                continue
            low, high = load(d.low, own), load(d.high, own)
            if not (is_outside or any_less(zero, low) or any_less(zero, high)):
                continue
            low, high = higher(low + rho * (v_min - v), zero), higher(high + rho * (v - v_max), zero)
            store(d.low, own, low)
            store(d.high, own, high)
            pulls = pulls or any_less(zero, low) or any_less(zero, high)
            if is_outside:
                seen = where_less(v_max, v, one, load(d.outside, first))
                store(d.outside, first, where_less(v, v_min, one, seen))
        d.pulls[i] = pulls
    return DONE


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

    site: Ints1
    base: Floats2
    amplitude: Floats2
    midpoint: Floats2
    steepness: Floats2
    n_knots: Ints2
    knots: Floats3
    coefficients: Floats4
    by_value: Bools1
    throughput_max: Floats1
    deadline_s: Floats1
    log2_low: Floats1
    log2_high: Floats1
    sizes: Ints2
    midpoints: Floats2


@inner
def _slope(rows: OFORows, kind: int, r: int, x: float) -> float:
    """dy/dx of a row's curve of one kind (0 power, 1 latency, 2 throughput) at x = log2(batch size)."""
    if rows.n_knots[kind, r] == 0:
        # s (1 - s) of the logistic s is (1 - tanh^2) / 4, which cannot overflow (equation 2.1).
        half = np.tanh(0.5 * rows.steepness[kind, r] * (x - rows.midpoint[kind, r]))
        slope: float = 0.25 * rows.amplitude[kind, r] * rows.steepness[kind, r] * (1.0 - half * half)
        return slope
    j, u, _ = _interval(rows, kind, r, x)
    c = rows.coefficients[kind, r, j]
    slope = c[1] + u * (2.0 * c[2] + 3.0 * u * c[3])
    return slope


@inner
def _value(rows: OFORows, kind: int, r: int, x: float) -> float:
    """Value of a row's curve, as `_slope`."""
    if rows.n_knots[kind, r] == 0:
        half = np.tanh(0.5 * rows.steepness[kind, r] * (x - rows.midpoint[kind, r]))
        value: float = rows.base[kind, r] + 0.5 * rows.amplitude[kind, r] * (1.0 + half)
        return value
    j, u, beyond = _interval(rows, kind, r, x)
    c = rows.coefficients[kind, r, j]
    value = c[0] + u * (c[1] + u * (c[2] + u * c[3])) + beyond * (c[1] + u * (2.0 * c[2] + 3.0 * u * c[3]))
    return value


@inner
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


class CurvesAt(NamedTuple):
    """Slopes of power and throughput at `x`, and the place of the feasible size nearest to it, arrays [row].

    They are kept while an iterate stays where it is, as it mostly does; NaN: there is none yet.
    """

    x: Floats1
    power: Floats1
    throughput: Floats1
    place: Ints1

    @staticmethod
    def nowhere(n_rows: int) -> CurvesAt:
        """Of rows that were not looked at."""
        x, power, throughput = (np.full(n_rows, np.nan) for _ in range(3))
        return CurvesAt(x, power, throughput, np.zeros(n_rows, dtype=np.int64))


class OFOState(NamedTuple):
    """Latency multipliers and iterates, arrays [row], and the curves there, changed in place."""

    dual_latency: Floats1
    x: Floats1
    x_previous: Floats1
    curves: CurvesAt


class OFOStep(NamedTuple):
    """All that one step of OFO reads and writes, arrays [row] unless said.

    `column[site]` are the multipliers (bus-phase, column) that a site obeys, and `slopes` dv/dp (pu/kW) have shape
    (bus-phase, 3, site). `servers` (row, 3) are server counts, or shares, by phase
    (even shares where there are none). Written besides the state: `pull` (3, site), `batch` and `at_best`.
    """

    duals: DualsStep
    column: Ints1
    slopes: Floats3
    pull: Floats2
    state: OFOState
    rows: OFORows
    tuning: OFOTuning
    servers: Floats2
    replicas: Floats1
    itl_s: Floats1
    batch: Ints1
    at_best: Bools1


_read_step = reader(OFOStep)


@inner
def _voltage_pull(o: OFOStep) -> None:
    """(lambda_hi - lambda_lo)' H of every site (equation 4.2) into `pull`."""
    n_sites = len(o.column)
    low, high, pulls, slopes, column, pull = o.duals.low, o.duals.high, o.duals.pulls, o.slopes, o.column, o.pull
    for phase in range(3):
        for r in range(n_sites):
            pull[phase, r] = 0.0
    for i in range(len(low)):
        if not pulls[i]:
            continue
        for r in range(n_sites):
            difference = high[i, column[r]] - low[i, column[r]]
            for phase in range(3):
                pull[phase, r] += difference * slopes[i, phase, r]


@kernel
def ofo_step(address: int, step: int) -> int:
    """Multipliers of latency, gradient, primal step and nearest feasible size of an `OFOStep` (equations 4.1 to 4.3).

    A latency that is NaN (no replicas) leaves its multiplier. `at_best` [row] says that voltages pull at the model, and
    it already runs at the feasible size that is best for them: the last one in the direction of the pull, or of a model
    `by_value` the one with the least Lagrangian; or its iterate stays where it is, because its curves are flat there;
    or it has no active replicas.
    """
    o = _read_step(address)
    _voltage_pull(o)
    rows, state, tuning, pull, curves = o.rows, o.state, o.tuning, o.pull, o.state.curves
    for r in range(len(state.x)):
        itl_s, n_replicas = o.itl_s[r], o.replicas[r]
        if not np.isnan(itl_s):
            excess = tuning.latency_dual_step_size * (itl_s - rows.deadline_s[r])
            state.dual_latency[r] = max(state.dual_latency[r] + excess, 0.0)
        x = state.x[r]
        dual, last = state.dual_latency[r], pull[0, rows.site[r]] == 0.0 and pull[1, rows.site[r]] == 0.0
        if last and pull[2, rows.site[r]] == 0.0 and dual == 0.0 and _rests(rows, tuning, r, x, state.x_previous[r]):
            # Nothing pulls it down from the largest size, where it was already.
            o.at_best[r] = False
            o.batch[r] = rows.sizes[r, rows.sizes.shape[1] - 1]
            continue
        _look_at(rows, curves, r, x)
        on = o.servers[r, 0] + o.servers[r, 1] + o.servers[r, 2]
        per_kw = 0.0
        for phase in range(3):
            share = o.servers[r, phase] / on if on > 0.0 else 1.0 / 3.0
            per_kw += share * pull[phase, rows.site[r]]
        of_power = tuning.voltage_gradient_scale / 1000.0 * per_kw
        of_throughput = tuning.w_throughput / rows.throughput_max[r]
        best, by_value = np.nan, rows.by_value[r]
        if by_value:
            best, gradient = _best_size(rows, r, x, n_replicas * of_power, n_replicas * of_throughput, dual)
        else:
            # A curve whose slope counts for nothing is not looked at.
            along = of_power * curves.power[r] if of_power != 0.0 else 0.0
            gradient = n_replicas * (along - of_throughput * curves.throughput[r]) if n_replicas > 0.0 else 0.0
            gradient += dual * _slope(rows, 1, r, x) if dual > 0.0 else 0.0
        gradient += tuning.w_switch * (x - state.x_previous[r])
        at_best = False
        if per_kw != 0.0:
            size = rows.sizes[r, curves.place[r]]
            last = rows.sizes[r, 0 if per_kw > 0.0 else rows.sizes.shape[1] - 1]
            at_best = n_replicas == 0.0 or (np.log2(float(size)) == best if by_value else size == last)
        state.x_previous[r] = x
        after = x - tuning.primal_step_size * gradient
        if (x - best) * (after - best) < 0.0:
            after = best
        after = min(max(after, rows.log2_low[r]), rows.log2_high[r])
        o.at_best[r] = at_best or (per_kw != 0.0 and after == x)
        state.x[r] = after
        _look_at(rows, curves, r, after)
        o.batch[r] = rows.sizes[r, curves.place[r]]
    return DONE


@inner
def _look_at(rows: OFORows, curves: CurvesAt, r: int, x: float) -> None:
    """Let a row's `curves` be those at x."""
    if curves.x[r] == x:
        return
    curves.x[r], curves.place[r] = x, _place(rows, r, x)
    if not rows.by_value[r]:
        curves.power[r], curves.throughput[r] = _slope(rows, 0, r, x), _slope(rows, 2, r, x)


@inner
def _rests(rows: OFORows, tuning: OFOTuning, r: int, x: float, x_previous: float) -> bool:
    """Does an iterate stay at its upper end, if neither voltages nor latency pull at it?"""
    if x != rows.log2_high[r] or x_previous != x or rows.by_value[r] or rows.n_knots[2, r] > 0:
        return False
    return rows.amplitude[2, r] * rows.steepness[2, r] >= 0.0 and tuning.w_throughput >= 0.0


@inner
def _place(rows: OFORows, r: int, x: float) -> int:
    """Place of the feasible size nearest to 2**x; of two equally near sizes it is the smaller one."""
    place, wanted = 0, np.exp2(x)
    while place < rows.midpoints.shape[1] and wanted > rows.midpoints[r, place]:
        place += 1
    return place


@inner
def _best_size(
    rows: OFORows, r: int, x: float, of_power: float, of_throughput: float, dual: float
) -> tuple[float, float]:
    """Log2 of the feasible size with the least Lagrangian, the nearest of equal ones, and the mean slope towards it.

    The Lagrangian is what equation 4.2 is the gradient of, but for the weight on moving. `of_power` and `of_throughput`
    are its weights of a replica's power and throughput.
    """
    here = _lagrangian(rows, r, x, of_power, of_throughput, dual)
    best, least = x, np.inf
    for place in range(rows.sizes.shape[1]):
        at = np.log2(float(rows.sizes[r, place]))
        value = _lagrangian(rows, r, at, of_power, of_throughput, dual)
        if value < least or (value == least and abs(at - x) < abs(best - x)):
            best, least = at, value
    if best == x:
        return best, 0.0
    return best, max(here - least, 0.0) / (x - best)


@inner
def _lagrangian(rows: OFORows, r: int, x: float, of_power: float, of_throughput: float, dual: float) -> float:
    value: float = of_power * _value(rows, 0, r, x) - of_throughput * _value(rows, 2, r, x)
    value += dual * _value(rows, 1, r, x)
    return value
