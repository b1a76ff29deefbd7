"""The tables of a MATPOWER-style case as its statements leave them, and errors that name their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.quantities import Figure, check_array
from g2g_opt.transmission.case_arithmetic import Opaque, figures
from g2g_opt.transmission.case_statements import CaseFields, carry_out

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# How many columns a table must have.
_WIDTHS = {"bus": 13, "gen": 10, "branch": 11, "gencost": 5}
# Columns of DC lines: those up to the limits of power must be there, those of losses are 0 where they are not.
_DC_WIDTH_MIN, _DC_WIDTH = 11, 17
_FIGURES = (*_WIDTHS, "baseMVA", "version", "dcline")
# Fields that no figure of a dispatch or a power flow follows from.
_NAMES = (
    "casename", "name", "areas", "zones", "bus_name", "bus_names", "gen_name", "gen_names", "branch_name",
    "branch_names", "gentype", "genfuel", "bus_coord", "bus_coords", "source", "description", "comment",
)  # fmt: skip
# What bears on a dispatch and is not modelled, with what to do.
_NOT_MODELLED = {
    "dclinecost": "prices what DC lines carry, which is not modelled: they carry what they are scheduled for",
    "if": "limits the flow of several branches together (interfaces), which is not modelled",
    "reserves": "asks for reserves, which are not modelled",
    "softlims": "prices limits instead of keeping them, which is not modelled",
    **dict.fromkeys(
        ("A", "l", "u", "N", "fparm", "H", "Cw", "z0", "zl", "zu"),
        "adds variables, constraints or costs of its own to the dispatch, which is not modelled",
    ),
}
FIELDS = dict.fromkeys((*_FIGURES, *_NAMES), "") | _NOT_MODELLED


@dataclass(frozen=True, eq=False)
class CaseTables:
    """Tables (row, column) of a case, rows out of service included; `where` names the file.

    `lines` says on which line of the file each was last given.
    """

    where: str
    base_mva: float
    bus: Floats
    gen: Floats
    branch: Floats
    gencost: Floats
    dcline: Floats
    lines: dict[str, int] = field(default_factory=dict)

    def refuse(self, table: str, wrong: Bools, reason: str) -> None:
        """Raise `InputError` for the first row (row,) that is wrong."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            raise InputError(f"{self.where}, table {table} (line {self.lines[table]}), row {rows[0] + 1} {reason}")

    def finite(self, table: str, columns: Sequence[int], used: Bools | None = None) -> None:
        """Raise `InputError` where a row that is used has no figure in one of some columns."""
        values = getattr(self, table)[:, list(columns)]
        used = np.ones(len(values), dtype=np.bool_) if used is None else used
        self.refuse(table, used & ~np.isfinite(values).all(axis=1), "has a value that is no finite number")
        check_array(values[used], Figure, f"{self.where}, table {table}, row and column in use ")


def read_tables(text: str, where: str) -> CaseTables:
    """The tables of a case; `InputError` if one is missing, has too few columns, or a statement is not understood."""
    fields = carry_out(text, where, FIELDS)
    if missing := [name for name in (*_WIDTHS, "baseMVA") if not _has(fields, name)]:
        raise InputError(f"{where} lacks {', '.join(missing)}; a MATPOWER-style case has e.g. mpc.bus = [...];")
    tables = {name: _table(fields, name, width, where) for name, width in _WIDTHS.items()}
    base = _numbers(fields, "baseMVA", where)
    if base.size != 1:
        raise InputError(f"{where}, line {fields.lines['baseMVA']}: baseMVA must be one number")
    dcline = np.zeros((0, _DC_WIDTH))
    if _has(fields, "dcline"):
        given = _table(fields, "dcline", _DC_WIDTH_MIN, where)
        dcline = np.zeros((len(given), max(_DC_WIDTH, given.shape[1])))
        dcline[:, : given.shape[1]] = given
    rows = len(tables["gencost"])
    if rows not in (len(tables["gen"]), 2 * len(tables["gen"])):
        raise InputError(
            f"{where}, table gencost (line {fields.lines['gencost']}): {len(tables['gen'])} generators and {rows} rows "
            "of cost; it needs one for each, or two if reactive power has costs"
        )
    return CaseTables(where, float(base.item()), **tables, dcline=dcline, lines=fields.lines)


def _has(fields: CaseFields, name: str) -> bool:
    value = fields.values.get(name)
    return value is not None and (isinstance(value, Opaque) or value.size > 0)


def _numbers(fields: CaseFields, name: str, where: str) -> Floats:
    value = fields.values[name]
    if isinstance(value, Opaque):
        raise InputError(f"{where}, line {fields.lines[name]}: {name} is {value.what}, it must be numbers")
    return figures(value)


def _table(fields: CaseFields, name: str, width: int, where: str) -> Floats:
    value = _numbers(fields, name, where)
    if value.shape[1] < width:
        raise InputError(
            f"{where}, table {name} (line {fields.lines[name]}) has {value.shape[1]} columns; it needs {width} or more"
        )
    return value
