"""What a load-profile study found, as rows; the answer of a cell follows from the sizes judged in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from g2g_opt.failure import Moment
from g2g_opt.outcome import Outcome
from studies.load_profile.cells import Cell
from studies.shared.stored_runs import RunRow
from studies.shared.typed_rows import ShownAs, TypedRow

_SEARCH_CAP = "cap of the search"
CellKey = tuple[str, int, int]


@dataclass(frozen=True)
class _OfCell(TypedRow):
    """A row of a cell: an hour of a month, so many days of the year."""

    bus: Annotated[str, ShownAs("bus")]
    month: Annotated[int, ShownAs("month")]
    hour: Annotated[int, ShownAs("hour beginning")]
    days: Annotated[int, ShownAs("days", secondary=True)]

    @property
    def of_cell(self) -> tuple[str, int, int, int]:
        """The first columns of any row of this cell."""
        return self.bus, self.month, self.hour, self.days

    @property
    def key(self) -> CellKey:
        """Bus, month and hour."""
        return self.bus, self.month, self.hour


@dataclass(frozen=True)
class CellSizeRow(_OfCell):
    """One size in one cell: power, extremes, and what it broke; figures are None where its run failed."""

    n_servers: int
    kept: bool
    engine: str
    failure: str | None
    broken: str
    limit: str | None
    limit_where: str | None
    power_mw: float | None
    power_peak_mw: float | None
    energy_mwh: float | None
    throughput_tps: float | None
    lowest_pu: float | None
    highest_pu: float | None
    loading_pu: float | None
    loading_where: str | None

    @staticmethod
    def of(bus: str, cell: Cell, n_servers: int, run: Outcome, moment: Moment) -> CellSizeRow:
        """The row of a run; `moment` says when in the year a step is."""
        figures = run.summary if run.failure is None else None
        binding = run.verdict.binding if not run.kept else None
        heaviest = figures.worst_loading() if figures is not None else None
        return CellSizeRow(
            bus=bus,
            month=cell.month,
            hour=cell.hour,
            days=cell.n_days,
            n_servers=n_servers,
            kept=run.kept,
            engine=run.engine,
            failure=str(run.failure) if run.failure is not None else None,
            broken="; ".join(run.verdict.reasons(moment)),
            limit=binding.name if binding is not None else None,
            limit_where=binding.place(moment) if binding is not None else None,
            power_mw=figures.power_mean_mw if figures else None,
            power_peak_mw=figures.power_peak_mw if figures else None,
            energy_mwh=figures.energy_mwh if figures else None,
            throughput_tps=figures.throughput_tps if figures else None,
            lowest_pu=figures.lowest if figures else None,
            highest_pu=figures.highest if figures else None,
            loading_pu=heaviest.loading_pu if heaviest else None,
            loading_where=heaviest.place_in_words(moment) if heaviest else None,
        )


@dataclass(frozen=True)
class CellRow(_OfCell):
    """The answer of a cell: the largest size kept, and what the next one broke.

    `n_servers` is 0 where not even the smallest site is kept; None where only larger ones were simulated than do.
    `at_cap`: nothing larger was refused, the search ended at its cap.
    """

    n_servers: int | None
    power_mw: float | None
    power_peak_mw: float | None
    lowest_pu: float | None
    highest_pu: float | None
    loading_pu: float | None
    loading_where: str | None
    limit: str | None
    limit_where: str | None
    at_cap: bool


@dataclass(frozen=True, eq=False)
class CellRun(RunRow):
    """A run of the search of a cell: where and of which size."""

    bus: str
    month: int
    hour: int
    n_servers: int


@dataclass(frozen=True, eq=False)
class YearRun(RunRow):
    """What was reported of a year: the run that held, of the profile or of a fleet."""

    bus: str
    operation: str


@dataclass(frozen=True)
class ProfileRow(_OfCell):
    """A cell of the limited load profile: MW allowed, what is firm, what binds, and what was searched for it alone."""

    allowed_mw: Annotated[float | None, ShownAs("MW allowed", 3)]
    firm_mw: Annotated[float | None, ShownAs("firm MW", 3)]
    above_firm_mw: Annotated[float | None, ShownAs("above firm", 3)]
    flexible_mw: Annotated[float | None, ShownAs("flexible fleet MW", 3)]
    flexible_batch_cap: Annotated[int | None, ShownAs("its batch size up to")]
    limit: Annotated[str | None, ShownAs("limit that binds")]
    limit_where: Annotated[str | None, ShownAs("where")]
    searched_mw: Annotated[float | None, ShownAs("MW of the hour searched by itself", 3, secondary=True)]
    searched_gpus: Annotated[int | None, ShownAs("its GPUs at nominal batch", secondary=True)]
    lowest_pu: Annotated[float | None, ShownAs("lowest pu", 4, secondary=True)]
    highest_pu: Annotated[float | None, ShownAs("highest pu", 4, secondary=True)]
    loading_pu: Annotated[float | None, ShownAs("highest loading", 3, secondary=True)]
    at_cap: bool


@dataclass(frozen=True)
class FleetRow(TypedRow):
    """A fleet that keeps the limits in every hour of the year; figures are None where none was found."""

    bus: Annotated[str, ShownAs("bus")]
    operation: Annotated[str, ShownAs("operation")]
    rounds: Annotated[int, ShownAs("rounds", secondary=True)]
    note: Annotated[str, ShownAs("note")]
    n_servers: int | None = None
    n_gpus: Annotated[int | None, ShownAs("GPUs")] = None
    power_mw: Annotated[float | None, ShownAs("least MW", 3)] = None
    power_peak_mw: Annotated[float | None, ShownAs("peak MW", 3)] = None
    energy_mwh: float | None = None
    throughput_tps: Annotated[float | None, ShownAs("tokens/s", 0)] = None
    throughput_share: Annotated[float | None, ShownAs("tokens, of its own at nominal batch", 3, secondary=True)] = None
    tokens_of_firm: Annotated[float | None, ShownAs("tokens, of the firm fleet's", 3)] = None
    curtailed_hours: Annotated[int | None, ShownAs("hours curtailed")] = None

    @property
    def energy_gwh(self) -> Annotated[float | None, ShownAs("GWh", 2)]:
        """Energy of the year."""
        return None if self.energy_mwh is None else self.energy_mwh / 1e3


@dataclass(frozen=True)
class FleetCellRow(_OfCell):
    """What went through the year in a cell: mean power, extremes, and up to which batch size."""

    operation: str
    power_mw: float
    lowest_pu: float
    highest_pu: float
    loading_pu: float
    batch_cap: int | None


def cell_rows(sizes: Sequence[CellSizeRow], search_end: str | None) -> list[CellRow]:
    """The answers of cells from the sizes judged in them.

    `search_end` says why a search ended above which nothing was refused; None if the sizes were not searched for under
    the limits that they are judged by: larger and smaller ones may do then.
    """
    by_cell: dict[CellKey, list[CellSizeRow]] = {}
    for row in sizes:
        by_cell.setdefault(row.key, []).append(row)
    return [_cell_row(sorted(rows, key=lambda row: row.n_servers), search_end) for rows in by_cell.values()]


def _cell_row(rows: Sequence[CellSizeRow], search_end: str | None) -> CellRow:
    kept = next((row for row in reversed(rows) if row.kept), None)
    above = next((row for row in rows if not row.kept and (kept is None or row.n_servers > kept.n_servers)), None)
    limit, where = (above.limit, above.limit_where) if above is not None else (None, None)
    at_cap = above is None and search_end is not None
    if at_cap:
        limit, where = _SEARCH_CAP, search_end
    nothing = 0 if search_end is not None else None
    names = ("power_mw", "power_peak_mw", "lowest_pu", "highest_pu", "loading_pu", "loading_where")
    figures: dict[str, Any] = {name: getattr(kept, name, None) for name in names}
    return CellRow(
        *rows[0].of_cell,
        n_servers=kept.n_servers if kept is not None else nothing,
        **figures,
        limit=limit,
        limit_where=where,
        at_cap=at_cap,
    )
