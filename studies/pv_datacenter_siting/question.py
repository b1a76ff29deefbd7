"""The question of a siting study: what may be built, what it costs, and what has to hold."""

from __future__ import annotations

from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import PolicyKind
from g2g_opt.quantities import (
    Count,
    CountFromZero,
    EnergyKwh,
    FewFromZero,
    Figure,
    InnerShare,
    MarginPu,
    PowerKw,
    PowerKwAboveZero,
    RoundCount,
    Scale,
    Seed,
    ShareAboveZero,
    SlotH,
    ThreadCount,
    UsdPerKw,
    UsdPerKwh,
    UsdPerKwhOfSize,
    UsdPerPuH,
    UsdPerStep,
    WorkTimeS,
)
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.shared.question_model import question_model
from studies.shared.site_choices import SiteChoice, chosen_sites
from studies.shared.workload import check_three_phase

# What may be swept, and the field of the question that it stands for.
SWEEPS = {
    "pv-cost": "pv_cost_per_kw",
    "violation-cost": "violation_cost_per_pu_h",
    "switch-cost": "switch_cost",
    "price": "price_per_kwh",
    "pv-size": "pv_size_max_kw",
    "pv-count": "pv_count",
    "pv-total": "pv_total_max_kw",
    "site-value": "site_value_per_kw",
}
# The sensitivity that is asked for by one word.
SENSITIVITY: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("pv-cost", (50.0, 100.0, 200.0, 400.0, 1000.0)),
    ("violation-cost", (500.0, 5000.0, 50000.0)),
    ("switch-cost", (0.0, 10.0, 100.0)),
    ("pv-size", (250.0, 500.0, 1000.0)),
    ("pv-count", (1.0, 2.0, 3.0, 5.0)),
)


@question_model
class PVZone:
    """At most `count` PV plants, and together `total_max_kw` (None: no limit), at the candidates of a feeder's zone."""

    zone: str
    count: CountFromZero
    total_max_kw: PowerKw | None = None


@question_model
class Storage:
    """Storage beside PV: sizes at most per plant, yearly costs, one-way efficiency."""

    power_max_kw: PowerKwAboveZero
    energy_max_kwh: EnergyKwh
    cost_per_kw: UsdPerKw = 20.0
    cost_per_kwh: UsdPerKwhOfSize = 25.0
    efficiency: ShareAboveZero = 0.95


@question_model
class SitingQuestion:
    """The question, complete enough to rerun: where do PV plants and datacenters go on `feeder`, and how large?

    `mode` "pv" places PV, "dc" datacenters, "joint" both. PV goes to at most `pv_count` of `pv_buses` (default: the
    feeder's candidates), each between `pv_size_min_kw` and `pv_size_max_kw`. Datacenters are `sites` (default: those of
    the feeder's studies), each at full draw all day; with `site_scale_max` above `site_scale_min` their sizes are free
    between these shares of what is given, and a kW is worth `site_value_per_kw` ($ a year).

    Costs (formulations 8.1): `pv_cost_per_kw` $ per kW and year, `price_per_kwh` $ earned by PV
    (unless the profile has prices by the hour),
    `violation_cost_per_pu_h` $ per pu outside and hour (only if violations are "priced", not "forbidden"),
    `switch_cost` $ per tap step. Taps are set for slots of `slot_h` hours.

    Days come from the hourly `profile`: "five" by the rule of `days`, or "typical": `n_typical_days` weighted ones
    with the extremes of the year among them. The plan is checked on all hours of the year; up to `days_added_max` days
    on which it breaks a limit join the days (again so many after it was refused) and the plan is made again. Limits are
    narrowed by `margin_pu` in the program. At most `rounds_max` rounds of propose, simulate, correct on the days;
    `n_plans` distinct placements are listed. `n_windows` hours nearest to the limits are run again on OpenDSS, the
    sites' fleets without control and in closed loop with `policy`, which aims `policy_margin_pu` inside the limits. A
    plan that breaks a limit or fails on its days, over the year or in a window run with its policy is refused, and the
    program corrected and solved again, for at most `refusals_max` turns. Up to `n_ties` other placements of the best
    plan's sizes are looked at for equal cost.
    `sweeps` are (name, values): the study again with one figure changed, names in `SWEEPS`.
    """

    feeder: str = "ieee34"
    exclude_buses: tuple[str, ...] = ()
    mode: Literal["pv", "dc", "joint"] = "pv"
    pv_buses: tuple[str, ...] = ()
    pv_count: Count = 3
    pv_size_min_kw: PowerKwAboveZero = 10.0
    pv_size_max_kw: PowerKwAboveZero = 1000.0
    pv_total_max_kw: PowerKw | None = 2000.0
    pv_zones: tuple[PVZone, ...] = ()
    sites: tuple[SiteChoice, ...] = ()
    gpu: str = "H100"
    site_scale_min: Scale = 1.0
    site_scale_max: Scale = 1.0
    site_value_per_kw: UsdPerKw = 100.0
    storage: Storage | None = None
    pv_cost_per_kw: UsdPerKw = 200.0
    price_per_kwh: UsdPerKwh = 0.15
    violations: Literal["forbidden", "priced"] = "forbidden"
    violation_cost_per_pu_h: UsdPerPuH = 5000.0
    switch_cost: UsdPerStep = 10.0
    slot_h: SlotH = 2
    profile: str = "hudson_valley_2018"
    days: Literal["five", "typical"] = "five"
    n_typical_days: Count = 8
    days_added_max: FewFromZero = 4
    year_check: bool = True
    limits: Limits = field(default_factory=lambda: Limits(violation_time_share_max=0.0))
    margin_pu: MarginPu = 2e-4
    mip_gap: InnerShare = 0.002
    time_limit_s: WorkTimeS = 600.0
    threads: ThreadCount = 1
    rounds_max: RoundCount = 8
    n_plans: RoundCount = 1
    n_windows: CountFromZero = 4
    refusals_max: FewFromZero = 4
    n_ties: CountFromZero = 200
    policy: PolicyKind = "ofo"
    policy_margin_pu: MarginPu = 0.0
    sweeps: tuple[tuple[str, tuple[Figure, ...]], ...] = ()
    seed: Seed = 0
    trace_dir: str = "data/specs"

    # --- resolved

    @property
    def places_pv(self) -> bool:
        """Is PV placed?"""
        return self.mode != "dc"

    @property
    def places_sites(self) -> bool:
        """Are datacenters placed?"""
        return self.mode != "pv"

    @property
    def scenario(self) -> Scenario:
        """An hour at full demand, for what only needs any."""
        return Scenario(
            "hour", replica_share_start=1.0, replica_ramps=(), seed=self.seed, profile=self.profile, duration_s=3600
        )

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder).excluding(self.exclude_buses)

    def choices(self) -> tuple[SiteChoice, ...]:
        """The datacenters to place; `InputError` if there are none to place, or names repeat."""
        return chosen_sites(self.feeder, self.sites) if self.places_sites else ()

    def candidates_pv(self, feeder: Feeder) -> tuple[str, ...]:
        """Where PV may go."""
        return check_three_phase(feeder, tuple(dict.fromkeys(self.pv_buses))) if self.places_pv else ()

    def site_kw(self, site: Site) -> float:
        """The peak of a site at full demand and its batch sizes, simulated without a grid (kW)."""
        return _site_kw(self.scenario, site, Path(self.trace_dir))

    def with_value(self, name: str, value: float) -> SitingQuestion:
        """The question with one figure of a sweep changed; violations get a price where it is that which changes."""
        changed: dict[str, object] = {SWEEPS[name]: int(value) if name == "pv-count" else value}
        if name == "violation-cost":
            changed["violations"] = "priced"
        if name == "pv-size":
            changed["pv_size_min_kw"] = min(self.pv_size_min_kw, value)
        return replace(self, **changed)  # type: ignore[arg-type]

    def check_figures(self) -> None:
        """Raise `InputError` for figures that cannot be used."""
        if self.places_pv and self.pv_size_min_kw > self.pv_size_max_kw:
            raise InputError(
                f"pv_size_min_kw must be at most pv_size_max_kw, got {self.pv_size_min_kw:g} and "
                f"{self.pv_size_max_kw:g}"
            )
        if self.pv_total_max_kw is not None and self.places_pv and self.pv_total_max_kw < self.pv_size_min_kw:
            raise InputError(
                f"the total of {self.pv_total_max_kw:g} kW is less than the smallest plant of {self.pv_size_min_kw:g} "
                "kW: nothing can be built (pv_total_max_kw, pv_size_min_kw)"
            )
        if self.site_scale_min > self.site_scale_max:
            raise InputError(
                f"site_scale_min must be at most site_scale_max, got {self.site_scale_min:g} and "
                f"{self.site_scale_max:g}"
            )
        if 24 % self.slot_h:
            raise InputError(f"slot_h must divide the 24 hours of a day, got {self.slot_h}")
        for name, values in self.sweeps:
            if name not in SWEEPS:
                raise unknown_name("sweep", name, SWEEPS)
            if not values:
                raise InputError(f"the sweep of {name} has no values")
            for value in values:
                self.with_value(name, value).check_without_sweeps()
        storage = self.storage
        if storage is not None and not self.places_pv:
            raise InputError("storage stands beside PV, which the mode dc does not place")
        if self.limits.violation_time_share_max > 0 or self.limits.violation_integral_max_pu_s is not None:
            raise InputError("a siting plan keeps its limits at every step: no share of time outside them is allowed")

    def check_without_sweeps(self) -> None:
        """`check_figures` of one value of a sweep."""
        replace(self, sweeps=()).check_figures()


@lru_cache(maxsize=64)
def _site_kw(scenario: Scenario, site: Site, trace_dir: Path) -> float:
    return 1e3 * replay_uncontrolled(site, scenario, trace_dir).power_peak_mw
