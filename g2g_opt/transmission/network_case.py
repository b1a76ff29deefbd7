"""Transmission networks as MATPOWER-style case files: what a dispatch needs of them, and what an AC power flow needs.

A case is a text file of tables `bus`, `gen`, `branch` and `gencost` whose columns the format fixes, and of statements
that change them (`case_statements`). Power is in MW and Mvar, impedances in pu of `baseMVA`, voltages in pu, angles in
degrees.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, shown
from g2g_opt.kept_files import copy_or_self
from g2g_opt.quantities import BaseMva, check_number
from g2g_opt.reading import MIB, file_status, read_text, user_path
from g2g_opt.transmission.case_costs import UnitCost, unit_costs
from g2g_opt.transmission.case_tables import CaseTables, read_tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BUNDLED_CASE = "ieee24"

# Columns of the format, counted from 0.
BUS_NUMBER, BUS_TYPE, LOAD_MW, LOAD_MVAR, SHUNT_MW, SHUNT_MVAR = 0, 1, 2, 3, 4, 5
VOLTAGE, VOLTAGE_ANGLE, VOLTAGE_MAX, VOLTAGE_MIN = 7, 8, 11, 12
GEN_BUS, GEN_MW, GEN_MVAR, MVAR_MAX, MVAR_MIN = 0, 1, 2, 3, 4
SET_POINT, GEN_STATUS, POWER_MAX, POWER_MIN = 5, 7, 8, 9
FROM, TO, RESISTANCE, REACTANCE, CHARGING, RATING, EMERGENCY_RATING = 0, 1, 2, 3, 4, 5, 7
RATIO, ANGLE, BRANCH_STATUS = 8, 9, 10
ANGLE_MIN, ANGLE_MAX = 11, 12
DC_STATUS, DC_FROM_MW, DC_FROM_MVAR, DC_TO_MVAR, DC_MIN, DC_MAX, DC_LOSS, DC_LOSS_SHARE = 2, 3, 5, 6, 9, 10, 15, 16
LOAD_BUS, HOLDS_VOLTAGE, REFERENCE, ISOLATED = 1, 2, 3, 4
# The largest published cases, of some 80,000 buses, have half of it.
CASE_BYTES_MAX = 64 * MIB
# As the format has it: an angle of 0, or of a whole turn, is no limit.
_TURN_DEG = 360.0
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """Tables of a case with what is out of service left out and buses counted from 0 in the order of `bus`.

    `costs` has the cost of every generator, `dcline` (DC line, 17) the DC lines in service. `notes` say what of the
    file was left out, or is taken otherwise than its tables alone would have it.
    """

    name: str
    base_mva: float
    bus: Floats
    gen: Floats
    branch: Floats
    costs: tuple[UnitCost, ...]
    dcline: Floats
    notes: tuple[str, ...] = ()

    @property
    def bus_names(self) -> tuple[str, ...]:
        """Numbers of buses in the file."""
        return tuple(f"{number:.15g}" for number in self.bus[:, BUS_NUMBER])

    def places(self, buses: Floats) -> Ints:
        """Where buses of the file are in `bus`; `InputError` for one that is not there."""
        order = {float(number): k for k, number in enumerate(self.bus[:, BUS_NUMBER])}
        missing = [f"{number:.15g}" for number in buses if float(number) not in order]
        if missing:
            raise InputError(f"network {self.name}: there is no bus {', '.join(missing[:_SHOWN])}")
        return np.array([order[float(number)] for number in buses], dtype=np.int64)

    @property
    def ends(self) -> tuple[Ints, Ints]:
        """Places of the buses from which and to which branches (branch,) go."""
        return self.places(self.branch[:, FROM]), self.places(self.branch[:, TO])

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Branches (branch,) as "10-20" by the numbers of their buses, parallel ones as "10-20 2" and so on."""
        seen: Counter[str] = Counter()
        names = []
        for start, end in self.branch[:, [FROM, TO]]:
            name = f"{start:.15g}-{end:.15g}"
            seen[name] += 1
            names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
        return tuple(names)

    @property
    def links(self) -> csr_array:
        """How many branches go from a bus to another (bus, bus)."""
        n = len(self.bus)
        return csr_array((np.ones(len(self.branch)), self.ends), shape=(n, n))

    @property
    def rating_mva(self) -> Floats:
        """Rating (branch,), infinite where there is none."""
        rating = self.branch[:, RATING]
        return np.where(rating > 0.0, rating, np.inf)

    @property
    def emergency_rating_mva(self) -> Floats:
        """What a branch (branch,) may carry after an outage (RATE_C): its rating where none is stated."""
        stated = self.branch[:, EMERGENCY_RATING]
        return np.where(stated > 0.0, stated, self.rating_mva)

    @property
    def dc_drawn_mw(self) -> Floats:
        """What the DC lines, at the power they are scheduled for, draw from buses (bus,); negative where they feed."""
        sent = self.dcline[:, DC_FROM_MW]
        fed = sent - self.dcline[:, DC_LOSS] - self.dcline[:, DC_LOSS_SHARE] * sent
        n = len(self.bus)
        start, end = self.places(self.dcline[:, FROM]), self.places(self.dcline[:, TO])
        return np.asarray(np.bincount(start, sent, n) - np.bincount(end, fed, n))

    @property
    def dc_drawn_mvar(self) -> Floats:
        """Reactive power that the converters of DC lines draw from buses (bus,)."""
        n = len(self.bus)
        start, end = self.places(self.dcline[:, FROM]), self.places(self.dcline[:, TO])
        return np.asarray(
            -np.bincount(start, self.dcline[:, DC_FROM_MVAR], n) - np.bincount(end, self.dcline[:, DC_TO_MVAR], n)
        )

    @property
    def fixed_mw(self) -> Floats:
        """What buses (bus,) draw whatever the demand is: shunts, DC lines, and negative loads, which are none."""
        return np.asarray(self.bus[:, SHUNT_MW] + self.dc_drawn_mw + np.minimum(self.bus[:, LOAD_MW], 0.0))

    @property
    def demand_mw(self) -> Floats:
        """What users at buses (bus,) draw: the loads that follow the demand."""
        return np.maximum(self.bus[:, LOAD_MW], 0.0)

    @property
    def reference(self) -> int:
        """Place of the bus whose angle an AC power flow holds: the file's, or that of the largest generator instead.

        A reference without a generator holds an angle in a DC power flow, but has nothing to hold a voltage with.
        """
        at_bus = self.places(self.gen[:, GEN_BUS])
        named = np.flatnonzero(self.bus[:, BUS_TYPE] == REFERENCE)
        return int(named[0] if np.isin(named, at_bus).any() else at_bus[self.gen[:, POWER_MAX].argmax()])

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
    return _in_service(path.stem, read_tables(read_text(path, "network", CASE_BYTES_MAX), f"network {path}"))


def _in_service(name: str, tables: CaseTables) -> NetworkCase:
    """What of the tables is in service, checked; `InputError` names the row of what no case can have."""
    check_number(tables.base_mva, BaseMva, f"{tables.where}: baseMVA")
    bus, gen, branch = tables.bus, tables.gen, tables.branch
    _check_buses(tables)
    notes: list[str] = []
    isolated = bus[:, BUS_TYPE] == ISOLATED
    if isolated.any():
        drawn = float(bus[isolated, LOAD_MW].sum())
        notes.append(
            f"{_buses(bus[isolated])} isolated (type 4): left out, with {drawn:g} MW of load and what is there"
        )
    numbers = bus[:, BUS_NUMBER]
    for table, values, columns in (("gen", gen, [GEN_BUS]), ("branch", branch, [FROM, TO])):
        known = np.isin(values[:, columns], numbers).reshape(len(values), -1)
        tables.refuse(table, np.asarray(~known.all(axis=1)), "names a bus that is not in the table bus")
    gone = numbers[isolated]
    gen_on = (gen[:, GEN_STATUS] > 0.0) & ~np.isin(gen[:, GEN_BUS], gone)
    branch_on = (branch[:, BRANCH_STATUS] > 0.0) & ~np.isin(branch[:, [FROM, TO]], gone).any(axis=1)
    dcline_on = _dc_lines_in_service(tables, gone)
    _check_generators(tables, gen_on)
    _check_branches(tables, branch_on)
    alone = _alone(tables, isolated, gen_on, branch_on, dcline_on)
    if alone.any():
        notes.append(f"{_buses(bus[alone])} connected to nothing, with no load and no generator: left out")
        branch_on &= ~np.isin(branch[:, [FROM, TO]], numbers[alone]).any(axis=1)
    if dcline_on.any():
        notes.append(
            f"{int(dcline_on.sum())} DC line(s) carry the power they are scheduled for (column PF) and are not "
            "dispatched; their losses are those of LOSS0 and LOSS1"
        )
    costs = unit_costs(tables, np.flatnonzero(gen_on))
    case = NetworkCase(
        name,
        tables.base_mva,
        bus[~isolated & ~alone],
        gen[gen_on],
        branch[branch_on],
        costs,
        tables.dcline[dcline_on],
        tuple(notes),
    )
    if not len(case.gen):
        raise InputError(f"network {name}: no generator is in service")
    if (case.bus[:, BUS_TYPE] == REFERENCE).sum() > 1:
        named = _buses(case.bus[case.bus[:, BUS_TYPE] == REFERENCE])
        raise InputError(
            f"network {name}: {named} references (type 3) that would hold two angles of one grid; leave one of them, "
            "and make the others type 2"
        )
    return case


def _check_buses(tables: CaseTables) -> None:
    bus = tables.bus
    tables.finite("bus", [BUS_NUMBER, BUS_TYPE, LOAD_MW, LOAD_MVAR, SHUNT_MW, SHUNT_MVAR, VOLTAGE_MAX, VOLTAGE_MIN])
    kinds = (LOAD_BUS, HOLDS_VOLTAGE, REFERENCE, ISOLATED)
    tables.refuse("bus", ~np.isin(bus[:, BUS_TYPE], kinds), "has a type of bus other than 1, 2, 3 and 4")
    _, first, times = np.unique(bus[:, BUS_NUMBER], return_index=True, return_counts=True)
    again = np.ones(len(bus), dtype=np.bool_)
    again[first] = False
    if (times > 1).any():
        tables.refuse("bus", again, "has a bus number that is there twice")


def _check_generators(tables: CaseTables, on: Bools) -> None:
    gen = tables.gen
    tables.finite("gen", [GEN_BUS, SET_POINT, POWER_MAX, POWER_MIN], on)
    reactive = np.isnan(gen[:, [MVAR_MAX, MVAR_MIN]]).any(axis=1) | (gen[:, MVAR_MIN] > gen[:, MVAR_MAX])
    tables.refuse("gen", on & reactive, "has reactive limits that contradict each other")
    tables.refuse("gen", on & (gen[:, POWER_MIN] > gen[:, POWER_MAX]), "has a least output above its most")


def _check_branches(tables: CaseTables, on: Bools) -> None:
    branch = tables.branch
    tables.finite("branch", [RESISTANCE, REACTANCE, CHARGING, RATIO, ANGLE], on)
    rating = branch[:, RATING]
    tables.refuse("branch", on & (np.isnan(rating) | (rating < 0.0)), "has a negative rating, or none that is a number")
    tables.refuse("branch", on & (branch[:, RATIO] < 0.0), "has a negative ratio")
    tables.refuse("branch", on & (branch[:, FROM] == branch[:, TO]), "begins and ends at one bus")
    low, high = angle_limits_deg(branch)
    tables.refuse("branch", on & (np.isnan(low) | np.isnan(high) | (low > high)), "has angle limits that contradict")
    bar = on & (branch[:, REACTANCE] == 0.0)
    tables.refuse(
        "branch",
        bar & ((branch[:, ANGLE] != 0.0) | (low > 0.0) | (high < 0.0)),
        "has no reactance, so that its ends have one angle, and a phase shift or angle limits that ask for another",
    )


def _dc_lines_in_service(tables: CaseTables, isolated: Floats) -> Bools:
    lines = tables.dcline
    on = (lines[:, DC_STATUS] > 0.0) & ~np.isin(lines[:, [FROM, TO]], isolated).any(axis=1)
    unknown = ~np.isin(lines[:, [FROM, TO]], tables.bus[:, BUS_NUMBER]).all(axis=1)
    tables.refuse("dcline", on & unknown, "names a bus that is not in the table bus")
    tables.finite("dcline", [DC_FROM_MW, DC_FROM_MVAR, DC_TO_MVAR, DC_LOSS, DC_LOSS_SHARE], on)
    sent, most, least = lines[:, DC_FROM_MW], lines[:, DC_MAX], lines[:, DC_MIN]
    tables.refuse(
        "dcline",
        on & ~((least <= sent) & (sent <= most)),
        "is scheduled for a power (PF) outside its limits; DC lines carry what they are scheduled for",
    )
    return np.asarray(on)


def _alone(tables: CaseTables, isolated: Bools, gen_on: Bools, branch_on: Bools, dcline_on: Bools) -> Bools:
    """Which buses (bus,) no branch connects to the rest and nothing stands at; `InputError` if something does."""
    bus, n = tables.bus, len(tables.bus)
    order = {float(number): k for k, number in enumerate(bus[:, BUS_NUMBER])}

    def places(buses: Floats) -> Ints:
        return np.array([order[float(number)] for number in buses], dtype=np.int64)

    ends = places(tables.branch[branch_on, FROM]), places(tables.branch[branch_on, TO])
    links = csr_array((np.ones(len(ends[0])), ends), shape=(n, n))
    _, label = connected_components(links, directed=False)
    apart = ~isolated & (label != np.bincount(label[~isolated]).argmax()) if not isolated.all() else ~isolated
    stands = (bus[:, [LOAD_MW, LOAD_MVAR, SHUNT_MW]] != 0.0).any(axis=1)
    stands[places(tables.gen[gen_on, GEN_BUS])] = True
    for column in (FROM, TO):
        stands[places(tables.dcline[dcline_on, column])] = True
    if (apart & stands).any():
        raise InputError(
            f"{tables.where}: its buses are not all connected: {_buses(bus[apart & stands])} apart from the largest "
            "part; study one part at a time, or make buses that are out of service type 4"
        )
    return np.asarray(apart)


def angle_limits_deg(branch: Floats) -> tuple[Floats, Floats]:
    """Least and most angle (branch,) from the first end of a branch to its second, infinite where there is none."""
    if branch.shape[1] <= ANGLE_MAX:
        return np.full(len(branch), -np.inf), np.full(len(branch), np.inf)
    low, high = branch[:, ANGLE_MIN], branch[:, ANGLE_MAX]
    low = np.where((low == 0.0) | (low <= -_TURN_DEG), -np.inf, low)
    high = np.where((high == 0.0) | (high >= _TURN_DEG), np.inf, high)
    return low, high


def _buses(bus: Floats) -> str:
    names = [f"{number:.15g}" for number in bus[:, BUS_NUMBER]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"bus {names[0]} is" if len(names) == 1 else f"buses {', '.join(names[:_SHOWN])}{more} are"
