"""Envelopes of stored runs: the extreme voltages that a report draws beside the limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.limits import Limits
from studies.shared.conclusion import Envelope
from studies.shared.stored_runs import RunRow


def envelope_of(title: str, runs: Sequence[RunRow], limits: Limits) -> Envelope:
    """Lowest and highest voltage of every monitored bus-phase, of several runs of one feeder in any of them."""
    lowest = np.min([run.lowest_pu for run in runs], axis=0).tolist()
    highest = np.max([run.highest_pu for run in runs], axis=0).tolist()
    return Envelope(title, runs[0].nodes, lowest, highest, limits.voltage_min_pu, limits.voltage_max_pu)
