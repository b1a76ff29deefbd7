"""What is concluded from trainings of PPO policies."""

from __future__ import annotations

import pytest

from g2g_opt.study_case import StudyCase
from studies.ppo_training import rows
from studies.ppo_training.answer import conclusion_of
from studies.ppo_training.question import PPOTrainingQuestion
from studies.ppo_training.rows import PPOPolicyRow
from studies.shared.task import Task, TaskResult
from studies.shared.typed_rows import to_rows


@pytest.mark.parametrize(("switches", "is_said"), [(0.0, True), (0.5, False)])
def test_a_policy_that_changes_no_batch_size_is_said_to_be_no_control(switches: float, is_said: bool) -> None:
    """After few steps the policy still holds, as it does untrained, and had only the figures of no control."""
    tested = [
        rows.TestedRow(training, steps, split, name, f"{split} {k}", 14.0, 5e6, switched, 0.0, "")
        for split in ("validation", "test")
        for k in range(3)
        for training, steps, name, switched in ((0, 0, "none", 0.0), (1, 100, "ppo", 0.0), (1, 200, "ppo", switches))
    ]
    policies = [PPOPolicyRow(1, steps, 1.0, "{}") for steps in (200, 100)]
    result = TaskResult(Task("any", {}, "any"), {"tested": to_rows(tested), "policies": to_rows(policies)})
    answer = conclusion_of(StudyCase.load("ieee13"), PPOTrainingQuestion(), [result]).answer
    words = (
        "It changes no batch size in any of them, as no control would: train longer (--steps), or with another --seed."
    )
    assert (words in answer) == is_said
