"""`judge`: the record of a run against limits (formulations 6). The only maker of verdicts, first and again.

A criterion is a function of `_CHECKS`: what it reads of the record, which limit it holds that against, and its words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from g2g_opt.failure import Failure, Moment, since_start
from g2g_opt.limits import Limits
from g2g_opt.metrics.power_quality import DEFINITIONS
from g2g_opt.metrics.thermal import WorstLoading
from g2g_opt.metrics.unbalance import UNBALANCE_ADDED_MAX
from g2g_opt.metrics.voltage import VoltageStats, WorstVoltage
from g2g_opt.summary import Summary


class Criterion(StrEnum):
    """What a limit is about. POWER_FLOW: there is no usable answer to hold against limits."""

    VOLTAGE_LOW = "undervoltage"
    VOLTAGE_HIGH = "overvoltage"
    VOLTAGE_INTEGRAL = "voltage integral"
    LINE_LOADING = "line loading"
    TRANSFORMER_LOADING = "transformer loading"
    EMERGENCY_LOADING = "emergency loading"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    UNBALANCE = "voltage unbalance"
    RAPID_VOLTAGE_CHANGE = "rapid voltage change"
    VOLTAGE_AFTER_TRIP = "voltage after a trip"
    POWER_FLOW = "power flow"

    @property
    def is_voltage(self) -> bool:
        """True if other taps may mend it."""
        return self in (Criterion.VOLTAGE_LOW, Criterion.VOLTAGE_HIGH, Criterion.VOLTAGE_INTEGRAL)

    @property
    def is_thermal(self) -> bool:
        """True if it is about a branch's rating; the check's `where` then names the branch."""
        return self in (Criterion.LINE_LOADING, Criterion.TRANSFORMER_LOADING, Criterion.EMERGENCY_LOADING)


@dataclass(frozen=True)
class LimitCheck:
    """One limit against what was simulated: `kept` or not, and where and when (s) it was closest.

    `used` is the share of the limit that was used up (1: exactly at it), by which checks are ranked. `phase` is that of
    `where`; `detail` more words. For a failed run (criterion POWER_FLOW) the `failure` says it all.
    """

    criterion: Criterion
    name: str
    value: float
    limit: float
    used: float
    kept: bool
    where: str = ""
    phase: str = ""
    time_s: float | None = None
    detail: str = ""
    failure: Failure | None = None

    def place(self, moment: Moment = since_start) -> str:
        """Where and when, in words; `moment` says when."""
        if self.failure is not None:
            return self.failure.in_words(moment)
        where = ".".join(part for part in (self.where, self.phase) if part)
        when = f" at {moment(self.time_s)}" if self.time_s is not None else ""
        return ", ".join(part for part in (where + when, self.detail) if part)

    def in_words(self, moment: Moment = since_start) -> str:
        """Name, value, limit, and the place."""
        if self.failure is not None:
            return self.place(moment)
        return ", ".join(
            part for part in (f"{self.name} {self.value:.4g} (limit {self.limit:.4g})", self.place(moment)) if part
        )

    def __str__(self) -> str:
        return self.in_words()


@dataclass(frozen=True)
class Verdict:
    """A run held against limits: every check, or why there is nothing to check.

    `voltage` and `worst_voltage` are figures of the limits' band; None of a run that failed, and `voltage` also where
    the record kept no times for that band and none were needed.
    """

    checks: tuple[LimitCheck, ...]
    failure: Failure | None = None
    voltage: VoltageStats | None = None
    worst_voltage: WorstVoltage | None = None

    @property
    def kept(self) -> bool:
        """True if the run has an answer and keeps every limit."""
        return self.failure is None and all(check.kept for check in self.checks)

    @property
    def broken(self) -> tuple[LimitCheck, ...]:
        """The checks that are not kept; of a failed run one that says so."""
        if self.failure is not None:
            unknown, when = (math.nan, math.nan, math.inf), self.failure.time_s
            return (LimitCheck(Criterion.POWER_FLOW, "power flow", *unknown, False, time_s=when, failure=self.failure),)
        return tuple(check for check in self.checks if not check.kept)

    @property
    def binding(self) -> LimitCheck | None:
        """What binds: the broken check that uses most of its limit, or the nearest of a run that keeps all of them."""
        return max(self.broken or self.checks, key=lambda check: check.used, default=None)

    @property
    def used(self) -> float:
        """The largest share of a limit that is used up; infinite for a run without an answer."""
        if self.failure is not None:
            return math.inf
        return max((check.used for check in self.checks), default=math.inf)

    def reasons(self, moment: Moment = since_start) -> tuple[str, ...]:
        """Why it is not kept, in words: the failure, or every broken limit."""
        return tuple(check.in_words(moment) for check in self.broken)


def judge(summary: Summary, limits: Limits) -> Verdict:
    """Hold a run's record against limits (formulations 6); limits that are None are left out.

    Exact for every limit at which the record kept figures. Voltages need none where no time outside the band is
    allowed, or none is outside; loadings where no time above the limit is allowed, or none is above. Raises
    `InputError` for any other limit, naming those that were kept.
    """
    if summary.failure is not None:
        return Verdict((), summary.failure)
    band = limits.voltage_min_pu, limits.voltage_max_pu
    return Verdict(
        tuple(check for checks in _CHECKS for check in checks(summary, limits)),
        voltage=summary.voltage_stats(*band) if summary.knows_times(*band) else None,
        worst_voltage=summary.worst_voltage(*band),
    )


def _voltage(summary: Summary, limits: Limits) -> list[LimitCheck]:
    """The band: on the voltage itself where no time outside is allowed, on the time outside where some is."""
    low, high = limits.voltage_min_pu, limits.voltage_max_pu
    worst = summary.worst_voltage(low, high)
    side = _side(worst, limits)
    if limits.violation_time_share_max > 0.0:
        share = summary.voltage_stats(low, high).violation_time_s / summary.duration_s
        check = _at_most(side, f"{side} time share", share, limits.violation_time_share_max)
    else:
        used = 1.0 - worst.margin_pu / (0.5 * (high - low))
        limit = low if side == Criterion.VOLTAGE_LOW else high
        check = LimitCheck(side, str(side), worst.voltage_pu, limit, used, worst.margin_pu >= 0.0)
    return [_at_node(check, worst)]


def _integral(summary: Summary, limits: Limits) -> list[LimitCheck]:
    limit = limits.violation_integral_max_pu_s
    if limit is None:
        return []
    band = limits.voltage_min_pu, limits.voltage_max_pu
    worst, value = summary.worst_voltage(*band), summary.voltage_stats(*band).integral_violation_pu_s
    side = _side(worst, limits)
    return [_at_node(_at_most(Criterion.VOLTAGE_INTEGRAL, f"{side} integral", value, limit), worst)]


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
            return [_at_branch(_at_most(criterion, "overload time (s)", time_s, allowed_s), heaviest, words)]
    # A short overload that is allowed uses the limit up, and no more.
    used_max = 1.0 if allowed_s > 0.0 else math.inf
    checks = []
    for criterion, found in loaded.items():
        used, kept = min(found.loading_pu / limit, used_max), allowed_s > 0.0 or found.loading_pu <= limit
        checks.append(_at_branch(LimitCheck(criterion, "loading", found.loading_pu, limit, used, kept), found))
    return checks


def _emergency(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst, limit = summary.worst_loading(emergency=True), limits.loading_emergency_max_pu
    if worst is None or limit is None:
        return []
    check = _at_most(Criterion.EMERGENCY_LOADING, str(Criterion.EMERGENCY_LOADING), worst.emergency_pu, limit)
    return [_at_branch(check, worst, f"{worst.emergency_pu:.3f} of its emergency rating")]


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
                detail=f"{100 * shown.without_site_share:.2f} % there without a site",
            )
        )
    return checks


def _rapid_change(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst = summary.power_quality.worst_change() if summary.power_quality is not None else None
    limit = limits.rapid_voltage_change_max_pu
    if worst is None or limit is None:
        return []
    check = _at_most(Criterion.RAPID_VOLTAGE_CHANGE, str(Criterion.RAPID_VOLTAGE_CHANGE), worst.change_pu, limit)
    place = summary.node_names[summary.nodes.index((worst.bus, worst.phase))]
    return [replace(check, where=worst.bus, phase=place.rsplit(".", 1)[1], time_s=worst.time_s, detail=worst.cause)]


def _after_trip(summary: Summary, limits: Limits) -> list[LimitCheck]:
    worst = summary.power_quality.highest_after_trip() if summary.power_quality is not None else None
    limit = limits.voltage_after_trip_max_pu
    if worst is None or limit is None:
        return []
    check = _at_most(Criterion.VOLTAGE_AFTER_TRIP, str(Criterion.VOLTAGE_AFTER_TRIP), worst.voltage_pu, limit)
    place = summary.node_names[summary.nodes.index((worst.bus, worst.phase))]
    words = f"just after a trip of {worst.site}"
    return [replace(check, where=worst.bus, phase=place.rsplit(".", 1)[1], time_s=worst.time_s, detail=words)]


_CHECKS: tuple[Callable[[Summary, Limits], list[LimitCheck]], ...] = (
    _voltage,
    _integral,
    _loading,
    _emergency,
    _latency,
    _throughput,
    _unbalance,
    _rapid_change,
    _after_trip,
)


def _side(worst: WorstVoltage, limits: Limits) -> Criterion:
    """The end of the band that the worst voltage is nearer to, or beyond: a band need not lie around 1 pu."""
    below = worst.voltage_pu - limits.voltage_min_pu <= limits.voltage_max_pu - worst.voltage_pu
    return Criterion.VOLTAGE_LOW if below else Criterion.VOLTAGE_HIGH


def _at_node(check: LimitCheck, worst: WorstVoltage) -> LimitCheck:
    detail = f"{worst.voltage_pu:.4f} pu"
    return replace(check, where=worst.bus, phase=worst.phase, time_s=worst.time_s, detail=detail)


def _at_branch(check: LimitCheck, worst: WorstLoading, detail: str = "") -> LimitCheck:
    return replace(check, where=worst.branch, phase=worst.phase, time_s=worst.time_s, detail=detail)


def _at_most(criterion: Criterion, name: str, value: float, limit: float) -> LimitCheck:
    used = value / limit if limit > 0 else (0.0 if value <= 0 else math.inf)
    return LimitCheck(criterion, name, value, limit, used, value <= limit)
