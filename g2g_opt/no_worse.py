"""`base_rule` "no-worse": a run beside the same scenario without sites, the base, where the base breaks a limit itself.

Bus-phase by bus-phase, on either side of the band, and branch by branch: each has to keep the limit, or to be no worse
than in the base. No worse is: outside in the base too, no further outside than there by more than a tolerance
(`voltage_worse_max_pu`, `loading_worse_max`), and for no longer by more than `time_worse_share_max` of the run.

What the base keeps inside has to stay inside as ever, each bus-phase or branch for itself: times outside are not added
up over them, as the base's own would be among them. What the base does not have (a bus or a branch that came with the
site) is held to the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import phase_letter
from g2g_opt.limits import Limits
from g2g_opt.metrics.thermal import is_of_kind
from g2g_opt.summary import Summary
from g2g_opt.verdict import Criterion, LimitCheck

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Places:
    """How far places stand out, and for how long, in a run and in its base; arrays of shape (place,).

    `over` and `base_over` grow with the distance beyond the limit and are at most 0 within it, as shares of `unit`, the
    distance from the middle of what is allowed to its edge. Times are in s.
    """

    over: Floats
    base_over: Floats
    time_s: Floats
    base_time_s: Floats
    tolerance: float

    def used(self, allowed_s: float, time_worse_s: float) -> tuple[Floats, NDArray[np.bool_]]:
        """The share of what each may do that it uses up, and whether that is a depth (else a time)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            # By the limit itself: never outside, or outside for no longer than is allowed.
            by_limit = np.where(self.time_s > 0, self.time_s / allowed_s, 0.0) if allowed_s > 0.0 else 1.0 + self.over
            depth = 1.0 + self.over - self.base_over - self.tolerance
            may_s = self.base_time_s + time_worse_s
            time = np.where(self.time_s > 0, np.where(may_s > 0, self.time_s / may_s, np.inf), 0.0)
        beside_base = np.where(self.base_over > 0, np.maximum(depth, time), np.inf)
        by_depth = np.where(by_limit <= beside_base, allowed_s <= 0.0, depth >= time)
        return np.minimum(by_limit, beside_base), by_depth


def voltage(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """The band, of every bus-phase on either side (equation 6.4)."""
    low, high, half = (
        limits.voltage_min_pu,
        limits.voltage_max_pu,
        0.5 * (limits.voltage_max_pu - limits.voltage_min_pu),
    )
    of_base = _places(summary.node_names, base.node_names)
    times, base_times = summary.node_times_s(low, high), base.node_times_s(low, high)
    allowed_s = limits.violation_time_share_max * summary.duration_s
    worst: tuple[float, LimitCheck] | None = None
    for side, sign, edge in ((0, -1.0, low), (1, 1.0, high)):
        values, steps = (
            (summary.lowest_pu, summary.lowest_step) if side == 0 else (summary.highest_pu, summary.highest_step)
        )
        base_values = _of_base(base.lowest_pu if side == 0 else base.highest_pu, of_base, missing=edge)
        places = _Places(
            over=sign * (values - edge) / half,
            base_over=sign * (base_values - edge) / half,
            time_s=times[side],
            base_time_s=_of_base(base_times[side], of_base, missing=0.0),
            tolerance=limits.voltage_worse_max_pu / half,
        )
        used, by_depth = places.used(allowed_s, limits.time_worse_share_max * summary.duration_s)
        k = int(used.argmax())
        if worst is not None and used[k] <= worst[0]:
            continue
        criterion = Criterion.VOLTAGE_LOW if side == 0 else Criterion.VOLTAGE_HIGH
        outside = places.base_over[k] > 0
        bus, phase = summary.node_names[k].rsplit(".", 1)
        if by_depth[k]:
            name, value = str(criterion), float(values[k])
            limit = float(base_values[k]) + sign * limits.voltage_worse_max_pu if outside else edge
        else:
            name, value = f"{criterion} time share", float(times[side][k]) / summary.duration_s
            limit = allowed_s / summary.duration_s
            if outside:
                limit = max(limit, float(places.base_time_s[k]) / summary.duration_s + limits.time_worse_share_max)
        # Four digits, unless the difference is in those behind.
        digits = 4 if f"{values[k]:.4f}" != f"{base_values[k]:.4f}" else 6
        without = f"{base_values[k]:.{digits}f} pu without a site" if of_base[k] >= 0 else "not there without a site"
        detail = f"{values[k]:.{digits}f} pu, {without}"
        when_s = int(steps[k]) * summary.dt_s
        kept = bool(used[k] <= 1.0 + _ROUNDING)
        check = LimitCheck(criterion, name, value, limit, float(used[k]), kept, bus, phase, when_s, detail)
        worst = float(used[k]), check
    return [worst[1]] if worst is not None else []


def integral(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """The integral violation: no more than the base's, and the voltage tolerance over the time its nodes are out."""
    assert limits.violation_integral_max_pu_s is not None  # else there was no check to compare
    band = limits.voltage_min_pu, limits.voltage_max_pu
    value, base_value = (one.voltage_stats(*band).integral_violation_pu_s for one in (summary, base))
    out_s = float(sum(times.sum() for times in base.node_times_s(*band)))
    limit = max(limits.violation_integral_max_pu_s, base_value + limits.voltage_worse_max_pu * out_s)
    worst = summary.worst_voltage(*band)
    detail = f"{base_value:.4g} pu s without a site"
    name = "voltage integral"
    return [
        LimitCheck(
            Criterion.VOLTAGE_INTEGRAL, name, value, limit, value / limit, value <= limit, worst.bus, worst.phase,
            worst.time_s, detail,
        )
    ]  # fmt: skip


def loading(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """Ratings, of every branch (equation 6.4): lines and transformers apart."""
    limit = limits.loading_max_pu
    assert limit is not None
    allowed_s = limits.overload_time_max_s
    if allowed_s is None:
        allowed_s = limits.overload_time_share_max * summary.duration_s
    of_base = _places(summary.branches, base.branches)
    base_loading = _of_base(base.loading_pu, of_base, missing=0.0)
    places = _Places(
        over=summary.loading_pu / limit - 1.0,
        base_over=base_loading / limit - 1.0,
        time_s=summary.branch_times_s(limit),
        base_time_s=_of_base(base.branch_times_s(limit), of_base, missing=0.0),
        tolerance=limits.loading_worse_max / limit,
    )
    used, by_depth = places.used(allowed_s, limits.time_worse_share_max * summary.duration_s)
    checks = []
    for kind, criterion in (("line", Criterion.LINE_LOADING), ("transformer", Criterion.TRANSFORMER_LOADING)):
        some = [b for b, name in enumerate(summary.branches) if is_of_kind(name, kind)]
        if not some:
            continue
        b = max(some, key=lambda place: used[place])
        value, may = float(summary.loading_pu[b]), limit
        if places.base_over[b] > 0:
            may = float(base_loading[b]) + limits.loading_worse_max
        name, detail = "loading", f"{base_loading[b]:.3f} without a site"
        if not by_depth[b]:
            name, detail = "overload time (s)", f"{value:.3f} of its {limits.rating_basis} rating, {detail}"
            value, may = float(places.time_s[b]), allowed_s
            if places.base_over[b] > 0:
                more_s = limits.time_worse_share_max * summary.duration_s
                may = max(may, float(places.base_time_s[b]) + more_s)
        checks.append(_at_branch(summary, b, criterion, name, (value, may, float(used[b])), detail))
    return checks


def emergency(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """Emergency ratings, of every branch."""
    limit = limits.loading_emergency_max_pu
    assert limit is not None
    of_base = _places(summary.branches, base.branches)
    closeness = summary.loading_pu * summary.emergency_share
    base_closeness = _of_base(base.loading_pu * base.emergency_share, of_base, missing=0.0)
    may = np.where(base_closeness > limit, base_closeness + limits.loading_worse_max, limit)
    b = int((closeness / may).argmax())
    figures = float(closeness[b]), float(may[b]), float(closeness[b] / may[b])
    detail = f"{closeness[b]:.3f} of its emergency rating, {base_closeness[b]:.3f} without a site"
    criterion = Criterion.EMERGENCY_LOADING
    return [_at_branch(summary, b, criterion, str(criterion), figures, detail)]


def rapid_change(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """Rapid voltage changes of the run itself, of every bus-phase."""
    quality, of_circuit, limit = summary.power_quality, base.power_quality, limits.rapid_voltage_change_max_pu
    assert quality is not None
    assert of_circuit is not None
    assert limit is not None
    base_pu = _of_base(of_circuit.change_pu, _places(summary.node_names, base.node_names), missing=0.0)
    may = np.where(base_pu > limit, base_pu + limits.voltage_worse_max_pu, limit)
    k = int((quality.change_pu - may).argmax())
    value, time_s = float(quality.change_pu[k]), int(quality.change_step[k]) * summary.dt_s
    words = f"{quality.cause(time_s)}, {base_pu[k]:.4f} pu without a site"
    return [_at_node(summary, k, Criterion.RAPID_VOLTAGE_CHANGE, value, float(may[k]), time_s, words)]


def after_trip(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """The level just after a trip, of every bus-phase: no higher than the base's highest and the tolerance."""
    quality, limit = summary.power_quality, limits.voltage_after_trip_max_pu
    assert quality is not None
    assert limit is not None
    base_pu = _of_base(base.highest_pu, _places(summary.node_names, base.node_names), missing=0.0)
    may = np.where(base_pu > limit, base_pu + limits.voltage_worse_max_pu, limit)
    over = [np.nan_to_num(trip.after_pu, nan=np.inf) - may for trip in quality.trips]
    trip = max(range(len(over)), key=lambda t: float(over[t].max()))
    k = int(over[trip].argmax())
    of_site, value = quality.trips[trip], float(over[trip][k] + may[k])
    words = f"just after a trip of {of_site.site}, {base_pu[k]:.4f} pu without a site"
    time_s = of_site.step * summary.dt_s
    return [_at_node(summary, k, Criterion.VOLTAGE_AFTER_TRIP, value, float(may[k]), time_s, words)]


# Shares of what is allowed are quotients of figures that a rounding may set apart by this.
_ROUNDING = 1e-9


def _places(names: Sequence[str], base_names: Sequence[str]) -> NDArray[np.int64]:
    """Where each stands in the base; -1: it does not."""
    index = {name: k for k, name in enumerate(base_names)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def _of_base(values: Floats, places: NDArray[np.int64], missing: float) -> Floats:
    found = np.full(len(places), missing)
    found[places >= 0] = values[places[places >= 0]]
    return found


def _at_node(
    summary: Summary, k: int, criterion: Criterion, value: float, limit: float, time_s: float, detail: str
) -> LimitCheck:
    bus, phase = summary.node_names[k].rsplit(".", 1)
    used = value / limit if limit > 0 else (0.0 if value <= 0 else np.inf)
    return LimitCheck(criterion, str(criterion), value, limit, used, value <= limit, bus, phase, time_s, detail)


def _at_branch(
    summary: Summary, b: int, criterion: Criterion, name: str, figures: tuple[float, float, float], detail: str
) -> LimitCheck:
    """A check of a branch; `figures` are its value, its limit and the share of it that is used up."""
    phase, time_s = phase_letter(int(summary.loading_phase[b])), int(summary.loading_step[b]) * summary.dt_s
    kept = figures[2] <= 1.0 + _ROUNDING
    return LimitCheck(criterion, name, *figures, kept, summary.branches[b], phase, time_s, detail)
