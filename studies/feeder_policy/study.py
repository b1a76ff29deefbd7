"""Policies of batch sizes on a feeder: trained in some hours, run in others next to droop, OFO and a clairvoyant.

Every case is a task; `cases` says what they are, `setting` what the hours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, field, replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from g2g_opt.data_files import TRACE_DIR
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import unassessed_notes
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, PVUnit
from g2g_opt.quantities import Count, MarginPu, RoundCount, Seed, ShareAboveZero
from g2g_opt.scenario import Scenario
from studies.feeder_policy.answer import draw_conclusion
from studies.feeder_policy.cases import CASES, n_steps, run_case
from studies.feeder_policy.setting import FeederPolicyQuestion, Setting
from studies.running.inputs import feeder_files
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.site_choices import ServedModel, SiteChoice
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import to_rows

# 900 servers of one large model on the 13-bus feeder, and a plant at its end.
_SITES = (SiteChoice("campus", (ServedModel("llama-3.1-70b", 7200),), candidates=("671",)),)
_PV = (PVUnit("675", 1200.0),)


@question_model
class FeederPolicyStudy:
    """Sites (each at one bus) and PV on a feeder, in `n_training` and `n_test` scenarios that share no day.

    `scenario` is what every run follows, from an hour of a day drawn from its profile on; replicas ramp between shares
    drawn from `replica_share`. `margins_pu` are tried in training, `rounds` is how often the policy is trained anew.
    """

    study: ClassVar[str] = "feeder-policy"
    stages: ClassVar[tuple[str, ...]] = ("cases",)
    # A policy is trained for its limits.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    feeder: str = "ieee13"
    exclude_buses: tuple[str, ...] = ()
    sites: tuple[SiteChoice, ...] = _SITES
    pv: tuple[PVUnit, ...] = _PV
    gpu: str = "H100"
    cases: tuple[str, ...] = CASES
    scenario: Scenario = field(
        default_factory=lambda: Scenario(
            profile="hudson_valley_2018", duration_s=3600, dt_s=Fraction(1), control_dt_s=Fraction(1)
        )
    )
    n_training: Count = 20
    n_test: Count = 20
    replica_share: tuple[ShareAboveZero, ShareAboveZero] = (0.4, 1.0)
    margins_pu: tuple[MarginPu, ...] = (0.0, 0.001, 0.002, 0.003)
    rounds: RoundCount = 2
    limits: Limits = field(default_factory=Limits)
    seed: Seed = 0

    def policy_question(self) -> FeederPolicyQuestion:
        """The question as it is run; `InputError` for what cannot be."""
        sites = []
        for choice in self.sites:
            choice.check()
            if len(choice.candidates) != 1:
                raise InputError(f"site {choice.name!r}: name the one bus where it stands")
            sites.append(choice.site(choice.candidates[0], self.gpu))
        low, high = self.replica_share
        if low > high:
            raise InputError(f"shares of replicas must rise, got {low} to {high}")
        return FeederPolicyQuestion(
            Plan(tuple(sites), pv=self.pv),
            feeder=self.feeder,
            exclude_buses=self.exclude_buses,
            limits=self.limits,
            base=replace(self.scenario, seed=self.seed),
            n_training=self.n_training,
            n_test=self.n_test,
            replica_share=self.replica_share,
            margins_pu=self.margins_pu,
            rounds=self.rounds,
        )

    def input_files(self) -> dict[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, str(TRACE_DIR), self.scenario.profile)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        if not self.sites:
            raise InputError("a policy needs a site to act on")
        if len({site.name for site in self.sites}) < len(self.sites):
            raise InputError("sites need different names")
        if unknown := sorted(set(self.cases) - set(CASES)):
            raise InputError(f"there is no case {', '.join(unknown)}; there are {', '.join(CASES)}")
        if not self.cases:
            raise InputError("name a case at least")
        feeder = Feeder.find(self.feeder).excluding(self.exclude_buses)
        if self.sites == _SITES and feeder.name != "ieee13":
            raise InputError(f"name sites (--site) and plants (--pv) for feeder {feeder.name}")
        for site in self.sites:
            site.candidate_buses(feeder)
        for unit in self.pv:
            feeder.bus(unit.bus)
        drawn = ("name", "profile_rows", "replica_share_start", "replica_ramps", "seed")
        usual = FeederPolicyStudy().scenario
        if changed := [name for name in drawn if getattr(self.scenario, name) != getattr(usual, name)]:
            raise InputError(f"the study draws {', '.join(changed)} of its scenarios by itself")
        question = self.policy_question()
        if self.scenario.duration_s <= max(question.grid_lag_s, question.record_dt_s):
            raise InputError(f"runs of {self.scenario.duration_s} s end before the first record is made")
        question.scenarios()

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Every case."""
        question = self.policy_question()
        return [Task("case", {"case": case}, case, float(n_steps(question, case))) for case in self.cases]

    def split(self, task: Task) -> list[Task]:
        """A case is the smallest unit: its test runs follow from its training."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a case, in a worker process."""
        case = str(task.content["case"])
        question = self.policy_question()
        found = run_case(Setting(question), case, counted(progress, n_steps(question, case)))
        return {
            "runs": to_rows(found.rows),
            "rounds": [asdict(entry) for entry in found.rounds],
            "margins": [{"case": name, "margin_pu": margin} for name, margin in found.margins_pu.items()],
            "policies": [{"case": name, "json": policy.to_json()} for name, policy in found.policies.items()],
        }

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; a policy is trained for its limits, so they are never others."""
        unassessed = unassessed_notes(Feeder.find(self.feeder).excluding(self.exclude_buses))
        return draw_conclusion(self.feeder, self.cases, self.seed, results, unassessed)
