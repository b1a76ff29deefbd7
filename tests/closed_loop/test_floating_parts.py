"""Circuits with parts that OpenDSS's own shunts alone hold to ground, where rounding keeps it from its tolerance.

As the generators of the IEEE 9500-node feeder are connected: in delta behind a star whose neutral is left open.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_parts import loop, ofo, site
from engine_pair import compare, run_single

from g2g_opt.base_case import base_case_words, solve_base_case
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.simulator import run_batch
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits

# A small winding, whose shunts are so small that rounding shows in a circuit of a few nodes.
FLOATING = """\
Clear
New Circuit.stiff basekv=115 pu=1.05 bus1=grid r1=0 x1=0.001 r0=0 x0=0.001
New Transformer.sub buses=(grid, head) kvs=(115, 12.47) kvas=(20000, 20000) xhl=8 conns=(delta, wye)
New Line.l1 bus1=head bus2=mid length=2 units=km r1=0.3 x1=0.4 r0=0.7 x0=1.3 c1=10 c0=5
New Line.l2 bus1=mid bus2=far length=2 units=km r1=0.3 x1=0.4 r0=0.7 x0=1.3 c1=10 c0=5
New Load.one bus1=far kv=12.47 kw=1500 pf=0.95
New Load.two bus1=mid.1 phases=1 kv=7.2 kw=400 pf=0.95
New Transformer.own xhl=5.75 kva=3 ppm_antifloat=0.01 conns=(wye, delta)
~ wdg=1 bus=mid.1.2.3.4 kv=12.47
~ wdg=2 bus=engine kv=0.48
New Generator.engine bus1=engine kv=0.48 kw=2 kvar=0.2 conn=delta model=1
Set VoltageBases=[115 12.47 0.48]
CalcVoltageBases
"""


def feeder_of(folder: Path, text: str) -> Feeder:
    path = folder / "Master.dss"
    path.write_text(text)
    return Feeder.from_dss(path)


def test_the_circuit_as_it_stands_is_told_with_its_rounding(tmp_path: Path) -> None:
    feeder = feeder_of(tmp_path, FLOATING)
    base = solve_base_case(feeder)
    words = " ".join(base_case_words(feeder, base, Limits()))
    assert base.failure == ""
    assert "rounding moves voltages to ground" in words
    assert "engine." in words
    # The other way round both sides have a path to ground, and nothing of it is said.
    grounded = FLOATING.replace("conns=(wye, delta)", "conns=(delta, wye)").replace("mid.1.2.3.4", "mid")
    assert grounded != FLOATING
    other = feeder_of(tmp_path, grounded)
    assert "rounding" not in " ".join(base_case_words(other, solve_base_case(other), Limits()))


@pytest.mark.parametrize("own_controls", [False, True])
def test_a_loop_is_the_same_on_both_engines(own_controls: bool, tmp_path: Path) -> None:
    feeder = feeder_of(tmp_path, FLOATING)

    def own_loop():  # type: ignore[no-untyped-def]
        ramp = ReplicaSchedule(50, ((600, 5.0, 20.0),))
        return loop(
            {"far": site("a", (ramp, 60))},
            lambda grid, sites: [ofo(grid, sites["far"])],
            feeder=feeder,
            duration_s=30,
            dss_controls=own_controls,
        )

    single = run_single(own_loop())
    (run,) = run_batch([own_loop()], trace=[0])
    assert (single.failure, run.failure) == (None, None)
    assert single.grid.circuit.rounding is not None
    assert run.trace is not None
    assert np.ptp(run.trace.voltage_pu, axis=0).max() > 1e-4
    compare(single, run)


def test_storage_rated_for_another_voltage_holds_a_floating_part(tmp_path: Path) -> None:
    """OpenDSS's 12.47 kV where none is stated: at 480 V it is an impedance to ground, and all that there is to ground.

    With the slope of its power at 12.47 kV the fixed point runs away from there, and Newton's method is left to it.
    """
    stored = "New Storage.own bus1=engine phases=3 kva=25 kwrated=25 kwhrated=50 state=discharging kw=15"
    feeder = feeder_of(tmp_path, FLOATING.replace("Set VoltageBases", f"{stored}\nSet VoltageBases"))
    jacobian = load_jacobian(tuple(feeder.commands), tuple(feeder.buses.values()))
    place = {node: k for k, node in enumerate(jacobian.network.nodes)}
    ports = [Port(place["far", phase], -1, 7199.6, (0.8, 1.2)) for phase in (1, 2, 3)]
    flow = BatchPowerFlow(jacobian, [ports], [Setting()], tolerance_pu=1e-9)
    for kw in (100.0, 300.0, 500.0):
        flow.solve(np.array([[1e3 * kw * (1 + 0.3j)], [1.5e3 * kw], [0.5e3 * kw]]))
        assert flow.solved.all()
        # What Newton's method has found is accepted after one.
        assert 2 <= flow.iterations.max() < 12


def test_a_circuit_beyond_its_load_is_not_called_rounded() -> None:
    """OpenDSS does not solve it either, but nothing of it is rounding."""
    heavy = FLOATING.replace("kw=1500 pf=0.95", "kw=150000 pf=0.95 vminpu=0.01 vlowpu=0.001 vmaxpu=5")
    circuit = Circuit(heavy.splitlines()[1:], tolerance=1e-9, max_iterations=200)
    circuit.finish()
    assert not circuit.converged
    assert circuit.rounding is None


def test_an_open_star_point_is_no_neutral(tmp_path: Path) -> None:
    """The bus it stands at is the feeder's: its voltages are those to ground, and a site is connected between them."""
    large = FLOATING.replace("kva=3 ppm_antifloat=0.01", "kva=750")
    found = feeder_of(tmp_path, large).buses["mid"]
    assert (found.neutral, found.three_wire, found.phases) == (0, False, (1, 2, 3))
    for joined in (
        "New Reactor.g bus1=mid.4 bus2=mid.0 phases=1 r=0.1 x=0",
        "New Load.n bus1=mid.2.4 phases=1 kv=7.2 kw=1",
    ):
        text = large.replace("Set VoltageBases", f"{joined}\nSet VoltageBases")
        assert feeder_of(tmp_path, text).buses["mid"].neutral == 4
