"""What is handed over of a plan: OpenDSS text and tables with which any program can run its year again.

plan/circuit.dss     the circuit as it was studied
plan/feeder.dss      loads and generators that stand on the feeder in its studies, where there are any
plan/plan.dss        set-points of the regulators; PV, storage and sites as three-phase loads of constant power
plan/elements.csv    kW and kvar at full of everything in the two files above, and what of an hour it follows
plan/units.csv       what PV systems and generators of the circuit state, and what of an hour it follows
plan/year.csv        hour by hour: shares of the feeder's own loads and of the sun, the share of its kW that the storage
                     of each plant draws (negative: gives), and the price
plan/monitored.csv   voltages that were judged, by their two nodes (0 is ground)
plan/plan.json       unit costs, limits, the rule of storage, and what the year came to

Controls settle in every hour, from where the hour before left them (a snapshot with ControlMode=Static).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from g2g_opt.batch.unit_series import STATED_SUN, unit_commands
from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_units import stated_of_units
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import CONSTANT_POWER_WINDOW_PU, LOAD_POWER_FACTOR, connection_at, tan_phi
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.site import AskedConnection
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.network import set_point_edits
from studies.pv_datacenter_siting.operation_rows import OperationRow
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import PlanRow
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.year_network import network_over_days

_FOLDER = "plan"
_STORAGE = "storage_"


@dataclass(frozen=True)
class _Element:
    """A load of constant power; `follows` is a column of the year, or "utilisation" of the sites."""

    name: str
    part: str
    bus: str
    follows: str
    kw: float
    power_factor: float = 1.0
    connection: AskedConnection = "auto"

    @property
    def is_storage(self) -> bool:
        """Does it follow a column of its own?"""
        return self.follows.startswith(_STORAGE)

    @property
    def kvar(self) -> float:
        """At full."""
        return self.kw * tan_phi(self.power_factor)

    def command(self, feeder: Feeder) -> str:
        """The load as OpenDSS makes it, drawing nothing yet."""
        bus = feeder.bus(self.bus)
        connection = connection_at(bus, self.connection, self.name)
        nodes = "1.2.3" if connection == "delta" else f"1.2.3.{bus.neutral}"
        low, high = CONSTANT_POWER_WINDOW_PU
        return (
            f"New {as_word(f'Load.{self.name}')} bus1={as_word(f'{self.bus}.{nodes}')} phases=3 conn={connection} "
            f"kV={math.sqrt(3.0) * bus.kv_ln:.12g} kW=0 kvar=0 model=1 vminpu={low:g} vmaxpu={high:g} status=fixed"
        )


def hand_over_texts(
    question: SitingQuestion, best: PlanRow | None, operation: Sequence[OperationRow]
) -> Mapping[str, str]:
    """Files of the best plan, by their place in the results' folder; none of a plan with foresight of its taps."""
    if best is None or question.taps != "own control":
        return {}
    case, plan = read_plan(question, question.load_feeder(), best.json)
    operated = case.network.operated
    assert operated is not None
    feeder = case.network.feeder
    elements = [*_standing(feeder), *_built(case, plan)]
    year = network_over_days(case, None)
    hours = question.hourly().hours
    shares = {f"load_share {shape}".strip(): share for shape, share in year.by_shape.items()} or {
        "load_share": year.load_share
    }
    stored = {} if case.stored is None else {one.follows: -case.stored.share for one in elements if one.is_storage}
    commands = unit_commands([OpenDSSGrid(feeder=feeder, dss_controls=True, own_sun_share=STATED_SUN).setup])
    units = stated_of_units(Circuit(commands), year.by_unit)
    columns = {**shares, "sun": year.sun, **year.by_unit, **stored}
    written = {
        "circuit.dss": _lines(["Clear", *commands]),
        "feeder.dss": _lines(one.command(feeder) for one in elements if one.part == "feeder"),
        "plan.dss": _lines(
            [
                *set_point_edits(operated.set_points),
                *(one.command(feeder) for one in elements if one.part == "plan"),
            ]
        ),
        "elements.csv": _table(
            ("element", "part", "bus", "follows", "kw", "kvar"),
            [(one.name, one.part, one.bus, one.follows, repr(one.kw), repr(one.kvar)) for one in elements],
        ),
        "units.csv": _table(
            ("element", "property", "follows", "stated"),
            [
                (as_word(element), name, element if element in year.by_unit else "sun", repr(value))
                for element, stated_by in units
                for name, value in stated_by.items()
            ],
        ),
        "year.csv": _table(
            ("hour_beginning", *columns, "price_per_kwh"),
            [
                (at.isoformat(), *(repr(float(x)) for x in figures))
                for at, *figures in zip(hours, *columns.values(), case.hourly_price, strict=True)
            ],
        ),
        "monitored.csv": _table(("bus", "node", "other_node"), _monitored(feeder, year.nodes)),
        "plan.json": json.dumps(_figures(question, case, plan, best, operation), indent=2),
    }
    return {f"{_FOLDER}/{name}": text for name, text in written.items()}


def _standing(feeder: Feeder) -> list[_Element]:
    loads = [
        _Element(f"standing_load_{k}", "feeder", one.bus, "load_share", 3.0 * one.peak_kw_per_phase, LOAD_POWER_FACTOR)
        for k, one in enumerate(feeder.standing_loads, 1)
    ]
    generators = [
        _Element(f"standing_generator_{k}", "feeder", one.bus, "sun", -3.0 * one.peak_kw_per_phase)
        for k, one in enumerate(feeder.standing_generators, 1)
    ]
    return [*loads, *generators]


def _built(case: SitingCase, plan: SitingPlan) -> list[_Element]:
    network = case.network
    found = [
        _Element(f"pv_{network.pv_buses[j]}", "plan", network.pv_buses[j], "sun", -float(plan.pv_kw[j]))
        for j in np.flatnonzero(plan.pv_kw)
    ]
    for j in np.flatnonzero(plan.storage_kw):
        name = f"{_STORAGE}{network.pv_buses[j]}"
        found.append(_Element(name, "plan", network.pv_buses[j], name, float(plan.storage_kw[j])))
    for k, (b, kw) in enumerate(zip(plan.site_bus, plan.site_kw, strict=True), 1):
        bus = network.site_buses[b]
        at = network.feeder.service_buses.get(bus, bus)
        found.append(
            _Element(f"site_{k}", "plan", at, "utilisation", float(kw), network.power_factor, network.connection)
        )
    return found


def _monitored(feeder: Feeder, nodes: Sequence[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Every judged voltage as bus and its two nodes."""
    return [(bus, *next(pair for pair in feeder.buses[bus].judged_pairs() if pair[0] == phase)) for bus, phase in nodes]


def _figures(
    question: SitingQuestion, case: SitingCase, plan: SitingPlan, best: PlanRow, operation: Sequence[OperationRow]
) -> dict[str, object]:
    storage, stored = case.storage, case.stored
    return {
        "plan": best.plan,
        "pv": best.pv,
        "sites": best.sites,
        "limits_pu": [question.limits.voltage_min_pu, question.limits.voltage_max_pu],
        "unit_costs": {
            "pv_per_kw": question.pv_cost_per_kw,
            **({"violation_per_pu_h": question.violation_cost_per_pu_h} if question.violations == "priced" else {}),
            "tap_step": question.switch_cost,
            "site_value_per_kw": question.site_value_per_kw
            if question.site_scale_max > question.site_scale_min
            else 0.0,
            "storage_per_kw": 0.0 if storage is None else storage.cost_per_kw,
            "storage_per_kwh": 0.0 if storage is None else storage.cost_per_kwh,
        },
        "storage": None
        if stored is None
        else {
            "rule": stored.rule.in_words(),
            **asdict(stored.rule),
            "efficiency_one_way": stored.efficiency,
            "kwh_per_kw": stored.duration_h,
            "kwh_before_the_first_hour": 0.0,
            "kwh": {
                f"{_STORAGE}{case.network.pv_buses[j]}": float(plan.storage_kwh[j])
                for j in plan.storage_kw.nonzero()[0]
            },
        },
        "utilisation": list(question.levels),
        "cost": best.cost,
        "cost_parts": best.cost_parts,
        "years": [asdict(row) for row in operation if row.plan == best.plan],
    }


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
