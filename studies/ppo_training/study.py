"""A PPO policy of a study case: trained in lockstep, its checkpoints chosen by validation and tested.

Stages: `training` is one task for every seed; `tests` are the checkpoints of a training, and the other controllers, in
the scenarios to choose by and to test with. A training that is stopped begins anew; finished ones are kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, number_of
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy, PolicyKind
from g2g_opt.ppo_policy import PPOPolicy
from g2g_opt.simulation import simulate_runs
from g2g_opt.study_case import StudyCase
from studies.controllers.rows import ControllerRun
from studies.ppo_training.answer import SPLITS, conclusion_of
from studies.ppo_training.question import PPOTrainingQuestion
from studies.ppo_training.rows import PPOPolicyRow, TestedRow
from studies.shared.conclusion import Conclusion
from studies.shared.input_files import feeder_files
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Tables, Task, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

# Controllers that a policy is held against, with the tuning of the case.
OTHERS: tuple[PolicyKind, ...] = ("none", "droop", "ofo")
_NEEDED = ("gymnasium", "stable_baselines3", "torch")
# A training next to a thousand runs of a scenario.
_STEPS_OF_A_RUN = 3600.0


@question_model
class PPOTrainingStudy(PPOTrainingQuestion):
    """A `PPOTrainingQuestion` that can be run."""

    study: ClassVar[str] = "ppo-training"
    stages: ClassVar[tuple[str, ...]] = ("training", "tests")
    # What is learnt follows from the band.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> dict[str, Path]:
        """The case, its feeder, measurements, the user's traces, and the library."""
        own = {f"case/{self.case}": data_path("study_cases", f"{self.case}.json")}
        if self.library is not None:
            own[f"library/{Path(self.library).name}"] = Path(self.library)
        return own | feeder_files(self.feeder, self.trace_dir)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        for split in ("train", *SPLITS):
            self.scenarios(split)
        lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if lacking:
            raise InputError(f'training needs {", ".join(lacking)}, not installed here: pip install "g2g-opt[rl]"')
        case = StudyCase.load(self.case)
        if self.observation == "zone-summary" and not case.feeder.zones:
            raise InputError(
                f"feeder {case.feeder.name} has no zones (--observation); its buses are observed one by one"
            )

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """A training for every seed; then tests of its checkpoints, and of the other controllers."""
        if stage == "training":
            weight = self.settings.steps / _STEPS_OF_A_RUN
            return [
                Task("training", {"training": k + 1}, f"training {k + 1}, {self.settings.steps} steps", weight)
                for k in range(self.n_seeds)
            ]
        n = self.n_validation + self.n_test
        others = Task("others", {}, f"{', '.join(OTHERS)} in the same scenarios", weight=float(len(OTHERS) * n))
        found = [
            (r.task.content["training"], gather_as([r], "policies", PPOPolicyRow)) for r in results if not r.failed
        ]
        tests = [
            Task(
                "test", {"training": k, "steps": row.steps, "policy": row.policy}, f"training {k} after {row.steps}", n
            )
            for k, rows in found
            for row in rows
        ]
        return [*tests, others] if tests else []

    def split(self, task: Task) -> list[Task]:
        """Trainings and tests are not divided."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        if task.kind == "training":
            return self._train(task.content["training"], progress)
        if task.kind == "others":
            return {"tested": to_rows(self._tested([Policy(kind) for kind in OTHERS], 0, 0, progress))}
        policy = Policy("ppo", ppo=PPOPolicy.from_json(task.content["policy"]))
        training, steps = task.content["training"], task.content["steps"]
        return {"tested": to_rows(self._tested([policy], training, steps, progress))}

    def _train(self, training: int, progress: Progress) -> Tables:
        # Both are parts of an extra, and torch takes a second to import.
        from g2g_opt.learning.environment import BatchSizeVectorEnv, Trained
        from studies.ppo_training.training import train

        case, settings = StudyCase.load(self.case), self.settings
        scenarios = [entry.scenario for entry in self.scenarios("train")]
        plan = replace(case.plan, policy=self._heard(case.plan.policy))
        trained = Trained(
            plan, case.feeder, scenarios, self.limits, self.observation, self.weights, Path(self.trace_dir)
        )
        seed = self.seed * self.n_seeds + training
        env = BatchSizeVectorEnv(trained, settings.n_envs, n_groups=settings.n_groups, seed=seed)
        curve, kept = train(env, settings, training, seed, lambda share: progress(share, f"training {training}"))
        return {"curve": to_rows(curve), "policies": to_rows(kept)}

    def _heard(self, policy: Policy) -> Policy:
        """A policy whose messages pass the channels of the question, if there are any."""
        return replace(policy, channels=self.channels)

    def _tested(self, policies: Sequence[Policy], training: int, steps: int, progress: Progress) -> list[TestedRow]:
        """Every policy in the scenarios to choose by and to test with."""
        case = StudyCase.load(self.case)
        asked = [
            (policy, split, entry.scenario)
            for policy in policies
            for split in SPLITS
            for entry in self.scenarios(split)
        ]
        outcomes = simulate_runs(
            [(replace(case.plan, policy=self._heard(policy)), scenario) for policy, _, scenario in asked],
            case.feeder,
            self.limits,
            trace_dir=Path(self.trace_dir),
            progress=lambda done, of: progress(done / of, f"{number_of(len(asked), 'run')}"),
        )
        return [
            TestedRow.of(ControllerRun.of(policy.kind, scenario, run), training, steps, split)
            for (policy, split, scenario), run in zip(asked, outcomes, strict=True)
        ]

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; what is learnt follows from the band, which is never another."""
        return conclusion_of(StudyCase.load(self.case), self, results)
