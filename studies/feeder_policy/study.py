"""Policies of batch sizes on a feeder: trained in some hours, run in others next to droop, OFO and a clairvoyant.

Every case is a task; `cases` says what they are, `setting` what the hours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from g2g_opt.limits import Limits
from studies.feeder_policy.answer import conclusion_of
from studies.feeder_policy.cases import MarginRow, PolicyRow, n_steps, run_case
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.feeder_policy.setting import FeederPolicyCase
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import to_rows


@question_model
class FeederPolicyStudy(FeederPolicyQuestion):
    """A `FeederPolicyQuestion` that can be run."""

    study: ClassVar[str] = "feeder-policy"
    stages: ClassVar[tuple[str, ...]] = ("cases",)
    # A policy is trained for its limits.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        FeederPolicyCase(self).features()  # refuses a feature that there is not

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Every case."""
        return [Task("case", {"case": case}, case, float(n_steps(self, case))) for case in self.cases]

    def split(self, task: Task) -> list[Task]:
        """A case is the smallest unit: its test runs follow from its training."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a case, in a worker process."""
        case = str(task.content["case"])
        found = run_case(FeederPolicyCase(self), case, counted(progress, n_steps(self, case)))
        return {
            "runs": to_rows(found.rows),
            "rounds": to_rows(found.rounds),
            "margins": to_rows([MarginRow(name, margin_pu) for name, margin_pu in found.margins_pu.items()]),
            "policies": to_rows([PolicyRow(name, policy.to_json()) for name, policy in found.policies.items()]),
        }

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; a policy is trained for its limits, so they are never others."""
        return conclusion_of(self, results)
