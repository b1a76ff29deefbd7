"""`Scenario`: what a planner does not decide (demand on the sites, sun, other load), and for how long it is run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, get_args

from g2g_opt.clock import HOUR_S, as_period
from g2g_opt.datacenter.workloads.training import TrainingShape
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.flag import Flag
from g2g_opt.power_shape import SHAPE_SYNTAX, PowerShape
from g2g_opt.quantities import (
    STEPS_MAX,
    BatchSize,
    Count,
    CountFromZero,
    GpuCount,
    LoadShare,
    PeriodS,
    RelativeStd,
    RunS,
    Seed,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    TimeS,
    WattPerGpu,
    check_quantities,
)
from g2g_opt.reading import absolute_path, finite_number

# (start s, end s, share of the site's replicas reached). The ramp times are those of the recorded 13-bus cases.
HOUR_RAMPS = ((400.0, 900.0, 1.0), (2500.0, 3000.0, 0.5))

TRAINING_SYNTAX = "[SITE:]GPUS|PERCENT%,PEAK_W,START,END[,SHAPE|FILE]"
SITE_SHARES_SYNTAX = "SITE:SHARE[,START,END,SHARE]..."


@dataclass(frozen=True)
class ReplicaShares:
    """Active replicas of one site as a share of its size: `start`, then `ramps` (start s, end s, share reached).

    `batch_sizes` are those at which models (by label) begin, where they are not the plan's.
    """

    site: str
    start: Share
    ramps: tuple[tuple[TimeS, TimeS, Share], ...] = ()
    batch_sizes: tuple[tuple[str, BatchSize], ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)

    @staticmethod
    def parse(text: str) -> ReplicaShares:
        """Of `SITE_SHARES_SYNTAX`, e.g. "campus:0.7,400,900,1.0"; `InputError` for anything else."""
        where = f"replica shares {text!r}"
        site, _, figures = text.rpartition(":")
        parts = figures.split(",")
        if not site.strip() or len(parts) % 3 != 1:
            raise InputError(f"{where} cannot be read; write {SITE_SHARES_SYNTAX}, e.g. campus:0.7,400,900,1.0")
        start, *rest = (finite_number(part, where) for part in parts)
        return ReplicaShares(site.strip(), start, tuple(zip(rest[::3], rest[1::3], rest[2::3], strict=True)))


@dataclass(frozen=True)
class TrainingOverlay:
    """Training from `start_s` to `end_s` (s) at `site` (empty: at every site), on `n_gpus` GPUs or on `gpu_share` of
    the site's: one of the two is given.

    It draws its power on top of what the replicas draw, whose GPUs it does not take; a site trains on no more GPUs at a
    time than it has. Power follows `trace` (CSV of t_s and power_W of one GPU; None: a modelled trace of a `shape`),
    scaled to a peak of `peak_w_per_gpu`. The shape decides how far the mean lies below the peak (see `TrainingTrace`).
    """

    start_s: TimeS
    end_s: TimeS
    n_gpus: GpuCount | None = None
    gpu_share: ShareAboveZero | None = None
    peak_w_per_gpu: WattPerGpu = 400.0
    site: str = ""
    trace: str | None = None
    shape: TrainingShape = "steps"

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.shape not in get_args(TrainingShape):
            raise unknown_name("training shape", self.shape, get_args(TrainingShape))
        if (self.n_gpus is None) == (self.gpu_share is None):
            raise InputError("training takes so many GPUs (n_gpus) or a share of the site's (gpu_share): give one")
        if not self.start_s < self.end_s:
            raise InputError(f"training must end after it starts, got {self.start_s:g} s to {self.end_s:g} s")

    @property
    def of_every_size(self) -> bool:
        """True if it fits a site of any name and size."""
        return self.gpu_share is not None and not self.site

    def gpus_of(self, n_gpus: int) -> int:
        """GPUs it runs on at a site of so many."""
        return int(self.gpu_share * n_gpus) if self.gpu_share is not None else self.n_gpus or 0

    @staticmethod
    def parse(text: str) -> TrainingOverlay:
        """Of `TRAINING_SYNTAX`, e.g. "2400,400,1000,2000" or "33%,400,1000,2000"; `InputError` for anything else."""
        where = f"training {text!r}"
        site, _, figures = text.rpartition(":") if ":" in text.split(",")[0] else ("", "", text)
        parts = [part.strip() for part in figures.split(",", 4)]
        if len(parts) < 4 or "" in parts:
            raise InputError(f"{where} cannot be read; write {TRAINING_SYNTAX}, e.g. 2400,400,1000,2000")
        peak_w, start_s, end_s = (finite_number(part, where) for part in parts[1:4])
        size: dict[str, int | float] = {}
        if parts[0].endswith("%"):
            percent = finite_number(parts[0][:-1], where)
            if not 0.0 < percent <= 100.0:
                raise InputError(f"{where}: {percent:g} % is no part of a site's GPUs; write a percentage in (0, 100]")
            size["gpu_share"] = percent / 100.0
        elif parts[0].isascii() and parts[0].isdecimal():
            size["n_gpus"] = int(parts[0])
        else:
            raise InputError(f"{where}: {parts[0]!r} is neither a number of GPUs nor a share in percent, as in 33%")
        course: dict[str, Any] = {}
        if len(parts) == 5:
            shaped = parts[4] in get_args(TrainingShape)
            course = {"shape": parts[4]} if shaped else {"trace": str(absolute_path(parts[4], where))}
        return TrainingOverlay(start_s, end_s, peak_w_per_gpu=peak_w, site=site.strip(), **size, **course)  # type: ignore[arg-type]


PROFILE_FLAG = Flag(
    "--profile",
    "hourly factors on the feeder's own load and sun: a bundled year's name or a CSV",
    metavar="NAME|FILE",
    unset="none",
)
TRAINING_FLAG = Flag(
    "--training",
    "training on top of the replicas: GPUs or a share of the site's, peak W per GPU, window (s), trace",
    metavar=TRAINING_SYNTAX,
    unset="none",
    read=TrainingOverlay.parse,
)


@dataclass(frozen=True)
class Scenario:
    """A run of `duration_s` at `dt_s` (s, the same for sites and grid), controllers at `control_dt_s`.

    `replica_share_start` and `replica_ramps` (start s, end s, share reached; linear in between) shape the active
    replicas of every model as a share of its size. `standing_power` switches the feeder's own standing generators
    and loads on. Servers differ by `server_spread` either way and fluctuate by `server_noise` (relative standard
    deviation). `seed` and `name` key all draws.

    `own_load_share` multiplies the feeder's own loads. `profile` names hourly figures of its demand and sun (see
    `hourly_profile`): a bundled name or a CSV. The run then goes through its rows `profile_rows` (first row, how many,
    distance between them), each held for an hour. Without one the standing units go through their demonstration hour,
    or through `generation_shapes` and `load_shapes`: one for each of the feeder's standing generators and loads in
    their order, or one for all. `training` runs beside the replicas. `site_shares` are the replicas of single sites by
    name, instead of the common ones. With `own_shapes` the circuit's own shapes take the place of its load (see
    `own_year`).
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
    profile: Annotated[str | None, PROFILE_FLAG] = None
    profile_rows: Annotated[
        tuple[CountFromZero, Count, Count],
        Flag("--profile-rows", "rows of the profile: the first, how many, distance", metavar="FIRST,N,EVERY"),
    ] = (0, 1, 1)
    training: Annotated[tuple[TrainingOverlay, ...], TRAINING_FLAG] = ()
    site_shares: Annotated[
        tuple[ReplicaShares, ...],
        Flag(
            "--site-replicas",
            "active replicas of one site, instead of those of all: share at the start, and ramps (s) to other shares",
            metavar=SITE_SHARES_SYNTAX,
            unset="none",
            read=ReplicaShares.parse,
        ),
    ] = ()
    generation_shapes: Annotated[
        tuple[PowerShape, ...],
        Flag(
            "--generation-shape",
            "course of a standing generator over the run, or of all: share of its peak, ramps and pulses (s) on it",
            metavar=SHAPE_SYNTAX,
            unset="the demonstration hour",
            read=PowerShape.parse,
        ),
    ] = ()
    load_shapes: Annotated[
        tuple[PowerShape, ...],
        Flag(
            "--load-shape",
            "course of a standing load over the run, or of all",
            metavar=SHAPE_SYNTAX,
            unset="the demonstration hour",
            read=PowerShape.parse,
        ),
    ] = ()
    own_shapes: Annotated[
        bool,
        Flag("--own-shapes", "loads follow the circuit's own load shapes through the profile's hours, not its load"),
    ] = False

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
        self._check_ramps("replica_ramps", self.replica_ramps)
        named = [shares.site for shares in self.site_shares]
        if len(set(named)) < len(named):
            raise InputError(f"scenario {self.name!r}: site_shares name a site twice: {named}")
        for shares in self.site_shares:
            self._check_ramps(f"site_shares of {shares.site!r}", shares.ramps)
        if self.profile is not None and (self.generation_shapes or self.load_shapes):
            raise InputError(
                f"scenario {self.name!r}: a profile says how sun and loads run, and so do shapes; give one"
            )
        for job in self.training:
            if job.start_s >= self.duration_s:
                raise InputError(
                    f"scenario {self.name!r}: training from {job.start_s:g} s begins after the run, which ends at "
                    f"{self.duration_s} s"
                )
        if self.own_shapes and self.profile is None:
            raise InputError(
                f"scenario {self.name!r}: the circuit's own shapes go through the hours of a profile; name one"
            )
        count = self.profile_rows[1]
        if self.profile is not None and self.duration_s > count * HOUR_S:
            raise InputError(
                f"scenario {self.name!r}: duration_s={self.duration_s} is longer than its {count} rows of an hour"
            )

    def shares_of(self, site: str) -> ReplicaShares:
        """Active replicas of a site."""
        own = (shares for shares in self.site_shares if shares.site == site)
        return next(own, ReplicaShares(site, self.replica_share_start, self.replica_ramps))

    def _check_ramps(self, what: str, ramps: tuple[tuple[float, float, float], ...]) -> None:
        """Ramps in order of time, each in the run; the usual ones of an hour may lie beyond a shorter run's end."""
        before_s = 0.0
        for ramp in ramps:
            start_s, end_s = ramp[:2]
            if not before_s <= start_s <= end_s:
                raise InputError(
                    f"scenario {self.name!r}: {what} must be (start s, end s, share reached), one after the "
                    f"other, got {ramps}"
                )
            if start_s >= self.duration_s and ramps != HOUR_RAMPS:
                raise InputError(
                    f"scenario {self.name!r}: the ramp from {start_s:g} s to {end_s:g} s begins after the run, which "
                    f"ends at {self.duration_s} s; leave it out, or write it in seconds from the beginning of the run"
                )
            before_s = end_s
