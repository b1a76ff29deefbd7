"""Power-flow cases of `batch_power_flow.py`: feeders with places that draw power, and the powers of a closed-loop hour.

The powers are those of sixteen recorded runs of a case's family with ripple, noise and OFO (`scenarios.py`). Scenario
s of a batch follows run s modulo 16, every sixteen of them half a minute later in the hour than those before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from measuring import ROOT
from numpy.typing import NDArray
from scenarios import GENERATOR_POWER_FACTOR_MAX, Kind, closed_loops, read_case

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import read_network
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.simulator import run_batch
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.regulators import read_regulators
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import CONSTANT_POWER_WINDOW_PU, tan_phi

Floats = NDArray[np.float64]

CASES = ROOT / "tests" / "reference" / "openg2g"
RECORDED = {"ieee13": "ieee13_ofo", "ieee34": "ieee34_ofo", "ieee123": "ieee123_noop"}
RUNS, LATER_STEPS = 16, 30
MORE_SITES = ("13", "35", "47", "66", "72", "86", "97", "101")  # three-phase buses of the 123-bus feeder
PHASES = (1, 2, 3)


@dataclass(frozen=True, eq=False)
class FlowCase:
    """A circuit (commands, taps) and what draws at `buses`: `kw`, `kvar` (run, step, three phases of each bus)."""

    name: str
    commands: tuple[str, ...]
    taps: tuple[tuple[str, float], ...]
    buses: tuple[str, ...]
    kw: Floats
    kvar: Floats

    @cached_property
    def jacobian(self) -> Jacobian:
        circuit = Circuit(self.commands, tolerance=1e-9, max_iterations=500)
        circuit.finish()
        return Jacobian(read_network(circuit))

    @cached_property
    def ports(self) -> list[Port]:
        network = self.jacobian.network
        index = {node: i for i, node in enumerate(network.nodes)}
        places = [index[bus, phase] for bus in self.buses for phase in PHASES]
        return [Port(i, -1, float(network.base_v[i]), CONSTANT_POWER_WINDOW_PU) for i in places]

    def flow(self, n: int, settings: Sequence[Setting] | None = None, tolerance_pu: float = 1e-6) -> BatchPowerFlow:
        """The batch power flow of `n` scenarios."""
        return BatchPowerFlow(
            self.jacobian, [self.ports] * n, settings or [Setting(self.taps)] * n, tolerance_pu=tolerance_pu
        )

    def place(self, scenario: int, step: int) -> tuple[int, int]:
        """Run and step whose powers a scenario has."""
        return scenario % RUNS, (step + LATER_STEPS * (scenario // RUNS)) % self.kw.shape[1]

    def power_va(self, n: int, step: int) -> NDArray[np.complex128]:
        """Powers of `n` scenarios, shape (port, scenario)."""
        run, at = np.array([self.place(s, step) for s in range(n)]).T
        return np.ascontiguousarray(1e3 * (self.kw[run, at] + 1j * self.kvar[run, at]).T)

    def opendss(self, tolerance: float) -> Circuit:
        """The same in OpenDSS, with admittances of what is attached at the first step's powers, as in a closed loop."""
        circuit = Circuit(self.commands, tolerance=tolerance, max_iterations=500)
        for k, port in enumerate(self.ports):
            bus, phase = self.jacobian.network.nodes[port.begin]
            circuit.add_injection(f"{k}", bus, (phase,), port.base_v / 1e3, port.window_pu)
        regulators = read_regulators(circuit).regulators
        for name, ratio in self.taps:
            circuit.set_tap(regulators[name], ratio)
        circuit.finish()
        for k in range(len(self.ports)):
            circuit.edit_injection(k, float(self.kw[0, 0, k]), float(self.kvar[0, 0, k]))
        circuit.injection_kw[:], circuit.injection_kvar[:] = self.kw[0, 0], self.kvar[0, 0]
        circuit.solve()
        return circuit

    def with_sites(self, buses: Sequence[str], of: Sequence[int]) -> FlowCase:
        """The same circuit with other places, which draw what the places `of` drew."""
        columns = np.array([3 * k + phase for k in of for phase in range(3)])
        return replace(self, buses=tuple(buses), kw=self.kw[:, :, columns], kvar=self.kvar[:, :, columns])


@lru_cache
def recorded(name: str) -> FlowCase:
    """A bundled feeder with the sites, generators and loads of its recorded case, and their powers over the hour."""
    inputs, profiles = read_case(CASES / RECORDED[name])
    study = json.loads((ROOT / "data" / "feeders" / name / "study.json").read_text(encoding="utf-8"))
    inputs |= {"dt_s": "1", "control_dt_s": "1", "controllers": [{"kind": "ofo", "config": study["ofo"]}]}
    inputs["dc_constant_power_window_pu"] = list(CONSTANT_POWER_WINDOW_PU)
    runs = closed_loops(inputs, profiles, range(RUNS), Kind(measured=True))
    done = run_batch(runs, trace=range(RUNS))
    for run in done:
        if run.trace is None or run.failure:
            raise SystemExit(f"a recorded run of {name} failed: {run.failure}")
    by_site = [[site.power_w / 1e3 for site in run.trace.sites.values()] for run in done if run.trace is not None]
    kw = [np.concatenate(sites, axis=1) for sites in by_site]
    places: list[tuple[str, str, Floats | None]] = [("datacenter", site["bus"], None) for site in inputs["sites"]]
    for what, short, sign in (("generator", "gen", -1.0), ("load", "load", 1.0)):
        for i, entry in enumerate(inputs.get(f"{what}s", [])):
            places.append((what, entry["bus"], sign * profiles[f"{short}{i}_kw_per_phase"]))
    times = np.arange(len(kw[0]))
    for _, _, column in places:
        if column is not None:
            now = np.interp(times, profiles["time_s"], column)
            kw = [np.concatenate([one, np.repeat(now[:, None], 3, axis=1)], axis=1) for one in kw]
    slopes = [tan_phi(min(inputs["power_factor"][what], _cap(what))) for what, _, _ in places]
    powers = np.array(kw)
    feeder = Feeder.load(name)
    commands = (*feeder.commands, f"Edit Vsource.source pu={inputs['source_pu']:.12g}")
    taps = tuple(sorted(inputs["initial_taps"].items()))
    return FlowCase(name, commands, taps, tuple(bus for _, bus, _ in places), powers, powers * np.repeat(slopes, 3))


def _cap(what: str) -> float:
    return 1.0 if what == "datacenter" else GENERATOR_POWER_FACTOR_MAX


# --- synthetic feeders

LINE_KM, LOAD_MW = 6.0, 5.0
SYNTHETIC_TAPS = (("reg", 1.025),)
# Ohm and nF per km of one, two and three wires.
WIRES = {
    1: "rmatrix=(0.36) xmatrix=(0.84) cmatrix=(9.0)",
    2: "rmatrix=(0.29|0.10 0.29) xmatrix=(0.67|0.26 0.67) cmatrix=(9.0|-2.0 9.0)",
    3: "rmatrix=(0.19|0.06 0.19|0.06 0.06 0.19) xmatrix=(0.52|0.25 0.52|0.23 0.21 0.52) "
    "cmatrix=(10.0|-3.0 10.0|-2.0 -1.5 10.0)",
}
LOAD_MODELS = ((1, 0.5), (2, 0.15), (5, 0.15), (3, 0.05), (4, 0.1), (8, 0.05))


def radial_feeder(n_nodes: int, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """OpenDSS commands of a 12.47 kV radial feeder of about `n_nodes` nodes, and four three-phase buses for sites.

    Behind a substation and one three-phase regulator grows a tree of three-phase feeders with laterals of one, two
    and three phases; whatever its size, it is `LINE_KM` deep and carries `LOAD_MW`, on loads of mixed models between
    phase and ground or between phases.
    """
    draw = np.random.default_rng(seed)
    commands = [
        "New Circuit.synthetic basekv=115 pu=1.02 phases=3 bus1=sourcebus mvasc3=2000 mvasc1=2100",
        "New Transformer.sub phases=3 windings=2 buses=(sourcebus, sub) conns=(delta, wye) kvs=(115, 12.47) "
        "kvas=(20000, 20000) xhl=8 %rs=(0.5, 0.5)",
        "New Transformer.reg phases=3 windings=2 buses=(sub, b0.1.2.3) conns=(wye, wye) kvs=(12.47, 12.47) "
        "kvas=(20000, 20000) xhl=0.1 %loadloss=0.05",
        "New RegControl.reg transformer=reg winding=2 vreg=122 band=2 ptratio=60",
        *(f"New Linecode.wires{k} nphases={k} units=km {matrices}" for k, matrices in WIRES.items()),
    ]
    phases: list[tuple[int, ...]] = [PHASES]
    parent, depth = [0], [0]
    total = 9
    while total < n_nodes:
        # Mostly near the ends that grew last, so that the tree gets deep.
        at = int(draw.integers(max(0, int(0.8 * len(phases)) - 1), len(phases)))
        if draw.random() < 0.2:
            at = int(draw.integers(len(phases)))
        width = min(len(phases[at]), int(draw.choice([1, 2, 3], p=[0.25, 0.15, 0.6])))
        phases.append(tuple(sorted(draw.choice(phases[at], width, replace=False).tolist())))
        parent.append(at)
        depth.append(depth[at] + 1)
        total += width
    length_km = LINE_KM / max(depth)
    loads = []
    for bus in range(1, len(phases)):
        nodes = ".".join(map(str, phases[bus]))
        commands.append(
            f"New Line.l{bus} bus1=b{parent[bus]}.{nodes} bus2=b{bus}.{nodes} linecode=wires{len(phases[bus])} "
            f"length={length_km * draw.uniform(0.5, 1.0):.6f} units=km"
        )
        if draw.random() < 0.6:
            between = len(phases[bus]) > 1 and draw.random() < 0.3
            wires = draw.choice(phases[bus], 2 if between else 1, replace=False).tolist()
            model = int(draw.choice([m for m, _ in LOAD_MODELS], p=[p for _, p in LOAD_MODELS]))
            loads.append((bus, ".".join(map(str, wires)), between, model, draw.uniform(0.4, 1.6)))
    unit_kw = 1e3 * LOAD_MW / sum(size for *_, size in loads)
    for bus, nodes, between, model, size in loads:
        kind, kv = ("delta", 12.47) if between else ("wye", 12.47 / 3**0.5)
        zipv = " zipv=(0.4, 0.3, 0.3, 0.4, 0.3, 0.3, 0)" if model == 8 else ""
        commands.append(
            f"New Load.d{bus} bus1=b{bus}.{nodes} phases=1 conn={kind} kv={kv:.6f} kw={unit_kw * size:.6f} pf=0.95 "
            f"model={model} vminpu=0.8 vmaxpu=1.2{zipv}"
        )
    commands += ["Set voltagebases=(115, 12.47)", "Calcvoltagebases"]
    wide = [bus for bus in range(1, len(phases)) if len(phases[bus]) == 3]
    wide.sort(key=lambda bus: depth[bus])
    return tuple(commands), tuple(f"b{wide[int(share * (len(wide) - 1))]}" for share in (0.2, 0.45, 0.7, 0.95))


def synthetic(n_nodes: int) -> FlowCase:
    """A synthetic feeder whose four sites draw what those of the 123-bus feeder drew."""
    commands, buses = radial_feeder(n_nodes)
    like = recorded("ieee123").with_sites(buses, range(len(buses)))
    return replace(like, name=f"synthetic {n_nodes}", commands=commands, taps=SYNTHETIC_TAPS)


def describe(case: FlowCase) -> dict[str, Any]:
    """Sizes of a case."""
    jacobian = case.jacobian
    return {
        "nodes": jacobian.network.n_nodes,
        "entries": len(jacobian.elimination.lower_column),
        "loads": len(jacobian.load_places),
        "ports": len(case.ports),
    }
