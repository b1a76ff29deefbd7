"""Figures of a run against limits (formulations 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from g2g_opt.batch.summary import Summary
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.metrics.thermal import WorstLoading
from g2g_opt.outcome import Figures, LimitCheck, Outcome
from g2g_opt.scenario import Scenario


def judge(figures: Figures, scenario: Scenario, limits: Limits) -> tuple[LimitCheck, ...]:
    """Hold a run's figures against the limits (formulations 6); limits that are None are left out."""
    voltage, worst = figures.voltage, figures.worst_voltage
    side = "undervoltage" if worst.voltage_pu < 1.0 else "overvoltage"
    place = f"{worst.bus}.{worst.phase} at t={worst.time_s:g} s, {worst.voltage_pu:.4f} pu"
    time_share = voltage.violation_time_s / scenario.duration_s
    checks = [_at_most(f"{side} time share", time_share, limits.violation_time_share_max, place)]
    if limits.violation_integral_max_pu_s is not None:
        integral = voltage.integral_violation_pu_s
        checks.append(_at_most(f"{side} integral", integral, limits.violation_integral_max_pu_s, place))
    heaviest = max(
        (w for w in (figures.worst_line, figures.worst_transformer) if w is not None),
        key=lambda w: w.loading_pu,
        default=None,
    )
    if heaviest is not None:
        checks += _normal_rating_checks(figures.overload_time_s, heaviest, scenario, limits)
    emergency = figures.worst_emergency
    if emergency is not None and limits.loading_emergency_max_pu is not None:
        words = f"{emergency.place}, {emergency.emergency_pu:.3f} of its emergency rating"
        checks.append(_at_most("emergency loading", emergency.emergency_pu, limits.loading_emergency_max_pu, words))
    checks.append(_at_most("latency misses", figures.latency_miss_share, limits.latency_miss_share_max))
    share, floor = figures.throughput_share, limits.throughput_share_min
    used = floor / share if share > 0 else np.inf
    checks.append(LimitCheck("throughput share", share, floor, used, share >= floor))
    return tuple(checks)


def _normal_rating_checks(
    overload_time_s: float, heaviest: WorstLoading, scenario: Scenario, limits: Limits
) -> list[LimitCheck]:
    """Ratings on the limits' basis, which may be passed for a time."""
    checks: list[LimitCheck] = []
    loading_pu, where = heaviest.loading_pu, heaviest.place
    if limits.loading_max_pu is not None:
        allowed_s = limits.overload_time_max_s
        if allowed_s is None:
            allowed_s = limits.overload_time_share_max * scenario.duration_s
        kept = overload_time_s <= allowed_s
        if allowed_s > 0 and not kept:
            words = f"{where}, {loading_pu:.3f} of its {limits.rating_basis} rating"
            checks.append(_at_most("overload time (s)", overload_time_s, allowed_s, words))
        else:
            used = loading_pu / limits.loading_max_pu
            # A short overload that is allowed uses the limit up, and no more.
            used = min(used, 1.0) if kept else used
            checks.append(LimitCheck("loading", loading_pu, limits.loading_max_pu, used, kept, where))
    return checks


def _at_most(name: str, value: float, limit: float, where: str = "") -> LimitCheck:
    used = value / limit if limit > 0 else (0.0 if value <= 0 else np.inf)
    return LimitCheck(name, value, limit, used, value <= limit, where)


def rejudge(outcome: Outcome, summary: Summary | None, scenario: Scenario, limits: Limits) -> Outcome:
    """The outcome of a run that is over, under other limits, from what its summary kept; nothing is simulated.

    A failed run stays failed. Raises `InputError` for a limit at which the summary kept no figures, and for a run that
    has none.
    """
    if outcome.figures is None:
        return outcome
    if summary is None:
        raise InputError(f"the run in scenario {outcome.scenario!r} on {outcome.engine} kept no summary to judge again")
    loading_max_pu = 1.0 if limits.loading_max_pu is None else limits.loading_max_pu
    figures = replace(
        outcome.figures,
        voltage=summary.voltage_stats(limits.voltage_min_pu, limits.voltage_max_pu),
        worst_voltage=summary.worst_voltage(limits.voltage_min_pu, limits.voltage_max_pu),
        overload_time_s=summary.overload_time_s(loading_max_pu),
    )
    return replace(outcome, figures=figures, checks=judge(figures, scenario, limits))
