"""InvControls of the circuit: what is modelled in lockstep, what is named, and what is said of them.

How they act step by step is compared in `test_controls_in_time.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from controlled_circuits import random_loop, sunny_feeder
from engine_pair import differences

from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.inverter_rules import adapted_share_of_vars, adapted_share_of_watts
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.simulator import run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.studied_state import studied_state
from g2g_opt.feeder import Feeder
from g2g_opt.held_series import HeldSeries

CIRCUIT = """Clear
New Circuit.demo basekv=12.47 pu=1.06 bus1=s mvasc3=300
New Line.l bus1=s bus2=b length=2 units=km r1=0.3 x1=0.3 r0=0.3 x0=0.3 normamps=400
New Load.d bus1=b phases=3 kv=12.47 kw=400 pf=0.95
New PVSystem.p bus1=b phases=3 kv=12.47 kva=1200 pmpp=1000 irradiance=0.9 {vars}
New XYCurve.vv npts=6 xarray=[0.5 0.92 0.98 1.02 1.08 1.5] yarray=[1 1 0 0 -1 -1]
New XYCurve.vw npts=4 xarray=[0.5 1.0 1.1 1.5] yarray=[1 1 0.2 0.2]
New InvControl.i derlist=[PVSystem.p] vvc_curve1=vv voltwatt_curve=vw {mode}
Set VoltageBases=[12.47]
CalcVoltageBases
"""


def inverter_circuit(mode: str, inverter: str = "pf=1") -> list[str]:
    return CIRCUIT.format(mode=mode, vars=inverter).splitlines()


# --- shares of a way that adapt


def test_a_share_of_a_fifth_still_shrinks() -> None:
    """OpenDSS compares a share with a fifth that has more digits than the share has."""
    np.testing.assert_array_equal(adapted_share_of_vars(np.array([0.2]), np.array([1.0]), np.array([1.0])), [0.1])
    np.testing.assert_array_equal(adapted_share_of_watts(np.array([0.1]), np.array([0.85]), np.array([1.0])), [0.05])


def test_shares_are_rounded_once() -> None:
    """0.25 less a twentieth of sixty-four bits is the double nearest to a fifth."""
    seen = adapted_share_of_vars(np.array([0.25, 0.3, 0.15]), np.array([0.7, 0.7, 0.1]), np.ones(3))
    np.testing.assert_array_equal(seen, [0.2, 0.25, 0.25])


def test_the_first_move_changes_no_share() -> None:
    assert adapted_share_of_vars(np.array([0.5]), np.array([1.0]), np.array([-1.0])).tolist() == [0.5]


# --- where a run begins


def test_a_steered_circuit_begins_at_its_own_solution_where_it_has_two(tmp_path: Path) -> None:
    """A load that saves voltage draws less beyond its window: it stands at 1.0496 pu, and could at 1.0505.

    The inverter gives none of its 2,000 kvar; with all of them to begin with a flow came to the other solution.
    """
    path = tmp_path / "edge.dss"
    path.write_text(
        "\n".join(
            [
                "Clear",
                "New Circuit.edge basekv=11 bus1=grid pu=1.0602 R1=0.4 X1=1.2 R0=0.4 X0=1.2",
                "New Line.l bus1=grid bus2=end length=2 units=km r1=0.25 x1=0.45 r0=0.6 x0=1.4 c1=3.4 c0=1.6",
                "New Load.saving bus1=end kv=11 kw=800 pf=0.95 model=4 cvrwatts=0.8 cvrvars=3",
                "New XYCurve.vv npts=2 xarray=[0.5 1.5] yarray=[0 0]",
                "New PVSystem.pv bus1=end kv=11 kva=2000 pmpp=50 irradiance=1 %cutin=0 %cutout=0",
                "New InvControl.i mode=voltvar vvc_curve1=vv deltaq_factor=0.5",
                "Set VoltageBases=[11]",
                "CalcVoltageBases",
            ]
        )
    )
    feeder = Feeder.from_dss(path)
    jacobian = load_jacobian(feeder.commands, tuple(feeder.buses.values()), few_moving=True)
    flow = BatchPowerFlow(jacobian, [[]], [Setting()], tolerance_pu=1e-9)
    flow.solve()
    own_pu = jacobian.network.judged.magnitudes_pu(jacobian.network.start_v)
    np.testing.assert_allclose(flow.voltage_pu[:, 0], own_pu, atol=1e-8)
    assert flow.second_solution_pu[0] > 1e-4


# --- what is not modelled


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (
            "mode=voltvar hysteresis_offset=-0.02",
            "InvControl i has a hysteresis, whose way at rest hangs on the rounding",
        ),
        ("mode=drc", "InvControl i is of mode dynamicreaccurr"),
        ("mode=wattpf", "InvControl i is of mode wattpf"),
        ("mode=voltvar rateofchangemode=lpf", "InvControl i limits the rate of change"),
        ("mode=voltvar combimode=vv_vw", "has both a mode .voltvar. and a combined one .vv_vw."),
    ],
)
def test_what_is_not_modelled_of_inverters_is_named(mode: str, words: str, tmp_path: Path) -> None:
    feeder = sunny_feeder(tmp_path, 1, "", [mode])
    with pytest.raises(UnsupportedByBatch, match=words.replace("InvControl i ", "InvControl ic0 ")):
        run_batch([random_loop(feeder, 1)])


# --- alone, and in a batch


def test_inverters_under_another_sun_in_the_next_lane_change_nothing(tmp_path: Path) -> None:
    feeder = sunny_feeder(tmp_path, 3, "deltaq_factor=0.4 deltap_factor=0.6", ["combimode=vv_vw"])
    suns = (None, HeldSeries((1.0, 0.3, 0.9), 7.0), HeldSeries((0.1, 1.0), 5.0))
    together = run_batch([random_loop(feeder, 3, 20, sun) for sun in suns], trace=range(3))
    kept = [run.trace for run in together]
    for sun, trace in zip(suns, kept, strict=True):
        (alone,) = run_batch([random_loop(feeder, 3, 20, sun)], trace=[0])
        assert alone.trace is not None
        assert trace is not None
        assert differences(alone.trace, trace) == []
    assert kept[0] is not None
    assert kept[1] is not None
    assert np.abs(kept[0].inverter_kva - kept[1].inverter_kva).max() > 10.0


# --- what is said of them


def test_a_control_without_a_mode_does_nothing_and_that_is_said() -> None:
    state = studied_state(inverter_circuit(""))
    assert any("lets InvControls without a mode do nothing: i" in line for line in state.words)
    assert not any("invcontrol act" in line for line in state.words)
    assert not any("kvar" in command for command in state.commands)


def test_a_control_without_a_mode_keeps_no_run_off_the_engine(tmp_path: Path) -> None:
    feeder = sunny_feeder(tmp_path, 1, "", [""])
    (run,) = run_batch([random_loop(feeder, 1, 3)], trace=[0])
    assert run.failure is None
    assert run.trace is not None
    assert run.trace.inverters == ()


def test_watts_that_a_curve_takes_back_are_not_held_and_that_is_said() -> None:
    state = studied_state(inverter_circuit("mode=voltwatt", "pf=0.95"))
    assert any("pvsystem.p gives all that the sun gives" in line for line in state.words)
    # And what it injects is told of the state that is studied, not of the one in which the curve holds it back.
    commands = [*inverter_circuit("mode=voltwatt", "pf=0.95"), *state.commands]
    circuit = Circuit(commands)
    circuit.finish()
    circuit.activate("pvsystem.p")
    studied_kw = -circuit.ask_array("CktElement_Get_Powers", "double")[0::2].sum()
    assert any(f"pvsystem.p injects {round(studied_kw, 1):,.10g} kW" in line for line in state.words)
    # Its vars follow its watts, and still do so afterwards.
    assert not any("kvar" in command for command in state.commands)
    assert any("kvar=" in command for command in studied_state(inverter_circuit("mode=voltvar")).commands)
