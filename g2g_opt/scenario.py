"""`Scenario`: what a planner does not decide (demand on the sites, sun, other load), and for how long it is run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError

# (start s, end s, share of the site's replicas reached). The ramp times are those of the recorded 13-bus cases.
PROFILE_ROW_S = 3600  # each row of an hourly profile
HOUR_RAMPS = ((400.0, 900.0, 1.0), (2500.0, 3000.0, 0.5))


@dataclass(frozen=True)
class Scenario:
    """A run of `duration_s` at `dt_s` (s, the same for sites and grid), controllers at `control_dt_s`.

    `replica_share_start` and `replica_ramps` (start s, end s, share reached; linear in between) shape the active
    replicas of every model as a share of its size. `standing_power` switches the feeder's own standing generators
    and loads on. Servers differ by `server_spread` either way and fluctuate by `server_noise` (relative standard
    deviation). `seed` and `name` key all draws.

    `own_load_share` multiplies the feeder's own loads. `profile` names hourly figures of its demand and sun (see
    `hourly_profile`): a bundled name or a CSV. The run then goes through its rows `profile_rows` (first row, how many,
    distance between them), each held for an hour. Without one the standing units go through their demonstration hour.
    """

    name: str = "hour"
    duration_s: int = 3600
    dt_s: Fraction = Fraction(1)
    control_dt_s: Fraction = Fraction(1)
    replica_share_start: float = 0.7
    replica_ramps: tuple[tuple[float, float, float], ...] = HOUR_RAMPS
    standing_power: bool = True
    server_spread: float = 0.02
    server_noise: float = 0.005
    seed: int = 0
    own_load_share: float = 1.0
    profile: str | None = None
    profile_rows: tuple[int, int, int] = (0, 1, 1)

    def __post_init__(self) -> None:
        for name in ("dt_s", "control_dt_s"):
            object.__setattr__(self, name, as_period(getattr(self, name), f"scenario {self.name!r}"))
        if (self.duration_s / self.dt_s).denominator != 1:
            raise InputError(f"scenario {self.name!r}: duration_s={self.duration_s} is no multiple of {self.dt_s} s")
        if self.duration_s <= 0:
            raise InputError(f"scenario {self.name!r}: duration_s must be positive, got {self.duration_s}")
        shares = [self.replica_share_start, *(share for _, _, share in self.replica_ramps)]
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise InputError(f"scenario {self.name!r}: replica shares must lie in [0, 1], got {shares}")
        if not (0.0 <= self.server_spread < 1.0 and self.server_noise >= 0.0):
            raise InputError(f"scenario {self.name!r}: server_spread in [0, 1) and server_noise >= 0 are needed")
        if not 0.0 <= self.own_load_share < 10.0:
            raise InputError(f"scenario {self.name!r}: own_load_share must lie in [0, 10), got {self.own_load_share}")
        first, count, step = self.profile_rows
        if first < 0 or count < 1 or step < 1:
            raise InputError(
                f"scenario {self.name!r}: profile_rows {self.profile_rows} need a first row, a count, a step"
            )
        if self.profile is not None and self.duration_s > count * PROFILE_ROW_S:
            raise InputError(
                f"scenario {self.name!r}: duration_s={self.duration_s} is longer than its {count} rows of an hour"
            )
