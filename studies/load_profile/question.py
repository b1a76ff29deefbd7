"""The question of a load-profile study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from g2g_opt.clock import HOUR_S
from g2g_opt.flag import Flag
from g2g_opt.hourly_profile import HourlyProfile, load_profile
from g2g_opt.limits import BASE_RULE_FIELDS, Limits
from g2g_opt.plan import Plan
from g2g_opt.quantities import LoadShare, Share
from g2g_opt.scenario import Scenario
from g2g_opt.studied_year import studied_hours
from studies.load_profile.cells import Cell, list_cells
from studies.shared.asked_channels import no_channels
from studies.shared.feeder_questions import SizeQuestion
from studies.shared.question_fields import OwnShapes, StudySeed, YearProfile
from studies.shared.question_model import NotHere, NounFlags, question_model
from studies.shared.workload import Models

DESCRIPTION = (
    "A limited load profile: the MW that a bus can take in each hour of each month of a year, simulated on every day "
    "of it, with the firm MW, the fleet that fits without flexibility, and the larger one that lowers its batch sizes "
    "in the tight hours. limited_load_profile.csv is the table to agree on with the utility."
)
EPILOG = (
    "Example: g2g load-profile --feeder ieee13 --bus 671 --profile year.csv. The CSV has the columns hour_beginning "
    "(2024-01-01T00:00), load_share and generation_share: factors on the feeder's own loads and generators."
)
_EVERY_HOUR = "a load profile keeps its limits in every hour: no share or time outside them is allowed"

_NO_BASE = (
    "hours of a year that pass a limit are mended until they keep it, and not until they are no worse than the base"
)


@question_model
class LoadProfileQuestion(SizeQuestion):
    """The question, complete enough to rerun: MW allowed at `buses` by hour and month of `profile`.

    `profile` is a bundled year or a CSV with hour_beginning, load_share and generation_share. `taps`: under "own
    control" regulators settle in every hour. What is reported goes through the whole year on OpenDSS, hour after hour.
    The flexible fleet serves at least `limits.throughput_share_min` of its own tokens over the year, and more than the
    firm one. With a range of `utilisation` a site follows its demand within that range of its replicas, and draws no
    more than the hour's MW: years in which less is active hold as well.
    """

    not_here: ClassVar[Mapping[str, NotHere]] = no_channels(
        "caps on batch sizes are fixed for every hour of the year beforehand, and no controller acts on messages; "
        "g2g check says whether a site holds in closed loop"
    )

    profile: YearProfile = "hudson_valley_2018"
    own_shapes: OwnShapes = False
    own_load_share: Annotated[
        LoadShare,
        Flag(
            "--load-level",
            "share of the circuit's own load in every hour, on top of the profile's",
            metavar="SHARE",
            also=("--own-load-share",),
        ),
    ] = 1.0
    standing_power: Annotated[
        bool, Flag("--no-standing-power", "switch the feeder's own standing generators and loads off")
    ] = True
    taps: Annotated[
        Literal["own control", "study"],
        Flag("--taps", "regulator taps: moved by the feeder's own controls in every hour, or fixed at its constants"),
    ] = "own control"
    limits: Annotated[
        Limits,
        NounFlags(
            "limits, kept in every hour",
            without={
                "violation_time_share_max": _EVERY_HOUR,
                "overload_time_share_max": _EVERY_HOUR,
                "overload_time_max_s": _EVERY_HOUR,
                "violation_integral_max_pu_s": f"{_EVERY_HOUR}, so an integral violation has no meaning",
                **dict.fromkeys(BASE_RULE_FIELDS, _NO_BASE),
            },
            instead={
                "throughput_share_min": Flag(
                    "--throughput-min", "tokens that the flexible fleet serves over the year, share of its nominal ones"
                )
            },
        ),
    ] = field(default_factory=lambda: Limits(violation_time_share_max=0.0))
    seed: StudySeed = 0
    utilisation: Annotated[
        tuple[Share, Share] | None,
        Flag(
            "--utilisation",
            "least and largest share of the replicas that may be active: what holds in an hour also holds while the "
            "site draws less, in years at the least share and half-way too",
            metavar="LEAST,MOST",
            unset="the draw of the profile alone",
        ),
    ] = None

    # --- the question, resolved

    @property
    def largest_share(self) -> float:
        """The most of the replicas that are active in any hour."""
        return 1.0 if self.utilisation is None else self.utilisation[1]

    @property
    def lower_shares(self) -> tuple[float, ...]:
        """Shares of the replicas below, at which what holds in every hour has to hold, too."""
        if self.utilisation is None:
            return ()
        low, high = self.utilisation
        return 0.5 * (low + high), low

    @property
    def search_end(self) -> str:
        """Why the search of a cell goes no further than its largest size."""
        return f"{self.power_max_mw:g} MW at rated power (power_max_mw): more may fit"

    @property
    def scenario(self) -> Scenario:
        """The first cell's, for what only needs any."""
        return self.cell_scenario(self.cells()[0])

    def cells(self) -> tuple[Cell, ...]:
        """Every hour of a month that the profile has."""
        return list_cells(load_profile(self.profile))

    def cell_scenario(self, cell: Cell) -> Scenario:
        """The days of a cell one after the other."""
        return cell.scenario(self.hours)

    @property
    def hours(self) -> Scenario:
        """An hour of the profile as a step, with all replicas active that may be."""
        return Scenario(
            duration_s=HOUR_S,
            dt_s=Fraction(HOUR_S),
            control_dt_s=Fraction(HOUR_S),
            replica_share_start=self.largest_share,
            replica_ramps=(),
            seed=self.seed,
            profile=self.profile,
            own_shapes=self.own_shapes,
            own_load_share=self.own_load_share,
            standing_power=self.standing_power,
        )

    def hourly(self) -> HourlyProfile:
        """The hours of the year; of the load that of all the circuit's loads."""
        return studied_hours(self.profile, self.load_feeder() if self.own_shapes else None)

    def plan(self, models: Models, bus: str, n_servers: int) -> Plan:
        """So many servers at a bus, at their nominal batch sizes."""
        site = self.site("site", bus, models, n_servers)
        return Plan((site,), tap_mode="own control" if self.taps == "own control" else "fixed")
