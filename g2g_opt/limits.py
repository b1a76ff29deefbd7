"""`Limits`: what a plan must keep to be accepted (formulations 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.quantities import IntegralPuS, LimitVoltagePu, LoadingPu, Share, TimeS, check_quantities


@dataclass(frozen=True)
class Limits:
    """Allowed voltages (pu), times, loadings and service; None reports a figure without judging it.

    The integral violation is that of formulations 3.1. Loadings are shares of normal ratings, which may be passed for
    `overload_time_share_max` of the run, or for `overload_time_max_s` (s) if that is given: all time counts in which
    any of them is above. Emergency ratings are each element's own (emergamps, emerghkva; where none is stated OpenDSS
    gives a line 600 A, whatever its normal rating, and a transformer 1.36 times its own, which is 150 % of its
    nameplate). Latency is sampled for every step, model and site.
    """

    voltage_min_pu: Annotated[LimitVoltagePu, Flag("--voltage-min", "lowest voltage")] = 0.95
    voltage_max_pu: Annotated[LimitVoltagePu, Flag("--voltage-max", "highest voltage")] = 1.05
    violation_time_share_max: Annotated[
        Share, Flag("--violation-share", "share of the run in which any monitored voltage may be outside")
    ] = 0.01
    violation_integral_max_pu_s: Annotated[
        IntegralPuS | None, Flag("--violation-integral", "cap on the integral violation", unset="none")
    ] = None
    loading_max_pu: Annotated[
        LoadingPu | None,
        Flag(
            "--loading-max",
            "highest loading of lines and transformers, as a share of their normal ratings",
            unset="report only",
        ),
    ] = None
    overload_time_share_max: Annotated[
        Share, Flag("--overload-share", "share of the run in which the loading may be above --loading-max")
    ] = 0.0
    latency_miss_share_max: Annotated[
        Share,
        Flag("--latency-misses", "share of latency samples that may be above their target"),
    ] = 0.05
    throughput_share_min: Annotated[
        Share, Flag("--throughput-min", "tokens served, as a share of the uncontrolled fleet's of the same size")
    ] = 0.5
    loading_emergency_max_pu: Annotated[
        LoadingPu | None,
        Flag(
            "--loading-emergency-max",
            "loading that is passed at no step, as a share of the emergency ratings, e.g. 1.0",
            unset="none",
        ),
    ] = None
    overload_time_max_s: Annotated[
        TimeS | None,
        Flag("--overload-time-max", "time in which the loading may be above --loading-max", unset="a share of the run"),
    ] = None

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.voltage_min_pu < self.voltage_max_pu:
            raise InputError(
                f"limits need voltage_min_pu below voltage_max_pu, got {self.voltage_min_pu} and {self.voltage_max_pu}"
            )
        if self.overload_time_max_s is not None and self.loading_max_pu is None:
            raise InputError("overload_time_max_s is time above loading_max_pu: give that limit as well")
