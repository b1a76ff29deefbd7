"""Scenarios of so many ports that their equations are not solved by themselves: flows are those that they were."""

from __future__ import annotations

import numpy as np
import pytest

from g2g_opt.batch import ports as port_tables
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid

pytestmark = pytest.mark.xdist_group("batch_power_flow")

FEEDER = Feeder.load("ieee123")
JACOBIAN = load_jacobian(tuple(OpenDSSGrid(feeder=FEEDER).setup.commands()), tuple(FEEDER.buses.values()))
SETTING = Setting(tuple(sorted(JACOBIAN.network.start_taps.items())))
INDEX = {node: i for i, node in enumerate(JACOBIAN.network.nodes)}


def sites(n: int) -> list[Port]:
    """Three ports each at the first n buses of three phases."""
    return [
        Port(INDEX[bus, phase], -1, 1e3 * FEEDER.bus(bus).kv_ln, (0.8, 1.2))
        for bus in FEEDER.candidate_buses[:n]
        for phase in (1, 2, 3)
    ]


def powers(rows: list[list[Port]], seed: int) -> np.ndarray:
    """W and var (port, scenario), each row's own whatever stands beside it."""
    found = np.zeros((max(map(len, rows)), len(rows)), dtype=np.complex128)
    for k, row in enumerate(rows):
        draw = np.random.default_rng([seed, len(row)])
        found[: len(row), k] = draw.uniform(2e3, 2.5e4, len(row)) * (1.0 + 0.3j)
    return found


def solved(rows: list[list[Port]]) -> tuple[np.ndarray, BatchPowerFlow]:
    """Voltages (node, scenario) after two flows, the second from the first."""
    flow = BatchPowerFlow(JACOBIAN, rows, [SETTING] * len(rows), tolerance_pu=1e-9)
    for seed in (0, 1):
        flow.solve(powers(rows, seed))
    assert flow.solved.all()
    return flow.voltage_pu.copy(), flow


def test_many_ports_come_to_the_voltages_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [sites(40)] * 3
    voltage, flow = solved(rows)
    assert flow.ports.table.n_many.tolist() == [16]
    assert flow.ports.table.shared_blocks.size == 0
    monkeypatch.setattr(port_tables, "_MANY", np.inf)
    by_equations, flow = solved(rows)
    assert flow.ports.table.n_many.tolist() == [0]
    assert np.abs(voltage - by_equations).max() < 2e-9
    assert voltage.min() < 0.99


def test_a_scenario_of_many_or_few_ports_is_the_same_alone_and_beside_the_other() -> None:
    rows = [sites(40), sites(2), sites(40), sites(39)]
    beside, flow = solved(rows)
    assert 0 < flow.ports.table.n_many[0] < 16
    for k, row in enumerate(rows):
        alone, _ = solved([row])
        assert np.array_equal(alone[:, 0], beside[:, k])
