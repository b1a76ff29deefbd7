"""A user's circuit is studied in a stated state: files that differ in what they happen to leave alone are one circuit.

Figures were found with OpenDSS itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.studied_state import studied_state
from g2g_opt.consent import Consent, give_consent
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.site import sized_site
from studies.hosting_capacity.study import HostingCapacityStudy

ENGINES: tuple[Engine, Engine] = ("batch", "opendss")

CIRCUIT = """Clear
New Circuit.demo basekv=33 pu=1.02 bus1=grid MVAsc3=400 MVAsc1=350
New Transformer.sub phases=3 windings=2 xhl=8 %loadloss=0.6
~ wdg=1 bus=grid conn=delta kv=33 kva=10000
~ wdg=2 bus=head conn=wye kv=11 kva=10000 maxtap=1.1 mintap=0.9 numtaps=32
New RegControl.oltc transformer=sub winding=2 vreg={vreg} band=2 ptratio=52.92
New Linecode.lc nphases=3 r1=0.25 x1=0.35 r0=0.6 x0=1.2 c1=10 c0=5 units=km normamps=350
New Line.l1 bus1=head bus2=mid linecode=lc length=2 units=km
New Line.l2 bus1=mid bus2=far linecode=lc length=3 units=km
New Loadshape.day npts=4 interval=1 mult=[0.3 0.5 1.0 0.35]
New Load.ld1 bus1=mid phases=3 conn=delta kv=11 kw=1200 pf=0.95 model=1 daily=day
{bank}New Load.ld2 bus1=far phases=3 conn=wye kv=11 kw=900 pf=0.93 model=1 daily=day
New Load.ld3 bus1=far.2 phases=1 kv=6.35 kw=150 pf=0.95 model=1 daily=day
Set VoltageBases=[33 11]
CalcVoltageBases
{end}
"""
BANK = """New Capacitor.cb bus1=far phases=3 kv=11 kvar=2400
New CapControl.cc capacitor=cb element=Line.l2 terminal=2 type=voltage ptratio=52.92 onsetting=118 offsetting=124
"""


def feeder(folder: Path, bank: str = "", end: str = "Solve", vreg: float = 122.0) -> Feeder:
    path = folder / "demo.dss"
    path.write_text(CIRCUIT.format(bank=bank, end=end, vreg=vreg))
    return Feeder.from_dss(path)


def base_case(of: Feeder) -> dict[tuple[str, int], float]:
    circuit = Circuit(of.commands, tolerance=1e-9, max_iterations=300)
    circuit.finish()
    magnitudes = np.abs(circuit.node_voltages()) / circuit.node_base_v
    return dict(zip(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True), magnitudes.tolist(), strict=True))


@pytest.mark.parametrize(
    "end",
    [
        "",
        "Set mode=daily stepsize=1h number=3\nSolve",
        "Solve mode=daily number=2",
        "Set time=(5,0) mode=yearly\nSolve",
    ],
)
def test_the_mode_and_hour_that_a_file_leaves_decide_nothing(tmp_path: Path, end: str) -> None:
    plain, other = feeder(tmp_path), feeder(tmp_path, end=end)
    assert base_case(other) == pytest.approx(base_case(plain), abs=1e-9)
    # 2,286.7 kW at nominal load: found with OpenDSS in snapshot mode.
    assert base_case(other)["far", 2] == pytest.approx(0.9734, abs=1e-4)
    left = [word for word in other.state if "leaves the mode" in word]
    assert bool(left) == ("mode=" in end)


def test_a_bank_that_its_control_opens_is_open_however_the_file_left_it(tmp_path: Path) -> None:
    closed, solved = feeder(tmp_path, bank=BANK, end=""), feeder(tmp_path, bank=BANK)
    without = feeder(tmp_path)
    assert base_case(closed) == pytest.approx(base_case(solved), abs=1e-9)
    assert base_case(closed) == pytest.approx(base_case(without), abs=1e-6)
    assert any("capacitor.cb states 1 to 0" in word for word in closed.state)
    assert any("capacitor banks are held" in word and "1 capcontrol" in word for word in closed.state)


def test_regulators_rest_where_their_own_controls_bring_them(tmp_path: Path) -> None:
    """126 V on the 120 V base asks for two steps up: far.2 is then where OpenDSS's own controls leave it."""
    moved = feeder(tmp_path, vreg=126.0, end="")
    circuit = Circuit([*moved.commands, "Set controlmode=static"], tolerance=1e-9, max_iterations=300)
    circuit.command("Set controlmode=static")
    circuit.command("Solve")
    assert moved.compiled_taps["oltc"] > 1.0
    assert circuit.tap(moved.regulators["oltc"]) == pytest.approx(moved.compiled_taps["oltc"], abs=1e-9)
    assert any("transformer.sub taps" in word for word in moved.state)


@pytest.mark.parametrize(("end", "is_off"), [("Set ControlMode=Off\nSolve", True), ("Set ControlMode=Time", False)])
def test_controls_that_a_file_switches_off_are_settled_and_said(end: str, is_off: bool, tmp_path: Path) -> None:
    moved, plain = feeder(tmp_path, vreg=126.0, end=end), feeder(tmp_path, vreg=126.0)
    assert moved.compiled_taps == pytest.approx(plain.compiled_taps)
    assert any("switches its controls off" in word for word in moved.state) == is_off


def test_a_load_multiplier_is_part_of_the_load_level_and_said(tmp_path: Path) -> None:
    """As if every load were 1.2 times as large, in the batch engine, too."""
    heavy = feeder(tmp_path, end="Set LoadMult=1.2\nSolve")
    larger = CIRCUIT.replace("kw=1200", "kw=1440").replace("kw=900", "kw=1080").replace("kw=150", "kw=180")
    (tmp_path / "larger.dss").write_text(larger.format(bank="", end="", vreg=122.0))
    expected = base_case(Feeder.from_dss(tmp_path / "larger.dss"))
    assert base_case(heavy) == pytest.approx(expected, abs=1e-9)
    assert any("LoadMult 1.2" in word for word in heavy.state)
    network = load_jacobian(heavy.commands, tuple(heavy.buses.values())).network
    solved = np.abs(network.start_v) / network.base_v
    assert dict(zip(network.nodes, solved.tolist(), strict=True)) == pytest.approx(expected, abs=1e-8)


def test_a_trusted_file_that_solves_by_itself_is_studied_in_the_same_state(tmp_path: Path) -> None:
    plain = base_case(feeder(tmp_path, bank=BANK))
    give_consent(Consent(circuits=True))
    try:
        trusted = base_case(feeder(tmp_path, bank=BANK, end="Solve mode=daily number=2"))
    finally:
        give_consent(Consent())
    assert trusted == pytest.approx(plain, abs=1e-9)


def test_controls_that_never_rest_are_said_and_move_nothing() -> None:
    """Two controls of one bank that want opposite things: each round undoes the other's."""
    hunting = CIRCUIT.format(bank=BANK, end="", vreg=122.0).splitlines()
    hunting.insert(
        -4,
        "New CapControl.other capacitor=cb element=Line.l2 terminal=2 type=voltage ptratio=52.92 "
        "onsetting=130 offsetting=131",
    )
    state = studied_state([line for line in hunting if line])
    assert len(state.commands) == 1
    assert any(
        "did not come to rest without a site (not within 500 rounds of actions; " in word for word in state.words
    )


def test_an_inverter_whose_control_needs_many_rounds_comes_to_rest(tmp_path: Path) -> None:
    """Volt-var at full sun with panels as large as the inverter: OpenDSS takes 212 rounds to give no vars."""
    inverter = (
        "New PVSystem.p bus1=far kv=11 kva=1000 pmpp=1000 irradiance=1 pf=1\n"
        "New XYCurve.vv npts=4 xarray=[0.5 0.9 0.95 1.5] yarray=[1 0 -1 -1]\n"
        "New InvControl.i mode=voltvar voltage_curvex_ref=rated vvc_curve1=vv\n"
    )
    told = " ".join(feeder(tmp_path, end=inverter).state)
    assert "did not come to rest" not in told
    assert "pvsystem.p injects 1,000 kW of 1,000 kVA" in told


def solved_kw(of: Feeder, element: str) -> float:
    """What a load draws where 1,000 kW are added at far, in a solution of OpenDSS."""
    circuit = Circuit(of.commands, tolerance=1e-9, max_iterations=300)
    for phase in (1, 2, 3):
        circuit.add_injection(f"site{phase}", "far", (phase,), 11 / 3**0.5, (0.5, 1.5), 1000.0 / 3.0)
    circuit.finish()
    circuit.activate(element)
    return float(circuit.ask_array("CktElement_Get_Powers", "double")[0::2].sum())


def test_loads_are_powers_whatever_load_model_a_file_leaves(tmp_path: Path) -> None:
    left = feeder(tmp_path, end="Set loadmodel=admittance\nSolve")
    assert base_case(left) == pytest.approx(base_case(feeder(tmp_path, end="Solve")), abs=1e-9)
    assert solved_kw(left, "Load.g2g_site1") == pytest.approx(1000.0 / 3.0, rel=1e-6)
    assert "the file leaves the load model Admittance" in " ".join(left.state)


def test_a_fuse_that_one_phase_melts_is_held_and_named_with_that_phases_current(tmp_path: Path) -> None:
    one_phase = "New Load.one bus1=far.1 phases=1 kv=6.35 kw=900 pf=1"
    held = feeder(tmp_path, end=f"{one_phase}\nNew Fuse.f monitoredobj=Line.l2 ratedcurrent=60")
    assert min(base_case(held).values()) > 0.9
    (found,) = solve_base_case(held).picked_up
    assert (found.device, found.element, found.pickup_a) == ("fuse.f", "line.l2", 120.0)
    # 900 kW of one phase and a third of ld2's 900 kW at 0.93.
    assert 150.0 < found.current_a < 230.0


def test_loads_have_grown_by_the_files_year_and_a_site_has_not(tmp_path: Path) -> None:
    """Four years at 3 % and one load by a curve of its own, as if every load were that much larger, in both engines."""
    curve = "New GrowthShape.g npts=3 year=[1 2 3] mult=[1.05 1.03 1.02]\nEdit Load.ld1 growth=g"
    grown = feeder(tmp_path, end=f"{curve}\nSet %growth=3\nSet Year=4\nSolve")
    # The curve's last factor holds for every year after it.
    ld1, others = 1200 * 1.05 * 1.03 * 1.02, 1.03**3
    by_hand = CIRCUIT.replace("kw=1200", f"kw={ld1:.9f}").replace("kw=900", f"kw={900 * others:.9f}")
    (tmp_path / "larger.dss").write_text(
        by_hand.replace("kw=150", f"kw={150 * others:.9f}").format(bank="", end="", vreg=122.0)
    )
    larger = Feeder.from_dss(tmp_path / "larger.dss")
    assert base_case(grown) == pytest.approx(base_case(larger), abs=1e-8)
    assert any("year 4 of the file" in word and "1.09273" in word for word in grown.state)
    site = sized_site("site", "far", HostingCapacityStudy().load_models(), 100, 0.1)
    steady = Scenario("steady", 30, replica_share_start=1.0, replica_ramps=(), server_noise=0.0)
    for engine in ENGINES:
        a, b = (simulate_runs([(Plan((site,)), steady)], of, Limits(), engine=engine)[0] for of in (grown, larger))
        assert a.engine == engine
        np.testing.assert_allclose(a.summary.lowest_pu, b.summary.lowest_pu, rtol=0, atol=2e-7)


@pytest.mark.parametrize("left", ["daily", "duty", "yearly"])
def test_loads_follow_no_shape_as_time_passes_whatever_class_of_them_a_file_leaves(tmp_path: Path, left: str) -> None:
    """Of a class that is named, OpenDSS itself took the shapes' first hour, a third of the load, in such runs."""
    of = feeder(tmp_path, end=f"BatchEdit Load..* yearly=day duty=day\nSolve\nSet LoadShapeClass={left}")
    assert any(f"leaves LoadShapeClass {left.capitalize()}" in words for words in of.state)
    run = (Plan((), tap_mode="own control"), Scenario("brief", 60))
    for engine in ENGINES:
        (outcome,) = simulate_runs([run], of, Limits(), engine=engine)
        assert float(np.nanmin(outcome.summary.lowest_pu)) == pytest.approx(base_case(of)["far", 2], abs=1e-6)
