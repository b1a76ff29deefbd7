"""Tasks of a communication study on a feeder: bounds, capacities over links, runs of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from studies.communication.links import LinkState
from studies.communication.question import CommunicationQuestion
from studies.communication.rows import SurvivingRow
from studies.communication.survival import Survival, Wish
from studies.shared.task import Row, Tables, Task, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

CAPACITIES, UNDER_ALL, RUNS = "surviving", "under_all_limits", "link_runs"
# Searches that share the batches of a task, and runs: enough to fill them, few enough to be lost as a whole.
_SEARCHES_PER_TASK, _RUNS_PER_TASK = 48, 96


def bound_tasks(question: CommunicationQuestion, buses: Sequence[str]) -> list[Task]:
    """Firm capacity and that over a perfect link, at every bus: as links are judged, and under all limits."""
    wishes: list[Row] = []
    for draw in range(question.draws):
        wishes += [{"link": None, "draw": draw, "guess": None}, _wish(question.perfect, draw, None)]
    kinds = ["bounds", *(["bounds under all limits"] if question.left_out else [])]
    words = {"bounds": "", "bounds under all limits": ", under all limits"}
    return [
        Task(kind, {"bus": bus, "wishes": wishes}, f"bus {bus}: firm, and a perfect link{words[kind]}", 2.0)
        for bus in buses
        for kind in kinds
    ]


def capacity_tasks(question: CommunicationQuestion, results: Sequence[TaskResult]) -> list[Task]:
    """Capacities over every lossy link and every outage, from those of the perfect link on."""
    tasks: list[Task] = []
    for bus, sizes in _perfect_sizes(results).items():
        wishes = [
            _wish(link, draw, max(n, 1))
            for link in (*question.outage_links(), *question.lossy_links())
            for draw, n in sizes.items()
        ]
        tasks += _parts("capacities", bus, wishes, _SEARCHES_PER_TASK, "capacity over links")
    return tasks


def run_tasks(question: CommunicationQuestion, results: Sequence[TaskResult]) -> list[Task]:
    """Runs of the size of the perfect link over all links."""
    tasks: list[Task] = []
    for bus, sizes in _perfect_sizes(results).items():
        wishes = [_wish(link, draw, n) for link in question.links_of_runs() for draw, n in sizes.items() if n]
        tasks += _parts("runs", bus, wishes, _RUNS_PER_TASK, "the size of the perfect link over links")
    return tasks


def split_task(task: Task) -> list[Task]:
    """Halves of a task's wishes."""
    wishes = task.content["wishes"]
    if len(wishes) < 2:
        return []
    parts = wishes[::2], wishes[1::2]
    return [
        replace(task, content={**task.content, "wishes": part}, label=f"{task.label}, half", weight=task.weight / 2)
        for part in parts
    ]


def run_task(question: CommunicationQuestion, task: Task, report: Callable[[str], None]) -> Tables:
    """The searches or runs of a task."""
    under_all = task.kind == "bounds under all limits"
    judged = question if under_all else replace(question, limits=question.aimed_limits)
    survival = Survival(judged, task.content["bus"], report)
    wishes: list[Wish] = [(_link(one["link"]), one["draw"], one["guess"]) for one in task.content["wishes"]]
    if task.kind == "runs":
        return {RUNS: to_rows(survival.runs([(link, draw, n) for link, draw, n in wishes if link and n]))}
    return {UNDER_ALL if under_all else CAPACITIES: to_rows(survival.capacities(wishes))}


def _wish(link: LinkState, draw: int, guess: int | None) -> Row:
    return {"link": vars(link), "draw": draw, "guess": guess}


def _link(content: Mapping[str, object] | None) -> LinkState | None:
    return None if content is None else LinkState(**content)  # type: ignore[arg-type]


def _parts(kind: str, bus: str, wishes: Sequence[Row], at_once: int, what: str) -> list[Task]:
    n_tasks = max(min(2, len(wishes)), -(-len(wishes) // at_once))
    return [
        Task(
            kind,
            {"bus": bus, "wishes": list(wishes[k::n_tasks])},
            f"bus {bus}: {what}, part {k + 1} of {n_tasks}",
            len(wishes) / n_tasks,
        )
        for k in range(n_tasks)
    ]


def _perfect_sizes(results: Sequence[TaskResult]) -> dict[str, dict[int, int]]:
    """Servers over the perfect link by bus and draw; a perfect link is "ideal" and has no outage."""
    found: dict[str, dict[int, int]] = {}
    for row in gather_as(results, CAPACITIES, SurvivingRow):
        if row.operation == "flexible" and row.transport == "ideal" and not row.outage_s:
            found.setdefault(row.bus, {})[row.draw] = row.n_servers
    return found
