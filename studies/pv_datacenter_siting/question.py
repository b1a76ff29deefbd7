"""The question of a siting study: what may be built, what it costs, and what has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.hourly_profile import HourlyProfile
from g2g_opt.limits import BASE_RULE_FIELDS, Limits
from g2g_opt.quantities import (
    Count,
    CountFromZero,
    FewFromZero,
    Figure,
    InnerShare,
    MarginPu,
    PowerKw,
    PowerKwAboveZero,
    RoundCount,
    Scale,
    Share,
    SlotH,
    ThreadCount,
    UsdPerKw,
    UsdPerKwh,
    UsdPerPuH,
    UsdPerStep,
    WorkTimeS,
)
from g2g_opt.reading import finite_number
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from g2g_opt.studied_year import studied_hours
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.pv_datacenter_siting.offered import PVZone, Storage, read_zones
from studies.shared.asked_channels import check_heard
from studies.shared.feeder_questions import SiteQuestion
from studies.shared.question_fields import SITES, FeederName, OwnShapes, PlacedSites, StudySeed, YearProfile
from studies.shared.question_model import NounFlags, ReadBy, check_no_effect, check_unused, question_model
from studies.shared.site_choices import SYNTAX, SiteChoice, chosen_sites
from studies.shared.stated_solver import MATRICES, SolverName, pyomo_solver
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

# Levels of utilisation that are simulated over the year.
N_LEVELS = 5

DESCRIPTION = (
    "Where PV plants and datacenters go and how large they are, at the least yearly cost. Every plan that the "
    "mixed-integer program proposes is simulated with the nonlinear power flow at every step of its days and corrected "
    "until it holds, checked over all hours of the year, and run in closed loop on OpenDSS where it is nearest to a "
    "limit."
)
EPILOG = (
    f"A site is written {SYNTAX}. --sweep takes NAME=VALUE,VALUE,... with a name of: {', '.join(SWEEPS)}. Examples: "
    "g2g siting --feeder ieee34 --mode pv --sensitivity; g2g siting --feeder ieee123 --mode joint --pv-size-max-kw 500 "
    "--gap 0.02 --loading-max none"
)
_PV, _COSTS, _PROGRAM = "PV and storage", "costs ($ a year)", "how the program is solved"
_NO_BASE = "the program that places the sites knows limits that hold, and no run without sites"
_ALWAYS = "a siting plan keeps its limits at every step: no share of time outside them is allowed"


def read_sweeps(texts: Sequence[str], question: object) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Sweeps from a command line: NAME=V1,V2,...; "sensitivity" are all of `SENSITIVITY` that are not named."""
    found = []
    for text in texts:
        name, sign, values = text.partition("=")
        if sign:
            numbers = [finite_number(part.strip(), f"--sweep {name}") for part in values.split(",") if part.strip()]
            found.append((name.strip(), tuple(numbers)))
        elif text != "sensitivity":
            raise InputError(f"--sweep {text!r} cannot be read; write e.g. pv-cost=50,100,200")
    if "sensitivity" in texts:
        found += [entry for entry in SENSITIVITY if entry[0] not in {name for name, _ in found}]
    return tuple(found)


@question_model
class SitingQuestion(SiteQuestion):
    """The question, complete enough to rerun: where do PV plants and datacenters go on `feeder`, and how large?

    Regulators act by their own controls, with set-points that the plan chooses, in every simulation; or (`taps`
    "optimised") in each slot as foresight would have them, which is a bound on what any operation comes to. Likewise
    `storage` beside PV is operated by a rule, or with foresight; under own controls a plan has it where it pays.

    Each datacenter draws anything in the range of `utilisation`: the plan holds at its ends and between them, the money
    is counted at its upper end. With `site_scale_max` above `site_scale_min` their sizes are free between
    these shares of what is given, and a kW is worth `site_value_per_kw`. Costs are those of equation 8.1.

    Days come from the hourly `profile`: "five" by the rule of `days`, or "typical": `n_typical_days` weighted ones
    with the extremes of the year among them. The plan is checked on all hours of the year; up to `days_added_max` days
    on which it breaks a limit join the days (again so many after it was refused) and the plan is made again. At most
    `rounds_max` rounds of propose, simulate, correct on the days. The hours nearest to the limits are run again on
    OpenDSS, the sites' fleets without control and in closed loop with `policy` (through `channels`). A plan that breaks
    a limit or fails on its days, over the year or in a window run with its policy is refused, and the program corrected
    and solved again, for at most `refusals_max` turns. `sweeps` are (name, values): the study again with one figure
    changed, names in `SWEEPS`.
    """

    feeder: FeederName = "ieee34"
    mode: Annotated[Literal["pv", "dc", "joint"], Flag("--mode", "what is placed")] = "pv"
    pv_buses: Annotated[
        tuple[str, ...], Flag("--pv-bus", "a candidate", metavar="BUS", group=_PV, unset="the feeder's candidates")
    ] = ()
    pv_count: Annotated[Count, Flag("--pv-count", "plants at most", group=_PV)] = 3
    pv_size_min_kw: Annotated[PowerKwAboveZero, Flag("--pv-size-min-kw", "least size of a plant", group=_PV)] = 10.0
    pv_size_max_kw: Annotated[PowerKwAboveZero, Flag("--pv-size-max-kw", "largest size of a plant", group=_PV)] = 1000.0
    pv_total_max_kw: Annotated[
        PowerKw | None, Flag("--pv-total-kw", "of all plants together", group=_PV, none=("none", "inf"))
    ] = 2000.0
    pv_zones: Annotated[
        tuple[PVZone, ...],
        Flag("--pv-zone", "plants, and kW together, at most in a zone", metavar="ZONE=N[,KW]", group=_PV, unset="none"),
        ReadBy(read_zones),
    ] = ()
    sites: PlacedSites = ()
    site_scale_min: Annotated[
        Scale,
        Flag(
            "--site-scale",
            "sizes are free between these shares of what is given, e.g. 0.5,3",
            metavar="MIN,MAX",
            group=SITES,
        ),
    ] = 1.0
    site_scale_max: Annotated[Scale, Flag("--site-scale", "largest share of what is given")] = 1.0
    site_value_per_kw: Annotated[UsdPerKw, Flag("--site-value-per-kw", "worth of a kW a year, then", group=SITES)] = (
        100.0
    )
    storage: Annotated[Storage | None, NounFlags(_PV)] = None
    pv_cost_per_kw: Annotated[UsdPerKw, Flag("--pv-cost-per-kw", "of PV", group=_COSTS)] = 200.0
    price_per_kwh: Annotated[
        UsdPerKwh, Flag("--price-per-kwh", "earned by PV, unless the profile has prices by the hour", group=_COSTS)
    ] = 0.15
    violations: Annotated[Literal["forbidden", "priced"], Flag("--violations", "outside the limits", group=_COSTS)] = (
        "forbidden"
    )
    violation_cost_per_pu_h: Annotated[
        UsdPerPuH,
        Flag(
            "--violation-cost-per-pu-h",
            "price violations at so much, instead of forbidding them",
            metavar="$",
            group=_COSTS,
            implies=(("violations", "priced"),),
        ),
    ] = 5000.0
    taps: Annotated[
        Literal["own control", "optimised"],
        Flag(
            "--taps",
            "regulators act by their own controls with set-points that the plan chooses, or (optimised) stand where "
            "foresight of every slot would have them: a bound, not an operation",
        ),
    ] = "own control"
    utilisation: Annotated[
        tuple[Share, Share],
        Flag(
            "--utilisation",
            "least and largest share of its size that a site draws: the plan holds all the way between",
            metavar="LEAST,MOST",
            group=SITES,
        ),
    ] = (0.0, 1.0)
    switch_cost: Annotated[UsdPerStep, Flag("--switch-cost", "of a tap step", group=_COSTS)] = 10.0
    slot_h: Annotated[SlotH, Flag("--slot-h", "hours in which taps stay")] = 2
    profile: YearProfile = "hudson_valley_2018"
    own_shapes: OwnShapes = False
    days: Annotated[Literal["five", "typical"], Flag("--days", "days of the program")] = "five"
    n_typical_days: Annotated[Count, Flag("--typical-days", "how many typical days there are")] = 8
    days_added_max: Annotated[FewFromZero, Flag("--days-added", "days of the year that may join")] = 4
    year_check: Annotated[bool, Flag("--no-year", "leave out the check over all hours of the year")] = True
    limits: Annotated[
        Limits,
        NounFlags(
            "limits",
            without={
                "violation_time_share_max": _ALWAYS,
                "violation_integral_max_pu_s": _ALWAYS,
                "overload_time_share_max": _ALWAYS,
                "overload_time_max_s": _ALWAYS,
                **dict.fromkeys(BASE_RULE_FIELDS, _NO_BASE),
            },
        ),
    ] = field(default_factory=lambda: Limits(violation_time_share_max=0.0))
    margin_pu: Annotated[
        MarginPu, Flag("--program-margin-pu", "by which the program narrows the limits", group=_PROGRAM)
    ] = 2e-4
    mip_gap: Annotated[
        InnerShare, Flag("--gap", "asked of the solver, of the cost", metavar="SHARE", group=_PROGRAM)
    ] = 0.002
    time_limit_s: Annotated[WorkTimeS, Flag("--time-limit-s", "per plan", group=_PROGRAM)] = 600.0
    threads: Annotated[ThreadCount, Flag("--threads", "of the solver", group=_PROGRAM)] = 1
    solver: SolverName = MATRICES
    rounds_max: Annotated[RoundCount, Flag("--rounds", "of propose, simulate, correct at most", group=_PROGRAM)] = 8
    n_plans: Annotated[RoundCount, Flag("--plans", "distinct placements that are listed", metavar="K")] = 1
    n_windows: Annotated[CountFromZero, Flag("--windows", "hours run on OpenDSS")] = 4
    refusals_max: Annotated[
        FewFromZero, Flag("--refusals", "turns in which plans are proposed in place of refused ones", group=_PROGRAM)
    ] = 4
    n_ties: Annotated[CountFromZero, Flag("--ties", "other placements of the best sizes that are looked at")] = 200
    policy: Annotated[Literal["none", "droop", "ofo"], Flag("--policy", "at the sites in closed loop")] = "ofo"
    policy_margin_pu: Annotated[MarginPu, Flag("--margin-pu", "it aims so far inside the limits")] = 0.0
    channels: ChannelsAsked = None
    sweeps: Annotated[
        tuple[tuple[str, tuple[Figure, ...]], ...],
        Flag(
            "--sweep", "the study again with one figure changed", metavar="NAME=V1,V2,...", group=_COSTS, unset="none"
        ),
        Flag("--sensitivity", "a sweep of costs, sizes and counts in one word", group=_COSTS, const="sensitivity"),
        ReadBy(read_sweeps),
    ] = ()
    seed: StudySeed = 0

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
    def levels(self) -> tuple[float, ...]:
        """Shares of their sizes at which sites are simulated over the year, the one whose money counts first."""
        least, most = self.utilisation
        if not self.places_sites or least == most:
            return (most,)
        return tuple(most - (most - least) * k / (N_LEVELS - 1) for k in range(N_LEVELS))

    @property
    def scenario(self) -> Scenario:
        """An hour at full demand, for what only needs any."""
        return Scenario(
            "hour",
            replica_share_start=1.0,
            replica_ramps=(),
            seed=self.seed,
            profile=self.profile,
            own_shapes=self.own_shapes,
            duration_s=3600,
        )

    def hourly(self) -> HourlyProfile:
        """The hours of the year; of the load that of all the circuit's loads."""
        return studied_hours(self.profile, self.load_feeder() if self.own_shapes else None)

    def resolve_buses(self, feeder: Feeder) -> list[str]:
        """Every bus where one of the datacenters may stand; none where none are placed."""
        return [bus for choice in self.choices() for bus in choice.candidate_buses(feeder)]

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
                "the scale of sites goes from the least to the largest share of what is given, as in 0.5,3, got "
                f"{self.site_scale_min:g},{self.site_scale_max:g}"
            )
        if not self.utilisation[0] <= self.utilisation[1] or self.utilisation[1] <= 0.0:
            raise InputError(
                "the utilisation range goes from the least share of the replicas to the largest, above 0, as in 0,1, "
                f"got {self.utilisation[0]:g},{self.utilisation[1]:g}"
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
        if storage is not None and storage.is_ruled and self.taps == "optimised":
            raise InputError(
                "with foresight of taps (--taps optimised) storage is dispatched with foresight and follows no rule: "
                "leave out --storage-charge-above and --storage-discharge-from-h"
            )
        if self.taps == "own control" and not self.year_check:
            raise InputError(
                "what an operation costs is known from its year: --no-year needs taps with foresight (--taps optimised)"
            )
        pyomo_solver(self.solver)
        check_unused(self)
        check_heard(
            self,
            "" if self.places_sites else "no datacenter is placed, which could be told anything (--mode pv)",
            "" if self.policy != "none" else "no controller acts at the sites (--policy none)",
            "" if self.n_windows else "no hour is run in closed loop (--windows 0)",
        )

    def check_used(self) -> None:
        """Raise `InputError` for figures that change nothing."""
        if self.days == "five":
            check_no_effect(self, ("n_typical_days",), "on five days of the year (--days five)")
        if self.violations == "forbidden":
            check_no_effect(self, ("violation_cost_per_pu_h",), "where violations are forbidden (--violations)")
        if not self.places_sites:
            unused = ("policy", "policy_margin_pu", "sites", "site_scale_min", "site_scale_max", "site_value_per_kw")
            check_no_effect(self, unused, "where no datacenter is placed (--mode pv)")
        elif self.site_scale_min == self.site_scale_max:
            check_no_effect(self, ("site_value_per_kw",), "where sizes of sites are given (--site-scale frees them)")
        if not self.places_pv:
            unused = ("pv_buses", "pv_count", "pv_size_min_kw", "pv_size_max_kw", "pv_total_max_kw", "pv_cost_per_kw")
            check_no_effect(self, unused, "where no PV is placed (--mode dc)")

    def check_without_sweeps(self) -> None:
        """`check_figures` of one value of a sweep."""
        replace(self, sweeps=()).check_figures()


@lru_cache(maxsize=64)
def _site_kw(scenario: Scenario, site: Site, trace_dir: Path) -> float:
    return 1e3 * replay_uncontrolled(site, scenario, trace_dir).power_peak_mw
