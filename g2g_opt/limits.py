"""`Limits`: what a plan must keep to be accepted (formulations 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.quantities import IntegralPuS, LimitVoltagePu, LoadingPu, Share, TimeS, check_quantities

# Of a transformer OpenDSS's normal rating is 110 % of its nameplate, and its emergency rating 150 %, unless stated.
RatingBasis = Literal["nameplate", "normal", "emergency"]
NOT_JUDGED = "none"


# TOML knows no null: a limit that is left out though it has a default is written as a word.
_LoadingLimit = Annotated[
    LoadingPu | None,
    BeforeValidator(
        lambda value: None if value == NOT_JUDGED else value, json_schema_input_type=LoadingPu | Literal["none"] | None
    ),
    PlainSerializer(lambda value: NOT_JUDGED if value is None else value, when_used="json"),
]


@dataclass(frozen=True)
class Limits:
    """Allowed voltages (pu), times, loadings and service.

    `violation_time_share_max`: share of the run in which any monitored voltage may be outside the band.
    `violation_integral_max_pu_s`: cap on the integral violation (3.1); None for none.
    `loading_max_pu`: highest loading of lines and transformers as a share of their ratings on the `rating_basis`
    (nameplate, normal or emergency; a line's nameplate is its normal rating), which may be
    passed for `overload_time_share_max` of the run, or for `overload_time_max_s` (s) if that is given: all time counts
    in which any of them is above. Only ratings that somebody stated are judged. None reports loadings without judging.
    `loading_emergency_max_pu`: loading that none of them may pass at any step, as a share of its own emergency rating
    (emergamps, emerghkva; that of a transformer follows from its nameplate, 150 % of it, unless stated; that of a line
    has to be stated); None for none.
    `latency_miss_share_max`: share of (step, model, site) samples with latency above its target.
    `throughput_share_min`: tokens served as a share of what the uncontrolled fleet of the same size serves.
    """

    voltage_min_pu: LimitVoltagePu = 0.95
    voltage_max_pu: LimitVoltagePu = 1.05
    violation_time_share_max: Share = 0.01
    violation_integral_max_pu_s: IntegralPuS | None = None
    loading_max_pu: _LoadingLimit = 1.0
    overload_time_share_max: Share = 0.0
    latency_miss_share_max: Share = 0.05
    throughput_share_min: Share = 0.5
    loading_emergency_max_pu: LoadingPu | None = None
    overload_time_max_s: TimeS | None = None
    rating_basis: RatingBasis = "normal"

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.rating_basis not in get_args(RatingBasis):
            raise unknown_name("rating basis", self.rating_basis, get_args(RatingBasis))
        if not self.voltage_min_pu < self.voltage_max_pu:
            raise InputError(
                f"limits need voltage_min_pu below voltage_max_pu, got {self.voltage_min_pu} and {self.voltage_max_pu}"
            )
        if self.overload_time_max_s is not None and self.loading_max_pu is None:
            raise InputError("overload_time_max_s is time above loading_max_pu: give that limit as well")
