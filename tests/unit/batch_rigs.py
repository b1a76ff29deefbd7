"""What the tests of the batch power flow share: small circuits, random sites, and OpenDSS solving the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network, read_network
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.regulators import read_regulators
from g2g_opt.feeder import Feeder

Rows = Sequence[Sequence[Port]]

# Tolerances (pu): what both are solved to, and what they may differ by (phasors, angles included).
OPENDSS_PU, BATCH_PU, AGREE_PU = 1e-11, 1e-10, 1e-8
# A matrix of 1e13 in condition costs OpenDSS and us 2e-9 pu each, whatever the tolerance.
ITERATIONS = 1000

LINECODE = (
    "New Linecode.lc nphases=3 units=km rmatrix=(0.3 | 0.1 0.31 | 0.09 0.11 0.32) "
    "xmatrix=(0.9 | 0.4 0.88 | 0.35 0.38 0.91) cmatrix=(12 | -3 12 | -3 -3 12)"
)


def circuit_commands(body: Iterable[str], *, source_pu: float = 1.0, after: Iterable[str] = ()) -> tuple[str, ...]:
    """A 12.47 kV source with an impedance at `head`, two kilometres of line to `end`, and what the test adds."""
    return (
        f"New Circuit.small bus1=head basekv=12.47 pu={source_pu} R1=0.2 X1=0.9 R0=0.4 X0=1.7",
        LINECODE,
        "New Line.first bus1=head bus2=end linecode=lc length=2 units=km",
        *body,
        "Set VoltageBases=[12.47 4.16 0.48 0.208]" if source_pu > 0.5 else "Set VoltageBases=[12.47]",
        "CalcVoltageBases",
        *after,
    )


@dataclass(frozen=True, eq=False)
class Case:
    """A circuit as commands and as the network read from it."""

    commands: tuple[str, ...]
    network: Network

    @staticmethod
    def of(commands: Iterable[str], tolerance_pu: float = OPENDSS_PU) -> Case:
        commands = tuple(commands)
        circuit = Circuit(commands, tolerance=tolerance_pu, max_iterations=ITERATIONS)
        circuit.finish()
        return Case(commands, read_network(circuit))

    def node(self, bus: str, phase: int) -> int:
        return self.network.nodes.index((bus, phase))

    def port(self, bus: str, phases: Sequence[int], window_pu: tuple[float, float] = (0.8, 1.2)) -> Port:
        """A port to ground (one phase) or between two, on a base as OpenDSS is told it (six digits of a kV)."""
        begin, *rest = (self.node(bus, phase) for phase in phases)
        base_kv = self.network.base_v[begin] / 1e3 * (math.sqrt(3) if rest else 1.0)
        return Port(begin, rest[0] if rest else -1, 1e3 * round(base_kv, 6), window_pu)

    def base_v(self) -> np.ndarray:
        return np.where(np.isfinite(self.network.base_v), self.network.base_v, np.inf)


class Reference:
    """OpenDSS on the same circuit, with a load wherever any of the scenarios has a port."""

    def __init__(self, case: Case, rows: Rows, tolerance_pu: float = OPENDSS_PU) -> None:
        self._network = network = case.network
        self._circuit = Circuit(case.commands, tolerance=tolerance_pu, max_iterations=ITERATIONS)
        self._place: dict[Port, int] = {}
        for port in dict.fromkeys(port for row in rows for port in row):
            (bus, phase), *rest = (network.nodes[node] for node in (port.begin, port.end) if node >= 0)
            self._place[port] = self._circuit.add_injection(
                f"x{len(self._place)}", bus, (phase, *(p for _, p in rest)), port.base_v / 1e3, port.window_pu
            )
        self._circuit.finish()
        assert tuple(zip(self._circuit.node_bus, self._circuit.node_phase.tolist(), strict=True)) == network.nodes

    def phasors(self, row: Sequence[Port], power_va: np.ndarray, setting: Setting) -> np.ndarray:
        """Node voltages (V) of one scenario."""
        circuit, network = self._circuit, self._network
        position = {**network.start_taps, **dict(setting.taps)}
        for name, regulator in read_regulators(circuit).regulators.items():
            circuit.set_tap(regulator, position[name])
        for capacitor in network.capacitors:
            closed = capacitor.name not in setting.open_capacitors
            circuit.command(f"Edit Capacitor.{capacitor.name} states=[{int(closed)}]")
        circuit.injection_kw[:] = circuit.injection_kvar[:] = 0.0
        for port, s in zip(row, power_va, strict=False):
            circuit.injection_kw[self._place[port]] += s.real / 1e3
            circuit.injection_kvar[self._place[port]] += s.imag / 1e3
        circuit.solve()
        return circuit.node_voltages().copy()


def differences_pu(
    case: Case,
    flow: BatchPowerFlow,
    rows: Rows,
    settings: Sequence[Setting],
    power_va: np.ndarray,
    reference: Reference | None = None,
) -> np.ndarray:
    """Complex differences of the flow's phasors from OpenDSS's (pu), shape (node, scenario)."""
    reference = reference or Reference(case, rows)
    expected = [reference.phasors(rows[s], power_va[:, s], settings[s]) for s in range(len(rows))]
    return (flow.phasors - np.array(expected).T) / case.base_v()[:, None]


def solve_and_compare(
    case: Case, rows: Rows, power_va: np.ndarray, settings: Sequence[Setting] | None = None
) -> BatchPowerFlow:
    """The flow of these scenarios, every one of them solved and as OpenDSS has it."""
    settings = settings or [Setting()] * len(rows)
    flow = BatchPowerFlow(case.network, rows, settings, tolerance_pu=BATCH_PU, phasors=True)
    flow.solve(power_va)
    assert flow.solved.all()
    assert np.abs(differences_pu(case, flow, rows, settings, power_va)).max() < AGREE_PU
    return flow


# --- random scenarios of the bundled feeders

# Behind a delta winding: what draws to ground there has nothing to return through, and OpenDSS makes up a voltage.
UNGROUNDED = ("610",)
WINDOWS_PU = ((0.8, 1.2), (0.95, 1.05), (0.98, 1.01))
# Largest power of one port (kW): enough to leave the narrow windows, not more than the feeder carries.
PORT_KW = {"ieee13": 600.0, "ieee34": 60.0, "ieee123": 120.0}


def random_sites(feeder: Feeder, case: Case, rng: np.random.Generator, n: int) -> list[list[Port]]:
    """One to five sites a scenario, each with a port per phase or between phases."""
    network = case.network
    source = network.nodes[0][0]
    buses = [bus for bus in network.buses.values() if bus.name != source and bus.kv_ln < 20.0 and bus.phases]
    rows = []
    for _ in range(n):
        row = []
        for k in rng.choice(len(buses), size=rng.integers(1, 6), replace=False):
            phases, window = buses[k].phases, WINDOWS_PU[rng.integers(len(WINDOWS_PU))]
            pairs = {3: [(1, 2), (2, 3), (3, 1)], 2: [phases]}.get(len(phases), [])
            between = rng.random() < 0.5 or buses[k].name in UNGROUNDED
            ends = pairs if pairs and between else [(phase,) for phase in phases]
            row += [case.port(buses[k].name, end, window) for end in ends]
        rows.append(row)
    return rows


def random_powers(feeder: Feeder, rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Powers (W + j var, port by scenario), a third of them generation."""
    width = max(len(row) for row in rows)
    power = 1e3 * PORT_KW[feeder.name] * rng.uniform(-0.5, 1.0, (width, len(rows)))
    power = power * (1 + 1j * rng.uniform(-0.5, 0.5, power.shape))
    for s, row in enumerate(rows):
        power[len(row) :, s] = 0.0
    return power


def random_setting(feeder: Feeder, case: Case, rng: np.random.Generator) -> Setting:
    """Any tap a regulator has, and about a third of the capacitors off."""
    taps = []
    for name, regulator in feeder.regulators.items():
        steps = round((regulator.tap_max_pu - regulator.tap_min_pu) / regulator.tap_step_pu)
        taps.append((name, regulator.tap_min_pu + regulator.tap_step_pu * int(rng.integers(steps // 4, steps + 1))))
    return Setting(tuple(taps), tuple(c.name for c in case.network.capacitors if rng.random() < 0.35))


def branch_pu(case: Case, flow: BatchPowerFlow, begin: np.ndarray, end: np.ndarray, base_v: np.ndarray) -> np.ndarray:
    """Voltages across branches in pu of their own bases, shape (branch, scenario)."""
    volts = np.vstack([flow.phasors, np.zeros((1, flow.n))])  # place -1 is ground
    return np.abs(volts[begin] - volts[end]) / base_v[:, None]
