"""From rows of trials to a ranking, under the limits they were judged by or under others."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from studies.datacenter_location.trials import judged_row, rank_key
from studies.shared.stored_runs import read_outcome
from studies.shared.task import Row


def best_rows(rows: Sequence[Row], *, finalists: bool) -> list[Row]:
    """The best trial of every placement, best placement first; failures last.

    With `finalists` only the runs of that stage (on OpenDSS) count, without only the others.
    """
    best: dict[str, Row] = {}
    for row in rows:
        if (row["stage"] == "finalists") != finalists:
            continue
        held = best.get(row["placement"])
        if held is None or rank_key(row) < rank_key(held):
            best[row["placement"]] = row
    return sorted(best.values(), key=rank_key)


def n_tied(ranked: Sequence[Row]) -> int:
    """How many placements only their names keep apart from the first."""
    return sum(rank_key(row)[:-1] == rank_key(ranked[0])[:-1] for row in ranked) if ranked else 0


def judge_again(rows: Sequence[Row], runs: Sequence[Row], limits: Limits) -> list[Row]:
    """The rows of all trials that kept a summary, with their figures under other limits; nothing is simulated.

    Raises `InputError` for limits at which the runs kept no figures; it names those that they kept.
    """
    stored = {(run["placement"], run["stage"]): run for run in runs}
    found = []
    for row in rows:
        run = stored.get((row["placement"], row["stage"]))
        if run is None or not run["has_summary"]:
            if row["failure"]:
                found.append(row)
            continue
        found.append(row | judged_row(read_outcome(run, limits)))
    return found
