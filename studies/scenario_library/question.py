"""The question of a scenario library, complete enough to rerun."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.quantities import CountFromZero
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.scenario_library import Split
from studies.shared.case_fields import BAND_ONLY, DRAWN, CaseQuestion
from studies.shared.question_fields import TraceFolder
from studies.shared.question_model import NounFlags, check_unused, question_model
from studies.shared.screening import ScreeningRule

DESCRIPTION = (
    "Candidate scenarios of a study case are drawn (PV and load with their scales and shapes, training beside the "
    "replicas, ramps of every site), simulated in lockstep without coordination and under OFO, and those admitted in "
    "which there is a violation that OFO can mend. Those to train on, to choose by and to test with have own seeds."
)
EPILOG = (
    "The library is library.csv in the study's folder, for g2g controllers --library. Example: "
    "g2g scenarios --case ieee34 --train 600 --test 150 --out results/scenarios_ieee34"
)


@question_model
class LibraryQuestion(CaseQuestion):
    """Which of `n_train`, `n_validation` and `n_test` candidates of a case are worth training, choosing and testing by?

    Candidates follow `scenario` in length, steps and servers, and what `ranges` are drawn for the rest. Of those
    admitted by `rule` at most `kept_train`, `kept_validation` and `kept_test` are kept (0: all). With `channels` OFO
    has to mend them with messages that pass these.
    """

    n_train: Annotated[CountFromZero, Flag("--train", "candidates to train on")] = 300
    n_test: Annotated[CountFromZero, Flag("--test", "candidates to test with")] = 80
    n_validation: Annotated[CountFromZero, Flag("--validation", "candidates to choose among trained policies by")] = 0
    kept_train: Annotated[CountFromZero, Flag("--keep-train", "of those admitted, at most so many", unset="all")] = 0
    kept_test: Annotated[CountFromZero, Flag("--keep-test", "of those admitted, at most so many; 0: all")] = 50
    kept_validation: Annotated[
        CountFromZero, Flag("--keep-validation", "of those admitted, at most so many; 0: all")
    ] = 50
    ranges: Annotated[ScenarioRanges, NounFlags("what is drawn")] = field(default_factory=ScenarioRanges)
    rule: Annotated[ScreeningRule, NounFlags("what is admitted")] = field(default_factory=ScreeningRule)
    channels: ChannelsAsked = None
    scenario: Annotated[Scenario, NounFlags("runs", without=DRAWN)] = field(default_factory=Scenario)
    limits: Annotated[Limits, NounFlags("the band", without=BAND_ONLY)] = field(default_factory=Limits)
    trace_dir: TraceFolder = "data/specs"

    def candidates(self) -> tuple[tuple[Split, int, int], ...]:
        """Splits with their candidates and how many of them are kept (0: all)."""
        asked: tuple[tuple[Split, int, int], ...] = (
            ("train", self.n_train, self.kept_train),
            ("test", self.n_test, self.kept_test),
            ("validation", self.n_validation, self.kept_validation),
        )
        return tuple(split for split in asked if split[1])

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        self.check_ranges(self.ranges)
        check_unused(self)
        if self.n_train + self.n_test + self.n_validation == 0:
            raise InputError("a library needs candidates: say how many (--train, --test, --validation)")
