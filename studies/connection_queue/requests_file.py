"""The queue as a CSV file: a request a row, with its bus, MW, what it serves, when it came and when it went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from g2g_opt.csv_files import CsvRow, read_csv
from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.kept_files import copy_or_self
from g2g_opt.quantities import PowerMw, bounds_of
from g2g_opt.reading import file_status, user_path

COLUMNS = ("bus", "mw", "date")
# A fleet follows demand; a constant load draws its MW always.
LoadShape = Literal["fleet", "constant"]
_, _MW = bounds_of(PowerMw)
# The smallest request (MW) that is one.
_MW_MIN = 1e-6


@dataclass(frozen=True)
class QueuedRequest:
    """A request: `mw` at `bus` from `arrived` on, serving `model` (empty: the question's), until it is `withdrawn`."""

    name: str
    bus: str
    mw: float
    arrived: date
    model: str = ""
    load_shape: LoadShape = "fleet"
    withdrawn: date | None = None


def requests_path(name: str) -> Path:
    """The file of requests; `InputError` if there is none."""
    if not name:
        raise InputError("g2g queue needs a file of requests, as in g2g queue requests.csv: columns bus, mw, date")
    path = copy_or_self(user_path(name, "requests"))
    file_status(path, "requests")
    return path


def read_requests(name: str) -> tuple[QueuedRequest, ...]:
    """The requests of a CSV file in order of arrival, those of one day as they stand.

    Columns are bus, mw and date (2025-03-01); name, model, load_shape ("fleet" or "constant") and withdrawn (a date)
    may be there. Raises `InputError` with the line for whatever cannot be read, and for a name that is there twice.
    """
    table = read_csv(requests_path(name), "requests", COLUMNS)
    found = []
    names: set[str] = set()
    for number, row in enumerate(table.rows, start=1):
        request = _request(row, number, table.columns)
        if request.name in names:
            raise InputError(f"{row.where}: the name {shown(request.name)} is there twice; name each request once")
        names.add(request.name)
        found.append(request)
    return tuple(sorted(found, key=lambda one: one.arrived))


def _request(row: CsvRow, number: int, columns: tuple[str, ...]) -> QueuedRequest:
    def text(column: str) -> str:
        return row[column].strip() if column in columns else ""

    shape = text("load_shape") or "fleet"
    if shape not in get_args(LoadShape):
        raise InputError(f"{row.where}: {unknown_name('load_shape', shape, get_args(LoadShape))}")
    arrived = _date(row, "date")
    withdrawn = _date(row, "withdrawn") if text("withdrawn") else None
    if withdrawn is not None and withdrawn < arrived:
        raise InputError(f"{row.where}: withdrawn on {withdrawn}, before it came on {arrived}")
    if not text("bus"):
        raise InputError(f"{row.where}: the bus is missing")
    return QueuedRequest(
        text("name") or f"request {number}",
        text("bus"),
        row.number("mw", _MW_MIN, _MW.high),
        arrived,
        text("model"),
        shape,  # type: ignore[arg-type]
        withdrawn,
    )


def _date(row: CsvRow, column: str) -> date:
    try:
        return date.fromisoformat(row[column].strip())
    except ValueError as error:
        raise InputError(f"{row.where}, {column}: {shown(row[column])} is no date such as 2025-03-01") from error
