"""Scenario sets: draws of demand and standing power around a study's own scenario, each keyed by its name.

A draw takes the study's scenario and changes, each uniformly and independently:

- every replica share (at the start and reached by a ramp): times a factor from `SHARE_FACTOR`, at most 1;
- every ramp: begins and ends earlier or later by a time from `RAMP_SHIFT_SHARE` of the run, the same for both ends,
  kept inside the run;
- the feeder's own loads: times a factor from `OWN_LOAD_FACTOR`, one for all of them;
- its standing generators and loads: on, or off with probability `STANDING_OFF_SHARE`;
- spread between servers and their noise: times a factor from `SERVER_FACTOR`;
- all draws of servers and of latency: anew, because they are keyed by the scenario's name.

The ranges are assumptions of this study, not measurements: demand up to 10 % above and 20 % below the plan, other
load 30 % below to 5 % above the circuit's data (which are peak figures in the bundled feeders), a ramp
up to a twelfth of the run (five minutes of the hour) off its time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from g2g_opt.randomness import keyed_generator
from g2g_opt.scenario import Scenario

SHARE_FACTOR = (0.8, 1.1)
RAMP_SHIFT_SHARE = (-1.0 / 12.0, 1.0 / 12.0)
STANDING_OFF_SHARE = 0.25
SERVER_FACTOR = (0.5, 1.5)
OWN_LOAD_FACTOR = (0.7, 1.05)


def draw_scenario(base: Scenario, purpose: str, k: int) -> Scenario:
    """Draw `k` for a purpose ("search", "certificate 1"): the same arguments always give the same scenario."""
    name = f"{base.name} {purpose} {k}"
    generator = keyed_generator(base.seed, name, "scenario set")

    def share(value: float) -> float:
        return min(1.0, round(value * generator.uniform(*SHARE_FACTOR), 6))

    start = share(base.replica_share_start)
    ramps: list[tuple[float, float, float]] = []
    for begin, end, reached in base.replica_ramps:
        shift = generator.uniform(*RAMP_SHIFT_SHARE) * base.duration_s
        # Ramps follow one another: none begins before the one ahead of it has ended.
        earliest = ramps[-1][1] if ramps else 0.0
        begin_s = float(np.clip(begin + shift, earliest, max(earliest, base.duration_s - (end - begin))))
        ramps.append((round(begin_s), round(begin_s) + max(1.0, round(end - begin)), share(reached)))
    return replace(
        base,
        name=name,
        replica_share_start=start,
        replica_ramps=tuple(ramps),
        standing_power=base.standing_power and bool(generator.uniform() >= STANDING_OFF_SHARE),
        server_spread=round(base.server_spread * generator.uniform(*SERVER_FACTOR), 6),
        server_noise=round(base.server_noise * generator.uniform(*SERVER_FACTOR), 6),
        own_load_share=round(base.own_load_share * generator.uniform(*OWN_LOAD_FACTOR), 6),
    )


def draw_scenarios(base: Scenario, purpose: str, n: int) -> tuple[Scenario, ...]:
    """`n` draws for a purpose."""
    return tuple(draw_scenario(base, purpose, k) for k in range(n))
