"""Which sizes of two sites go together: the largest second site for each of a few sizes of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from g2g_opt.site import GPUS_PER_SERVER, smallest_n_servers
from studies.hosting_capacity.capacity import Aim, buses_of
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import CapacityRow
from studies.shared.task import Task, TaskResult
from studies.shared.typed_rows import ShownAs, TypedRow, gather_as

# Points per task; they share batches.
_POINTS_PER_TASK = 24


@dataclass(frozen=True)
class Corner(TypedRow):
    """One point of a pair's frontier: GPUs and peak MW of both sites, and what stops a larger second site."""

    first: Annotated[str, ShownAs("first site")]
    second: Annotated[str, ShownAs("second site")]
    operation: Annotated[str, ShownAs("operation")]
    first_gpus: Annotated[int, ShownAs("GPUs of the first")]
    second_gpus: Annotated[int, ShownAs("GPUs of the second")]
    first_peak_mw: Annotated[float, ShownAs("peak MW of the first", 2)]
    second_peak_mw: Annotated[float, ShownAs("peak MW of the second", 2)]
    limit: Annotated[str, ShownAs("limit that binds a larger second site")]
    limit_where: Annotated[str, ShownAs("where")]


def _alone(rows: Sequence[CapacityRow], floor: float) -> dict[tuple[str, str], CapacityRow]:
    """Rows of single buses, by bus and operation."""
    return {
        (row.bus, row.operation): row
        for row in rows
        if row.n_sites == 1 and row.first_n_servers is None and row.throughput_floor == floor
    }


def _pairs(study: HostingCapacityQuestion) -> list[tuple[str, ...]]:
    return [buses for buses in study.resolve_sets(study.load_feeder()) if len(buses) == 2]


def frontier_tasks(study: HostingCapacityQuestion, results: Sequence[TaskResult]) -> list[Task]:
    """Groups of points: for every pair, equal steps of the first site up to what its bus hosts alone.

    The step at nothing is not searched: the second site is then alone, and was searched for as such. The largest second
    site is guessed on the straight line between the two capacities alone.
    """
    smallest = smallest_n_servers(study.load_models())
    alone = _alone(gather_as(results, "capacities", CapacityRow), study.limits.throughput_share_min)
    points: list[dict[str, Any]] = []
    for first, second in _pairs(study):
        for operation in study.operations:
            ends = alone.get((first, operation)), alone.get((second, operation))
            if ends[0] is None or ends[1] is None or ends[0].n_servers < smallest:
                continue
            steps = study.frontier_points - 1
            for k in range(1, steps + 1):
                point = {
                    "buses": [first, second],
                    "operation": operation,
                    "first_n_servers": max(smallest, ends[0].n_servers * k // steps),
                    "guess": max(smallest, ends[1].n_servers * (steps - k) // steps),
                    "floor": study.limits.throughput_share_min,
                }
                points.append(point)
    n_tasks = max(min(2, len(points)), -(-len(points) // _POINTS_PER_TASK))
    return [
        Task("frontier", {"points": points[k::n_tasks]}, f"frontier, part {k + 1} of {n_tasks}", len(points) / n_tasks)
        for k in range(n_tasks)
    ]


def frontier_aims(task: Task) -> dict[Aim, int | None]:
    """What a task of `frontier_tasks` searches, with the guesses."""
    return {
        Aim(tuple(p["buses"]), p["operation"], p["floor"], p["first_n_servers"]): p["guess"]
        for p in task.content["points"]
    }


def corners(rows: Sequence[CapacityRow], floor: float) -> dict[tuple[str, str, str], list[Corner]]:
    """The frontier of every pair and operation, by rising first site; the first point has only the second site."""
    alone = _alone(rows, floor)
    found: dict[tuple[str, str, str], list[Corner]] = {}
    for row in rows:
        if row.first_n_servers is None:
            continue
        first, second = buses_of(row.bus, row.n_sites)
        at = found.setdefault((first, second, row.operation), [])
        end = alone.get((second, row.operation))
        if not at and end is not None:
            at.append(_corner((first, second), end, (0, end.n_servers), (0.0, end.power_peak_mw)))
        sizes = row.first_n_servers, row.n_servers
        mw = row.power_peak_mw_by_site
        start = alone.get((first, row.operation))
        if not mw and start is not None:
            # Not even the smallest second site goes with this first one, whose own peak is in proportion to its size.
            mw = (start.power_peak_mw * sizes[0] / start.n_servers, 0.0)
        at.append(_corner((first, second), row, sizes, (mw[0], mw[1])))
    return {key: sorted(at, key=lambda c: c.first_gpus) for key, at in found.items()}


def _corner(buses: tuple[str, str], row: CapacityRow, n: tuple[int, int], mw: tuple[float, float]) -> Corner:
    gpus = GPUS_PER_SERVER * n[0], GPUS_PER_SERVER * n[1]
    return Corner(*buses, row.operation, *gpus, *mw, row.limit, row.limit_where)


def rises(frontier: Sequence[Corner]) -> bool:
    """True if a larger first site anywhere goes with a larger second one: the region is then no simple staircase.

    Steps of the search's own resolution (0.5 %, or one server) do not count.
    """
    steps = ((before.second_gpus, after.second_gpus) for before, after in pairwise(frontier))
    return any(after > before * 1.005 + GPUS_PER_SERVER for before, after in steps)
