"""`Plan`: what a planner decides; `Policy`: how sites are coordinated at run time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

from g2g_opt.communication import Channels, channels_of
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.quantities import (
    BatchSize,
    Figure,
    MarginPu,
    PowerKw,
    PowerKwAboveZero,
    ScheduleTimeS,
    TapPu,
    check_quantities,
)
from g2g_opt.site import Site

PolicyKind = Literal["none", "droop", "ofo", "schedule"]
TapMode = Literal["fixed", "own control"]


@dataclass(frozen=True)
class Policy:
    """A controller at every site, by kind; `settings` are (name, value) pairs that override its tuning.

    "schedule" caps batch sizes over time: `batch_caps` are (time s, cap) pairs, each from the control step at that
    time on, in force from the step after it (before 0: from the beginning). `margin_pu` narrows the band the
    controller aims at, on both sides: it acts before the limit is reached.

    `channels` are what measurements and commands pass, also in short form (see `read_channels`); with None everything
    is known and done at once.
    """

    kind: Annotated[PolicyKind, Flag("--policy", "controller at every site")] = "none"
    margin_pu: Annotated[MarginPu, Flag("--margin", "it aims this far inside the voltage limits")] = 0.0
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

    channels: Annotated[
        Channels | None,
        BeforeValidator(channels_of),
        Flag(
            "--channel",
            "how controllers hear of voltages and sites, and sites of them, e.g. udp:loss=0.2,latency=0.1",
            metavar="TRANSPORT:NAME=X,...",
            unset="at once",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_quantities(self)
        object.__setattr__(self, "channels", channels_of(self.channels))
        if self.kind not in get_args(PolicyKind):
            raise InputError(f"policy {self.kind!r} is unknown; known policies: {list(get_args(PolicyKind))}")
        if bool(self.batch_caps) != (self.kind == "schedule"):
            raise InputError("batch_caps belong to a policy of kind 'schedule', which needs them")


@dataclass(frozen=True)
class PVUnit:
    """PV that is built at `bus`: its size (kW, three phases, unity power factor), and the most it may inject (kW)."""

    bus: str
    size_kw: PowerKwAboveZero
    output_max_kw: PowerKw | None = None

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class Plan:
    """Sites, regulator taps (regulator name, ratio in pu; regulators left out keep the feeder's), a policy, and PV.

    PV follows the sun of the scenario's profile, which it needs.

    `tap_mode` "own control" lets the feeder's regulator controls move the taps during the run.
    """

    sites: tuple[Site, ...]
    taps: tuple[tuple[str, TapPu], ...] = ()
    policy: Policy = Policy()
    tap_mode: TapMode = "fixed"
    pv: tuple[PVUnit, ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.tap_mode not in get_args(TapMode):
            raise InputError(f"tap_mode {self.tap_mode!r} is unknown; known modes: {list(get_args(TapMode))}")
        names = [site.name for site in self.sites]
        if not names or len(set(names)) != len(names):
            raise InputError(f"a plan needs sites with different names, got {names}")
