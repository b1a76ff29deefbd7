"""When an outage of all channels hurts most."""

from __future__ import annotations

from g2g_opt.scenario import Scenario


def worst_outage_start_s(scenario: Scenario, outage_s: float) -> float:
    """When an outage (s) hurts most that keeps sites at what they were told before: it ends as demand has risen.

    That is at the end of the ramp that rises most within such a time; at the beginning of the run where none rises.
    """
    before, most, worst_s = scenario.replica_share_start, 0.0, 0.0
    for start_s, end_s, share in scenario.replica_ramps:
        if start_s >= scenario.duration_s:
            break
        rise = (share - before) * min(outage_s / max(end_s - start_s, 1e-9), 1.0)
        if rise > most:
            most, worst_s = rise, max(start_s, end_s - outage_s)
        before = share
    return worst_s
