"""`Limits`: what a plan must keep to be accepted (equations, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.flag import Flag
from g2g_opt.quantities import IntegralPuS, LimitVoltagePu, LoadingPu, MarginPu, Share, TimeS, check_quantities

# Of a transformer OpenDSS's normal rating is 110 % of its nameplate, and its emergency rating 150 %, unless stated.
RatingBasis = Literal["nameplate", "normal", "emergency"]

# What happens where the circuit breaks a limit already without a site.
BaseRule = Literal["hold", "no-worse"]
# The fields of `Limits` that say so.
BASE_RULE_FIELDS = ("base_rule", "voltage_worse_max_pu", "loading_worse_max", "time_worse_share_max")


@dataclass(frozen=True)
class Limits:
    """Allowed voltages (pu), times, loadings and service; None reports a figure without judging it.

    The integral violation is that of equation 3.1. Loadings are shares of ratings on the `rating_basis`, which may
    be passed for `overload_time_share_max` of the run, or for `overload_time_max_s` (s) if that is given: all time
    counts in which any of them is above. Only ratings that somebody stated are judged. Emergency ratings are each
    element's own (emergamps, emerghkva; that of a transformer follows from its nameplate, 150 % of it, unless stated;
    that of a line has to be stated). Latency is sampled for every step, model and site.

    Unbalance is that of three-phase buses (EN 50160: 2 % negative over positive sequence, for 5 % of the time; ANSI
    C84.1: 3 % by NEMA's definition). Where the circuit is above without a site, a site may add 0.1 percentage points
    and no more, whatever the `base_rule`. Rapid voltage changes are told with taps held; those at a trip of a site at
    its largest draw have a limit of their own, as utilities allow more of what is rare. The level just after a trip is
    not judged unless asked: a run within its band and with changes of 3 % stays under 1.08 pu. See
    docs/power_quality.md.

    `base_rule` says what is asked where the circuit breaks a limit without any site (the base: the same scenario on the
    same engine): that the limit holds all the same, or that nothing gets worse there, by the tolerances
    `voltage_worse_max_pu` (pu; 0.001 is what a class A meter of IEC 61000-4-30 tells apart, from memory),
    `loading_worse_max` (share of the rating) and `time_worse_share_max` (share of the run). See `no_worse`.
    """

    voltage_min_pu: Annotated[LimitVoltagePu, Flag("--voltage-min-pu", "lowest voltage")] = 0.95
    voltage_max_pu: Annotated[LimitVoltagePu, Flag("--voltage-max-pu", "highest voltage")] = 1.05
    violation_time_share_max: Annotated[
        Share, Flag("--violation-share", "share of the run in which any monitored voltage may be outside")
    ] = 0.01
    violation_integral_max_pu_s: Annotated[
        IntegralPuS | None, Flag("--violation-integral-pu-s", "cap on the integral violation", unset="none")
    ] = None
    loading_max_pu: Annotated[
        LoadingPu | None,
        Flag(
            "--loading-max",
            "highest loading of lines and transformers, as a share of their ratings where somebody stated them; none: "
            "loadings are reported, not judged",
        ),
    ] = 1.0
    overload_time_share_max: Annotated[
        Share, Flag("--overload-share", "share of the run in which the loading may be above --loading-max")
    ] = 0.0
    latency_miss_share_max: Annotated[
        Share, Flag("--latency-misses", "share of latency samples that may be above their target")
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
        Flag(
            "--overload-time-max-s", "time in which the loading may be above --loading-max", unset="a share of the run"
        ),
    ] = None
    unbalance_negative_sequence_max: Annotated[
        Share | None,
        Flag("--unbalance-max", "highest voltage unbalance, negative over positive sequence; none: not judged"),
    ] = 0.02
    unbalance_nema_max: Annotated[
        Share | None, Flag("--unbalance-nema-max", "highest voltage unbalance by NEMA's definition; none: not judged")
    ] = 0.03
    unbalance_time_share_max: Annotated[
        Share, Flag("--unbalance-share", "share of the run in which a bus may be above these")
    ] = 0.05
    rapid_voltage_change_max_pu: Annotated[
        Share | None, Flag("--rapid-change-max", "largest rapid voltage change in the run itself; none: not judged")
    ] = 0.03
    rapid_voltage_change_trip_max_pu: Annotated[
        Share | None, Flag("--rapid-change-trip-max", "largest voltage change at a trip of a site; none: not judged")
    ] = 0.03
    voltage_after_trip_max_pu: Annotated[
        LimitVoltagePu | None,
        Flag("--voltage-after-trip-max-pu", "highest voltage just after a trip of a site", unset="report only"),
    ] = None
    rating_basis: Annotated[
        RatingBasis,
        Flag("--rating-basis", "which ratings loadings are shares of; a line's nameplate is its normal rating"),
    ] = "normal"
    base_rule: Annotated[
        BaseRule,
        Flag(
            "--base-rule",
            "where the circuit breaks a limit without a site: the limit holds all the same, or the site makes nothing "
            "worse there",
        ),
    ] = "hold"
    voltage_worse_max_pu: Annotated[
        MarginPu, Flag("--voltage-worse-max-pu", "no-worse: how much further outside the band a voltage may come")
    ] = 0.001
    loading_worse_max: Annotated[
        Share, Flag("--loading-worse-max", "no-worse: share of its rating by which an overload may grow")
    ] = 0.01
    time_worse_share_max: Annotated[
        Share, Flag("--time-worse-max", "no-worse: share of the run for which anything may be outside longer")
    ] = 0.01

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.rating_basis not in get_args(RatingBasis):
            raise unknown_name("rating basis", self.rating_basis, get_args(RatingBasis))
        if self.base_rule not in get_args(BaseRule):
            raise unknown_name("base rule", self.base_rule, get_args(BaseRule))
        if not self.voltage_min_pu < self.voltage_max_pu:
            raise InputError(
                f"limits need voltage_min_pu below voltage_max_pu, got {self.voltage_min_pu} and {self.voltage_max_pu}"
            )
        if self.overload_time_max_s is not None and self.loading_max_pu is None:
            raise InputError("overload_time_max_s is time above loading_max_pu: give that limit as well")
