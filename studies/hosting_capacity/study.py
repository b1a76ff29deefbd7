"""Hosting capacity of buses: how large a site can be, firm and with flexible operation (equations, section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from g2g_opt.limits import Limits
from studies.hosting_capacity.answer import conclusion_of
from studies.hosting_capacity.capacity import Aim, JudgedSize
from studies.hosting_capacity.frontier import frontier_aims, frontier_tasks
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import tables_of
from studies.hosting_capacity.search import expected_sizes
from studies.hosting_capacity.work import search_aims
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.rejudging import ALL_LIMITS
from studies.shared.task import Progress, Tables, Task, TaskResult, counted

# Searches that share the batches of a task: enough to fill them, few enough to be lost as a whole.
SEARCHES_PER_TASK = 16
# A run on OpenDSS next to a size in a batch, for progress.
_OPENDSS_STEPS = 3.0


@question_model
class HostingCapacityStudy(HostingCapacityQuestion):
    """A `HostingCapacityQuestion` that can be run."""

    study: ClassVar[str] = "hosting-capacity"
    stages: ClassVar[tuple[str, ...]] = ("capacities", "frontier")
    rejudges: ClassVar[frozenset[str]] = ALL_LIMITS

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        self.check_fields()
        self.resolve_sets(self.load_feeder())
        self.try_smallest_sites(self.flexible_policy, self.storage)

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Groups of site sets; in the stage "frontier" groups of pairs with the sizes of their first sites."""
        if stage == "frontier":
            return frontier_tasks(self, results) if self.frontier_points > 1 else []
        sets = self.resolve_sets(self.load_feeder())
        searches = len(self.operations) - 1 + len(self.floors(1)) if "flexible" in self.operations else 1
        # Two at least, which two workers do at a time.
        n_tasks = max(min(2, len(sets)), -(-len(sets) * searches // SEARCHES_PER_TASK))
        return [self._task(sets[k::n_tasks]) for k in range(n_tasks)]

    def _task(self, sets: Sequence[tuple[str, ...]]) -> Task:
        names = ["+".join(buses) for buses in sets]
        label = f"bus {names[0]}" if len(names) == 1 else f"buses {', '.join(names)}"
        return Task("capacities", {"site_sets": [list(buses) for buses in sets]}, label, float(len(sets)))

    def split(self, task: Task) -> list[Task]:
        """One task for every set of buses, or for every point of a frontier."""
        if task.kind == "frontier":
            points = task.content["points"]
            return [replace(task, content={"points": [p]}, weight=1.0) for p in points] if len(points) > 1 else []
        sets = [tuple(buses) for buses in task.content["site_sets"]]
        return [self._task([buses]) for buses in sets] if len(sets) > 1 else []

    def run(self, task: Task, progress: Progress) -> Tables:
        """The searches of a task, side by side."""
        aims: Mapping[Aim, int | None]
        if task.kind == "frontier":
            aims = frontier_aims(task)
        else:
            aims = dict.fromkeys(aim for buses in task.content["site_sets"] for aim in self.aims(tuple(buses)))
        tell = counted(progress, sum(expected_sizes(self, aim) + _OPENDSS_STEPS for aim in aims))

        def report(aim: Aim, judged: JudgedSize) -> None:
            verdict = "keep the limits" if judged.kept else "do not"
            gpus = judged.n_gpus
            tell(f"bus {aim.place} {aim.operation}: {gpus} GPUs {verdict}")

        def confirmed(aim: Aim) -> None:
            tell(f"bus {aim.place} {aim.operation}: run on OpenDSS", _OPENDSS_STEPS)

        return tables_of(search_aims(self, aims, report, confirmed))

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; those that were `made_under` other limits are judged again."""
        return conclusion_of(self, results, made_under)
