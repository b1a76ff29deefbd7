"""An independent judge: plain OpenDSS (opendssdirect.py) on a circuit file with a constant-power site."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect

# (bus, node, other node; 0 is ground)
Pair = tuple[str, int, int]
LINE_TO_LINE = ((1, 2), (2, 3), (3, 1))


@dataclass(frozen=True, eq=False)
class Solved:
    """Node voltages (V) by (bus, node), with (.., 0) ground, and line-to-neutral bases (V) by bus."""

    volts: Mapping[tuple[str, int], complex]
    base_v: Mapping[str, float]
    loading: Mapping[str, float]  # of normal ratings, whether somebody stated them or not
    rating_a: Mapping[str, float]

    def pu(self, pair: Pair) -> float:
        """A voltage in pu: to ground or a neutral over the base, between phases over 1.73 times it."""
        bus, node, other = pair
        across = abs(self.volts[bus, node] - self.volts[bus, other])
        between_phases = other in (1, 2, 3) and abs(self.volts[bus, other]) > 0.1 * self.base_v[bus]
        return across / self.base_v[bus] / (math.sqrt(3.0) if between_phases else 1.0)

    def every_pair(
        self, three_wire: Sequence[str], neutral_of: Mapping[str, int], without: Sequence[str]
    ) -> tuple[Pair, ...]:
        """Between what the voltage of every energised conductor is judged.

        At buses of `three_wire` from phase to phase, else to the neutral of the bus or to ground. Conductors at less
        than a tenth of the base are none, and buses `without` are left out, as those without a base.
        """
        found: list[Pair] = []
        for bus, base_v in self.base_v.items():
            if bus in without or base_v <= 0.0:
                continue
            live = [n for n in (1, 2, 3) if abs(self.volts.get((bus, n), 0j)) > 0.1 * base_v]
            live = [n for n in live if n != neutral_of.get(bus, 0)]
            if bus in three_wire:
                found += [(bus, n, live[(k + 1) % len(live)]) for k, n in enumerate(live)]
            else:
                found += [(bus, n, neutral_of.get(bus, 0)) for n in live]
        return tuple(found)

    def lowest_pu(self, pairs: Sequence[Pair]) -> float:
        return min(self.pu(pair) for pair in pairs)

    def highest_pu(self, pairs: Sequence[Pair]) -> float:
        return max(self.pu(pair) for pair in pairs)


def solve(
    master: Path,
    bus: str = "",
    kw: Sequence[float] = (0.0, 0.0, 0.0),
    connection: str = "wye",
    taps: Mapping[tuple[str, int], float] | None = None,
    power_factor: float = 0.95,
    neutral: int = 0,
) -> Solved:
    """Compile, attach `kw`, set `taps` by (transformer, winding), and solve.

    The three of `kw` lie at phases ("wye"), between 1-2, 2-3, 3-1 ("delta"), or all between 1 and 2 ("legs").
    """
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command("Clear")
    dss.Text.Command(f'Compile "{master}"')
    dss.Text.Command("Set Mode=Snapshot ControlMode=Off tolerance=1e-9 maxiterations=500")
    for (transformer, winding), ratio in (taps or {}).items():
        dss.Text.Command(f"Edit Transformer.{transformer} wdg={winding} tap={ratio:.9f}")
    tan = math.tan(math.acos(power_factor))
    if any(kw):
        dss.Circuit.SetActiveBus(bus)
        base_kv = dss.Bus.kVBase() * {"delta": math.sqrt(3.0), "legs": 2.0}.get(connection, 1.0)
        for k, power in enumerate(kw):
            if power == 0.0:
                continue  # a load would bring a node to a bus that has none of that number
            first, second = {"delta": LINE_TO_LINE[k], "legs": (1, 2)}.get(connection, (k + 1, neutral))
            nodes = f"{first}.{second}" if second else f"{first}"
            wiring = "wye" if connection == "wye" else "delta"
            dss.Text.Command(
                f"New Load.extra{k} bus1={bus}.{nodes} phases=1 conn={wiring} kV={base_kv:.9f} kW={power:.6f} "
                f"kvar={power * tan:.6f} model=1 vminpu=0.5 vmaxpu=1.5 status=fixed"
            )
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    names = [name.lower().rsplit(".", 1) for name in dss.Circuit.YNodeOrder()]
    flat = np.array(dss.Circuit.YNodeVArray())
    volts = {(b, int(n)): complex(v) for (b, n), v in zip(names, flat[0::2] + 1j * flat[1::2], strict=True)}
    base_v = {}
    for name in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(name)
        base_v[name.lower()] = 1e3 * dss.Bus.kVBase()
        volts[name.lower(), 0] = 0j
    loading, rating_a = {}, {}
    for name in dss.Circuit.AllElementNames():
        dss.Circuit.SetActiveElement(name)
        kind, _, own = name.lower().partition(".")
        rating, n_phases = dss.CktElement.NormalAmps(), dss.CktElement.NumPhases()
        buses = {bus.split(".")[0].lower() for bus in dss.CktElement.BusNames()}
        if rating <= 0.0 or len(buses) < 2 or kind not in ("line", "transformer", "autotrans", "reactor", "capacitor"):
            continue
        amps = np.array(dss.CktElement.CurrentsMagAng()[0::2]).reshape(dss.CktElement.NumTerminals(), -1)[:, :n_phases]
        # A winding carries its kVA at its kV; of anything else one end stands for both.
        size = [1.0]
        if kind == "transformer":
            kva, kv = (_figures(dss, f"? transformer.{own}.{what}") for what in ("kvas", "kvs"))
            size = [a / v / (kva[0] / kv[0]) for a, v in zip(kva, kv, strict=True)]
        rating_a[name.lower()] = rating
        loading[name.lower()] = max(float(amps[k].max()) / (rating * share) for k, share in enumerate(size))
    return Solved(volts, base_v, loading, rating_a)


def _figures(dss: Any, question: str) -> list[float]:
    dss.Text.Command(question)
    return [float(part) for part in dss.Text.Result().strip("[] ").replace(",", " ").split()]
