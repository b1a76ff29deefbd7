"""The batch power flow beside power-grid-model's, on the same radial three-phase feeders.

    pip install power-grid-model==1.12.110
    python benchmarks/flows_vs_power_grid_model.py --repeats 3

Feeders of 300, 3,000 and 9,000 nodes: trees of three-phase lines of sequence impedances, constant-power loads from
phase to ground, three sites. Every scenario of a batch of 256 has a share of the customers' load and powers of the
sites' phases of its own. Both solve all of them in one call, on one thread, in alternation: power-grid-model's batch
calculation (asymmetric, iterative current, 1e-6) from its flat start, ours to 1e-6 as well, from the circuit's own
solution without sites (`cold`), and again from the solution of other scenarios (`warm`, as in a closed loop's next
step). Prints CPU microseconds per power flow, ratios (smallest, median, largest of the repeats), and how far voltages
differ; ends with status 1 if by more than 1e-6 pu.
"""

from __future__ import annotations

import os

from measuring import THREAD_VARIABLES, machine, spread

os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")

import argparse
import math
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from power_grid_model import (
    CalculationMethod,
    ComponentType,
    DatasetType,
    LoadGenType,
    PowerGridModel,
    initialize_array,
)

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import read_network
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.grid.attachments import CONSTANT_POWER_WINDOW_PU

Floats = NDArray[np.float64]

NODES, SCENARIOS, SITES, TOLERANCE_PU = (300, 3000, 9000), 256, 3, 1e-6
DIFFERENCE_MAX_PU = 1e-6
BASE_KV, DEPTH_KM, LOAD_MW, SITE_MW, PF, HZ = 12.47, 6.0, 5.0, 0.6, 0.95, 60.0
# Ohm and nF per km, positive and zero sequence; ohm of the source.
LINE = {"r1": 0.19, "x1": 0.40, "c1": 11.0, "r0": 0.45, "x0": 1.2, "c0": 6.0}
SOURCE_OHM = (0.05, 0.5)
TAN = math.tan(math.acos(PF))


@dataclass(frozen=True, eq=False)
class RadialFeeder:
    """A tree: for every bus but the first its parent and length (km); load (kW) by bus and phase; buses of sites."""

    parent: NDArray[np.int64]
    length_km: Floats
    load_kw: Floats
    sites: tuple[int, ...]

    @staticmethod
    def drawn(n_nodes: int, seed: int = 0) -> RadialFeeder:
        """Of about `n_nodes` nodes, as deep and as loaded whatever its size."""
        draw = np.random.default_rng(seed)
        n = n_nodes // 3
        parent, depth = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        for bus in range(1, n):
            # Mostly near the ends that grew last, so that the tree gets deep.
            low = max(0, int(0.8 * bus) - 1) if draw.random() < 0.8 else 0
            parent[bus] = draw.integers(low, bus)
            depth[bus] = depth[parent[bus]] + 1
        load = draw.uniform(0.2, 1.8, (n, 3)) * (draw.random((n, 3)) < 0.6)
        load[0] = 0.0
        sites = tuple(int(x) for x in draw.choice(np.arange(n // 2, n), SITES, replace=False))
        length_km = DEPTH_KM / depth.max() * draw.uniform(0.5, 1.0, n)
        return RadialFeeder(parent, length_km, 1e3 * LOAD_MW / load.sum() * load, sites)

    @cached_property
    def loads(self) -> list[tuple[int, int]]:
        """(bus, phase) of every load."""
        return [(int(bus), int(phase)) for bus, phase in zip(*np.nonzero(self.load_kw), strict=True)]

    def commands(self) -> list[str]:
        """The feeder in OpenDSS's words."""
        r, x = SOURCE_OHM
        line = " ".join(f"{name}={value}" for name, value in LINE.items())
        return [
            "Clear",
            f"Set DefaultBaseFrequency={HZ}",
            f"New Circuit.radial basekv={BASE_KV} pu=1.02 phases=3 bus1=b0 Z1=[{r}, {x}] Z0=[{r}, {x}]",
            f"New Linecode.wires nphases=3 units=km {line}",
            *(
                f"New Line.l{bus} bus1=b{self.parent[bus]} bus2=b{bus} linecode=wires "
                f"length={self.length_km[bus]:.9f} units=km normamps=1000"
                for bus in range(1, len(self.parent))
            ),
            *(
                f"New Load.d{bus}_{phase} bus1=b{bus}.{phase + 1} phases=1 kv={BASE_KV / math.sqrt(3.0):.12f} "
                f"kw={self.load_kw[bus, phase]:.9f} kvar={TAN * self.load_kw[bus, phase]:.9f} model=1 vminpu=0.5 "
                "vmaxpu=1.5"
                for bus, phase in self.loads
            ),
            f"Set VoltageBases=[{BASE_KV}]",
            "CalcVoltageBases",
        ]


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Share of the customers' load (scenario), and power of the sites' phases (kW; scenario, site, phase)."""

    share: Floats
    site_kw: Floats

    @staticmethod
    def drawn(seed: int) -> Scenarios:
        draw = np.random.default_rng(seed)
        return Scenarios(
            draw.uniform(0.6, 1.1, SCENARIOS), draw.uniform(0.5, 1.0, (SCENARIOS, SITES, 3)) * 1e3 * SITE_MW / 3.0
        )


class Ours:
    """The batch engine's power flow."""

    def __init__(self, feeder: RadialFeeder) -> None:
        circuit = Circuit(feeder.commands(), tolerance=1e-10, max_iterations=500)
        circuit.finish()
        network = read_network(circuit)
        place = {node: k for k, node in enumerate(network.nodes)}
        ends = [place[f"b{bus}", phase] for bus in feeder.sites for phase in (1, 2, 3)]
        ports = [Port(end, -1, float(network.base_v[end]), CONSTANT_POWER_WINDOW_PU) for end in ends]
        self.flow = BatchPowerFlow(
            Jacobian(network), [ports] * SCENARIOS, [Setting()] * SCENARIOS, tolerance_pu=TOLERANCE_PU
        )
        self.order = [place[f"b{bus}", phase] for bus in range(len(feeder.parent)) for phase in (1, 2, 3)]

    def solve(self, scenarios: Scenarios, cold: bool) -> tuple[float, Floats]:
        """CPU seconds, and voltages (pu; scenario, bus, phase)."""
        power_va = 1e3 * (1.0 + 1j * TAN) * scenarios.site_kw.reshape(SCENARIOS, -1).T
        self.flow.load_share[:] = scenarios.share.reshape(-1, WIDTH)
        if cold:
            self.flow.reset(range(SCENARIOS))
        began = time.process_time()
        self.flow.solve(power_va)
        took = time.process_time() - began
        if not self.flow.solved.all():
            raise SystemExit("a power flow did not converge")
        return took, self.flow.voltage_pu[self.order].T.reshape(SCENARIOS, -1, 3)


class Peer:
    """power-grid-model, whose batch is one update of all loads."""

    def __init__(self, feeder: RadialFeeder) -> None:
        n = len(feeder.parent)
        node = initialize_array(DatasetType.input, ComponentType.node, n)
        node["id"], node["u_rated"] = np.arange(n), 1e3 * BASE_KV
        line = initialize_array(DatasetType.input, ComponentType.line, n - 1)
        line["id"], line["from_node"], line["to_node"] = n + np.arange(n - 1), feeder.parent[1:], np.arange(1, n)
        line["from_status"] = line["to_status"] = 1
        line["tan1"] = line["tan0"] = 0.0
        for name, value in LINE.items():
            line[name] = value * feeder.length_km[1:] * (1e-9 if name.startswith("c") else 1.0)
        buses = sorted({bus for bus, _ in feeder.loads})
        load = initialize_array(DatasetType.input, ComponentType.asym_load, len(buses) + SITES)
        load["id"] = 3 * n + np.arange(len(load))
        load["node"], load["status"], load["type"] = [*buses, *feeder.sites], 1, LoadGenType.const_power
        self._customers_w = 1e3 * feeder.load_kw[buses]
        load["p_specified"] = np.concatenate([self._customers_w, np.zeros((SITES, 3))])
        load["q_specified"] = TAN * load["p_specified"]
        r, x = SOURCE_OHM
        source = initialize_array(DatasetType.input, ComponentType.source, 1)
        source["id"], source["node"], source["status"], source["u_ref"] = 5 * n, 0, 1, 1.02
        source["sk"], source["rx_ratio"], source["z01_ratio"] = (1e3 * BASE_KV) ** 2 / math.hypot(r, x), r / x, 1.0
        self._loads = load
        self._model = PowerGridModel(
            {
                ComponentType.node: node,
                ComponentType.line: line,
                ComponentType.asym_load: load,
                ComponentType.source: source,
            },
            system_frequency=HZ,
        )

    def solve(self, scenarios: Scenarios) -> tuple[float, Floats]:
        """CPU seconds, and voltages (pu; scenario, bus, phase)."""
        update = initialize_array(DatasetType.update, ComponentType.asym_load, (SCENARIOS, len(self._loads)))
        update["id"] = self._loads["id"]
        customers_w = scenarios.share[:, None, None] * self._customers_w
        update["p_specified"] = np.concatenate([customers_w, 1e3 * scenarios.site_kw], axis=1)
        update["q_specified"] = TAN * update["p_specified"]
        asked: dict[str, Any] = {
            "symmetric": False,
            "error_tolerance": TOLERANCE_PU,
            "max_iterations": 100,
            "calculation_method": CalculationMethod.iterative_current,
            "output_component_types": {ComponentType.node: ["u_pu"]},
            "threading": -1,
        }
        began = time.process_time()
        found = self._model.calculate_power_flow(update_data={ComponentType.asym_load: update}, **asked)
        took = time.process_time() - began
        return took, np.asarray(found[ComponentType.node]["u_pu"])


def compare(n_nodes: int, repeats: int) -> bool:
    """One feeder: a row of the table; True where voltages agree."""
    feeder = RadialFeeder.drawn(n_nodes)
    ours, peer = Ours(feeder), Peer(feeder)
    times: dict[str, list[float]] = {"cold": [], "warm": [], "peer": []}
    difference = 0.0
    ours.solve(Scenarios.drawn(0), True)
    for repeat in range(repeats):
        first, second = Scenarios.drawn(2 * repeat + 1), Scenarios.drawn(2 * repeat + 2)
        took_s, theirs = peer.solve(first)
        times["peer"].append(took_s)
        took_s, voltages = ours.solve(first, True)
        times["cold"].append(took_s)
        difference = max(difference, float(np.abs(voltages - theirs).max()))
        times["warm"].append(ours.solve(second, False)[0])
    us = {name: [1e6 * taken / SCENARIOS for taken in found] for name, found in times.items()}
    columns = [spread(us["peer"], ".1f"), spread(us["cold"]), spread(us["warm"])]
    columns += [spread([a / b for a, b in zip(us["peer"], us[name], strict=True)], ".1f") for name in ("cold", "warm")]
    nodes, loads = 3 * len(feeder.parent), len(feeder.loads)
    print(f"| {nodes:,} | {loads:,} | {' | '.join(columns)} | {difference:.1e} |", flush=True)
    return difference <= DIFFERENCE_MAX_PU


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    print("| Nodes | Loads | power-grid-model (us) | Ours cold | Ours warm | Ratio cold | warm | Difference (pu) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    agree = [compare(n, options.repeats) for n in NODES]
    sys.exit(0 if all(agree) else 1)
