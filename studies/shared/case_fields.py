"""Fields that questions about study cases share, with their flags."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from g2g_opt.flag import Flag
from g2g_opt.limits import Limits

StudyCaseName = Annotated[
    str, Flag("--case", "bundled study case: a feeder with sites, PV, loads and tuning as published", metavar="NAME")
]

# Of a base scenario, what every drawn scenario has of its own.
DRAWN = dict.fromkeys(
    (
        *("name", "replica_share_start", "replica_ramps", "standing_power", "profile", "profile_rows", "training"),
        *("site_shares", "generation_shapes", "load_shapes"),
    ),
    "the study draws it for every scenario by itself, keyed by the seed",
) | {"own_shapes": "the feeder of a study case has no load shapes of its own"}

# Of limits, all but the band: integral violations are what is asked for.
BAND_ONLY = dict.fromkeys(
    (f.name for f in fields(Limits) if f.name not in ("voltage_min_pu", "voltage_max_pu")),
    "scenarios are compared by what is outside the voltage band, and no other limit is judged",
)
