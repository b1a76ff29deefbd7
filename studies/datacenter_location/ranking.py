"""From rows of trials to a ranking, under the limits they were judged by or under others."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from studies.datacenter_location.trials import PlacementRow, TrialRun, rank_key
from studies.shared.stored_bases import StoredBases


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


def lead_in_words(ranked: Sequence[PlacementRow]) -> str:
    """By what the first placement is ahead of the second, in the figure that decides between them; "" without one."""
    if len(ranked) < 2 or ranked[1].failure:
        return ""
    first, second = ranked[:2]
    names = ("integral_violation_pu_s", "violation_time_s", "throughput_tps", "margin_pu")
    words = (
        ".4f} pu s less violation",
        "g} s less outside the band",
        ".0f} tokens/s more",
        ".5f} pu more margin of the worst voltage",
    )
    for k, (name, how) in enumerate(zip(names, words, strict=True)):
        if rank_key(first)[k] != rank_key(second)[k]:
            lead = abs((getattr(first, name) or 0.0) - (getattr(second, name) or 0.0))
            return f"ahead of the next best ({second.placement}) by {('{:' + how).format(lead)}"
    return f"level with {n_tied(ranked) - 1} other(s): only the names of their buses put it first"


def judged_rows(
    rows: Sequence[PlacementRow], runs: Sequence[TrialRun], bases: StoredBases, limits: Limits
) -> list[PlacementRow]:
    """The rows of all trials, with their figures under other limits; nothing is simulated.

    Raises `InputError` for limits at which the runs kept no figures; it names those that they kept.
    """
    stored = {(run.placement, run.stage): run for run in runs}
    of_rows = [stored[row.placement, row.stage] for row in rows]
    return [row.judged(run.outcome(limits, bases.of(run))) for row, run in zip(rows, of_rows, strict=True)]
