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
}


def moved_limits(asked: Limits, used: Limits) -> str:
    """Limits that differ, in words with both figures; empty if none does."""
    moved = []
    for name, (words, unit) in LIMIT_WORDS.items():
        before, after = getattr(asked, name), getattr(used, name)
        if before != after:
            moved.append(f"{words} {_figure(after, unit)} instead of {_figure(before, '')}")
    return "; ".join(moved)


def _figure(value: float | None, unit: str) -> str:
    return "without limit" if value is None else f"{value:g} {unit}".strip()
