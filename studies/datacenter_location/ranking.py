"""From rows of trials to a ranking, under the limits they were judged by or under others."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from studies.datacenter_location.trials import PlacementRow, TrialRun, rank_key


def best_rows(rows: Sequence[PlacementRow], *, finalists: bool) -> list[PlacementRow]:
    """The best trial of every placement, best placement first; failures last.

    With `finalists` only the runs of that stage (on OpenDSS) count, without only the others.
    """
    best: dict[str, PlacementRow] = {}
    for row in rows:
        if (row.stage == "finalists") != finalists:
            continue
        held = best.get(row.placement)
        if held is None or rank_key(row) < rank_key(held):
            best[row.placement] = row
    return sorted(best.values(), key=rank_key)


def n_tied(ranked: Sequence[PlacementRow]) -> int:
    """How many placements only their names keep apart from the first."""
    return sum(rank_key(row)[:-1] == rank_key(ranked[0])[:-1] for row in ranked) if ranked else 0


def judged_rows(rows: Sequence[PlacementRow], runs: Sequence[TrialRun], limits: Limits) -> list[PlacementRow]:
    """The rows of all trials, with their figures under other limits; nothing is simulated.

    Raises `InputError` for limits at which the runs kept no figures; it names those that they kept.
    """
    stored = {(run.placement, run.stage): run for run in runs}
    return [row.judged(stored[row.placement, row.stage].outcome(limits)) for row in rows]
