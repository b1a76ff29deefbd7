"""`judge`: the record of a run against limits (equations, section 6). The only maker of verdicts, first and again.

A criterion is a function of `_CHECKS`: what it reads of the record, which limit it holds that against, and its words.
Some can also be held against the run without sites (`_AGAINST_BASE`, see `no_worse`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from g2g_opt import no_worse
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.metrics.power_quality import DEFINITIONS, RapidVoltageChange, VoltageAfterTrip
from g2g_opt.metrics.thermal import WorstLoading
from g2g_opt.metrics.unbalance import UNBALANCE_ADDED_MAX
from g2g_opt.metrics.voltage import WorstVoltage
from g2g_opt.summary import Summary
from g2g_opt.verdict import Criterion as Criterion
from g2g_opt.verdict import LimitCheck as LimitCheck
from g2g_opt.verdict import Verdict as Verdict


def judge(summary: Summary, limits: Limits, base: Summary | None = None) -> Verdict:
    """Hold a run's record against limits (equation 6.1); limits that are None are left out.

    `base` is the record of the same scenario without sites. By the rule "hold" it is not needed: it tells which of the
    broken limits no site is to blame for. By "no-worse", a limit that the base breaks is held node by node and branch
    by branch against the base (`no_worse`); a base that failed is no reference, so that all limits have to hold.

    Exact for every limit at which the record kept figures. Voltages need none where no time outside the band is
    allowed, or none is outside; loadings where no time above the limit is allowed, or none is above. Raises
    `InputError` for any other limit, naming those that were kept, and for "no-worse" without a base, or with one of
    other steps.
    """
    if limits.base_rule == "no-worse" and base is None:
        raise InputError("base_rule 'no-worse' needs the run of the same scenario without sites, which was not kept")
    if summary.failure is not None:
        if base is None or base.failure is not None:
            return Verdict((), summary.failure, base_failed=base is not None)
        broken = [replace(c, base_breaks=True) for of in _CHECKS for c in of(base, limits) if not c.kept]
        return Verdict((), summary.failure, base_broken=tuple(broken) if limits.base_rule == "hold" else ())
    checks = [check for checks in _CHECKS for check in checks(summary, limits)]
    if base is not None and base.failure is None and not all(check.kept for check in checks):
        checks = _beside_base(summary, limits, base)
    band = limits.voltage_min_pu, limits.voltage_max_pu
    return Verdict(
        tuple(checks),
        voltage=summary.voltage_stats(*band) if summary.knows_times(*band) else None,
        worst_voltage=summary.worst_voltage(*band),
    )


def _beside_base(summary: Summary, limits: Limits, base: Summary) -> list[LimitCheck]:
    """Checks of a run that breaks some limit, with what the run without sites has to do with it."""
    if (summary.dt_s, summary.n_steps) != (base.dt_s, base.n_steps):
        raise InputError(
            f"the run without sites has {base.n_steps} steps of {base.dt_s:g} s, and the run {summary.n_steps} of "
            f"{summary.dt_s:g} s: give a base of the same steps"
        )
    found: list[LimitCheck] = []
    for of_limit in _CHECKS:
        checks = of_limit(summary, limits)
        if not all(check.kept for check in checks):
            broken = {check.criterion for check in of_limit(base, limits) if not check.kept}
            compare = _AGAINST_BASE.get(of_limit)
            # A base has no trips; where it stands already, a trip leaves it.
            outside = bool(broken) or of_limit is _after_trip
            if outside and compare is not None and limits.base_rule == "no-worse":
                checks = compare(summary, limits, base)
            elif broken:
                checks = [replace(c, base_breaks=not c.kept and c.criterion in broken) for c in checks]
        found += checks
    return found


def _voltage(summary: Summary, limits: Limits) -> list[LimitCheck]:
    """The band: on the voltage itself where no time outside is allowed, on the time outside where some is."""
    low, high = limits.voltage_min_pu, limits.voltage_max_pu
    worst = summary.worst_voltage(low, high)
    side = _side(worst, limits)
    if limits.violation_time_share_max > 0.0:
        share = summary.voltage_stats(low, high).violation_time_s / summary.duration_s
        return [_at_most(side, f"{side} time share", share, limits.violation_time_share_max, _at_node(worst))]
    used = 1.0 - worst.margin_pu / (0.5 * (high - low))
    limit = low if side == Criterion.VOLTAGE_LOW else high
    return [LimitCheck(side, str(side), worst.voltage_pu, limit, used, worst.margin_pu >= 0.0, *_at_node(worst))]


def _integral(summary: Summary, limits: Limits) -> list[LimitCheck]:
    limit = limits.violation_integral_max_pu_s
    if limit is None:
        return []
    band = limits.voltage_min_pu, limits.voltage_max_pu
    worst, value = summary.worst_voltage(*band), summary.voltage_stats(*band).integral_violation_pu_s
    side = _side(worst, limits)
    return [_at_most(Criterion.VOLTAGE_INTEGRAL, f"{side} integral", value, limit, _at_node(worst))]


def _loading(summary: Summary, limits: Limits) -> list[LimitCheck]:
    """Ratings on the limits' basis, which may be passed for a time (of all branches together)."""
    limit = limits.loading_max_pu
    worst = {
        Criterion.LINE_LOADING: summary.worst_loading("line"),
        Criterion.TRANSFORMER_LOADING: summary.worst_loading("transformer"),
    }
    loaded = {criterion: found for criterion, found in worst.items() if found is not None}
    if limit is None or not loaded:
        return []
    allowed_s = limits.overload_time_max_s
    if allowed_s is None:
        allowed_s = limits.overload_time_share_max * summary.duration_s
    if allowed_s > 0.0:
        time_s = summary.overload_time_s(limit)
        if time_s > allowed_s:
            criterion, heaviest = max(loaded.items(), key=lambda item: item[1].loading_pu)
            words = f"{heaviest.loading_pu:.3f} of its {limits.rating_basis} rating"
            return [_at_most(criterion, "overload time (s)", time_s, allowed_s, _at_branch(heaviest, words))]
    # A short overload that is allowed uses the limit up, and no more.
    used_max = 1.0 if allowed_s > 0.0 else math.inf
    checks = []
    for criterion, found in loaded.items():
        used, kept = min(found.loading_pu / limit, used_max), allowed_s > 0.0 or found.loading_pu <= limit
        checks.append(LimitCheck(criterion, "loading", found.loading_pu, limit, used, kept, *_at_branch(found)))
    return checks


def _emergency(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst, limit = summary.worst_loading(emergency=True), limits.loading_emergency_max_pu
    if worst is None or limit is None:
        return []
    place = _at_branch(worst, f"{worst.emergency_pu:.3f} of its emergency rating")
    return [_at_most(Criterion.EMERGENCY_LOADING, str(Criterion.EMERGENCY_LOADING), worst.emergency_pu, limit, place)]


def _latency(summary: Summary, limits: Limits) -> list[LimitCheck]:
    if not summary.sites:
        return []
    return [_at_most(Criterion.LATENCY, "latency misses", summary.latency_miss_share, limits.latency_miss_share_max)]


def _throughput(summary: Summary, limits: Limits) -> list[LimitCheck]:
    if not summary.sites:
        return []
    share, floor = summary.throughput_share, limits.throughput_share_min
    used = floor / share if share > 0 else math.inf
    return [LimitCheck(Criterion.THROUGHPUT, "throughput share", share, floor, used, share >= floor)]


def _unbalance(summary: Summary, limits: Limits) -> list[LimitCheck]:
    """Each definition: the bus that the sites are to blame for, or the one that stands highest."""
    quality, checks = summary.power_quality, []
    for definition, limit in zip(
        DEFINITIONS, (limits.unbalance_negative_sequence_max, limits.unbalance_nema_max), strict=True
    ):
        highest = quality.worst_unbalance(definition) if quality is not None else None
        if quality is None or highest is None or limit is None:
            continue
        broken = quality.worst_blamed(definition, limit, limits.unbalance_time_share_max)
        shown = broken or highest
        # What the circuit has without a site uses nothing up that a site could have had.
        allowed = max(limit, shown.without_site_share + UNBALANCE_ADDED_MAX)
        added = f", to which a site may add {100 * UNBALANCE_ADDED_MAX:g} percentage points" if allowed > limit else ""
        used = shown.share / allowed
        checks.append(
            LimitCheck(
                Criterion.UNBALANCE,
                f"voltage unbalance ({definition})",
                shown.share,
                limit,
                min(used, 1.0) if broken is None else used,
                broken is None,
                where=shown.bus,
                time_s=shown.time_s,
                detail=f"{100 * shown.without_site_share:.2f} % there without a site{added}",
            )
        )
    return checks


def _rapid_change(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst = summary.power_quality.worst_change() if summary.power_quality is not None else None
    return _change(summary, Criterion.RAPID_VOLTAGE_CHANGE, worst, limits.rapid_voltage_change_max_pu)


def _trip_change(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst = summary.power_quality.worst_trip_change() if summary.power_quality is not None else None
    return _change(summary, Criterion.TRIP_VOLTAGE_CHANGE, worst, limits.rapid_voltage_change_trip_max_pu)


def _change(
    summary: Summary, criterion: Criterion, worst: RapidVoltageChange | None, limit: float | None
) -> list[LimitCheck]:
    if worst is None or limit is None:
        return []
    place = _Place(worst.bus, _phase_of(summary, worst), worst.time_s, worst.cause)
    return [_at_most(criterion, str(criterion), worst.change_pu, limit, place)]


def _after_trip(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst = summary.power_quality.highest_after_trip() if summary.power_quality is not None else None
    limit = limits.voltage_after_trip_max_pu
    if worst is None or limit is None:
        return []
    place = _Place(worst.bus, _phase_of(summary, worst), worst.time_s, f"just after a trip of {worst.site}")
    return [_at_most(Criterion.VOLTAGE_AFTER_TRIP, str(Criterion.VOLTAGE_AFTER_TRIP), worst.voltage_pu, limit, place)]


_CHECKS: tuple[Callable[[Summary, Limits], list[LimitCheck]], ...] = (
    _voltage,
    _integral,
    _loading,
    _emergency,
    _latency,
    _throughput,
    _unbalance,
    _rapid_change,
    _trip_change,
    _after_trip,
)
_AGAINST_BASE: dict[Callable[..., list[LimitCheck]], Callable[[Summary, Limits, Summary], list[LimitCheck]]] = {
    _voltage: no_worse.voltage,
    _integral: no_worse.integral,
    _loading: no_worse.loading,
    _emergency: no_worse.emergency,
    _rapid_change: no_worse.rapid_change,
    _after_trip: no_worse.after_trip,
}


def _side(worst: WorstVoltage, limits: Limits) -> Criterion:
    """The end of the band that the worst voltage is nearer to, or beyond: a band need not lie around 1 pu."""
    below = worst.voltage_pu - limits.voltage_min_pu <= limits.voltage_max_pu - worst.voltage_pu
    return Criterion.VOLTAGE_LOW if below else Criterion.VOLTAGE_HIGH


class _Place(NamedTuple):
    """Where and when (s) a limit was closest: what a `LimitCheck` ends with."""

    where: str
    phase: str
    time_s: float
    detail: str


def _at_node(worst: WorstVoltage) -> _Place:
    return _Place(worst.bus, worst.phase, worst.time_s, f"{worst.voltage_pu:.4f} pu")


def _at_branch(worst: WorstLoading, detail: str = "") -> _Place:
    return _Place(worst.branch, worst.phase, worst.time_s, detail)


def _phase_of(summary: Summary, worst: RapidVoltageChange | VoltageAfterTrip) -> str:
    """The letter of a node's phase."""
    return summary.node_names[summary.nodes.index((worst.bus, worst.phase))].rsplit(".", 1)[1]


def _at_most(criterion: Criterion, name: str, value: float, limit: float, place: _Place | None = None) -> LimitCheck:
    used = value / limit if limit > 0 else (0.0 if value <= 0 else math.inf)
    return LimitCheck(criterion, name, value, limit, used, value <= limit, *(place or ()))
