"""Coordination studies that tests share, run once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from studies.coordination_policy.study import CoordinationStudy
from studies.shared.task import Row, Task, TaskResult

PEAK = CoordinationStudy(q=(30,), n_ties=1)
DAY = CoordinationStudy(
    kind="day-ahead", n_days=1, alphas=(0.0, 0.25), first_date="2019-01-10", last_date="2019-01-10", mip_gap=3e-3
)


def do(study: CoordinationStudy, task: Task) -> TaskResult:
    return TaskResult(task, study.run(task, lambda share, words: None))


@cache
def run(study: CoordinationStudy) -> tuple[TaskResult, ...]:
    study.check()
    results: list[TaskResult] = []
    for stage in study.stages:
        results += [do(study, task) for task in study.tasks(stage, tuple(results))]
    return tuple(results)


def shown(study: CoordinationStudy, name: str) -> Sequence[Row]:
    return next(table for table in study.conclude(run(study)).tables if table.name == name).rows
