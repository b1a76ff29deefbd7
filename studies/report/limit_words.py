"""Limits in words: what each is called and measured in, and which of them a report moved."""

from __future__ import annotations

from g2g_opt.limits import Limits

# Name of the field, words for people, unit ("" for a share).
LIMIT_WORDS = {
    "voltage_min_pu": ("lowest voltage", "pu"),
    "voltage_max_pu": ("highest voltage", "pu"),
    "violation_time_share_max": ("share of time outside the voltage band", ""),
    "violation_integral_max_pu_s": ("integral violation", "pu s"),
    "loading_max_pu": ("loading", "of normal ratings"),
    "overload_time_share_max": ("share of time above the loading", ""),
    "latency_miss_share_max": ("latency misses", ""),
    "throughput_share_min": ("tokens served", "of the uncontrolled fleet's"),
    "loading_emergency_max_pu": ("emergency loading", "of emergency ratings"),
    "overload_time_max_s": ("time above the loading", "s"),
    "unbalance_negative_sequence_max": ("voltage unbalance", "negative over positive sequence"),
    "unbalance_nema_max": ("voltage unbalance", "by NEMA's definition"),
    "unbalance_time_share_max": ("share of time above the unbalance", ""),
    "rapid_voltage_change_max_pu": ("rapid voltage change", "pu"),
    "rapid_voltage_change_trip_max_pu": ("voltage change at a trip", "pu"),
    "voltage_after_trip_max_pu": ("voltage just after a trip", "pu"),
    "rating_basis": ("basis of ratings", ""),
    "base_rule": ("rule where the circuit breaks a limit without a site", ""),
    "voltage_worse_max_pu": ("voltage that a site may take further outside", "pu"),
    "loading_worse_max": ("loading that a site may add to an overload", "of ratings"),
    "time_worse_share_max": ("share of time that a site may add outside", ""),
}


def moved_limits(asked: Limits, used: Limits) -> str:
    """Limits that differ, in words with both figures; empty if none does."""
    moved = []
    for name, (words, unit) in LIMIT_WORDS.items():
        before, after = getattr(asked, name), getattr(used, name)
        if before != after:
            moved.append(f"{words} {_figure(after, unit)} instead of {_figure(before, '')}")
    return "; ".join(moved)


def _figure(value: float | str | None, unit: str) -> str:
    if isinstance(value, str):
        return value
    return "without limit" if value is None else f"{value:g} {unit}".strip()
