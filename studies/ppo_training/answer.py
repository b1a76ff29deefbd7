"""What trainings of PPO policies come to: the checkpoint that validation chooses, tested, and the one a test would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from g2g_opt.learning.reward import REWARD_PARTS
from g2g_opt.scenario_library import WORDS_OF_SPLIT, Split
from g2g_opt.study_case import StudyCase
from studies.controllers.rows import METRICS
from studies.ppo_training.rows import CurveRow, PPOPolicyRow, TestedRow
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.paired import bootstrap_draws, interval_row, with_interval
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import columns_of, gather_as, table_of

if TYPE_CHECKING:
    from studies.ppo_training.question import PPOTrainingQuestion

SPLITS: tuple[Split, ...] = ("validation", "test")
POLICY_FILE = "policy.json"
_VIOLATION = METRICS[0]
_TITLES = {
    "integral_violation_pu_s": ("integral violation (pu s)", 3),
    "mean_throughput_tps": ("tokens/s", 0),
    "batch_switches": ("batch switches", 1),
    "itl_deadline_fraction": ("latency misses (share)", 4),
}
_CHOSEN = (
    Column("controller", "controller"),
    Column("training", "training"),
    Column("chosen_by", "checkpoint chosen by"),
    Column("steps", "after steps"),
    Column("n_scenarios", "test scenarios"),
    *(
        column
        for name, (title, digits) in _TITLES.items()
        for column in with_interval(Column(name, title, digits), secondary=name != _VIOLATION)
    ),
)
_CHECKPOINTS = (
    Column("training", "training"),
    Column("steps", "after steps"),
    Column("cpu_s", "CPU s until then", 0),
    *(
        Column(f"{split}_{name}", f"{title}, {split}", digits, secondary=name != _VIOLATION)
        for split in SPLITS
        for name, (title, digits) in _TITLES.items()
    ),
    Column("failure", "failure", secondary=True),
)


@dataclass(frozen=True, eq=False)
class _Checkpoint:
    """A policy with its runs by split, those of the same scenarios in the same order."""

    policy: PPOPolicyRow
    runs: dict[Split, list[TestedRow]]

    @property
    def failure(self) -> str:
        """The first reason why a run has no answer; a checkpoint with one is not chosen."""
        return next((run.failure for runs in self.runs.values() for run in runs if run.failure), "")

    def mean(self, split: Split, metric: str) -> float:
        """Mean of a metric over the scenarios of a split."""
        return float(np.mean([getattr(run, metric) for run in self.runs[split]]))


def conclusion_of(case: StudyCase, question: PPOTrainingQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """Trainings and their checkpoints beside the other controllers in the same scenarios."""
    curve = gather_as(results, "curve", CurveRow)
    tested = gather_as(results, "tested", TestedRow)
    checkpoints = _checkpoints(gather_as(results, "policies", PPOPolicyRow), tested)
    usable = [one for one in checkpoints if not one.failure]
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [
        MissingAnswer(f"{row.controller} of training {row.training} after {row.steps} in {row.scenario}", row.failure)
        for row in tested
        if row.failure
    ]
    title = f"PPO policies of the study case {case.name}"
    if not usable:
        answer = "No policy was trained and tested: see the failures."
        return Conclusion(title, answer, case.feeder.name, (), failures=tuple(failures))
    chosen = _chosen(usable, tested, question.seed)
    trainings = sorted({one.policy.training for one in usable})
    best = {k: _best([one for one in usable if one.policy.training == k], "validation") for k in trainings}
    overall = _best(list(best.values()), "validation")
    return Conclusion(
        title=title,
        answer=_answer(chosen, overall, len(trainings)),
        feeder=case.feeder.name,
        tables=(
            ResultTable("tested", "In the scenarios to test with, with 95 % intervals", _CHOSEN, chosen),
            ResultTable("checkpoints", "Every checkpoint", _CHECKPOINTS, [_row(one) for one in checkpoints]),
            table_of("curve", "Parts of the reward per second", columns_of(CurveRow), curve, folded=True),
        ),
        charts=(*_curves(curve), _over_steps(usable)),
        texts={
            POLICY_FILE: overall.policy.policy,
            **{f"policies/training_{k}.json": one.policy.policy for k, one in best.items()},
        },
        failures=tuple(failures),
        not_assessed=(
            "other feeders: a policy runs on the feeder and at the sites that it was trained on, and nowhere else",
            "repeatability on other machines: arithmetic of 32 bits differs between processors, and training with it",
            "limits other than the voltage band",
            f"source of the case: {case.about}",
        ),
    )


def _checkpoints(policies: Sequence[PPOPolicyRow], tested: Sequence[TestedRow]) -> list[_Checkpoint]:
    """Policies that were run in all scenarios."""
    found = []
    for policy in policies:
        own = [row for row in tested if (row.training, row.steps) == (policy.training, policy.steps)]
        if own:
            found.append(_Checkpoint(policy, {split: [row for row in own if row.split == split] for split in SPLITS}))
    return found


def _best(checkpoints: Sequence[_Checkpoint], split: Split) -> _Checkpoint:
    return min(checkpoints, key=lambda one: one.mean(split, _VIOLATION))


def _chosen(usable: Sequence[_Checkpoint], tested: Sequence[TestedRow], seed: int) -> list[Row]:
    """Test figures of the other controllers, and of the checkpoints that validation, the test and the end choose."""
    rows: list[Row] = []
    for name in dict.fromkeys(row.controller for row in tested if row.training == 0):
        own = [row for row in tested if row.controller == name and row.split == "test" and not row.failure]
        if own:
            rows.append({"controller": name, "training": None, "chosen_by": "", "steps": None} | _figures(own, seed))
    for k in sorted({one.policy.training for one in usable}):
        own_checkpoints = [one for one in usable if one.policy.training == k]
        picked = {f"the {split}" if split == "test" else split: _best(own_checkpoints, split) for split in SPLITS}
        picked["the end"] = own_checkpoints[-1]
        for by, one in picked.items():
            about = {"controller": "ppo", "training": k, "chosen_by": by, "steps": one.policy.steps}
            rows.append(about | _figures(one.runs["test"], seed))
    return rows


def _figures(runs: Sequence[TestedRow], seed: int) -> Row:
    draws = bootstrap_draws(len(runs), seed)
    row: Row = {"n_scenarios": len(runs)}
    for name in METRICS:
        row |= interval_row(name, [getattr(run, name) for run in runs], draws)
    return row


def _row(one: _Checkpoint) -> Row:
    row: Row = {"training": one.policy.training, "steps": one.policy.steps, "cpu_s": one.policy.cpu_s}
    for split in SPLITS:
        for name in METRICS:
            row[f"{split}_{name}"] = None if one.failure else one.mean(split, name)
    return row | {"failure": one.failure}


def _answer(chosen: Sequence[Row], overall: _Checkpoint, n_trainings: int) -> str:
    def words(row: Row) -> str:
        low, high = row[f"{_VIOLATION}_low"], row[f"{_VIOLATION}_high"]
        return (
            f"{row[_VIOLATION]:.2f} pu s ({low:.2f} to {high:.2f}) at {row['mean_throughput_tps'] / 1e6:.2f} million "
            f"tokens/s, {row['batch_switches']:.1f} switches"
        )

    own = [row for row in chosen if row["training"] == overall.policy.training]
    by_validation = next(row for row in own if row["chosen_by"] == "validation")
    by_test = next(row for row in own if row["chosen_by"] == "the test")
    of = f"the best of {n_trainings} trainings by validation" if n_trainings > 1 else "the training"
    idle = (
        " It changes no batch size in any of them, as no control would: train longer (--steps), or with another --seed."
        if by_validation["batch_switches_high"] == 0.0
        else ""
    )
    others = "; ".join(f"{row['controller']} {words(row)}" for row in chosen if row["training"] is None)
    return (
        f"The checkpoint that validation chooses in {of} (after {by_validation['steps']} steps) has "
        f"{words(by_validation)} in {by_validation['n_scenarios']} scenarios to test with.{idle} Chosen by the test "
        f"itself, which is no test any more, it would be {words(by_test)} (after {by_test['steps']} steps).\n"
        f"In the same scenarios: {others}."
    )


# --- charts


def _curves(curve: Sequence[CurveRow]) -> tuple[Chart, ...]:
    """Every part of the reward over the steps, a line for each training."""
    trainings = sorted({row.training for row in curve})

    def chart(part: str) -> Chart:
        lines = tuple(
            Line(
                f"training {k}",
                [row.steps for row in curve if row.training == k],
                [getattr(row, part) for row in curve if row.training == k],
            )
            for k in trainings
        )
        return Chart(f"Reward while training: {part}", "environment steps", f"{part} part, per second", lines)

    return tuple(chart(part) for part in (*REWARD_PARTS, "reward"))


def _over_steps(usable: Sequence[_Checkpoint]) -> Chart:
    """Violation of every checkpoint by split."""
    lines = tuple(
        Line(
            f"training {k}, {WORDS_OF_SPLIT[split]}",
            [one.policy.steps for one in usable if one.policy.training == k],
            [one.mean(split, _VIOLATION) for one in usable if one.policy.training == k],
        )
        for k in sorted({one.policy.training for one in usable})
        for split in SPLITS
    )
    return Chart("Violation of checkpoints", "environment steps", "integral violation (pu s)", lines)
