"""The question of a location study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from dataclasses import field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import Count, CountFromZero, PeriodS
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from studies.datacenter_location.placements import PlacementBuses, list_placements
from studies.shared.feeder_questions import HourQuestion
from studies.shared.question_fields import FeederName, PlacedSites, StorageUnits
from studies.shared.question_model import NounFlags, question_model
from studies.shared.site_choices import SYNTAX, SiteChoice, chosen_sites

DESCRIPTION = (
    "Every placement of the sites, one bus each, is simulated in closed loop over the whole scenario; the best are run "
    "again on OpenDSS in finer steps. The best has the least integral voltage violation; ties: violation time, tokens "
    "served, margin of the worst voltage, names."
)
EPILOG = (
    f"A site is written {SYNTAX}. PLACE is a zone of the feeder, or buses joined by +, or any (every candidate of the "
    "feeder); GPUS is how many a model has at full demand, BATCH its batch size without control (128). Example: "
    "g2g location --feeder ieee13 --site west=671+675:llama-3.1-8b:800 --site east=any:llama-3.1-70b:400@64"
)


@question_model
class LocationQuestion(HourQuestion):
    """The question, complete enough to rerun: where do `sites` go on `feeder`?

    The best placement has the least integral voltage violation (equation 3.1) over the scenario. Ties are broken by
    violation time, then tokens served (more is better), then the margin of the worst voltage to the band (more is
    better), then the names of the buses. A site without zone and candidates may stand at any candidate bus of the
    feeder; no two sites share a bus. No figure of a coarse run is an answer.
    """

    feeder: FeederName = "ieee123"
    sites: PlacedSites = ()
    policy: Policy = Policy("ofo")
    storage: StorageUnits = ()
    limits: Annotated[Limits, NounFlags("limits, beyond which a placement is marked")] = field(default_factory=Limits)
    refined: Annotated[CountFromZero, Flag("--refined", "best placements that get a tap search of their own")] = 300
    finalists: Annotated[
        Count, Flag("--finalists", "best placements that are run again on OpenDSS; their order is the answer")
    ] = 10
    finalist_dt_s: Annotated[PeriodS, Flag("--finalist-dt-s", "their step")] = Fraction(1, 10)
    coarse_dt_s: Annotated[PeriodS, Flag("--coarse-dt-s", "step of the runs that compare tap settings")] = Fraction(10)
    followed: Annotated[
        tuple[tuple[str, ...], ...],
        Flag(
            "--follow",
            "a placement to take through all stages whatever its rank, buses in the order of the sites joined by /, "
            "e.g. 1/21/60/97",
            metavar="BUSES",
            joined="/",
            unset="none",
        ),
    ] = ()

    # --- the question, resolved

    def resolve_buses(self, feeder: Feeder) -> list[str]:
        """Every bus where one of the sites may stand."""
        return [bus for choice in self.choices() for bus in choice.candidate_buses(feeder)]

    def site(self, choice: SiteChoice, bus: str) -> Site:
        """A site of the question at a bus."""
        return choice.site(bus, self.gpu, self.power_factor, self.connection)

    def choices(self) -> tuple[SiteChoice, ...]:
        """The sites asked for, or those of the feeder's studies; `InputError` if there are none or names repeat."""
        return chosen_sites(self.feeder, self.sites)

    def placements(self) -> list[PlacementBuses]:
        """Every placement, neighbours alike (see `list_placements`)."""
        return _placements(self)

    def coarse(self) -> Scenario:
        """The scenario in coarse steps, for comparing taps."""
        step = max(self.coarse_dt_s, self.scenario.dt_s)
        # Controllers act at whole steps, as near to their own period as that allows.
        return replace(self.scenario, dt_s=step, control_dt_s=step * -(-self.scenario.control_dt_s // step))

    def fine(self) -> Scenario:
        """The scenario in the steps of the finalists; controllers act as often as before."""
        return replace(self.scenario, dt_s=self.finalist_dt_s)


@lru_cache(maxsize=2)
def _placements(study: LocationQuestion) -> list[PlacementBuses]:
    feeder, choices = study.load_feeder(), study.choices()
    return list_placements([c.candidate_buses(feeder) for c in choices], [c.n_gpus for c in choices])
