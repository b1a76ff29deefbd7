"""What a load-profile study found, as rows."""

from __future__ import annotations

from studies.load_profile.cells import Cell
from studies.shared.task import Row

SEARCH_CAP = "cap of the search"
# Buses with a chart of their own.
_CHARTS_MAX = 8


def cell_answer(bus: str, cell: Cell, kept: Row | None, above: Row | None, search_end: str) -> Row:
    """The answer of a cell: the largest size kept, and what the next one broke.

    Nothing broken above a size that was kept means that the search ended at its cap, `search_end` in words.
    """
    row: Row = {
        "bus": bus,
        "month": cell.month,
        "hour": cell.hour,
        "days": cell.n_days,
        "n_servers": kept["n_servers"] if kept is not None else 0,
    }
    for name in ("power_mw", "power_peak_mw", "lowest_pu", "highest_pu", "loading_pu", "loading_where"):
        row[name] = kept[name] if kept is not None else None
    if above is None and kept is not None:
        return row | {"limit": SEARCH_CAP, "limit_where": search_end}
    return row | {"limit": above["limit"] if above else None, "limit_where": above["limit_where"] if above else None}
