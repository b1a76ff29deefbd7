"""What share of OpenDSS's solutions the batch engine finds, how near it comes, and in what time.

    python benchmarks/solved_share.py                              # circuits of our own making
    python benchmarks/solved_share.py --circuits FOLDER            # every master file below a folder, too
    python benchmarks/solved_share.py nodes_3000 low_voltages --scenarios 64

Random scenarios of each circuit: its loads scaled, some of their power moved from bus to bus, sites and generation
added on one phase, between two or on three, taps moved. OpenDSS solves each at a tolerance of 1e-10 from the circuit's
own solution (`Circuit`), the engine at 1e-8, all scenarios in one batch. Then the scenarios go through a few steps
(powers up and down by 3 %), the engine at batch 64 and OpenDSS, both at 1e-6 and from the step before: CPU time per
flow. Differences are those of judged voltages, `within` counts those below 1e-7 pu or what rounding may cost any solver
(`rounding`), `two` the others that the engine flags as beside a second solution.
"""

from __future__ import annotations

import os

from measuring import THREAD_VARIABLES, machine

os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from share_circuits import OWN

from g2g_opt.batch.checked_network import ROUNDING_TIMES, load_jacobian, rounding
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.load_law import admittance
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.regulators import read_regulators
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.errors import G2GError
from g2g_opt.feeder import Feeder

SCENARIOS, BATCH, STEPS, OPENDSS_FLOWS = 32, 64, 6, 24
TIGHT, OURS, TIMED = 1e-10, 1e-8, 1e-6
ROUNDS = 1000
WINDOW_PU = (0.8, 1.2)
AGREE_PU = 1e-7


@dataclass
class Scenario:
    """Share of the circuit's own loads, taps, and power (VA) at each port of its own."""

    share: float
    taps: tuple[tuple[str, float], ...]
    ports: list[Port]
    power_va: NDArray[np.complex128]


@dataclass
class Counted:
    """What came out of one circuit."""

    name: str
    nodes: int = 0
    set_up_s: float = 0.0
    opendss_solved: int = 0
    also_solved: int = 0
    only_ours: int = 0
    differences_pu: list[float] = field(default_factory=list)
    second_pu: list[float] = field(default_factory=list)
    rounding_pu: float = 0.0
    our_us: float = float("nan")
    opendss_us: float = float("nan")
    flow_solved: float = float("nan")
    note: str = ""


def rated_kw(network: Network) -> float:
    """What the circuit's own branches draw at rated voltage (kW), generation aside."""
    pairs = zip(network.load_law, network.load_base_v, strict=True)
    return sum(max(0.0, admittance(law, v).real * v * v / 1e3) for law, v in pairs)


def draw(feeder: Feeder, jacobian: Jacobian, rng: np.random.Generator, hard: float) -> Scenario:
    """A random scenario; `hard` scales its sites and how far loads are moved."""
    network = jacobian.network
    index = {node: i for i, node in enumerate(network.nodes)}
    roles = [
        bus
        for bus in feeder.buses.values()
        if bus.kv_ln > 0.0 and bus.phases and all(network.alive[index[bus.name, p]] for p in bus.phases)
    ]
    law_kw = rated_kw(network)
    ports, power = [], []

    def attach(kw: float, pf_tan: float) -> None:
        bus = roles[rng.integers(len(roles))]
        pairs = [(index[bus.name, a], index[bus.name, b] if b else -1) for a, b in bus.judged_pairs()]
        if rng.random() < 0.4:
            pairs = [pairs[rng.integers(len(pairs))]]
        base_kv = bus.kv_between_phases if bus.three_wire else bus.kv_ln
        # No more than a fraction of what a low-voltage bus could ever carry.
        kw = min(abs(kw), 400.0 * len(pairs) * base_kv**2) * np.sign(kw)
        for begin, end in pairs:
            ports.append(Port(begin, end, 1e3 * round(base_kv, 6), WINDOW_PU))
            power.append(1e3 * kw / len(pairs) * (1 + 1j * pf_tan))

    for _ in range(rng.integers(0, 4)):
        attach(hard * law_kw * rng.uniform(0.02, 0.3), rng.uniform(0.0, 0.5))
    for _ in range(rng.integers(0, 3)):
        moved = hard * law_kw * rng.uniform(0.01, 0.1)
        attach(moved, 0.3)
        attach(-moved, 0.3)
    if rng.random() < 0.4:
        attach(-hard * law_kw * rng.uniform(0.05, 0.4), 0.0)
    taps = []
    for name, ratio in network.start_taps.items():
        regulator = feeder.regulators[name]
        taps.append((name, regulator.clipped(ratio + regulator.tap_step_pu * int(rng.integers(-4, 5)))))
    return Scenario(
        float(rng.uniform(0.3, 1.0 + 0.3 * hard)), tuple(sorted(taps)), ports, np.array(power, dtype=np.complex128)
    )


class OpenDSSSide:
    """OpenDSS with an injection wherever any scenario has a port."""

    def __init__(self, feeder: Feeder, scenarios: Sequence[Scenario], nodes: Sequence[tuple[str, int]], tol: float):
        self.circuit = Circuit(feeder.commands, tolerance=tol, max_iterations=ROUNDS)
        self._place: dict[Port, int] = {}
        for port in dict.fromkeys(port for scenario in scenarios for port in scenario.ports):
            (bus, phase), *rest = (nodes[node] for node in (port.begin, port.end) if node >= 0)
            numbers = (phase, *(p for _, p in rest))
            self._place[port] = self.circuit.add_injection(
                f"x{len(self._place)}", bus, numbers, port.base_v / 1e3, port.window_pu
            )
        self.circuit.finish()
        self._regulators = read_regulators(self.circuit).regulators
        self._start = {name: self.circuit.tap(r) for name, r in self._regulators.items()}

    def set(self, scenario: Scenario | None, factor: float = 1.0) -> None:
        circuit = self.circuit
        circuit.injection_kw[:] = circuit.injection_kvar[:] = 0.0
        if scenario is not None:
            for port, s in zip(scenario.ports, scenario.power_va, strict=True):
                circuit.injection_kw[self._place[port]] += factor * s.real / 1e3
                circuit.injection_kvar[self._place[port]] += factor * s.imag / 1e3
        circuit.set_load_share(scenario.share if scenario is not None else 1.0)
        taps = dict(scenario.taps) if scenario is not None else self._start
        for name, regulator in self._regulators.items():
            circuit.set_tap(regulator, taps[name])

    def solve(self, scenario: Scenario | None) -> NDArray[np.complex128] | None:
        """Node voltages from the circuit's own solution; None if OpenDSS has none."""
        try:
            self.set(None)
            self.circuit.solve()
            self.set(scenario)
            self.circuit.solve()
        except G2GError:
            return None
        volts = self.circuit.node_voltages().copy()
        return volts if np.isfinite(volts).all() else None


def batch(jacobian: Jacobian, scenarios: Sequence[Scenario], tolerance: float, shared: bool = False) -> BatchPowerFlow:
    """The engine's side of scenarios; `shared`: with the taps of the first one in all."""
    settings = [Setting(scenarios[0].taps if shared else one.taps) for one in scenarios]
    flow = BatchPowerFlow(jacobian, [one.ports for one in scenarios], settings, tolerance_pu=tolerance, phasors=True)
    share = np.full(flow.n_slots, scenarios[-1].share)
    share[: len(scenarios)] = [one.share for one in scenarios]
    # Behind the loads come parts of generators, PV systems and storage, which no load level scales.
    of_loads = flow.load_share.reshape(flow.n_chunks, -1, WIDTH)[:, : len(jacobian.network.load_shapes)]
    of_loads[:] = share.reshape(flow.n_chunks, 1, WIDTH)
    return flow


def powers(scenarios: Sequence[Scenario], width: int, factor: float = 1.0) -> NDArray[np.complex128]:
    padded = np.zeros((width, len(scenarios)), dtype=np.complex128)
    for s, one in enumerate(scenarios):
        padded[: len(one.power_va), s] = factor * one.power_va
    return padded


def count(name: str, feeder: Feeder, n: int, seed: int, hard: float) -> Counted:
    """Solve and time one circuit."""
    found = Counted(name)
    began = time.process_time()
    try:
        jacobian = load_jacobian(tuple(feeder.commands), tuple(feeder.buses.values()))
    except UnsupportedByBatch as reason:
        found.note = str(reason)
        return found
    found.set_up_s = time.process_time() - began
    network = jacobian.network
    found.nodes = network.n_nodes
    found.rounding_pu = rounding(jacobian)[0]
    scenarios = [draw(feeder, jacobian, np.random.default_rng([seed, k]), hard) for k in range(n)]
    flow = batch(jacobian, scenarios, OURS)
    flow.solve(powers(scenarios, flow.ports.n_ports))
    reference = OpenDSSSide(feeder, scenarios, network.nodes, TIGHT)
    judged = network.judged
    monitored = network.alive & judged.monitored & np.isfinite(network.base_v)
    for s, scenario in enumerate(scenarios):
        volts = reference.solve(scenario)
        if volts is None:
            found.only_ours += bool(flow.solved[s])
            continue
        found.opendss_solved += 1
        if flow.solved[s]:
            found.also_solved += 1
            off = np.abs(judged.magnitudes_pu(volts) - judged.magnitudes_pu(flow.phasors[:, s]))[monitored]
            found.differences_pu.append(float(off.max()))
            found.second_pu.append(float(flow.second_solution_pu[s]))
    _time(found, feeder, jacobian, scenarios)
    return found


def _time(found: Counted, feeder: Feeder, jacobian: Jacobian, scenarios: Sequence[Scenario]) -> None:
    """CPU microseconds per flow of either side over a few steps; taps are those of the circuit."""
    start = tuple(sorted(jacobian.network.start_taps.items()))
    like = [scenarios[k % len(scenarios)] for k in range(BATCH)]
    # A sweep of one bus has the same ports and taps in all lanes.
    like = [Scenario(one.share, start, like[0].ports, like[0].power_va * (k + 1) / BATCH) for k, one in enumerate(like)]
    flow = batch(jacobian, like, TIMED, shared=True)
    factors = 1.0 + 0.03 * np.sin(np.arange(STEPS))
    flow.solve(powers(like, flow.ports.n_ports))
    spent, solved = 0.0, []
    for factor in factors:
        power = powers(like, flow.ports.n_ports, float(factor))
        began = time.process_time()
        flow.solve(power)
        spent += time.process_time() - began
        solved.append(flow.solved.mean())
    found.our_us, found.flow_solved = 1e6 * spent / STEPS / BATCH, float(np.mean(solved))
    other = OpenDSSSide(feeder, like, jacobian.network.nodes, TIMED)
    spent, flows = 0.0, 0
    for one in like[:: max(1, BATCH * STEPS // OPENDSS_FLOWS)]:
        if other.solve(one) is None:
            continue
        kw = np.outer(factors, other.circuit.injection_kw)
        kvar = np.outer(factors, other.circuit.injection_kvar)
        phasors = np.zeros((STEPS, jacobian.network.n_nodes), dtype=np.complex128)
        began = time.process_time()
        solved_here = other.circuit.solve_block(kw, kvar, phasors)
        if solved_here == STEPS:
            spent += time.process_time() - began
            flows += STEPS
    found.opendss_us = 1e6 * spent / flows if flows else float("nan")


def masters(folder: Path) -> dict[str, Path]:
    """Circuits below a folder by name: what begins one or is called a master, without files that such a one reads."""
    begins = re.compile(rb"^\s*new\s+(object\s*=\s*)?\"?circuit\.", re.IGNORECASE | re.MULTILINE)
    found: dict[str, Path] = {}
    for place in sorted({path.parent for path in folder.rglob("*") if path.suffix.lower() == ".dss"}):
        files = sorted(path for path in place.iterdir() if path.suffix.lower() == ".dss")
        of_place = [path for path in files if "master" in path.stem.lower()]
        of_place = of_place or [path for path in files if begins.search(path.read_bytes())]
        found |= {f"{place.name}/{path.stem}": path for path in of_place}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"circuits (default: all of {', '.join(OWN)} and those of --circuits)")
    parser.add_argument("--circuits", type=Path, help="a folder of circuits to count, too")
    parser.add_argument("--scenarios", type=int, default=SCENARIOS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hard", type=float, default=1.0, help="scale of sites and moved loads (default 1)")
    asked = parser.parse_args()
    files = masters(asked.circuits) if asked.circuits else {}
    wanted = asked.names or [*OWN, *files]
    print(machine())
    head = ("circuit", "nodes", "set-up s", "OpenDSS", "also ours", "only ours", "median pu", "worst pu", "rounding")
    form = "{:32}{:>7}{:>10}{:>9}{:>10}{:>10}{:>11}{:>10}{:>10}{:>8}{:>5}{:>10}{:>12}{:>8}{:>8}"
    print(form.format(*head, "within", "two", "ours us", "OpenDSS us", "ratio", "solved"))
    total = np.zeros(4, dtype=int)
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            if name in files:
                path = files[name]
            elif name in OWN:
                path = Path(folder) / f"{name}.dss"
                path.write_text("\n".join(["Clear", *OWN[name]()]) + "\n", encoding="utf-8")
            else:
                parser.error(f"no circuit {name!r}; known: {[*OWN, *files]}")
            try:
                got = count(name, Feeder.from_dss(path), asked.scenarios, asked.seed, asked.hard)
            except G2GError as error:
                got = Counted(name, note=f"{type(error).__name__}: {error}")
        allowed = max(AGREE_PU, ROUNDING_TIMES * got.rounding_pu)
        near = sum(off < allowed for off in got.differences_pu)
        two = sum(o >= allowed and s > 0.0 for o, s in zip(got.differences_pu, got.second_pu, strict=True))
        total += (got.opendss_solved, got.also_solved, near, two)
        figures = (
            f"{np.median(got.differences_pu):.1e}" if got.differences_pu else "-",
            f"{max(got.differences_pu):.1e}" if got.differences_pu else "-",
            f"{got.rounding_pu:.1e}",
            near,
            two,
            f"{got.our_us:.1f}",
            f"{got.opendss_us:.1f}",
            f"{got.opendss_us / got.our_us:.1f}",
            f"{got.flow_solved:.3f}",
        )
        counts = (got.nodes, f"{got.set_up_s:.2f}", got.opendss_solved, got.also_solved, got.only_ours)
        print(form.format(got.name, *counts, *figures), got.note, flush=True)
    print(
        f"of {total[0]} that OpenDSS solved the engine solved {total[1]}, {total[2]} within {AGREE_PU:g} pu or "
        f"rounding, {total[3]} of the others flagged as beside a second solution"
    )


if __name__ == "__main__":
    main()
