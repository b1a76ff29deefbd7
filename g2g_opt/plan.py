"""`Plan`: what a planner decides; `Policy`: how sites, taps and replicas act at run time. Both are plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Literal, get_args

from g2g_opt.clock import as_period
from g2g_opt.communication import ChannelsAsked, channels_of
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.flag import Flag
from g2g_opt.ppo_policy import PPOPolicy
from g2g_opt.quantities import (
    BandVoltagePu,
    BatchSize,
    EnergyKwh,
    ErrorPu,
    Figure,
    GpuCount,
    MarginPu,
    PeriodS,
    PowerKva,
    PowerKw,
    PowerKwAboveZero,
    ScheduleTimeS,
    Share,
    ShareAboveZero,
    SignedPowerKw,
    TapPu,
    TimeS,
    check_quantities,
)
from g2g_opt.reading import finite_number
from g2g_opt.site import GPUS_PER_SERVER, Site

PolicyKind = Literal["none", "droop", "ofo", "schedule", "contextual", "ppo"]
TapMode = Literal["fixed", "own control"]
StorageDroop = Literal["qv", "pv"]

STORAGE_SYNTAX = "[BUS:]KW,KWH[,qv|pv]"
# Lithium-ion storage on the grid, charged and discharged once (NREL Annual Technology Baseline, utility-scale
# batteries).
ROUND_TRIP_EFFICIENCY = 0.85


@dataclass(frozen=True)
class AdaptiveTaps:
    """Regulators follow the voltages: every `period_s` the one with the worst margin moves a step, if it has rested for
    `cooldown_s` since its last one.

    `served_buses` names the buses that a regulator looks after, by regulator; one that is not named looks after all
    monitored nodes of its phases.
    """

    period_s: PeriodS = Fraction(5)
    cooldown_s: TimeS = 30.0
    served_buses: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "period_s", as_period(self.period_s, "adaptive taps", "period_s"))
        check_quantities(self)

    @staticmethod
    def parse(text: str) -> AdaptiveTaps:
        """Of "PERIOD,COOLDOWN" (s); `InputError` for anything else."""
        parts = text.split(",")
        if len(parts) != 2:
            raise InputError(f"adaptive taps {text!r} cannot be read; write PERIOD,COOLDOWN in seconds, e.g. 5,30")
        where = f"adaptive taps {text!r}"
        return AdaptiveTaps(Fraction(str(finite_number(parts[0], where))), finite_number(parts[1], where))


@dataclass(frozen=True)
class Policy:
    """How a plan acts during a run. The `kind` sets batch sizes at every site; what else is given acts beside it.

    `settings` are (name, value) pairs that override the tuning of droop or OFO. "schedule" caps batch sizes over time:
    `batch_caps` are (time s, cap) pairs, each from the control step at that time on, in force from the step after it
    (before 0: from the beginning). "contextual" follows a `contextual` policy, which names sites and models, "ppo" a
    neural one.
    `margin_pu` narrows the band the controllers aim at, on both sides: they act before the limit is reached.

    `load_shift_gpus` moves so many GPUs' worth of replicas (whole servers) at a step between sites whose batch sizes
    are at their ends, as far as no site loses room that its own schedule still needs. `tap_schedule` are (time s,
    regulator, ratio in pu) triples; `adaptive_taps` move after them.

    `channels` are what its measurements and commands pass, also in short form (see `read_channels`); with None
    everything is known and done at once.
    """

    kind: Annotated[PolicyKind, Flag("--policy", "controller at every site")] = "none"
    margin_pu: Annotated[MarginPu, Flag("--margin-pu", "it aims this far inside the voltage limits")] = 0.0
    settings: Annotated[
        tuple[tuple[str, Figure], ...],
        Flag("--policy-setting", "a figure of its tuning", metavar="NAME=X", joined="=", unset="the feeder's"),
    ] = ()
    batch_caps: Annotated[
        tuple[tuple[ScheduleTimeS, BatchSize], ...],
        Flag(
            "--batch-cap",
            "of the policy schedule: largest batch size from a time (s) on",
            metavar="S,CAP",
            unset="none",
        ),
    ] = ()
    contextual: Annotated[
        FeederPolicy | None,
        Flag(
            "--policy-file",
            "of the policy contextual: the JSON of a trained policy",
            metavar="FILE",
            unset="none",
            read=FeederPolicy.load,
        ),
    ] = None
    load_shift_gpus: Annotated[
        GpuCount | None,
        Flag(
            "--load-shift-gpus",
            "move replicas of so many GPUs at a step between sites at their ends",
            unset="no shifts",
        ),
    ] = None
    tap_schedule: Annotated[
        tuple[tuple[ScheduleTimeS, str, TapPu], ...],
        Flag("--tap-at", "a regulator's ratio from a time (s) on", metavar="S,REGULATOR,PU", unset="none"),
    ] = ()
    adaptive_taps: Annotated[
        AdaptiveTaps | None,
        Flag(
            "--adaptive-taps",
            "regulators follow the voltages: how often one may move, and how long it then rests (s)",
            metavar="PERIOD,COOLDOWN",
            unset="they do not",
            read=AdaptiveTaps.parse,
        ),
    ] = None
    channels: ChannelsAsked = None
    ppo: Annotated[
        PPOPolicy | None,
        Flag(
            "--ppo-file",
            "of the policy ppo: the JSON of a policy that was trained on this feeder (g2g ppo-training)",
            metavar="FILE",
            unset="none",
            read=PPOPolicy.load,
        ),
    ] = None

    def __post_init__(self) -> None:
        check_quantities(self)
        object.__setattr__(self, "channels", channels_of(self.channels))
        if self.kind not in get_args(PolicyKind):
            raise InputError(f"policy {self.kind!r} is unknown; known policies: {list(get_args(PolicyKind))}")
        if bool(self.batch_caps) != (self.kind == "schedule"):
            raise InputError("a policy of kind 'schedule' needs batch_caps, and no other kind has any")
        for kind, trained, flag in (("contextual", self.contextual, "--policy-file"), ("ppo", self.ppo, "--ppo-file")):
            if kind == self.kind and trained is None:
                raise InputError(f"policy {kind!r} needs a trained policy: {flag} FILE, or {kind}= in Python")
            if kind != self.kind and trained is not None:
                raise InputError(
                    f"a trained policy ({flag}, or {kind}= in Python) belongs to policy {kind!r}, not {self.kind!r}"
                )
        if self.load_shift_gpus is not None and self.load_shift_gpus % GPUS_PER_SERVER:
            raise InputError(
                f"load_shift_gpus moves whole servers: give a multiple of {GPUS_PER_SERVER}, got {self.load_shift_gpus}"
            )

    @property
    def moves_taps(self) -> bool:
        """True if it moves regulators."""
        return bool(self.tap_schedule) or self.adaptive_taps is not None

    @property
    def acts(self) -> bool:
        """True if anything of it acts in a run."""
        return self.kind != "none" or self.load_shift_gpus is not None or self.moves_taps

    @property
    def of_the_grid(self) -> Policy:
        """What of it acts on the grid alone: no site changes what it does."""
        if not self.moves_taps:
            return Policy()
        return Policy(
            margin_pu=self.margin_pu,
            tap_schedule=self.tap_schedule,
            adaptive_taps=self.adaptive_taps,
            channels=self.channels,
        )


@dataclass(frozen=True)
class PVUnit:
    """PV that is built at `bus`: its size (kW, three phases, unity power factor), and the most it may inject (kW).

    Storage beside it injects `storage_kw` all through the run, negative while it charges.
    """

    bus: str
    size_kw: PowerKwAboveZero
    output_max_kw: PowerKw | None = None
    storage_kw: SignedPowerKw = 0.0

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class StorageUnit:
    """Storage at `bus` (empty: one at every site), of `power_kw` and `energy_kwh`, that follows the voltage there.

    `droop` "qv" moves its reactive power, up to `apparent_power_kva` (its power unless given), "pv" its power, as long
    as there is energy. The output grows linearly from `deadband_pu` around `voltage_ref_pu` to all of it at
    `full_output_error_pu`. Charging and discharging lose alike: each keeps the root of `round_trip_efficiency`. It
    begins at `soc_start` (share of its energy).
    """

    bus: str
    power_kw: PowerKwAboveZero
    energy_kwh: EnergyKwh
    droop: StorageDroop = "pv"
    round_trip_efficiency: ShareAboveZero = ROUND_TRIP_EFFICIENCY
    soc_start: Share = 0.5
    apparent_power_kva: PowerKva | None = None
    voltage_ref_pu: BandVoltagePu = 1.0
    deadband_pu: ErrorPu = 0.005
    full_output_error_pu: ErrorPu = 0.05

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.droop not in get_args(StorageDroop):
            raise InputError(f"storage droop {self.droop!r} is unknown; known: {list(get_args(StorageDroop))}")
        if self.apparent_power_kva is not None and self.apparent_power_kva < self.power_kw:
            raise InputError(f"storage at bus {self.bus!r}: apparent_power_kva is below power_kw")
        if not self.deadband_pu < self.full_output_error_pu:
            raise InputError(f"storage at bus {self.bus!r} needs deadband_pu < full_output_error_pu")

    @staticmethod
    def parse(text: str) -> StorageUnit:
        """Of `STORAGE_SYNTAX`; `InputError` for anything else."""
        bus, _, figures = text.rpartition(":")
        parts = figures.split(",")
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["qv"], ["pv"]):
            raise InputError(f"storage {text!r} cannot be read; write {STORAGE_SYNTAX}, e.g. 675:500,1000,qv")
        power_kw, energy_kwh = (finite_number(part, f"storage {text!r}") for part in parts[:2])
        unit = StorageUnit(bus.strip(), power_kw, energy_kwh)
        return replace(unit, droop="qv") if parts[2:] == ["qv"] else unit


@dataclass(frozen=True)
class Plan:
    """Sites, regulator taps (regulator name, ratio in pu; those left out keep the feeder's), a policy, PV and storage.

    PV follows the sun of the scenario's profile, which it needs.

    `tap_mode` "own control" lets the feeder's regulator controls move the taps during the run; a policy then does not.

    Without sites it is the feeder as it stands, which others are held against (`base`).
    """

    sites: tuple[Site, ...]
    taps: tuple[tuple[str, TapPu], ...] = ()
    policy: Policy = Policy()
    tap_mode: TapMode = "fixed"
    pv: tuple[PVUnit, ...] = ()
    storage: tuple[StorageUnit, ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.tap_mode not in get_args(TapMode):
            raise InputError(f"tap_mode {self.tap_mode!r} is unknown; known modes: {list(get_args(TapMode))}")
        names = [site.name for site in self.sites]
        if len(set(names)) != len(names):
            raise InputError(f"a plan needs sites with different names, got {names}")
        if self.tap_mode == "own control" and self.policy.moves_taps:
            raise InputError("taps move by the feeder's own controls or by the policy, not by both")

    def base(self) -> Plan:
        """The feeder as it stands, at its own taps and without anything that this plan builds or decides."""
        return Plan((), tap_mode=self.tap_mode)
