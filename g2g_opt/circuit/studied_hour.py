"""An hour of the circuit's own shapes, as edits of a snapshot: what loads, generators and PV systems do at that time.

OpenDSS itself evaluates the shapes, in its yearly mode at that time: T hours after the year's beginning it takes point
T of a shape of one-hour interval, the first point being number 1 (at midnight of New Year the last one), and shorter
shapes repeat; in general point round(T / interval), half a point rounding to even, and linear in between where a
shape's times are given (LoadShape's `interval` and `hour` at https://opendss.epri.com/LoadShape.html; measured in
tests). So 17:00 is the hour that ends at 17:00 in a shape that begins with the hour from 00:00 to 01:00. Elements
follow their yearly shape, else their daily one. What came out is solved as a snapshot and compared with OpenDSS's own
solution of the hour: a circuit where anything else follows the hour is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from g2g_opt.circuit.element_names import INJECTION_PREFIX, as_word
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_storage import idling_command
from g2g_opt.errors import InputError, listed, shown

_ALIKE_PU = 1e-5
_SNAPSHOT = "Set mode=snapshot hour=0 sec=0 number=1"
# Draws what it is asked for at any voltage.
_CONSTANT = {
    "load": "model=1 vminpu=0 vlowpu=0 vmaxpu=1000",
    "generator": "model=1 vminpu=0 vmaxpu=1000",
}
_PROBE = f"{INJECTION_PREFIX}shape_"
_NAMED = 12
_NO_SHAPE = ("", "none")


@dataclass
class _Unit:
    """An element that may follow a shape: its class, name, the shape's name and that of its temperatures, if any."""

    kind: str
    name: str
    shape: str
    temperature_shape: str = ""
    stated: tuple[float, float] = (0.0, 0.0)
    snapshot: tuple[float, float] = (0.0, 0.0)
    at_hour: tuple[float, float] = (0.0, 0.0)


@dataclass
class StudiedHour:
    """`commands` that make a snapshot of a circuit that hour, and `words` on it for people."""

    commands: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=())


def read_hour(text: str) -> datetime:
    """A time such as 2024-07-15T17:00; `InputError` for any other text."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"{shown(text)} is no time such as 2024-07-15T17:00") from error
    if at.tzinfo is not None or at.microsecond:
        raise InputError(f"{shown(text)} must be in whole seconds and without a time zone: shapes know of none")
    return at


def hour_of(at: datetime) -> float:
    """Hours from the beginning of its year to a time."""
    return (at - datetime(at.year, 1, 1)).total_seconds() / 3600.0


def studied_hour(commands: Sequence[str], at: datetime) -> StudiedHour:
    """The hour `at` of the circuit that `commands` build; see the module.

    Raises `InputError` if no element has a shape, or the hour holds more than is read here.
    """
    hour = hour_of(at)
    time = f"Set mode=yearly hour={int(hour)} sec={round(3600.0 * (hour - int(hour)))} number=1 stepsize=0"
    units, before = _units(commands)
    if not any(unit.shape for unit in units):
        raise InputError(
            f"no load, generator or PV system of the circuit has a yearly or daily shape, so that {at:%Y-%m-%dT%H:%M} "
            "is no other hour than any; leave --at out, or give the load level"
        )
    _measure(commands, before, units, time)
    edits = _edits(commands, units, hour)
    _check_alike([*commands, *before, *edits], [*commands, *before], time, at)
    return StudiedHour((*before, *edits), _words(units, at, hour))


def _units(commands: Sequence[str]) -> tuple[list[_Unit], list[str]]:
    """What may follow shapes, and edits that make it follow them in OpenDSS's yearly mode and hold storage still."""
    circuit = Circuit(commands)
    found, before = [], []
    for kind, name in elements(circuit):
        if kind not in ("load", "generator", "pvsystem", "storage") or not circuit.ask("CktElement_Get_Enabled"):
            continue

        def of(prop: str, element: str = f"{kind}.{name}") -> str:
            answer = circuit.ask_property(f"{element}.{prop}").strip().lower()
            return "" if answer in _NO_SHAPE else answer

        yearly, daily = of("yearly"), of("daily")
        unit = _Unit(kind, name, yearly or daily)
        if kind == "generator" and daily and not yearly:
            # Of loads, PV systems and storage OpenDSS takes the daily shape then, of generators none.
            before.append(f"Edit {as_word(f'Generator.{name}')} yearly={as_word(daily)}")
        if kind == "pvsystem":
            unit.temperature_shape = of("tyearly") or of("tdaily")
            unit.stated = (float(of("irradiance")), float(of("temperature")))
        elif kind == "storage":
            if of("dispmode") != "follow" or not unit.shape:
                unit.shape = ""
                before.append(idling_command(name))
        else:
            unit.stated = (float(of("kw")), float(of("kvar")))
        found.append(unit)
    return found, before


def _measure(commands: Sequence[str], before: Sequence[str], units: Sequence[_Unit], time: str) -> None:
    """Powers of units as asked for in a snapshot and at the hour; of PV systems the factor of their shape."""
    circuit = Circuit([*commands, *before], tolerance=1e-9, max_iterations=300)
    source = circuit.ask_array("Circuit_Get_AllBusNames", "char*")[0]
    read = {}
    for k, unit in enumerate(units):
        read[k] = f"{unit.kind}.{unit.name}"
        if unit.kind in _CONSTANT:
            circuit.command(f"Edit {as_word(read[k])} {_CONSTANT[unit.kind]}")
        elif unit.kind == "pvsystem" and unit.shape:
            read[k] = f"Load.{_PROBE}{k}"
            circuit.command(
                f"New {read[k]} bus1={as_word(f'{source}.1')} phases=1 kv=1 kw=1 kvar=0 {_CONSTANT['load']} "
                f"yearly={as_word(unit.shape)}"
            )

    def powers(k: int) -> tuple[float, float]:
        circuit.activate(read[k])
        found = circuit.ask_array("CktElement_Get_Powers", "double")
        sign = -1.0 if units[k].kind in ("generator", "storage") else 1.0
        return sign * float(found[0::2].sum()), sign * float(found[1::2].sum())

    circuit.command(_SNAPSHOT)
    circuit.solve_anew()
    for k, unit in enumerate(units):
        unit.snapshot = powers(k)
    circuit.command(time)
    circuit.ask("Solution_Solve")
    for k, unit in enumerate(units):
        unit.at_hour = powers(k)


def _edits(commands: Sequence[str], units: Sequence[_Unit], hour: float) -> list[str]:
    circuit = Circuit(commands)
    edits = []
    for unit in units:
        if unit.kind == "pvsystem":
            parts = []
            if unit.shape:
                parts.append(f"irradiance={unit.stated[0] * unit.at_hour[0] / unit.snapshot[0]:.12g}")
            if unit.temperature_shape:
                parts.append(f"temperature={_temperature(circuit, unit.temperature_shape, hour):.12g}")
            edits += [f"Edit {as_word(f'PVSystem.{unit.name}')} {' '.join(parts)}"] if parts else []
        elif unit.kind == "storage" and unit.shape:
            rated_kw = float(circuit.ask_property(f"Storage.{unit.name}.kwrated"))
            percent = 100.0 * abs(unit.at_hour[0]) / rated_kw
            state, rate = ("discharging", "%discharge") if unit.at_hour[0] > 0.0 else ("charging", "%charge")
            state = state if percent > 0.0 else "idling"
            edits.append(f"Edit {as_word(f'Storage.{unit.name}')} dispmode=default {rate}={percent:.12g} state={state}")
        elif unit.kind in _CONSTANT and unit.shape:
            kw, kvar = (
                stated * now / then if abs(then) > 1e-9 else now
                for stated, now, then in zip(unit.stated, unit.at_hour, unit.snapshot, strict=True)
            )
            edits.append(f"Edit {as_word(f'{unit.kind}.{unit.name}')} kw={kw:.12g} kvar={kvar:.12g}")
    return edits


def _temperature(circuit: Circuit, shape: str, hour: float) -> float:
    """A temperature shape's value at an hour, as OpenDSS takes it; one of stated times is left to the comparison."""
    values = [float(v) for v in circuit.ask_property(f"TShape.{shape}.temp").strip("[]() ").replace(",", " ").split()]
    interval = float(circuit.ask_property(f"TShape.{shape}.interval"))
    place = round(hour / interval) if interval > 0.0 else 0
    return values[place % len(values) - 1]


def _check_alike(ours: Sequence[str], theirs: Sequence[str], time: str, at: datetime) -> None:
    """Raise `InputError` unless our snapshot is OpenDSS's own solution of the hour, controls held."""
    solved = []
    for commands, mode in ((ours, _SNAPSHOT), (theirs, time)):
        circuit = Circuit(commands, tolerance=1e-9, max_iterations=300)
        circuit.finish()
        circuit.command(mode)
        # Without controls, since a circuit has them off; only this one of the engine's solutions takes the hour.
        circuit.ask("Solution_Solve")
        if not circuit.converged:
            raise InputError(f"the circuit has no solution at {at:%Y-%m-%dT%H:%M} without a site; choose another hour")
        solved.append(circuit.node_voltages() / circuit.node_base_v)
    apart = np.nan_to_num(np.abs(solved[0] - solved[1]))
    worst = int(apart.argmax())
    if apart[worst] > _ALIKE_PU:
        place = f"{circuit.node_bus[worst]}.{circuit.node_phase[worst]}"
        raise InputError(
            f"at {at:%Y-%m-%dT%H:%M} OpenDSS's own solution is {apart[worst]:.1e} pu off at {place}: something other "
            "than loads, generators, PV systems and storage follows the hour, or one of them by a shape of actual "
            "powers that cannot be stated as a snapshot; leave --at out, or state that hour by --edits"
        )


def _words(units: Sequence[_Unit], at: datetime, hour: float) -> tuple[str, ...]:
    loads = [unit for unit in units if unit.kind == "load"]
    following = sum(bool(unit.shape) for unit in loads)
    words = [
        f"studied at {at:%Y-%m-%d %H:%M}, {hour:,.6g} hours into the year, by the circuit's own shapes (yearly, else "
        f"daily; OpenDSS takes point {hour:,.6g} of an hourly shape there, which ends at that time if the first point "
        f"begins with the year): {following} of {len(loads)} loads follow a shape and ask for "
        f"{sum(unit.at_hour[0] for unit in loads):,.6g} kW, {sum(unit.snapshot[0] for unit in loads):,.6g} kW at "
        "nominal load"
    ]
    without = [f"{unit.kind}.{unit.name}" for unit in units if not unit.shape and unit.kind != "storage"]
    if without:
        words.append(f"without a shape, as in a snapshot: {listed(without, _NAMED)}")
    idle = [unit.name for unit in units if unit.kind == "storage" and not unit.shape]
    if idle:
        words.append(
            "storage without a shape to follow (dispmode=follow) idles unless a control dispatches it: "
            f"{listed(idle, _NAMED)}"
        )
    return tuple(words)
