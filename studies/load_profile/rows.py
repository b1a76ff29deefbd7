"""What a load-profile study found, as rows; the answer of a cell follows from the sizes judged in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from g2g_opt.failure import Moment
from g2g_opt.outcome import Outcome
from studies.load_profile.cells import Cell
from studies.shared.stored_runs import RunRow
from studies.shared.typed_rows import TypedRow

_SEARCH_CAP = "cap of the search"
CellKey = tuple[str, int, int]


@dataclass(frozen=True)
class CellSizeRow(TypedRow):
    """One size in one cell: power, extremes, and what it broke; figures are None where its run failed."""

    bus: str
    month: int
    hour: int
    days: int
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

    @property
    def key(self) -> CellKey:
        """Bus, month and hour."""
        return self.bus, self.month, self.hour


@dataclass(frozen=True)
class CellRow(TypedRow):
    """The answer of a cell: the largest size kept, and what the next one broke.

    `n_servers` is 0 where not even the smallest site is kept; None where only larger ones were simulated than do.
    `at_cap`: nothing larger was refused, the search ended at its cap.
    """

    bus: str
    month: int
    hour: int
    days: int
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

    @property
    def key(self) -> CellKey:
        """Bus, month and hour."""
        return self.bus, self.month, self.hour


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
class FleetRow(TypedRow):
    """A fleet that keeps the limits in every hour of the year; figures are None where none was found."""

    bus: str
    operation: str
    rounds: int
    note: str
    n_servers: int | None = None
    n_gpus: int | None = None
    power_mw: float | None = None
    power_peak_mw: float | None = None
    energy_mwh: float | None = None
    throughput_tps: float | None = None
    throughput_share: float | None = None
    tokens_of_firm: float | None = None
    curtailed_hours: int | None = None


@dataclass(frozen=True)
class FleetCellRow(TypedRow):
    """What went through the year in a cell: mean power, extremes, and up to which batch size."""

    bus: str
    operation: str
    month: int
    hour: int
    days: int
    power_mw: float
    lowest_pu: float
    highest_pu: float
    loading_pu: float
    batch_cap: int | None

    @property
    def key(self) -> CellKey:
        """Bus, month and hour."""
        return self.bus, self.month, self.hour


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
    return CellRow(
        bus=rows[0].bus,
        month=rows[0].month,
        hour=rows[0].hour,
        days=rows[0].days,
        n_servers=kept.n_servers if kept is not None else nothing,
        power_mw=kept.power_mw if kept is not None else None,
        power_peak_mw=kept.power_peak_mw if kept is not None else None,
        lowest_pu=kept.lowest_pu if kept is not None else None,
        highest_pu=kept.highest_pu if kept is not None else None,
        loading_pu=kept.loading_pu if kept is not None else None,
        loading_where=kept.loading_where if kept is not None else None,
        limit=limit,
        limit_where=where,
        at_cap=at_cap,
    )
