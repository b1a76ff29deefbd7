"""The queue as a CSV file: a request a row, with its bus, MW, what it serves, when it came and when it went."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from g2g_opt.csv_files import CsvRow, CsvTable, read_csv
from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.kept_files import copy_or_self
from g2g_opt.quantities import PowerMw, bounds_of
from g2g_opt.reading import file_status, user_path

COLUMNS = ("bus", "mw", "date")
OPTIONAL = ("name", "model", "load_shape", "withdrawn")
_KNOWN = (*COLUMNS, *OPTIONAL)
# Lines that cannot be read, of which errors tell.
_FAULTS_SHOWN = 8
# A fleet follows demand; a constant load draws its MW always.
LoadShape = Literal["fleet", "constant"]
_, _MW = bounds_of(PowerMw)
# The smallest request (MW) that is one.
_MW_MIN = 1e-6


@dataclass(frozen=True)
class QueuedRequest:
    """A request: `mw` at `bus` from `arrived` on, serving `model` (empty: the question's), until it is `withdrawn`.

    `site_name` is its name in letters, digits, "_" and "-", which no other request has, whatever the case: a circuit's.
    """

    name: str
    bus: str
    mw: float
    arrived: date
    model: str = ""
    load_shape: LoadShape = "fleet"
    withdrawn: date | None = None
    site_name: str = ""


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
    may be there, and others are left aside. Raises `InputError` that lists the lines that cannot be read, and names
    that are there twice, and for a column whose name is nearly one of these.
    """
    table = _read_table(name)
    found: list[QueuedRequest] = []
    lines: dict[str, int] = {}
    sites: set[str] = set()
    faults: list[str] = []
    for number, row in enumerate(table.rows, start=1):
        try:
            request = _request(row, number, table.columns)
            if request.name in lines:
                raise InputError(
                    f"{row.where}: the name {shown(request.name)} is there twice, first in line {lines[request.name]}; "
                    "name each request once"
                )
        except InputError as error:
            faults.append(str(error))
            continue
        lines[request.name] = row.line
        found.append(replace(request, site_name=_site_name(request.name, sites)))
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} lines more" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError("; ".join([faults[0], *(_without_file(table, one) for one in faults[1:_FAULTS_SHOWN])]) + more)
    return tuple(sorted(found, key=lambda one: one.arrived))


def columns_left_aside(name: str) -> list[str]:
    """Columns of a CSV file of requests that nothing is read from."""
    return _read_table(name).left_aside(_KNOWN)


def _read_table(name: str) -> CsvTable:
    table = read_csv(requests_path(name), "requests", COLUMNS, OPTIONAL)
    table.left_aside(_KNOWN, OPTIONAL)
    return table


def _without_file(table: CsvTable, fault: str) -> str:
    return fault.removeprefix(f"{table.name}, ")


def _site_name(name: str, taken: set[str]) -> str:
    """A name of a site that is not `taken` yet, and is from now on."""
    plain = found = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    number = 2
    while found.casefold() in taken:
        found, number = f"{plain}_{number}", number + 1
    taken.add(found.casefold())
    return found


def _request(row: CsvRow, number: int, columns: tuple[str, ...]) -> QueuedRequest:
    def text(column: str) -> str:
        return row[column].strip() if column in columns else ""

    shape = text("load_shape") or "fleet"
    if shape not in get_args(LoadShape):
        raise InputError(f"{row.where}, load_shape: {unknown_name('load shape', shape, get_args(LoadShape))}")
    arrived = _date(row, "date")
    withdrawn = _date(row, "withdrawn") if text("withdrawn") else None
    if withdrawn is not None and withdrawn < arrived:
        raise InputError(f"{row.where}: withdrawn on {withdrawn}, before it came on {arrived}")
    if not text("bus"):
        raise InputError(f"{row.where}: the bus is missing")
    return QueuedRequest(
        text("name") or f"request-{number}",
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
