"""What questions about study cases share: fields with their flags, and what they resolve to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.study_case import StudyCase
from studies.shared.input_files import feeder_files
from studies.shared.question_model import question_model

StudyCaseName = Annotated[
    str, Flag("--case", "bundled study case: a feeder with sites, PV, loads and tuning as published", metavar="NAME")
]

# Of a base scenario, what every drawn scenario has of its own.
DRAWN = dict.fromkeys(
    (
        *("name", "replica_share_start", "replica_ramps", "standing_power", "profile", "profile_rows", "training"),
        *("site_shares", "generation_shapes", "load_shapes"),
    ),
    "the study draws it for every scenario by itself, keyed by the seed",
) | {"own_shapes": "the feeder of a study case has no load shapes of its own"}

# Of limits, all but the band: integral violations are what is asked for.
BAND_ONLY = dict.fromkeys(
    (f.name for f in fields(Limits) if f.name not in ("voltage_min_pu", "voltage_max_pu")),
    "scenarios are compared by what is outside the voltage band, and no other limit is judged",
)


@question_model
class CaseQuestion:
    """A study case, in scenarios drawn around `scenario`."""

    case: StudyCaseName = "ieee13"

    if TYPE_CHECKING:  # fields of every such question, among those of their own

        @property
        def scenario(self) -> Scenario:
            """What is drawn around."""

        @property
        def trace_dir(self) -> str:
            """Where the user's traces lie."""

    @property
    def feeder(self) -> str:
        """The feeder of the case."""
        return StudyCase.load(self.case).feeder.name

    def check_ranges(self, ranges: ScenarioRanges) -> None:
        """Raise `InputError` for a batch size to begin at that no model of the case was measured at, fast enough."""
        sites = StudyCase.load(self.case).plan.sites
        known = sorted({size for site in sites for d in site.deployments for size in d.spec.feasible_batch_sizes})
        for size in ranges.start_batch_sizes:
            if size not in known:
                raise InputError(f"start_batch_sizes: no model of {self.case} can begin at {size}; known: {known}")

    @property
    def seed(self) -> int:
        """The study seed, which keys all draws."""
        return self.scenario.seed

    def input_files(self) -> Mapping[str, Path]:
        """The case, its feeder, measurements, and the user's traces."""
        of_case = {f"case/{self.case}": data_path("study_cases", f"{self.case}.json")}
        return of_case | feeder_files(self.feeder, self.trace_dir)
