"""Envelopes of stored runs: the extreme voltages that a report draws beside the limits."""

from __future__ import annotations

from g2g_opt.limits import Limits
from studies.shared.conclusion import Envelope
from studies.shared.stored_runs import RunRow


def envelope_of(title: str, run: RunRow, limits: Limits) -> Envelope:
    """Lowest and highest voltage of every monitored bus-phase of a run."""
    extremes = run.lowest_pu.tolist(), run.highest_pu.tolist()
    return Envelope(title, run.nodes, *extremes, limits.voltage_min_pu, limits.voltage_max_pu)
