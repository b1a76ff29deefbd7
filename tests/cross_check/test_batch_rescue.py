"""The batch power flow where its fixed point alone does not get: held to OpenDSS, and said where there is no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_rigs import Case, Reference

from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.lane_search import LaneSearch
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.engine_reason import EngineReason
from g2g_opt.feeder import Feeder

pytestmark = pytest.mark.xdist_group("batch_power_flow")

_CODE = "New Linecode.c nphases=3 units=km r1=0.3 x1=0.6 r0=0.7 x0=1.8 normamps=350"
BELOW_WINDOW = (
    "New Circuit.low bus1=src basekv=12.47 pu=1.0 R1=0.05 X1=0.3 R0=0.1 X0=0.4",
    "New Linecode.c nphases=3 units=km r1=0.35 x1=0.7 r0=0.7 x0=1.8 normamps=600",
    "New Line.l1 bus1=src bus2=mid linecode=c length=6 units=km",
    "New Line.l2 bus1=mid bus2=end linecode=c length=3 units=km",
    "New Load.d1 bus1=mid kv=12.47 kw=1500 pf=0.9 vminpu=0.85",
    "New Load.d2 bus1=end kv=12.47 kw=4200 pf=0.9 vminpu=0.85",
    "Set VoltageBases=[12.47]",
    "CalcVoltageBases",
)
CVR_EDGE = (
    "New Circuit.cvr bus1=src basekv=12.47 pu=0.9635 R1=0.5 X1=1.5 R0=0.5 X0=1.5",
    _CODE,
    "New Line.l bus1=src bus2=end linecode=c length=2 units=km",
    "New Load.d bus1=end kv=12.47 kw=1000 pf=0.95 model=4 CVRwatts=0.8 CVRvars=3",
    "Set VoltageBases=[12.47]",
    "CalcVoltageBases",
)
SHORT_BUS = (
    "New Circuit.bb bus1=src basekv=46 R1=1 X1=10 R0=5 X0=30",
    "New Linecode.bar nphases=3 units=km r1=0.00001 x1=0.00001 r0=0.00002 x0=0.00002 c1=0 c0=0 normamps=1200",
    "New Line.bar bus1=src bus2=hs linecode=bar length=0.001 units=m",
    "New Transformer.t buses=(hs lv) conns=(delta wye) kvs=(46 12.47) kvas=(7500 7500) xhl=6.4 %loadloss=0.3",
    _CODE,
    "New Line.l bus1=lv bus2=end linecode=c length=2 units=km",
    "New Load.d bus1=end kv=12.47 kw=2000 pf=0.95",
    "Set VoltageBases=[46 12.47]",
    "CalcVoltageBases",
)


def opendss_at(commands: tuple[str, ...], shares: list[float]) -> np.ndarray:
    """OpenDSS's phasors (node, share) at load shares, each from the solution before."""
    circuit = Circuit(commands, tolerance=1e-10, max_iterations=1000)
    circuit.finish()
    found = []
    for share in shares:
        circuit.set_load_share(share)
        circuit.solve()
        found.append(circuit.node_voltages().copy())
    return np.array(found).T


def test_loads_that_have_left_their_window_are_solved_wherever_opendss_solves_them() -> None:
    shares = [round(0.5 + 0.05 * k, 2) for k in range(15)]
    case = Case.of(BELOW_WINDOW, 1e-10)
    flow = BatchPowerFlow(case.network, [[]] * 15, [Setting()] * 15, tolerance_pu=1e-10, phasors=True)
    flow.load_share.reshape(-1)[:15] = shares
    flow.solve()
    assert flow.solved.all()
    expected = opendss_at(BELOW_WINDOW, shares)
    assert np.abs((flow.phasors - expected) / case.base_v()[:, None]).max() < 1e-8
    assert flow.voltage_pu.min() < 0.75


def test_factors_of_the_flow_before_serve_the_next_one_and_move_no_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case.of(BELOW_WINDOW, 1e-10)
    row = [case.port("mid", (1,)), case.port("end", (2, 3))]
    flow = BatchPowerFlow(case.network, [row], [Setting()], tolerance_pu=1e-8, phasors=True)
    find, began_with, factorised = LaneSearch.find, [], []

    def counted(search: LaneSearch, enough_pu: float) -> bool:
        began_with.append(int(search.factors.held[0]))
        found = find(search, enough_pu)
        factorised.append(int(search.room.n_factorised[0]))
        return found

    monkeypatch.setattr(LaneSearch, "find", counted)
    shares = 1.0 + 0.04 * np.sin(np.arange(14)) + 0.2 * (np.arange(14) > 9)
    power = 1e3 * np.array([[2500.0], [1200.0]]) * (1 + 0.3j)
    reference = Reference(case, [row], 1e-10)
    for share in shares:
        flow.solve(share * power)
        assert flow.solved.all()
        expected = reference.phasors(row, share * power[:, 0], Setting())
        assert np.abs((flow.phasors[:, 0] - expected) / case.base_v()).max() < 1e-7
    assert began_with[0] == 0
    assert factorised[0] > 0
    # Later flows begin with factors, and most make none of their own.
    assert len(began_with) >= 8
    assert all(began_with[1:])
    assert sum(factorised[1:]) < len(factorised[1:])
    flow.reset([0])
    flow.solve(power)
    assert began_with[-1] == 0


def test_a_site_that_drags_the_feeder_far_down_is_solved_as_opendss_does() -> None:
    case = Case.of(BELOW_WINDOW, 1e-10)
    rows = [[case.port("mid", (1,)), case.port("end", (2, 3))]] * 3
    power = 1e3 * np.array([[500, 1500, 2500], [300, 800, 1200]]) * (1 + 0.3j)
    flow = BatchPowerFlow(case.network, rows, [Setting()] * 3, tolerance_pu=1e-10, phasors=True)
    flow.solve(power)
    assert flow.solved.all()
    reference = Reference(case, rows, 1e-10)
    expected = np.array([reference.phasors(rows[s], power[:, s], Setting()) for s in range(3)]).T
    assert np.abs((flow.phasors - expected) / case.base_v()[:, None]).max() < 1e-7
    assert flow.voltage_pu.min() < 0.65


def test_loads_between_two_solutions_stay_on_the_branch_they_come_along_and_are_flagged() -> None:
    """A CVR load jumps at its window's edge: at shares of 1.00 to 1.08 there are two solutions, 1.3e-3 pu apart."""
    upwards, downwards = [0.9, 0.95, 0.98, 1.0, 1.02], [1.2, 1.12, 1.1, 1.05, 1.02]
    case = Case.of(CVR_EDGE, 1e-10)
    ends = []
    for shares in (upwards, downwards):
        flow = BatchPowerFlow(case.network, [[]], [Setting()], tolerance_pu=1e-10, phasors=True)
        expected = opendss_at(CVR_EDGE, shares)
        for k, share in enumerate(shares):
            flow.load_share[:] = share
            flow.solve()
            assert flow.solved.all()
            assert np.abs((flow.phasors[:, 0] - expected[:, k]) / case.base_v()).max() < 1e-8
        assert 1.3e-3 < flow.second_solution_pu[0] < 3e-3
        ends.append(flow.voltage_pu[-1, 0])
    assert ends[0] - ends[1] > 1e-3
    flow.load_share[:] = 0.5
    flow.solve()
    assert flow.second_solution_pu[0] == 0.0


def test_a_busbar_of_no_length_is_called_ill_conditioned_with_its_rounding_and_place(tmp_path: Path) -> None:
    master = tmp_path / "short.dss"
    master.write_text("\n".join(("Clear", *SHORT_BUS)), encoding="utf-8")
    feeder = Feeder.from_dss(master)
    with pytest.raises(UnsupportedByBatch, match=r"rounding .* up to \d\.\de-0[34] pu, .* hs\.[123]") as raised:
        load_jacobian(tuple(feeder.commands), tuple(feeder.buses.values()))
    assert raised.value.reason is EngineReason.ILL_CONDITIONED
