"""A feeder kept as tables of figures, written out as OpenDSS commands.

The tables and their units are described in `data/README.md`. Every cell is a figure or a name; this file only
gives each its place in a command, so the rebuilt circuit is the tabulated one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from g2g_opt.data_files import read_table

TableRow = dict[str, str]


def dss_commands(folder: Path, circuit_name: str) -> tuple[str, ...]:
    """OpenDSS commands that build the feeder whose tables lie in `folder`, in an order OpenDSS accepts."""
    return (
        *_source(folder, circuit_name),
        *_linecodes(folder),
        *_transformers(folder),
        *_regulator_controls(folder),
        *_lines(folder),
        *_elements(folder, "loads.csv", "Load"),
        *_elements(folder, "capacitors.csv", "Capacitor"),
        *_bus_bases(folder),
    )


def _rows(folder: Path, table: str) -> list[TableRow]:
    path = folder / table
    return read_table(path) if path.exists() else []


def _assignments(row: TableRow, *skip: str) -> str:
    return " ".join(f"{key}={value}" for key, value in row.items() if value != "" and key not in skip)


def _source(folder: Path, circuit_name: str) -> Iterator[str]:
    (row,) = _rows(folder, "vsources.csv")
    if (frequency_hz := row.get("basefreq", "")) != "":
        # The frequency of a circuit is that of the engine when it begins.
        yield f"Set DefaultBaseFrequency={frequency_hz}"
    yield f"New Circuit.{circuit_name} {_assignments(row, 'name')}"


def _linecodes(folder: Path) -> Iterator[str]:
    entries: dict[str, list[TableRow]] = {}
    for row in _rows(folder, "linecodes.csv"):
        entries.setdefault(row["name"], []).append(row)
    for name, rows in entries.items():
        head = rows[0]
        matrices = " ".join(
            f"{matrix}=({_lower_triangle(rows, column)})"
            for matrix, column in (("rmatrix", "r"), ("xmatrix", "x"), ("cmatrix", "c_nf"))
        )
        yield (
            f"New Linecode.{name} nphases={head['nphases']} basefreq={head['basefreq']} units={head['units']} "
            f"{_assignments({'normamps': head['normamps']})} {matrices}"
        )


def _lower_triangle(rows: list[TableRow], column: str) -> str:
    at = {(int(row["i"]), int(row["j"])): row[column] for row in rows}
    order = max(i for i, _ in at)
    return " | ".join(" ".join(at[i, j] for j in range(1, i + 1)) for i in range(1, order + 1))


def _transformers(folder: Path) -> Iterator[str]:
    windings: dict[str, list[TableRow]] = {}
    for row in _rows(folder, "transformers.csv"):
        windings.setdefault(row["name"], []).append(row)
    for name, rows in windings.items():
        head = rows[0]
        shared = {key: head[key] for key in ("phases", "windings", "xhl", "bank")}
        # The %r of each winding comes after %loadloss, which would otherwise overwrite it.
        each = " ".join(
            f"wdg={row['winding']} "
            + _assignments(row, "name", "winding", "phases", "windings", "xhl", "%loadloss", "bank")
            for row in rows
        )
        yield f"New Transformer.{name} {_assignments(shared)} %loadloss={head['%loadloss']} {each}"


def _regulator_controls(folder: Path) -> Iterator[str]:
    for row in _rows(folder, "regcontrols.csv"):
        yield f"New RegControl.{row['name']} {_assignments(row, 'name')}"


def _lines(folder: Path) -> Iterator[str]:
    for row in _rows(folder, "lines.csv"):
        # `switch=yes` resets impedances to a switch's defaults, so it stands before them.
        switch = " switch=yes" if row["switch"].lower() == "yes" else ""
        yield f"New Line.{row['name']}{switch} {_assignments(row, 'name', 'switch')}"


def _elements(folder: Path, table: str, kind: str) -> Iterator[str]:
    for row in _rows(folder, table):
        yield f"New {kind}.{row['name']} {_assignments(row, 'name')}"


def _bus_bases(folder: Path) -> Iterator[str]:
    buses = _rows(folder, "buses.csv")
    yield "MakeBusList"
    for row in buses:
        yield f"SetkVBase bus={row['name']} kvll={row['kv_ll']}"
    for row in buses:
        if row["x"] != "" and row["y"] != "":
            yield f"SetBusXY bus={row['name']} x={row['x']} y={row['y']}"
