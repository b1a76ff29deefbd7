"""What of a circuit's own feeds in: PV systems, storage and generators, in words and over the hours of a study."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import listed
from g2g_opt.grid.circuit import Circuit
from g2g_opt.grid.circuit_reading import elements
from g2g_opt.grid.held_series import HeldSeries

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Units of a kind that are named.
_NAMED = 12


class OwnUnits:
    """The own loads, PV systems and storage of a compiled circuit over the hours of a run.

    Loads draw the share `loads` of their power. Every PV system gets the share `sun` of the irradiance that its
    definition states; storage idles, since a state of charge would have to last for the whole run. Without a sun both
    are as in the studied state.
    """

    def __init__(self, circuit: Circuit, loads: HeldSeries | None, sun: HeldSeries | None) -> None:
        self._circuit, self._loads, self._sun, self._share = circuit, loads, sun, 1.0
        self._irradiance: dict[str, float] = {}
        if sun is None:
            return
        for kind, name in elements(circuit):
            if not circuit.ask("CktElement_Get_Enabled"):
                continue
            if kind == "pvsystem":
                self._irradiance[name] = float(circuit.command(f"? PVSystem.{name}.irradiance"))
            elif kind == "storage":
                circuit.command(f"Edit Storage.{name} dispmode=default state=idling")

    def set_time(self, time_s: float) -> None:
        """Let load and sun be those of a time (s)."""
        if self._loads is not None:
            self._circuit.set_load_share(float(self._loads.at(np.array([time_s]))[0]))
        self._set_sun(time_s)

    def _set_sun(self, time_s: float) -> None:
        if self._sun is None or not self._irradiance:
            return
        share = float(self._sun.at(np.array([time_s]))[0])
        if share != self._share:
            for name, irradiance in self._irradiance.items():
                self._circuit.command(f"Edit PVSystem.{name} irradiance={irradiance * share:.12g}")
            self._share = share

    def solve_block(self, time_s: Floats, kw: Floats, kvar: Floats, phasors: Complexes) -> int:
        """As `Circuit.solve_block`, at times (s): a stretch of steady sun after the other."""
        shares = np.zeros(len(time_s)) if self._sun is None else self._sun.at(time_s)
        edges = [0, *(1 + np.flatnonzero(np.diff(shares))).tolist(), len(time_s)]
        for first, end in itertools.pairwise(edges):
            self._set_sun(float(time_s[first]))
            part = slice(first, end)
            share = None if self._loads is None else self._loads.at(time_s[part])
            n_solved = self._circuit.solve_block(kw[part], kvar[part], phasors[part], share)
            if n_solved < end - first:
                return first + n_solved
        return len(time_s)


def units_in_words(circuit: Circuit) -> list[str]:
    """What each PV system, storage and generator of a solved circuit does, a line for each kind."""
    words: dict[str, list[str]] = {}
    for kind, name in elements(circuit):
        if kind not in ("pvsystem", "storage", "generator") or not circuit.ask("CktElement_Get_Enabled"):
            continue
        power_kw = -float(np.sum(circuit.ask_array("CktElement_Get_Powers", "double")[0::2]))
        if kind == "pvsystem":
            kva, irradiance = (float(circuit.command(f"? PVSystem.{name}.{p}")) for p in ("kva", "irradiance"))
            told = f"injects {_kw(power_kw)} of {kva:,.6g} kVA at irradiance {irradiance:g}"
        elif kind == "storage":
            kwh = float(circuit.command(f"? Storage.{name}.kwhstored"))
            does = "discharges" if power_kw > 0.0 else "draws"
            told = f"{does} {_kw(abs(power_kw))}, {kwh:,.6g} kWh stored"
            if power_kw > 0.0:
                told += f", which last {kwh / power_kw:.3g} h"
        else:
            told = f"injects {_kw(power_kw)}"
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
