"""What commit d63c28f asked by default: taps with foresight, neither ratings nor power quality judged."""

from __future__ import annotations

from typing import Any

from g2g_opt.limits import Limits

QUESTION: dict[str, Any] = {
    "taps": "optimised",
    "limits": Limits(
        loading_max_pu=None,
        unbalance_negative_sequence_max=None,
        unbalance_nema_max=None,
        rapid_voltage_change_max_pu=None,
        rapid_voltage_change_trip_max_pu=None,
    ),
}
