"""Converged OpenDSS solutions against physics worked out here: fixed points by hand, current balance, a second engine.

Nothing below reads an answer of `circuit.py` that it also checks: expected figures come from numpy, or from a context
of OpenDSSDirect.py that this file fills with commands of its own.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steady_site import SteadySite

from g2g_opt.circuit.branches import read_branches
from g2g_opt.circuit.elements import load_branches
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import LoadBranch
from g2g_opt.coordinator import Coordinator
from g2g_opt.feeder import Feeder
from g2g_opt.grid.loading import BranchLoading
from g2g_opt.grid.opendss import OpenDSSGrid

FEEDERS = ("ieee13", "ieee34", "ieee123")
SITE_BUS = {"ieee13": "671", "ieee34": "850", "ieee123": "60"}
TIGHT: dict[str, Any] = {"tolerance": 1e-10, "max_iterations": 300}
# --- one bus behind a line, solved by hand

KV_LL, SOURCE_PU = 12.47, 1.03
R1, X1, R0, X0 = 0.1, 0.6, 0.2, 1.5  # of the source, ohm
R_LINE = np.array([[0.30, 0.10, 0.09], [0.10, 0.31, 0.11], [0.09, 0.11, 0.32]])  # ohm per km
X_LINE = np.array([[0.90, 0.40, 0.35], [0.40, 0.88, 0.38], [0.35, 0.38, 0.91]])
LENGTH_KM = 2.5
OWN_KVA = np.array([900 + 300j, 600 + 350j, 1100 + 250j])  # three single-phase loads of the circuit itself


def lower(matrix: np.ndarray) -> str:
    return " | ".join(" ".join(f"{matrix[i, j]:.6g}" for j in range(i + 1)) for i in range(3))


def write_one_bus_circuit(folder: Path) -> Path:
    loads = "\n".join(
        f"New Load.own{p} bus1=end.{p} phases=1 conn=wye kV={KV_LL / math.sqrt(3):.12g} kW={s.real:g} kvar={s.imag:g} "
        f"model=1 vminpu=0.6 vmaxpu=1.4"
        for p, s in enumerate(OWN_KVA, start=1)
    )
    path = folder / "one_bus.dss"
    path.write_text(
        f"""Clear
New Circuit.one_bus bus1=head basekv={KV_LL} pu={SOURCE_PU} angle=0 R1={R1} X1={X1} R0={R0} X0={X0}
New Linecode.lc nphases=3 units=km rmatrix=({lower(R_LINE)}) xmatrix=({lower(X_LINE)}) cmatrix=(0 | 0 0 | 0 0 0)
New Line.feeder bus1=head bus2=end linecode=lc length={LENGTH_KM} units=km normamps=300
{loads}
Set VoltageBases=[{KV_LL}]
CalcVoltageBases
"""
    )
    return path


def impedance_from_source() -> tuple[np.ndarray, np.ndarray]:
    """Impedance of source and line (ohm), and the source's own, as phase matrices."""
    z1, z0 = complex(R1, X1), complex(R0, X0)
    source = np.full((3, 3), (z0 - z1) / 3) + np.eye(3) * z1
    return source + (R_LINE + 1j * X_LINE) * LENGTH_KM, source


def fixed_point(wye_va: np.ndarray, delta_va: np.ndarray) -> np.ndarray:
    """Voltages (V) at the end of the line: V = E - Z I(V), iterated to rest."""
    z, _ = impedance_from_source()
    turn = np.exp(-2j * np.pi / 3 * np.arange(3))
    emf = SOURCE_PU * KV_LL * 1e3 / math.sqrt(3) * turn
    v = emf.copy()
    for _ in range(2000):
        between = v - np.roll(v, -1)  # a-b, b-c, c-a
        branch_a = np.conj(delta_va / between)
        new = emf - z @ (np.conj(wye_va / v) + branch_a - np.roll(branch_a, 1))
        if np.abs(new - v).max() < 1e-11 * abs(emf[0]):
            return np.asarray(new)
        v = new
    raise AssertionError("the hand calculation did not come to rest")


@pytest.mark.parametrize("connection", ["wye", "delta"])
def test_one_bus_behind_a_line_matches_the_fixed_point_by_hand(tmp_path: Path, connection: str) -> None:
    feeder = Feeder.from_dss(write_one_bus_circuit(tmp_path))
    site_w = np.array([700e3, 1200e3, 300e3])
    grid = OpenDSSGrid(feeder=feeder, **TIGHT)
    grid.attach_dc(SteadySite("dc", power_w=tuple(site_w)), bus="end", connection_type=connection, power_factor=0.9)
    Coordinator(datacenters=grid.attached_datacenters, grid=grid, total_duration_s=1).run()

    site_va = site_w * (1 + 1j * math.tan(math.acos(0.9)))
    own_va = OWN_KVA * 1e3
    nothing = np.zeros(3)
    v = fixed_point(own_va + site_va, nothing) if connection == "wye" else fixed_point(own_va, site_va)
    got = grid.state
    assert got is not None
    np.testing.assert_allclose(got.voltages["end"], np.abs(v) / (KV_LL * 1e3 / math.sqrt(3)), atol=1e-8)
    # The head of the line sees the source's own drop only: V_head = V_end + Z_line I.
    z, z_source = impedance_from_source()
    emf = SOURCE_PU * KV_LL * 1e3 / math.sqrt(3) * np.exp(-2j * np.pi / 3 * np.arange(3))
    head = emf - z_source @ np.linalg.solve(z, emf - v)
    np.testing.assert_allclose(got.voltages["head"], np.abs(head) / (KV_LL * 1e3 / math.sqrt(3)), atol=1e-8)


def test_one_bus_without_a_site_matches_the_fixed_point_and_its_losses(tmp_path: Path) -> None:
    feeder = Feeder.from_dss(write_one_bus_circuit(tmp_path))
    circuit = Circuit(feeder.commands, **TIGHT)
    circuit.finish()
    circuit.solve()
    v = fixed_point(OWN_KVA * 1e3, np.zeros(3))
    end = [circuit.node_index["end", p] for p in (1, 2, 3)]
    np.testing.assert_allclose(circuit.node_voltages()[end], v, atol=1e-4)  # phasors, V, of 7,200
    current = np.conj(OWN_KVA * 1e3 / v)
    line = (R_LINE + 1j * X_LINE) * LENGTH_KM
    assert circuit.losses_kw() == pytest.approx((np.conj(current) @ line @ current).real / 1e3, rel=1e-6)
    loading = BranchLoading.of(circuit)
    assert loading.names == ["line.feeder"]
    row_pu = loading.conductor_loading_pu(circuit.node_voltages()[None])
    assert loading.loading_pu(row_pu)[0, 0] == pytest.approx(np.abs(current).max() / 300, rel=1e-6)


# --- current balance on the bundled feeders, from admittances and load equations (5.1)


def branch_current_a(load: LoadBranch, volts: complex) -> complex:
    """Current of one branch of a load by (5.1), straight from the text."""
    base, (v_min, v_max) = load.branch_base_v, load.window_pu
    power = complex(load.kw, load.kvar) * 1e3 / len(load.branch_nodes())
    y_eq = power.conjugate() / base**2
    size = abs(volts)
    low_v, low_a = 0.5 * base, y_eq * 0.5 * base
    match load.model:
        case 2:
            return y_eq * volts
        case 1 | 5:
            if size <= low_v:
                return y_eq * volts
            if size <= v_min * base:
                edge_a = y_eq * base / v_min if load.model == 1 else y_eq * base
                steep = (edge_a - low_a) / (v_min * base - low_v)
                return (low_a + steep * (size - low_v)) * volts / size
            if size > v_max * base:
                return y_eq * volts / (v_max**2 if load.model == 1 else v_max)
            inside = power if load.model == 1 else power * size / base
            return (inside / volts).conjugate()
        case 4:
            assert v_min * base <= size <= v_max * base, "no model-4 load of these feeders is outside its window here"
            return (complex(power.real * size / base, power.imag * (size / base) ** 2) / volts).conjugate()
    raise AssertionError(f"model {load.model} has no equation here")


@pytest.mark.parametrize("site_kw", [0.0, 300.0])
@pytest.mark.parametrize("name", FEEDERS)
def test_currents_balance_at_every_node(name: str, site_kw: float) -> None:
    feeder = Feeder.load(name)
    circuit = Circuit(feeder.commands, **TIGHT)
    bus = feeder.bus(SITE_BUS[name])
    for phase in (1, 2, 3):
        circuit.add_injection(f"site{phase}", bus.name, (phase,), bus.kv_ln, (0.7, 1.3))
    assert feeder.initial_taps is not None
    for regulator, ratio in feeder.initial_taps.regulators.items():
        circuit.set_tap(feeder.regulator(regulator), ratio)
    circuit.finish()
    circuit.injection_kw[:] = site_kw
    circuit.injection_kvar[:] = 0.4 * site_kw
    circuit.solve()
    v = np.append(circuit.node_voltages(), 0.0)  # place -1 is ground
    leaving, flowing = np.zeros(len(v), dtype=complex), np.zeros(len(v))

    def add(node: int, amperes: complex) -> None:
        leaving[node] += amperes
        flowing[node] += abs(amperes)

    for branch in read_branches(circuit):
        for node, amperes in zip(branch.nodes, branch.yprim @ v[branch.nodes], strict=True):
            add(int(node), amperes)
    for load in load_branches(circuit):
        for start, end in load.branch_nodes():
            amperes = branch_current_a(load, v[start] - v[end])
            add(start, amperes)
            add(end, -amperes)
    for phase in (1, 2, 3):
        node = circuit.node_index[bus.name, phase]
        add(node, (complex(site_kw, 0.4 * site_kw) * 1e3 / v[node]).conjugate())
    capacitors = Path(__file__).parents[2] / "data/feeders" / name / "capacitors.csv"
    if capacitors.exists():
        rows = [line.split(",") for line in capacitors.read_text().splitlines()]
        for row in (dict(zip(rows[0], cells, strict=True)) for cells in rows[1:]):
            at, _, phase_text = row["bus1"].lower().partition(".")
            phases = [int(p) for p in phase_text.split(".")] if phase_text else [1, 2, 3]
            kv_phase = float(row["kv"]) / (math.sqrt(3) if len(phases) > 1 else 1.0)
            siemens = float(row["kvar"]) / len(phases) * 1e3 / (kv_phase * 1e3) ** 2
            for phase in phases:
                node = circuit.node_index[at, phase]
                add(node, 1j * siemens * v[node])
    source = circuit.node_bus[0]
    for node, at in enumerate(circuit.node_bus):
        if at != source:
            assert abs(leaving[node]) < 1e-5 * max(flowing[node], 1.0), (at, circuit.node_phase[node], leaving[node])
    assert sum(flowing) > 100.0  # the balance is of real currents, not of zeros


# --- a second engine context: OpenDSSDirect.py


def reference_engine(commands: tuple[str, ...]) -> Any:
    from opendssdirect import dss

    engine = dss.NewContext()
    for text in ("Clear", *commands):
        engine.Text.Command(text)
    engine.Text.Command("Set ControlMode=Off tolerance=1e-10 maxiterations=300")
    return engine


def branch_loading_pu(loading: BranchLoading, phasors: np.ndarray) -> np.ndarray:
    return np.asarray(loading.loading_pu(loading.conductor_loading_pu(phasors[None]))[0])


def reference_loading_pu(engine: Any, names: list[str]) -> np.ndarray:
    """Largest phase-conductor current over its rating, by OpenDSS's own element currents.

    Of a line at its first terminal, of a transformer at every winding, rated in proportion to its own kVA and kV.
    """
    largest = []
    for name in names:
        assert engine.Circuit.SetActiveElement(name) >= 0
        magnitudes = np.array(engine.CktElement.CurrentsMagAng()[0::2]).reshape(engine.CktElement.NumTerminals(), -1)
        phases, rating_a = engine.CktElement.NumPhases(), engine.CktElement.NormalAmps()
        shares = [1.0]
        if name.startswith("transformer."):
            engine.Transformers.Name(name.partition(".")[2])
            sizes = []
            for winding in range(1, engine.Transformers.NumWindings() + 1):
                engine.Transformers.Wdg(winding)
                sizes.append(engine.Transformers.kVA() / engine.Transformers.kV())
            shares = [size / sizes[0] for size in sizes]
        largest.append(max(magnitudes[t, :phases].max() / (share * rating_a) for t, share in enumerate(shares)))
    return np.array(largest)


@pytest.mark.parametrize("name", FEEDERS)
def test_voltages_and_branch_currents_match_another_context_before_and_after_a_tap_change(name: str) -> None:
    feeder = Feeder.load(name)
    bus = feeder.bus(SITE_BUS[name])
    kw, kvar = np.array([250.0, 400.0, 100.0]), np.array([60.0, 150.0, 10.0])
    circuit = Circuit(feeder.commands, **TIGHT)
    for phase in (1, 2, 3):
        circuit.add_injection(f"site{phase}", bus.name, (phase,), bus.kv_ln, (0.7, 1.3))
    circuit.finish()
    circuit.injection_kw[:], circuit.injection_kvar[:] = kw, kvar
    site = tuple(
        f"New Load.other{p + 1} bus1={bus.name}.{p + 1} phases=1 kV={bus.kv_ln:.12g} kW={kw[p]} kvar={kvar[p]} model=1 "
        "vminpu=0.7 vmaxpu=1.3"
        for p in range(3)
    )
    engine = reference_engine((*feeder.commands, *site))
    previous = None
    for ratio in (None, 0.95):
        if ratio is not None:
            regulator = next(iter(feeder.regulators.values()))
            circuit.set_tap(regulator, ratio)
            engine.Text.Command(f"Transformer.{regulator.transformer}.wdg={regulator.winding} tap={ratio}")
        circuit.solve()
        engine.Solution.Solve()
        assert engine.Solution.Converged()
        by_name = dict(
            zip((n.lower() for n in engine.Circuit.AllNodeNames()), engine.Circuit.AllBusMagPu(), strict=True)
        )
        ours = np.abs(circuit.node_voltages()) / circuit.node_base_v
        reference = [by_name[f"{b}.{p}"] for b, p in zip(circuit.node_bus, circuit.node_phase, strict=True)]
        np.testing.assert_allclose(ours, reference, atol=2e-7)
        loading = BranchLoading.of(circuit)
        shares = branch_loading_pu(loading, circuit.node_voltages())
        expected = reference_loading_pu(engine, loading.names)
        assert len(shares) > 10
        np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-5)
        assert circuit.losses_kw() == pytest.approx(engine.Circuit.Losses()[0] / 1e3, rel=1e-5)
        if previous is not None:
            assert np.abs(shares - previous).max() > 1e-3  # the tap change was one that shows
        previous = shares


def test_loading_recorded_in_a_run_follows_a_tap_change() -> None:
    from g2g_opt.controller.tap_schedule import TapScheduleController
    from g2g_opt.tap_position import TapPosition

    schedule = TapPosition(regulators={"creg1a": 0.95}).at(1.0)
    grid = OpenDSSGrid(feeder="ieee13", record_loading=True, **TIGHT)
    site = SteadySite("dc", power_w=(800e3, 800e3, 800e3))
    grid.attach_dc(site, bus="671")
    taps_at_1_s = TapScheduleController(schedule=schedule)
    Coordinator(datacenters=[site], grid=grid, controllers=[taps_at_1_s], total_duration_s=4).run()
    assert grid.record.loading is not None
    names, loading = grid.record.loading.names, grid.record.loading_pu
    tan = math.tan(math.acos(0.95))
    kv = Feeder.load("ieee13").bus("671").kv_ln
    loads = tuple(
        f"New Load.o{p} bus1=671.{p} phases=1 kV={kv:.12g} kW=800 kvar={800 * tan:.12g} model=1 vminpu=0.8 vmaxpu=1.2"
        for p in (1, 2, 3)
    )
    engine = reference_engine((*Feeder.load("ieee13").commands, "Edit Vsource.source pu=1.0", *loads))
    for steps, taps in (((0, 1), (1.0875, 1.0375, 1.09375)), ((2, 3), (0.95, 1.0375, 1.09375))):
        for transformer, tap in zip(("reg1a", "reg1b", "reg1c"), taps, strict=True):
            engine.Text.Command(f"Transformer.{transformer}.wdg=2 tap={tap}")
        engine.Solution.Solve()
        expected = reference_loading_pu(engine, names)
        for step in steps:
            np.testing.assert_allclose(loading[step], expected, rtol=1e-4, atol=1e-5)
