"""Transmission networks as MATPOWER-style case files: what a dispatch needs of them, and what an AC power flow needs.

A case is a text file of tables `bus`, `gen`, `branch` and `gencost` whose columns the format fixes. Power is in MW and
Mvar, impedances in pu of `baseMVA`, voltages in pu.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, shown
from g2g_opt.kept_files import copy_or_self
from g2g_opt.quantities import BaseMva, Figure, check_array, check_number
from g2g_opt.reading import MIB, file_status, finite_number, read_text, user_path
from g2g_opt.transmission.system import ZonalSystem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BUNDLED_CASE = "ieee24"

# Columns of the format, counted from 0, and how many of them a table must have.
BUS_NUMBER, BUS_TYPE, LOAD_MW, LOAD_MVAR, SHUNT_MW, SHUNT_MVAR = 0, 1, 2, 3, 4, 5
VOLTAGE_MAX, VOLTAGE_MIN = 11, 12
GEN_BUS, MVAR_MAX, MVAR_MIN, SET_POINT, GEN_STATUS, POWER_MAX, POWER_MIN = 0, 3, 4, 5, 7, 8, 9
FROM, TO, RESISTANCE, REACTANCE, CHARGING, RATING, RATIO, ANGLE, BRANCH_STATUS = 0, 1, 2, 3, 4, 5, 8, 9, 10
COST_MODEL, STARTUP, COST_TERMS, COST_FIRST = 0, 1, 3, 4
_WIDTHS = {"bus": 13, "gen": 10, "branch": 11, "gencost": 5}
ISOLATED, REFERENCE = 4, 3
# The largest published cases, of some 80,000 buses, have half of it.
CASE_BYTES_MAX = 64 * MIB
# `mpc.name = value;` with a table in brackets or a figure. Every part of it moves on: no file makes it slow.
_ASSIGNMENT = re.compile(r"\bmpc\.(?P<name>\w++)[ \t]*+=[ \t]*+(?:\[(?P<table>[^\]]*+)\]|(?P<value>[^;\[{\n]*+))")
# Texts may hold anything, comments and lines that go on are none of the figures.
_NO_FIGURE = re.compile(r"'[^'\n]*+'|%[^\n]*+|\.\.\.[^\n]*+\n")
# Comments over several lines begin and end with a line of their own.
_COMMENT_BEGIN, _COMMENT_END = re.compile(r"[ \t]*%\{[ \t]*\r?"), re.compile(r"[ \t]*%\}[ \t]*\r?")
# What else a case may say: its function's first and last line, and fields that no figure follows from.
_HARMLESS = re.compile(
    r"(?:function\b[^\n]*+|end(?:function)?|return|"
    r"mpc\.(?:version|casename|name|areas|zones|bus_names?|gen_names?|branch_names?|gentype|genfuel)[ \t]*+="
    r"[ \t]*+(?:''|\[[^\]]*+\]|\{[^}]*+\}|[^;\[{\n]*+))(?=[ \t]*+(?:;|\n|$))"
)
# Stands for the end of a line that goes on with the next: a blank that is counted.
_GOES_ON = "\v"
_STATEMENT = re.compile(r"[^\s;,][^\n]*+")
_ROW_END = re.compile(r"[;\n\r]")
_UNLIMITED = {"inf": np.inf, "+inf": np.inf, "-inf": -np.inf}
_POLYNOMIAL = 2


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """Tables of a case with what is out of service left out and buses counted from 0 in the order of `bus`.

    `gencost` (generator, 3) is the cost polynomial: $/h per MW^2, per MW, constant; `startup_usd` (generator,).
    """

    name: str
    base_mva: float
    bus: Floats
    gen: Floats
    branch: Floats
    gencost: Floats
    startup_usd: Floats

    @property
    def bus_names(self) -> tuple[str, ...]:
        """Numbers of buses in the file."""
        return tuple(f"{number:.15g}" for number in self.bus[:, BUS_NUMBER])

    def places(self, buses: Floats) -> Ints:
        """Where buses of the file are in `bus`; `InputError` for one that is not there."""
        order = {float(number): k for k, number in enumerate(self.bus[:, BUS_NUMBER])}
        missing = [f"{number:.15g}" for number in buses if float(number) not in order]
        if missing:
            raise InputError(f"network {self.name}: there is no bus {', '.join(missing)}")
        return np.array([order[float(number)] for number in buses], dtype=np.int64)

    @property
    def ends(self) -> tuple[Ints, Ints]:
        """Places of the buses from which and to which branches (branch,) go."""
        return self.places(self.branch[:, FROM]), self.places(self.branch[:, TO])

    @property
    def links(self) -> csr_array:
        """How many branches go from a bus to another (bus, bus)."""
        n = len(self.bus)
        return csr_array((np.ones(len(self.branch)), self.ends), shape=(n, n))

    @property
    def at_reference(self) -> NDArray[np.bool_]:
        """Which generators (generator,) stand at the reference bus."""
        reference = self.bus[self.bus[:, BUS_TYPE] == REFERENCE, BUS_NUMBER]
        return np.isin(self.gen[:, GEN_BUS], reference)

    @property
    def lacks_for_ac(self) -> str:
        """Why an AC power flow of this case would mean nothing; empty if it carries what it takes."""
        if not self.bus[:, LOAD_MVAR].any():
            return "no load has reactive power"
        if not (self.gen[:, MVAR_MAX] > self.gen[:, MVAR_MIN]).any():
            return "no generator has reactive limits"
        if not self.branch[:, RESISTANCE].any():
            return "no branch has a resistance"
        return ""

    @property
    def largest_loads(self) -> Ints:
        """Places of buses by falling load."""
        return np.argsort(-self.bus[:, LOAD_MW], kind="stable")


def case_path(source: str) -> Path:
    """File of the bundled case or the user's; `InputError` if there is none."""
    if source == BUNDLED_CASE:
        return data_path("ieee24", "ieee24.m")
    path = user_path(source, "network")
    if path.suffix.lower() != ".m":
        raise InputError(f"network {shown(source)}: give a MATPOWER-style case as a text file (.m), or {BUNDLED_CASE}")
    path = copy_or_self(path)
    file_status(path, "network")
    return path


def load_network_case(source: str) -> NetworkCase:
    """The bundled case, or that of a user's file; `InputError` with the reason if it cannot be read or used."""
    path = case_path(source)
    where = f"network {path}"
    text = _without_comments(read_text(path, "network", CASE_BYTES_MAX))
    values = dict.fromkeys((*_WIDTHS, "baseMVA"), "")

    def take(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in values:
            return found[0]
        if values[name]:
            raise InputError(f"{where}: {name} is there twice; keep one of them")
        values[name] = found["table"] or found["value"] or ""
        return _lines_of(found)

    rest = _ASSIGNMENT.sub(take, text)
    if missing := [name for name, value in values.items() if not value.strip()]:
        raise InputError(f"{where} lacks {', '.join(missing)}; a MATPOWER-style case has e.g. mpc.bus = [...];")
    _check_nothing_is_left(rest, where)
    tables = {name: _table(values[name], width, f"{where}, table {name}") for name, width in _WIDTHS.items()}
    return _in_service(path.stem, finite_number(values["baseMVA"].strip(), f"{where}, baseMVA"), **tables)


def _without_comments(text: str) -> str:
    """The text without comments, its lines where they were; of texts their quotes are left."""
    lines, depth = [], 0
    for line in text.split("\n"):
        depth += bool(_COMMENT_BEGIN.fullmatch(line))
        lines.append("" if depth else line)
        depth -= bool(depth and _COMMENT_END.fullmatch(line))
    kept = {"'": "''", "%": "", ".": _GOES_ON}
    return _NO_FIGURE.sub(lambda part: kept[part[0][0]], "\n".join(lines))


def _lines_of(found: re.Match[str]) -> str:
    """In the place of what was read: the ends of its lines, so that what follows keeps its number."""
    return "\n" * (found[0].count("\n") + found[0].count(_GOES_ON))


def _check_nothing_is_left(text: str, where: str) -> None:
    """Raise `InputError` at the first statement that would have to be carried out, or that is not modelled."""
    rest = _HARMLESS.sub(_lines_of, text)
    found = _STATEMENT.search(rest)
    if found is not None:
        line = rest.count("\n", 0, found.start()) + rest.count(_GOES_ON, 0, found.start()) + 1
        raise InputError(
            f"{where}, line {line}: {shown(found[0].strip())} would have to be carried out or modelled, and is not "
            "here: a case must hold its figures as they are, in bus, gen, branch, gencost and baseMVA"
        )


def _table(text: str, width: int, where: str) -> Floats:
    """The rows of a table (row, column), which all have one number of columns, `width` or more."""
    rows: list[list[float]] = []
    for line in _ROW_END.split(text):
        if cells := line.replace(",", " ").split():
            if len(cells) < width or (rows and len(cells) != len(rows[0])):
                wanted = f"{len(rows[0])} like the first" if rows else f"{width} or more"
                raise InputError(f"{where}, row {len(rows) + 1} has {len(cells)} columns; it needs {wanted}")
            rows.append([_figure(cell, f"{where}, row {len(rows) + 1}") for cell in cells])
    if not rows:
        raise InputError(f"{where} has no rows")
    return np.array(rows)


def _figure(text: str, where: str) -> float:
    # What is unlimited is written so; where a limit may be missing is checked with the rest (`_check_figures`).
    unlimited = _UNLIMITED.get(text.lower())
    return finite_number(text, where) if unlimited is None else unlimited


def _in_service(name: str, base_mva: float, bus: Floats, gen: Floats, branch: Floats, gencost: Floats) -> NetworkCase:
    check_number(base_mva, BaseMva, f"network {name}: baseMVA")
    _check_figures(name, bus, gen, branch, gencost)
    if len(gencost) not in (len(gen), 2 * len(gen)):
        raise InputError(f"network {name}: {len(gen)} generators and {len(gencost)} rows of cost")
    numbers = bus[:, BUS_NUMBER]
    bus = bus[bus[:, BUS_TYPE] != ISOLATED]
    if len(set(bus[:, BUS_NUMBER])) < len(bus):
        raise InputError(f"network {name}: a bus number is there twice")
    if (bus[:, BUS_TYPE] == REFERENCE).sum() != 1:
        raise InputError(f"network {name}: exactly one bus must be the reference (type 3)")
    # What stands at an isolated bus is not in service either.
    isolated = np.setdiff1d(numbers, bus[:, BUS_NUMBER])
    on = (gen[:, GEN_STATUS] > 0.0) & ~np.isin(gen[:, GEN_BUS], isolated)
    # Rows of reactive cost may follow; none is paid here.
    cost = _polynomials(name, gencost[: len(gen)][on])
    startup = gencost[: len(gen)][on][:, STARTUP]
    at_isolated = np.isin(branch[:, [FROM, TO]], isolated).any(axis=1)
    gen, branch = gen[on], branch[(branch[:, BRANCH_STATUS] > 0.0) & ~at_isolated]
    case = NetworkCase(name, base_mva, bus, gen, branch, cost, startup)
    links = case.links  # refuses a branch to a bus that is not there
    case.places(gen[:, GEN_BUS])
    if not case.at_reference.any():
        raise InputError(f"network {name}: no generator in service stands at the reference bus")
    if not (branch[:, REACTANCE] > 0.0).all():
        raise InputError(f"network {name}: a branch has no positive reactance; DC power flow needs one")
    if branch[:, ANGLE].any():
        raise InputError(f"network {name}: phase shifters are not modelled; set their angle to 0")
    if connected_components(links, directed=False)[0] != 1:
        raise InputError(f"network {name}: its buses are not all connected")
    return case


def _check_figures(name: str, bus: Floats, gen: Floats, branch: Floats, gencost: Floats) -> None:
    """Raise `InputError` for figures that no case can have; only reactive limits may be infinite."""
    used = {
        "bus": bus[:, [BUS_NUMBER, BUS_TYPE, LOAD_MW, LOAD_MVAR, SHUNT_MW, SHUNT_MVAR, VOLTAGE_MAX, VOLTAGE_MIN]],
        "gen": gen[:, [GEN_BUS, SET_POINT, GEN_STATUS, POWER_MAX, POWER_MIN]],
        "branch": branch[:, [FROM, TO, RESISTANCE, REACTANCE, CHARGING, RATING, RATIO, ANGLE, BRANCH_STATUS]],
        "gencost": gencost,
    }
    for table, values in used.items():
        if not np.isfinite(values).all():
            raise InputError(f"network {name}: table {table} has values that are no finite numbers")
        check_array(values, Figure, f"network {name}: table {table}, row and column in use ")
    if np.isnan(gen[:, [MVAR_MAX, MVAR_MIN]]).any() or (gen[:, MVAR_MIN] > gen[:, MVAR_MAX]).any():
        raise InputError(f"network {name}: a generator's reactive limits contradict each other")
    if (gen[:, POWER_MIN] > gen[:, POWER_MAX]).any():
        raise InputError(f"network {name}: a generator's least output is above its most")
    if (branch[:, [RATING, RATIO]] < 0.0).any():
        raise InputError(f"network {name}: a branch has a negative rating or ratio")
    if (branch[:, FROM] == branch[:, TO]).any():
        raise InputError(f"network {name}: a branch begins and ends at one bus")


def _polynomials(name: str, gencost: Floats) -> Floats:
    if (gencost[:, COST_MODEL] != _POLYNOMIAL).any():
        raise InputError(f"network {name}: generators' costs must be polynomials (model 2)")
    found = np.zeros((len(gencost), 3))
    for row, terms in zip(found, gencost, strict=True):
        n = int(terms[COST_TERMS])
        if not 1 <= n <= len(terms) - COST_FIRST:
            raise InputError(f"network {name}: a cost polynomial says {n} terms, its row holds others")
        used = terms[COST_FIRST : COST_FIRST + n]
        if n > 3 and used[:-3].any():
            raise InputError(f"network {name}: costs above the second degree are not convex in general")
        row[3 - min(n, 3) :] = used[-3:]
    if (found[:, 0] < 0.0).any():
        raise InputError(f"network {name}: a generator's cost is not convex")
    return found


def system_of_case(case: NetworkCase, datacenter_buses: Ints) -> ZonalSystem:
    """The case as a system whose zones are its buses, with datacenters at places `datacenter_buses`.

    Latency is counted in branches between the bus of a user and that of a datacenter. Taps weigh a branch's reactance;
    a rating of 0 is none. There is no wind and no sun.
    """
    n = len(case.bus)
    start, end = case.ends
    hops = shortest_path(case.links, directed=False, unweighted=True)
    tap = np.where(case.branch[:, RATIO] > 0.0, case.branch[:, RATIO], 1.0)
    rating = case.branch[:, RATING]
    return ZonalSystem(
        zones=case.bus_names,
        peak_load_mw=np.maximum(case.bus[:, LOAD_MW], 0.0),
        from_zone=start,
        to_zone=end,
        reactance_pu=case.branch[:, REACTANCE] * tap,
        limit_mw=np.where(rating > 0.0, rating, np.inf),
        generator_zone=case.places(case.gen[:, GEN_BUS]),
        generator_kind=("",) * len(case.gen),
        power_min_mw=case.gen[:, POWER_MIN],
        power_max_mw=case.gen[:, POWER_MAX],
        cost_usd_per_mwh=case.gencost[:, 1],
        quadratic_usd_per_mw2h=case.gencost[:, 0],
        startup_usd=case.startup_usd,
        ramp_up_mw_per_h=np.full(len(case.gen), np.inf),
        ramp_down_mw_per_h=np.full(len(case.gen), np.inf),
        datacenters=tuple(case.bus_names[k] for k in datacenter_buses),
        datacenter_zone=datacenter_buses,
        latency=hops[datacenter_buses],
        wind_share={"physical": np.zeros(n)},
        solar_share={"physical": np.zeros(n)},
    )
