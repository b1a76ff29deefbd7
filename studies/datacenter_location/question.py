"""The question of a location study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pydantic import Field

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import Count, CountFromZero, PeriodS
from g2g_opt.scenario import Scenario
from studies.datacenter_location.placements import Placement, list_placements
from studies.shared.question_model import question_model
from studies.shared.site_choices import SiteChoice, chosen_sites


@question_model
class LocationQuestion:
    """The question, complete enough to rerun: where do `sites` go on `feeder`?

    The best placement has the least integral voltage violation (3.1) over the scenario. Ties are broken by violation
    time, then tokens served (more is better), then the margin of the worst voltage to the band (more is better), then
    the names of the buses. No `sites` means those of the feeder's own studies (`sites` of its study.json); a site
    without zone and candidates may stand at any candidate bus of the feeder; no two sites share a bus. `gpu` is what
    the models were measured on. `taps`: "optimised" per placement, or "study" (the feeder's own constants).

    `refined` of the best placements get a tap search of their own; the best `finalists` are run again on OpenDSS at
    `finalist_dt_s` (s), and their order is the answer. Placements in `followed` (buses in the order of the sites) go
    through all stages whatever their rank. `coarse_dt_s` is the step (s) of the runs that compare tap settings; no
    figure of a coarse run is an answer.
    """

    feeder: str = "ieee123"
    exclude_buses: tuple[str, ...] = ()
    sites: tuple[SiteChoice, ...] = ()
    gpu: str = "H100"
    policy: Policy = Policy("ofo")
    taps: Literal["optimised", "study"] = "optimised"
    scenario: Scenario = Field(default_factory=Scenario)
    limits: Limits = Field(default_factory=Limits)
    refined: CountFromZero = 300
    finalists: Count = 10
    finalist_dt_s: PeriodS = Fraction(1, 10)
    coarse_dt_s: PeriodS = Fraction(10)
    followed: tuple[tuple[str, ...], ...] = ()
    trace_dir: str = "data/specs"

    @property
    def seed(self) -> int:
        """The study seed; every draw is keyed by it."""
        return self.scenario.seed

    # --- the question, resolved

    @property
    def profile(self) -> str | None:
        """Hourly figures of the scenario, if it has any."""
        return self.scenario.profile

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder).excluding(self.exclude_buses)

    def choices(self) -> tuple[SiteChoice, ...]:
        """The sites asked for, or those of the feeder's studies; `InputError` if there are none or names repeat."""
        return chosen_sites(self.feeder, self.sites)

    def placements(self) -> list[Placement]:
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
def _placements(study: LocationQuestion) -> list[Placement]:
    feeder, choices = study.load_feeder(), study.choices()
    return list_placements([c.candidate_buses(feeder) for c in choices], [c.n_gpus for c in choices])
