"""The question of a comparison of controllers, complete enough to rerun."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.quantities import Count, CountFromZero
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.scenario_library import ScenarioLibrary, chosen_scenarios
from studies.controllers.choices import CHOICE_SYNTAX, SWEEP_SYNTAX, ControllerChoice, ParameterSweep
from studies.shared.asked_channels import check_heard
from studies.shared.case_fields import BAND_ONLY, DRAWN, CaseQuestion
from studies.shared.question_fields import TraceFolder
from studies.shared.question_model import NounFlags, check_unused, question_model
from studies.shared.screening import ScreeningRule

DESCRIPTION = (
    "Controllers of batch sizes (none, droop, online feedback optimisation, trained policies) are run in the same "
    "scenarios of a study case in lockstep: integral voltage violation, tokens, switches and latency misses, as means "
    "with 95 % intervals, scenario by scenario against each other, and the trajectories of one scenario on OpenDSS."
)
EPILOG = (
    "Without --library candidates to test with are drawn and screened first. Examples: g2g controllers --case ieee34; "
    "g2g controllers --library results/scenarios/library.csv --case ieee13 --sweep ofo:w_throughput=1e-5,1e-4,1e-3"
)
_LIBRARY = "scenarios that are drawn where no library is given"
_USUAL = tuple(ControllerChoice(kind) for kind in ("none", "droop", "ofo"))


@question_model
class ControllersQuestion(CaseQuestion):
    """How do `controllers`, and those of `sweeps`, compare in `n_scenarios` scenarios to test with?

    They are the first of the `library`; without one, of `n_candidates` that are drawn and screened. All controllers
    hear of voltages and sites through the same `channels`, each scenario with draws of its own; screened is without
    them. `shown` names the scenario whose trajectories are recorded on OpenDSS (empty: the one in the middle by
    violation without coordination); in `n_compared` scenarios, that one first, the engines are compared.
    """

    library: Annotated[
        str | None, Flag("--library", "library.csv of g2g scenarios", metavar="FILE", unset="drawn and screened first")
    ] = None
    n_scenarios: Annotated[Count, Flag("--scenarios", "scenarios to test with, at most")] = 50
    controllers: Annotated[
        tuple[ControllerChoice, ...],
        Flag(
            "--controller",
            "one to compare: none, droop, ofo, ppo or contextual, with figures of its tuning (ofo:w_throughput=0.001; "
            "another name is answered by the known ones), margin=PU to the band, load-shift=GPUS, file=FILE of a "
            "trained policy (g2g ppo-training, g2g feeder-policy)",
            metavar=CHOICE_SYNTAX,
            unset="none, droop and ofo",
            read=ControllerChoice.parse,
        ),
    ] = _USUAL
    sweeps: Annotated[
        tuple[ParameterSweep, ...],
        Flag(
            "--sweep",
            "a controller at each of several values of one figure (ofo:w_throughput=1e-4,1e-3)",
            metavar=SWEEP_SYNTAX,
            unset="none",
            read=ParameterSweep.parse,
        ),
    ] = ()
    channels: ChannelsAsked = None
    shown: Annotated[
        str, Flag("--show", "scenario whose trajectories are drawn", metavar="NAME", unset="the middle one")
    ] = ""
    n_compared: Annotated[
        CountFromZero,
        Flag("--compared", "scenarios run on OpenDSS as well, the one that is shown first; 0: no trajectories"),
    ] = 1
    n_candidates: Annotated[Count, Flag("--candidates", "drawn and screened", group=_LIBRARY)] = 96
    ranges: Annotated[ScenarioRanges, NounFlags(_LIBRARY)] = field(default_factory=ScenarioRanges)
    rule: Annotated[ScreeningRule, NounFlags(_LIBRARY)] = field(default_factory=ScreeningRule)
    scenario: Annotated[Scenario, NounFlags(_LIBRARY, without=DRAWN)] = field(default_factory=Scenario)
    limits: Annotated[Limits, NounFlags("the band", without=BAND_ONLY)] = field(default_factory=Limits)
    trace_dir: TraceFolder = "data/specs"

    def choices(self) -> tuple[ControllerChoice, ...]:
        """Every controller that is run, once."""
        swept = (choice for sweep in self.sweeps for choice in sweep.choices())
        return tuple(dict.fromkeys((*self.controllers, *swept)))

    def given_scenarios(self) -> list[Scenario] | None:
        """Scenarios of the library; None without one. `InputError` for one of another case, or with none to test."""
        if self.library is None:
            return None
        library = ScenarioLibrary.load(Path(self.library))
        if library.case != self.case:
            raise InputError(f"the library {self.library} is of the case {library.case}, not {self.case} (--case)")
        return [entry.scenario for entry in chosen_scenarios(library, "test", self.n_scenarios)]

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        self.check_ranges(self.ranges)
        check_unused(self)
        hears = any(choice.kind != "none" or choice.load_shift_gpus is not None for choice in self.choices())
        check_heard(self, "" if hears else "no controller is run that hears or commands anything (--controller)")
        if not self.choices():
            raise InputError("name a controller at least (--controller)")
        given = self.given_scenarios()
        if self.shown and given is not None and self.shown not in [scenario.name for scenario in given]:
            raise InputError(f"scenario {self.shown!r} (--show) is none of those of the library that are run")
