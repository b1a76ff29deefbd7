"""The question of a connection check, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

import math
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.limits import BASE_RULE_FIELDS, Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import CountFromZero, PowerMw, Share, ShareAboveZero
from g2g_opt.scenario import Scenario
from g2g_opt.site import GPUS_PER_SERVER, Site, smallest_n_servers
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.connection_check.largest_transfer import TransferLimits
from studies.connection_check.remedy_costs import BUNDLED_COSTS
from studies.hosting_capacity.capacity import Operation
from studies.load_profile.question import LoadProfileQuestion
from studies.shared.feeder_questions import HourQuestion, ServedQuestion
from studies.shared.question_fields import SITES
from studies.shared.question_model import NounFlags, question_model
from studies.shared.utilisation import check_range, rests_within, scenarios_within
from studies.shared.workload import Models, check_site_buses

OPERATIONS: tuple[Operation, ...] = ("firm", "flexible")
# Controllers that make an operation flexible.
_FLEXIBLE = ("ofo", "droop", "schedule", "contextual", "ppo")
# A search for the margin looks no further than this multiple of what was asked.
MARGIN_MAX = 2.0
# Servers per model at which the draw of one is replayed before the size is fixed.
_REPLAYED = 100

# What remedies on the way could make of the most that a bus can be brought, at the very most.
_EXCHANGED = 3.0

DESCRIPTION = (
    "Yes or no for one request, firm and flexible: may a site of so many MW be connected at this bus? With the margin, "
    "what binds where and when, the hours and MW of a limited profile under which it fits, and the cheapest of a list "
    "of remedies, each simulated."
)
EPILOG = (
    "Example: g2g check --feeder ieee13 --bus 671 --mw 1.2. Exit status 0 when the request has an answer, yes or no, "
    "1 when a task failed, 2 on bad input. Unit costs of remedies are data/remedies/costs.csv: give "
    "your own with --costs."
)
RemedyKind = Literal[
    "set-points",
    "capacitor",
    "var source",
    "storage",
    "rebalanced phases",
    "conductor",
    "transformer",
    "tap changer",
    "fuse",
    "other bus",
]
REMEDIES: tuple[RemedyKind, ...] = RemedyKind.__args__  # type: ignore[attr-defined]


@question_model
class ConnectionQuestion(ServedQuestion, HourQuestion):
    """What every question on requests has: the feeder, what sites serve, and what a grant has to keep.

    A request is the smallest fleet that draws its MW with all replicas active. It is held to `limits` in `scenario`,
    while it goes from one end of `utilisation` (shares of its replicas) to the other and back and, firm, at rest there.
    """

    policy: Annotated[
        Policy,
        NounFlags(instead={"kind": Flag("--policy", "controller of flexible operation", choices=_FLEXIBLE)}),
    ] = field(default_factory=lambda: Policy("ofo", margin_pu=0.003))
    taps: Annotated[
        Literal["own control", "study"],
        Flag("--taps", "regulator taps: moved by the feeder's own controls in the loop, or fixed at its constants"),
    ] = "own control"
    utilisation: Annotated[
        tuple[Share, Share],
        Flag(
            "--utilisation",
            "least and largest share of the replicas that may be active: a grant holds all the way between",
            metavar="LEAST,MOST",
            group=SITES,
        ),
    ] = (0.0, 1.0)
    # --- the question, resolved

    def scenarios(self, operation: Operation, own_load_share: float | None = None) -> tuple[Scenario, ...]:
        """What every size is judged in: the run, the way through the utilisation range and back, and rests within it.

        A controller of flexible operation needs time to act: it is judged in motion alone.
        """
        share = self.scenario.own_load_share if own_load_share is None else own_load_share
        run = replace(self.scenario, own_load_share=share)
        return scenarios_within(run, self.utilisation, with_controller=operation == "flexible")

    def rests(self, run: Scenario) -> tuple[Scenario, ...]:
        """Short runs at rest, evenly through the utilisation range, at the own load of a run."""
        return rests_within(run, self.utilisation)

    def full_draw(self) -> Scenario:
        """A minute with all replicas active: what a request of so many MW means, beside training at its peak."""
        return replace(self.scenario, name="full draw", duration_s=60, replica_share_start=1.0, replica_ramps=(),
                       training=())  # fmt: skip

    def servers_for(self, mw: float, models: Models) -> int:
        """The fewest servers that draw `mw` with all replicas active; `InputError` for less than the smallest site."""
        least = smallest_n_servers(models)
        first = self.full_draw_mw(least, models)
        if mw < first:
            raise InputError(
                f"{mw:g} MW are less than the smallest site, {least * GPUS_PER_SERVER} GPUs of {first * 1e3:.3g} kW; "
                "give more MW"
            )
        replayed = _REPLAYED * len(models)
        n = max(least, math.ceil(mw / self.full_draw_mw(replayed, models) * replayed))
        while n > least and self.full_draw_mw(n - 1, models) >= mw:
            n -= 1
        while self.full_draw_mw(n, models) < mw:
            n += 1
        return n

    def full_draw_mw(self, n_servers: int, models: Models) -> float:
        """What a site of so many servers draws with all replicas active and all training that runs at once (MW)."""
        return self.full_draw_of(self.site("site", "", models, n_servers))

    def full_draw_of(self, site: Site) -> float:
        """The same of a site (MW)."""
        jobs = self.scenario.training
        training_w = max(
            (sum(job.gpus_of(site.n_gpus) * job.peak_w_per_gpu for job in jobs if job.start_s <= at.start_s < job.end_s)
             for at in jobs),
            default=0.0,
        )  # fmt: skip
        return replay_uncontrolled(site, self.full_draw(), Path(self.trace_dir)).power_peak_mw + training_w / 1e6

    def check_carried(self, limits: TransferLimits, bus: str, mw: float) -> None:
        """Raise `InputError` for a request that is far beyond what the circuit's sources can bring to its bus."""
        most = limits.at(bus, self.power_factor)
        if most is not None and mw > _EXCHANGED * most.power_max_mw:
            raise InputError(
                f"{mw:g} MW are beyond what can be brought to bus {most.bus}: behind {most.impedance_ohm:.3g} ohm to "
                f"the sources, at {most.kv:.4g} kV, {most.power_max_mw:.3g} MW are the most at any voltage up to "
                f"1.1 pu, and no exchange of what lies on the way makes {_EXCHANGED:g} times of it; ask for less, or "
                "at another bus"
            )

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        if self.policy.kind == "none":
            raise InputError(f"flexible operation needs a policy: {', '.join(_FLEXIBLE)}")
        if self.taps == "own control" and self.policy.moves_taps:
            raise InputError("taps move by the feeder's own controls or by the policy, not by both")
        check_range(self.utilisation)
        if not all(job.of_every_size for job in self.scenario.training):
            raise InputError("sites of many sizes are tried: train on a share of a site's GPUs (--training 33%,...)")


@question_model
class RemedyQuestion(ConnectionQuestion):
    """What a question has that also asks for remedies of a refusal: which, and at what cost."""

    remedies: Annotated[
        tuple[RemedyKind, ...],
        Flag("--remedy", "only this remedy where the request is refused", unset="all of them", empty="none"),
    ] = REMEDIES
    costs: Annotated[str, Flag("--costs", "CSV with unit costs of remedies", metavar="FILE")] = BUNDLED_COSTS
    discount_rate: Annotated[ShareAboveZero, Flag("--discount-rate", "a year, by which investments are annualised")] = (
        0.07
    )
    nearby: Annotated[CountFromZero, Flag("--nearby", "other buses that are tried, the nearest first")] = 8


@question_model
class ConnectionCheckQuestion(RemedyQuestion):
    """The question, complete enough to rerun: may a site of `mw` be connected at `bus`?

    `year` is the year through which a limited profile is searched where the request does not fit at all times (None:
    no such search). `remedies` are tried where it is refused, at the unit costs of the CSV file `costs` and a
    `discount_rate` a year.
    """

    bus: Annotated[str, Flag("--bus", "where the site would be connected", group=SITES)] = ""
    mw: Annotated[PowerMw, Flag("--mw", "its power at full draw", group=SITES)] = 1.0
    year: Annotated[
        str | None,
        Flag(
            "--year",
            "hourly year for the limited profile, where the request does not fit at all times: a bundled name or a "
            "CSV; none: no such profile is searched",
            metavar="NAME|FILE",
        ),
    ] = "hudson_valley_2018"

    def resolve_bus(self, feeder: Feeder) -> str:
        """The bus asked for; `InputError` if none was, it is unknown, or no source serves it."""
        if not self.bus:
            raise InputError("say where the site would be connected (--bus); `g2g feeder` lists the buses")
        (bus,) = check_site_buses(feeder, (self.bus,))
        return bus

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The bus asked for."""
        return (self.resolve_bus(feeder),)

    def profile_question(self) -> LoadProfileQuestion:
        """The load-profile question of the same site, of which the machinery is used."""
        if self.year is None:
            raise InputError("a limited profile needs a year (--year)")
        strict = {name: getattr(Limits(), name) for name in BASE_RULE_FIELDS}
        limits = replace(
            self.limits,
            violation_time_share_max=0.0,
            violation_integral_max_pu_s=None,
            overload_time_share_max=0.0,
            overload_time_max_s=None,
            **strict,
        )
        shared = {f.name for f in fields(LoadProfileQuestion)} & {f.name for f in fields(self)}
        same: dict[str, Any] = {name: getattr(self, name) for name in shared - {"limits"}}
        return LoadProfileQuestion(
            **same,
            buses=(self.bus,),
            profile=self.year,
            limits=limits,
            seed=self.seed,
            power_max_mw=self.mw,
            own_load_share=self.scenario.own_load_share,
            standing_power=self.scenario.standing_power,
        )

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        super().check_fields()
        if self.year is not None and self.at is not None:
            raise InputError(
                f"at {self.at} one hour is studied, and the limited profile goes through a year: --year none"
            )
