"""Limits that tests leave out whose figures other limits decide."""

from __future__ import annotations

NO_POWER_QUALITY: dict[str, None] = dict.fromkeys(
    (
        "rapid_voltage_change_max_pu",
        "rapid_voltage_change_trip_max_pu",
        "unbalance_negative_sequence_max",
        "unbalance_nema_max",
    )
)
