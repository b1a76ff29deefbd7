"""Cells under other limits, from the sizes that were simulated; nothing is simulated again."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from studies.shared.task import Row


def judge_cells_again(judged: Sequence[Row], limits: Limits) -> list[Row]:
    """Every cell with the largest simulated size that keeps the limits, and what the next one breaks.

    Where even the smallest simulated size breaks them, its figures are None: a smaller one may keep them.
    """
    by_cell: dict[tuple[str, int, int], list[Row]] = {}
    for row in judged:
        by_cell.setdefault((row["bus"], row["month"], row["hour"]), []).append(row)
    found = []
    for rows in by_cell.values():
        rows.sort(key=lambda row: int(row["n_servers"]))
        broken = [broken_limit(row, limits) for row in rows]
        kept = max((k for k, words in enumerate(broken) if not words), default=None)
        above = next((k for k, words in enumerate(broken) if words and (kept is None or k > kept)), None)
        row = dict(rows[0 if kept is None else kept])
        if kept is None:
            row |= dict.fromkeys(("n_servers", "power_mw", "power_peak_mw", "lowest_pu", "highest_pu", "loading_pu"))
        found.append(row | {"limit": broken[above] if above is not None else None, "limit_where": None})
    return found


def broken_limit(row: Row, limits: Limits) -> str:
    """The limit that a stored size breaks in some hour; empty if it keeps all of them."""
    if row["failure"]:
        return "power flow"
    if row["lowest_pu"] < limits.voltage_min_pu:
        return f"undervoltage, {row['lowest_pu']:.4f} pu"
    if row["highest_pu"] > limits.voltage_max_pu:
        return f"overvoltage, {row['highest_pu']:.4f} pu"
    if limits.loading_max_pu is not None and (row["loading_pu"] or 0.0) > limits.loading_max_pu:
        return f"loading {row['loading_pu']:.3f}, {row['loading_where']}"
    if limits.loading_emergency_max_pu is not None and (row["emergency_pu"] or 0.0) > limits.loading_emergency_max_pu:
        return f"emergency loading {row['emergency_pu']:.3f}"
    return "latency misses" if row["latency_miss_share"] > limits.latency_miss_share_max else ""
