"""The year of a circuit's own shapes: what its loads, PV systems and generators do in every hour of it.

Hour k of the year (counted from 0) is the time from k to k + 1 hours after New Year's midnight. In OpenDSS's convention
the point of a shape that belongs to it is number k + 1 of a shape of one-hour interval (see `studied_hour`); of a shape
of shorter interval it is the mean of the points within the hour, and of a longer one the point that OpenDSS holds at
its end. Elements follow their yearly shape, else their daily one, which repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.elements import elements, load_branches
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import LoadBranch
from g2g_opt.errors import InputError, listed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NAMED = 12
_NO_SHAPE = ("", "none")
_DAY_H, _WEEK_H, _YEAR_H = 24.0, 168.0, 8760.0
_POINTS_AN_HOUR_MAX = 3600


@dataclass(frozen=True, eq=False)
class OwnYear:
    """Shares over hours of a year.

    `load_share` are those of their power that loads of each shape draw, (hour,) by shape ("": loads without one);
    `mean_share` (hour,) is that of all loads together, by their kW. `unit_share` are shares, by element
    ("pvsystem.a"), of the irradiance of PV systems and of the power of generators that follow a shape. `words` say what
    follows what, a line each.
    """

    load_share: Mapping[str, Floats]
    mean_share: Floats
    unit_share: Mapping[str, Floats]
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Shape:
    """A load shape: points, the hours between them (0: they are at `time_h`), and whether they are actual powers."""

    name: str
    points: Floats
    reactive: Floats
    interval_h: float
    time_h: Floats
    is_actual: bool

    @property
    def span_h(self) -> float:
        """Hours that it covers."""
        return len(self.points) * self.interval_h if self.interval_h > 0.0 else float(self.time_h[-1])

    @property
    def repeats(self) -> str:
        """How long the time is after which it is the same again, in words; empty for a year."""
        return {_DAY_H: "day", _WEEK_H: "week"}.get(round(self.span_h, 6), "")

    def at(self, hour: Ints) -> Floats:
        """Its values in hours of the year; `InputError` if it says nothing about a year."""
        if self.is_actual:
            raise InputError(f"load shape {self.name} states actual powers (useactual), which is no share of a load's")
        if len(self.reactive) > 1 and not np.array_equal(self.reactive, self.points):
            raise InputError(
                f"load shape {self.name} has multipliers of its own for kvar (qmult), which is not read here"
            )
        if not self.repeats and self.span_h < _YEAR_H:
            raise InputError(
                f"load shape {self.name} covers {self.span_h:g} hours, which OpenDSS would repeat through the year: it "
                "is neither a day, a week nor a year"
            )
        n = min(max(1, round(1.0 / self.interval_h)), _POINTS_AN_HOUR_MAX) if self.interval_h > 0.0 else 1
        time_h = hour[:, None] + (np.arange(n)[None, :] + 1.0) / n
        if self.interval_h <= 0.0:
            return np.asarray(np.interp(time_h, self.time_h, self.points).mean(axis=1))
        place = np.round(time_h / self.interval_h).astype(np.int64) % len(self.points)
        return np.asarray(self.points[place - 1].mean(axis=1))


@lru_cache(maxsize=4)
def read_own_year(commands: tuple[str, ...], hours: tuple[int, ...]) -> OwnYear:
    """What the circuit that `commands` build does in `hours` of the year, each counted from New Year.

    Raises `InputError` if no load follows a shape, or a shape cannot be taken for a year's shares.
    """
    circuit = Circuit(commands)
    circuit.finish()
    shapes = _shapes(circuit)
    loads = load_branches(circuit)
    following = [load for load in loads if load.shape]
    if not following:
        raise InputError(
            "no load of the circuit has a yearly or daily shape, so that --own-shapes says nothing about a year; give "
            "a --profile"
        )
    exempt = [load.name for load in following if not load.varies]
    if exempt:
        raise InputError(f"loads of status exempt follow a shape but no load level: {listed(exempt, _NAMED)}")
    hour, n_hours = np.array(hours, dtype=np.int64), len(hours)
    hourly = {name: shapes[name].at(hour) for name in dict.fromkeys(load.shape for load in following)}
    hourly[""] = np.ones(n_hours)
    kw = sum(load.kw for load in loads)
    mean = sum((load.kw * hourly[load.shape] for load in loads), np.zeros(n_hours)) / kw if kw else np.ones(n_hours)
    units = _units(circuit)
    unit_share = {element: shapes[shape].at(hour) for element, shape in units.items()}
    used = [shapes[name] for name in dict.fromkeys([*(load.shape for load in following), *units.values()])]
    words = _words(loads, mean * kw, kw, units, used, hour)
    return OwnYear(MappingProxyType(hourly), mean, MappingProxyType(unit_share), words)


def _shapes(circuit: Circuit) -> dict[str, _Shape]:
    found = {}
    more = circuit.ask("LoadShapes_Get_First")
    while more:
        name = circuit.ask_text("LoadShapes_Get_Name").lower()
        interval_h = float(circuit.ask("LoadShapes_Get_HrInterval"))
        found[name] = _Shape(
            name,
            circuit.ask_array("LoadShapes_Get_Pmult", "double"),
            circuit.ask_array("LoadShapes_Get_Qmult", "double"),
            interval_h,
            np.empty(0) if interval_h > 0.0 else circuit.ask_array("LoadShapes_Get_TimeArray", "double"),
            bool(circuit.ask("LoadShapes_Get_UseActual")),
        )
        more = circuit.ask("LoadShapes_Get_Next")
    return found


def _units(circuit: Circuit) -> dict[str, str]:
    """The shape of every PV system and generator in service that follows one."""
    found = {}
    for kind, name in elements(circuit):
        if kind not in ("pvsystem", "generator") or not circuit.ask("CktElement_Get_Enabled"):
            continue
        for prop in ("yearly", "daily"):
            shape = circuit.ask_property(f"{kind}.{name}.{prop}").strip().lower()
            if shape not in _NO_SHAPE:
                found[f"{kind}.{name}"] = shape
                break
    return found


def _words(
    loads: Sequence[LoadBranch],
    total_kw: Floats,
    nominal_kw: float,
    units: Mapping[str, str],
    used: Sequence[_Shape],
    hour: Ints,
) -> tuple[str, ...]:
    n = sum(bool(load.shape) for load in loads)
    words = [
        f"the circuit's own shapes say what it draws in each of {len(hour):,} hours (yearly, else daily; an hour has "
        "the point that ends it, so that the first point of an hourly shape is that from 00:00 to 01:00 of 1 January): "
        f"{n} of {len(loads)} loads follow one, and ask together for {total_kw.min():,.6g} to {total_kw.max():,.6g} "
        f"kW, {nominal_kw:,.6g} kW at nominal load"
    ]
    without = [load.name for load in loads if not load.shape]
    if without:
        words.append(f"loads without a shape draw their nominal power all year: {listed(without, _NAMED)}")
    for repeated in ("day", "week"):
        names = [shape.name for shape in used if shape.repeats == repeated]
        if names:
            words.append(f"shapes of one {repeated}, the same all year, without seasons: {listed(names, _NAMED)}")
    fine = [shape.name for shape in used if 0.0 < shape.interval_h < 1.0]
    if fine:
        words.append(f"of shapes of less than an hour's interval the mean of every hour counts: {listed(fine, _NAMED)}")
    short = [shape.name for shape in used if not shape.repeats and round(shape.span_h) <= hour.max()]
    if short:
        words.append(
            f"shapes of {_YEAR_H:,g} hours begin again on the last day of a leap year: {listed(short, _NAMED)}"
        )
    if units:
        words.append(
            f"PV systems (their irradiance) and generators that follow a shape: {listed(list(units), _NAMED)}; others "
            "are as stated, PV systems by the sun of the profile; temperatures are held, storage idles"
        )
    return tuple(words)
