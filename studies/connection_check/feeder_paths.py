"""Ways through a feeder along its closed branches: what lies between the source and a bus, and how far buses are."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from g2g_opt.circuit.elements import elements, line_lengths_km
from g2g_opt.circuit.fuses import FuseSettings, read_fuses
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch
from g2g_opt.feeder import Feeder

Floats = NDArray[np.float64]
# A branch without a length (a transformer, a switch of none) counts so much (km): the graph has no edge of nothing.
_NO_LENGTH_KM = 1e-6


class FeederPaths:
    """A feeder's circuit, compiled once, and the graph of its closed branches by length (km)."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._circuit = Circuit(feeder.commands)
        self._circuit.finish()
        self._place = {bus: k for k, bus in enumerate(feeder.buses)}
        lengths = line_lengths_km(self._circuit)
        self.length_km = {name: km for name, (km, _) in lengths.items()}
        # Lines whose lengths are bare numbers, which nobody can tell in km.
        self.without_unit = {name for name, (_, known) in lengths.items() if not known}
        self._branch: dict[tuple[int, int], Branch] = {}
        for branch in feeder.branches:
            ends = [self._place[bus] for bus in branch.buses]
            for end in ends[1:] if branch.closed else ():
                for pair in ((ends[0], end), (end, ends[0])):
                    # Of branches side by side (one transformer a phase, say) any has all there is to say of the way.
                    if pair not in self._branch or self._km(branch) < self._km(self._branch[pair]):
                        self._branch[pair] = branch

    def _km(self, branch: Branch) -> float:
        return max(_NO_LENGTH_KM, self.length_km.get(branch.name, 0.0) if branch.kind == "line" else 0.0)

    def ask(self, what: str) -> str:
        """A property as OpenDSS has it, e.g. "Load.671.bus1"."""
        return self._circuit.ask_property(what).strip()

    def fuses(self) -> tuple[FuseSettings, ...]:
        """The fuses in service."""
        names = [name for kind, name in elements(self._circuit) if kind == "fuse"]
        enabled = [name for name in names if self.ask(f"Fuse.{name}.enabled").lower() in ("true", "yes")]
        return read_fuses(self._circuit, enabled)

    @cached_property
    def _source(self) -> int:
        for kind, _ in elements(self._circuit):
            if kind == "vsource":
                bus = self._circuit.ask_array("CktElement_Get_BusNames", "char*")[0].lower().split(".")[0]
                return self._place[bus]
        return 0

    def _ways(self, start: int) -> tuple[Floats, NDArray[np.int32]]:
        pairs = np.array(list(self._branch), dtype=np.int64).reshape(-1, 2)
        km = [self._km(branch) for branch in self._branch.values()]
        graph = coo_array((km, (pairs[:, 0], pairs[:, 1])), shape=(len(self._place), len(self._place))).tocsr()
        found, before = dijkstra(graph, indices=start, return_predecessors=True)
        return np.asarray(found), np.asarray(before)

    def distances_km(self, bus: str) -> dict[str, float]:
        """Length of the shortest way from a bus to every other one that can be reached."""
        far, _ = self._ways(self._place[bus])
        return {name: float(far[k]) for name, k in self._place.items() if np.isfinite(far[k])}

    def from_source(self, bus: str) -> list[Branch]:
        """The branches on the shortest way from the source to a bus, in order; none if nothing leads there."""
        _, before = self._ways(self._source)
        found: list[Branch] = []
        at = self._place[bus]
        while at != self._source and before[at] >= 0:
            found.append(self._branch[int(before[at]), at])
            at = int(before[at])
        return list(dict.fromkeys(found))[::-1]
