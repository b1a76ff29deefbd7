"""`Scenario`: what a planner does not decide (demand on the sites, sun, other load), and for how long it is run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.quantities import (
    STEPS_MAX,
    Count,
    CountFromZero,
    LoadShare,
    PeriodS,
    RelativeStd,
    RunS,
    Seed,
    Share,
    ShareBelowOne,
    TimeS,
    check_quantities,
)

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

    name: Annotated[str, Flag("--scenario-name", "name of the run, which keys its draws", metavar="NAME")] = "hour"
    duration_s: Annotated[RunS, Flag("--duration-s", "length of a run")] = 3600
    dt_s: Annotated[PeriodS, Flag("--dt-s", "step of sites and grid")] = Fraction(1)
    control_dt_s: Annotated[PeriodS, Flag("--control-dt-s", "how often controllers act")] = Fraction(1)
    replica_share_start: Annotated[Share, Flag("--replica-share", "share of the replicas active at the start")] = 0.7
    replica_ramps: Annotated[
        tuple[tuple[TimeS, TimeS, Share], ...],
        Flag("--replica-ramp", "from one time to another to a share of the replicas", metavar="START,END,SHARE"),
    ] = HOUR_RAMPS
    standing_power: Annotated[
        bool, Flag("--no-standing-power", "switch the feeder's own standing generators and loads off")
    ] = True
    server_spread: Annotated[ShareBelowOne, Flag("--server-spread", "by which servers differ either way")] = 0.02
    server_noise: Annotated[RelativeStd, Flag("--server-noise", "relative standard deviation of a server's power")] = (
        0.005
    )
    seed: Annotated[Seed, Flag("--seed", "study seed, which keys all draws")] = 0
    own_load_share: Annotated[
        LoadShare,
        Flag(
            "--load-level",
            "share of the circuit's own load as its data have it, LoadMult included",
            metavar="SHARE",
            also=("--own-load-share",),
        ),
    ] = 1.0
    profile: Annotated[
        str | None,
        Flag(
            "--profile",
            "hourly factors on the feeder's own load and sun: a bundled year's name or a CSV",
            metavar="NAME|FILE",
            unset="none",
        ),
    ] = None
    profile_rows: Annotated[
        tuple[CountFromZero, Count, Count],
        Flag("--profile-rows", "rows of the profile: the first, how many, distance", metavar="FIRST,N,EVERY"),
    ] = (0, 1, 1)

    def __post_init__(self) -> None:
        for name in ("dt_s", "control_dt_s"):
            object.__setattr__(self, name, as_period(getattr(self, name), f"scenario {self.name!r}", name))
        check_quantities(self)
        n_steps = self.duration_s / self.dt_s
        if n_steps.denominator != 1:
            raise InputError(f"scenario {self.name!r}: duration_s={self.duration_s} is no multiple of {self.dt_s} s")
        if n_steps.numerator > STEPS_MAX:
            raise InputError(
                f"scenario {self.name!r}: duration_s={self.duration_s} in steps of {self.dt_s} s are "
                f"{n_steps} steps; a run has at most {STEPS_MAX}"
            )
        if self.control_dt_s > self.duration_s:
            raise InputError(f"scenario {self.name!r}: control_dt_s={self.control_dt_s} is longer than the run")
        self._check_ramps()
        count = self.profile_rows[1]
        if self.profile is not None and self.duration_s > count * PROFILE_ROW_S:
            raise InputError(
                f"scenario {self.name!r}: duration_s={self.duration_s} is longer than its {count} rows of an hour"
            )

    def _check_ramps(self) -> None:
        """Ramps in order of time, each in the run; the usual ones of an hour may lie beyond a shorter run's end."""
        before_s = 0.0
        for ramp in self.replica_ramps:
            start_s, end_s = ramp[:2]
            if not before_s <= start_s <= end_s:
                raise InputError(
                    f"scenario {self.name!r}: replica_ramps must be (start s, end s, share reached), one after the "
                    f"other, got {self.replica_ramps}"
                )
            if start_s >= self.duration_s and self.replica_ramps != HOUR_RAMPS:
                raise InputError(
                    f"scenario {self.name!r}: the ramp from {start_s:g} s to {end_s:g} s begins after the run, which "
                    f"ends at {self.duration_s} s; leave it out, or write it in seconds from the beginning of the run"
                )
            before_s = end_s
