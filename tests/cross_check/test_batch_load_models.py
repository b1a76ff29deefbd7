"""The batch power flow against OpenDSS: every load model in every piece of its law."""

from __future__ import annotations

import numpy as np
import pytest
from batch_rigs import Case, branch_pu, circuit_commands, solve_and_compare

pytestmark = pytest.mark.xdist_group("batch_power_flow")

MODELS = {
    "constant power": "model=1",
    "impedance": "model=2",
    "motor": "model=3",
    "CVR": "model=4",
    "CVR, own exponents": "model=4 CVRwatts=0.8 CVRvars=3",
    "current": "model=5",
    "fixed vars": "model=6",
    "vars of a fixed impedance": "model=7",
    "ZIPV": "model=8 ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 0]",
    "ZIPV, drop-out at 0.6": "model=8 ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 0.6]",
    "ZIPV, drop-out at 0.95": "model=8 ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 0.95]",
    "ZIPV, shares not one": "model=8 ZIPV=[0.1 0.9 0.4 -0.3 0.2 0.6 0]",
}
PLACES = (
    "{bus} phases=3 conn=wye kV=12.47",
    "{bus} phases=3 conn=delta kV=12.47",
    "{bus}.2 phases=1 conn=wye kV=7.2",
    "{bus}.3.1 phases=1 conn=delta kV=12.47",
    "{bus}.1.2 phases=1 conn=wye kV=12.47",  # its second node is its neutral
    "{bus}.1.3 phases=2 conn=wye kV=12.47",
    "{bus}.1.2.3 phases=2 conn=delta kV=12.47",  # an open delta: two branches
)
LOW, LEAST, MOST = 0.5, 0.9, 1.08
# Source voltages (pu) at which all branches lie in one piece: below LOW, then between the three edges, then above MOST.
PIECES = {0.42: (0.0, LOW), 0.7: (LOW, LEAST), 0.75: (LOW, LEAST), 1.0: (LEAST, MOST), 1.18: (MOST, 2.0)}


@pytest.mark.parametrize("source_pu", PIECES)
@pytest.mark.parametrize("model", MODELS)
def test_every_load_model_in_every_piece_of_its_law(model: str, source_pu: float) -> None:
    body = []
    for k, place in enumerate(PLACES):
        body += [
            f"New Line.l{k} bus1=head bus2=b{k} linecode=lc length=1 units=km",
            f"New Load.a{k} bus1={place.format(bus=f'b{k}')} {MODELS[model]} kW=400 kvar=150 vlowpu={LOW} "
            f"vminpu={LEAST} vmaxpu={MOST}",
        ]
    case = Case.of(circuit_commands(body, source_pu=source_pu))
    # Sites with wide windows move the voltages away from those the batch starts from.
    rows = [[case.port(f"b{k}", (k % 3 + 1,), (0.2, 1.9)) for k in range(len(PLACES))]] * 3
    power = 1e3 * np.random.default_rng(1).uniform(-150, 150, (len(PLACES), 3)) * (1 + 0.3j) * min(source_pu, 1.0) ** 2
    flow = solve_and_compare(case, rows, power)
    network = case.network
    pu = branch_pu(case, flow, network.load_from, network.load_to, network.load_base_v)
    assert len(pu) == (26 if model.startswith(("fixed", "vars")) else 13)  # their vars are branches of their own
    low, high = PIECES[source_pu]
    assert ((low < pu) & (pu < high)).all()
    assert np.abs(flow.phasors - case.network.start_v[:, None]).max() > 3.0  # V: the sites did move them


@pytest.mark.parametrize("window", ["vminpu=0.3 vmaxpu=1.2", "vminpu=0.5 vmaxpu=1.2", "vminpu=0 vmaxpu=0"])
@pytest.mark.parametrize("model", ["model=1", "model=5", "model=8 ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 0]"])
@pytest.mark.parametrize("source_pu", [0.42, 0.6, 1.0])
def test_windows_that_reach_below_half_the_rated_voltage(window: str, model: str, source_pu: float) -> None:
    body = [f"New Load.a bus1=end phases=3 kV=12.47 kW=600 kvar=200 {model} {window}"]
    case = Case.of(circuit_commands(body, source_pu=source_pu))
    rows = [[case.port("end", (p,), (0.3, 1.2)) for p in (1, 2, 3)]] * 2
    solve_and_compare(case, rows, 1e3 * np.array([[50, -20], [10, 60], [-30, 40]]) * (1 + 0.2j))


def test_a_load_on_its_way_out_at_its_drop_out_voltage() -> None:
    # Small, for OpenDSS to come to rest on so steep a law; 0.7 pu lies below the window, 1.0 pu inside.
    for drop_out_pu in (0.7, 1.0):
        zipv = f"ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 {drop_out_pu}]"
        body = [f"New Load.a bus1=end phases=3 kV=12.47 kW=30 kvar=10 model=8 {zipv} vminpu={LEAST} vmaxpu={MOST}"]
        for off_pu in (-0.004, -0.001, 0.0, 0.001, 0.004):
            case = Case.of(circuit_commands(body, source_pu=drop_out_pu + off_pu))
            rows = [[case.port("end", (p,), (0.3, 1.2)) for p in (1, 2, 3)]]
            solve_and_compare(case, rows, 1e3 * np.array([[3], [-5], [2]]) * (1 + 0.2j))
