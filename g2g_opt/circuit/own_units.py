"""What of a circuit's own feeds in: PV systems, storage and generators, in words and over the hours of a study."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.block_look import BlockLook, SolutionLook
from g2g_opt.circuit.clock_banks import RowClock
from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_storage import idling_commands
from g2g_opt.circuit.shaped_loads import ShapedLoads
from g2g_opt.errors import listed
from g2g_opt.held_series import HeldSeries, LoadShares, UnitShares

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Units of a kind that are named.
# Share by which rounding may take a figure beyond a limit.
_ROUNDING = 1e-6
_NAMED = 12


class OwnUnits:
    """The own loads, PV systems, generators and storage of a compiled circuit over the hours of a run.

    Loads draw the shares `loads` of their power. PV systems get shares of the irradiance that their definition states,
    and generators give those of their power that `units` names (see `UnitShares`); storage idles, since a state of
    charge would have to last for the whole run. Without `units` all of them are as in the studied state. Controls that
    settle in every step see the hours of the `clock`, if any.
    """

    def __init__(
        self, circuit: Circuit, loads: LoadShares | None, units: UnitShares | None, clock: RowClock | None = None
    ) -> None:
        self._circuit, self._loads, self._clock = circuit, loads, clock
        self._shaped = ShapedLoads(circuit) if loads is not None and loads.by_shape else None
        self._followers: list[_Follower] = []
        if units is None:
            return
        own = dict(units.by_element)
        for command in idling_commands(circuit):
            circuit.command(command)
        for element, stated in stated_of_units(circuit, own):
            self._followers.append(_Follower(element, stated, own.get(element, units.sun)))

    def set_time(self, time_s: float) -> None:
        """Let loads, sun and generators be those of a time (s), and the hour that which controls see."""
        if self._clock is not None:
            hour, second = self._clock.at(time_s)
            self._circuit.command(f"Set hour={hour} sec={second:.12g}")
        if self._loads is not None:
            if self._shaped is not None:
                self._shaped.set_shares(self._loads.of(self._shaped.shapes, np.array([time_s]))[0])
            else:
                self._circuit.set_load_share(self._loads.of_all.at_time(time_s))
        self._set_units(time_s)

    def _set_units(self, time_s: float) -> None:
        for unit in self._followers:
            share = unit.share.at_time(time_s)
            if share != unit.now:
                values = " ".join(f"{prop}={value * share:.12g}" for prop, value in unit.stated.items())
                self._circuit.command(f"Edit {as_word(unit.element)} {values}")
                unit.now = share

    def solve_block(self, time_s: Floats, kw: Floats, kvar: Floats, phasors: Complexes, look: SolutionLook) -> int:
        """As `Circuit.solve_block`, at times (s): one stretch of steady units and shapes after the other."""
        changes = np.zeros(len(time_s) - 1, dtype=np.bool_)
        for unit in self._followers:
            changes |= np.diff(unit.share.at(time_s)) != 0.0
        if self._loads is not None and self._shaped is not None:
            changes |= (np.diff(self._loads.of(self._shaped.shapes, time_s), axis=0) != 0.0).any(axis=1)
        edges = [0, *(1 + np.flatnonzero(changes)).tolist(), len(time_s)]
        for first, end in itertools.pairwise(edges):
            part = slice(first, end)
            share = None
            if self._loads is not None and self._shaped is None:
                self._set_units(float(time_s[first]))
                share = self._loads.of_all.at(time_s[part])
            else:
                self.set_time(float(time_s[first]))
            n_solved = self._circuit.solve_block(
                kw[part], kvar[part], phasors[part], share, looking := BlockLook(look, first)
            )
            if looking.ended or n_solved < end - first:
                return first + n_solved
        return len(time_s)


@dataclass
class _Follower:
    """An element, what its definition states of it, the share of that over time, and the present one."""

    element: str
    stated: dict[str, float]
    share: HeldSeries
    now: float = 1.0


def stated_of_units(circuit: Circuit, named: Collection[str]) -> list[tuple[str, dict[str, float]]]:
    """Properties whose shares PV systems ("pvsystem.a": its irradiance) and the generators `named` (kW and kvar) follow
    in hours one after the other, with what the circuit states.
    """
    found = []
    for kind, name in elements(circuit):
        element = f"{kind}.{name}"
        if (kind == "pvsystem" or (kind != "storage" and element in named)) and circuit.ask("CktElement_Get_Enabled"):
            properties = ("irradiance",) if kind == "pvsystem" else ("kw", "kvar")
            found.append((element, {one: float(circuit.ask_property(f"{element}.{one}")) for one in properties}))
    return found


def units_in_words(circuit: Circuit) -> list[str]:
    """What each PV system, storage and generator of a solved circuit does, a line for each kind."""
    words: dict[str, list[str]] = {}
    for kind, name in elements(circuit):
        if kind not in ("pvsystem", "storage", "generator") or not circuit.ask("CktElement_Get_Enabled"):
            continue
        power_kw = -float(np.sum(circuit.ask_array("CktElement_Get_Powers", "double")[0::2]))
        if kind == "pvsystem":
            kva, irradiance, cut_in = (
                float(circuit.ask_property(f"PVSystem.{name}.{p}")) for p in ("kva", "irradiance", "%cutin")
            )
            told = f"injects {_kw(power_kw)} of {kva:,.6g} kVA at irradiance {irradiance:g}"
            if cut_in > 0.0:
                # OpenDSS's 20 % where nothing is stated: mornings, evenings and dim days are without PV.
                told += f" (off below {cut_in:g} % of that)"
        elif kind == "storage":
            kwh = float(circuit.ask_property(f"Storage.{name}.kwhstored"))
            does = "discharges" if power_kw > 0.0 else "draws"
            told = f"{does} {_kw(abs(power_kw))}, {kwh:,.6g} kWh stored"
            if power_kw > 0.0:
                told += f", which last {kwh / power_kw:.3g} h"
        else:
            told, kva = f"injects {_kw(power_kw)}", float(circuit.ask_property(f"Generator.{name}.kva"))
            if power_kw > kva * (1.0 + _ROUNDING):
                told += f", beyond its {kva:,.6g} kVA, to which OpenDSS holds no generator"
        words.setdefault(kind, []).append(f"{kind}.{name} {told}")
    found = [f"of the circuit itself: {listed(names, _NAMED)}" for names in words.values()]
    if words.get("pvsystem") or words.get("storage"):
        found.append(
            "that is held for as long as a study runs; in studies with an hourly profile PV systems follow its sun "
            "(a share of their irradiance) and storage idles"
        )
    return found


def _kw(power_kw: float) -> str:
    return f"{round(power_kw, 1) + 0.0:,.10g} kW"
