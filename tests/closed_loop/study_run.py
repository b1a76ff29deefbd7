"""A study run in this process, without a folder: what its tests look at."""

from __future__ import annotations

from typing import Any

from studies.shared.task import TaskResult


def results_of(study: Any) -> tuple[TaskResult, ...]:
    """Results of every task, stage by stage."""
    results: list[TaskResult] = []
    for stage in study.stages:
        tasks = study.tasks(stage, tuple(results))
        results += [TaskResult(task, study.run(task, lambda share, words: None)) for task in tasks]
    return tuple(results)
