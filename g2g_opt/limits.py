"""`Limits`: what a plan must keep to be accepted (formulations 6)."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.errors import InputError
from g2g_opt.quantities import IntegralPuS, LimitVoltagePu, LoadingPu, Share, TimeS, check_quantities


@dataclass(frozen=True)
class Limits:
    """Allowed voltages (pu), times, loadings and service.

    `violation_time_share_max`: share of the run in which any monitored voltage may be outside the band.
    `violation_integral_max_pu_s`: cap on the integral violation (3.1); None for none.
    `loading_max_pu`: highest loading of lines and transformers as a share of their normal ratings, which may be
    passed for `overload_time_share_max` of the run, or for `overload_time_max_s` (s) if that is given: all time counts
    in which any of them is above. None reports loadings without judging them.
    `loading_emergency_max_pu`: loading that none of them may pass at any step, as a share of its own emergency rating
    (emergamps, emerghkva; where none is stated OpenDSS gives a line 600 A, whatever its normal rating, and a
    transformer 1.36 times its own, which is 150 % of its nameplate);
    None for none.
    `unbalance_negative_sequence_max`, `unbalance_nema_max`: highest voltage unbalance at a three-phase bus, negative
    over positive sequence (EN 50160: 2 %) and NEMA's definition from line to line (ANSI C84.1: 3 %); each bus may be
    above for `unbalance_time_share_max` of the run (EN 50160: 5 % of the time). Where the circuit is above without a
    site, a site may add 0.1 percentage points and no more (`UNBALANCE_ADDED_MAX`). None leaves one out.
    `rapid_voltage_change_max_pu`: largest change of a voltage from one steady level to another within seconds, taps
    held, also when a site trips at its largest draw (3 % of nominal); None for none.
    `voltage_after_trip_max_pu`: highest voltage just after such a trip, before any tap moves; None, the default, tells
    it without judging it: a run within its band and with changes of 3 % stays under 1.08 pu anyway.
    `latency_miss_share_max`: share of (step, model, site) samples with latency above its target.
    `throughput_share_min`: tokens served as a share of what the uncontrolled fleet of the same size serves.
    """

    voltage_min_pu: LimitVoltagePu = 0.95
    voltage_max_pu: LimitVoltagePu = 1.05
    violation_time_share_max: Share = 0.01
    violation_integral_max_pu_s: IntegralPuS | None = None
    loading_max_pu: LoadingPu | None = None
    overload_time_share_max: Share = 0.0
    latency_miss_share_max: Share = 0.05
    throughput_share_min: Share = 0.5
    loading_emergency_max_pu: LoadingPu | None = None
    overload_time_max_s: TimeS | None = None
    unbalance_negative_sequence_max: Share | None = 0.02
    unbalance_nema_max: Share | None = 0.03
    unbalance_time_share_max: Share = 0.05
    rapid_voltage_change_max_pu: Share | None = 0.03
    voltage_after_trip_max_pu: LimitVoltagePu | None = None

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.voltage_min_pu < self.voltage_max_pu:
            raise InputError(
                f"limits need voltage_min_pu below voltage_max_pu, got {self.voltage_min_pu} and {self.voltage_max_pu}"
            )
        if self.overload_time_max_s is not None and self.loading_max_pu is None:
            raise InputError("overload_time_max_s is time above loading_max_pu: give that limit as well")
