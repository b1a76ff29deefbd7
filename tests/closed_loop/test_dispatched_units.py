"""Generators and storage that a load level or a control dispatches stand in a study where OpenDSS has them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import opendssdirect
import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs

CIRCUIT = """
New Circuit.own basekv=12.47 pu=1.02 bus1=grid R1=0.1 X1=0.8 R0=0.2 X0=1
New Line.l bus1=grid bus2=end r1=0.3 x1=0.6 r0=0.6 x0=1.5 c1=0 c0=0 length=3
New Load.own bus1=end kv=12.47 kw=2000 pf=0.93
{units}
Set voltagebases=[12.47]
CalcVoltageBases
"""
GENERATOR = "New Generator.unit bus1=end kv=12.47 kw=300 dispmode=loadlevel dispvalue=0.5"
STORAGE = (
    "New Storage.unit bus1=end kv=12.47 kwrated=300 kwhrated=900 %stored=60 kva=400 dispmode=loadlevel "
    "chargetrigger=0.6 dischargetrigger=0.9"
)
IDLE_STORAGE = "New Storage.unit bus1=end kv=12.47 kwrated=300 kwhrated=900 %stored=60 kva=400 state=idling\n"
CONTROLLER = (
    f"{IDLE_STORAGE}New StorageController.c element=Line.l terminal=1 modedis=peakshave kwtarget=1000 "
    "elementlist=[unit]"
)
# Units that a control dispatches: what it has them give (kW, negative where they charge), and what is told of it.
DISPATCHED = {
    "New Generator.unit bus1=end kv=12.47 kw=200 pf=0.9\n"
    "New GenDispatcher.d element=Line.l terminal=1 kwlimit=1500 kwband=50 genlist=[unit]": (522.0, "kw 200 to 521.692"),
    "New Generator.unit bus1=end kv=12.47 kw=100 kva=1500\nNew GenDispatcher.d element=Line.l kwlimit=1700": (
        324.0,
        "kw 100 to 324.276",
    ),
    CONTROLLER: (300.0, "%discharge 20 to 100"),
    f"{IDLE_STORAGE}New StorageController.c element=Line.l modedis=peakshave kwtarget=9000 "
    "modecharge=peakshavelow kwtargetlow=2800": (-300.0, "%charge 20 to 100"),
}


def direct_solution(text: str) -> tuple[float, dict[str, float]]:
    """What plain OpenDSS draws from the source (kW), and its voltages by node (pu), its controls acting."""
    dss = opendssdirect.NewContext()
    for line in ("Clear", *text.strip().splitlines(), "Set tolerance=1e-9 maxiterations=500 maxcontroliter=100"):
        dss.Text.Command(line)
    dss.Text.Command("Solve")
    voltages = zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True)
    return -float(dss.Circuit.TotalPower()[0]), dict(voltages)


def source_kw(text: str, load_level: float) -> float:
    """What plain OpenDSS draws from the source, its controls acting."""
    dss = opendssdirect.NewContext()
    for line in ("Clear", *text.strip().splitlines(), f"Set LoadMult={load_level} tolerance=1e-9 maxiterations=500"):
        dss.Text.Command(line)
    dss.Text.Command("Solve")
    return -float(dss.Circuit.TotalPower()[0])


@pytest.mark.parametrize("load_level", [1.0, 0.4])
@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("units", [GENERATOR, STORAGE])
def test_a_unit_follows_the_load_level(units: str, settled: bool, load_level: float, tmp_path: Path) -> None:
    path = tmp_path / "own.dss"
    path.write_text(text := CIRCUIT.format(units=units), encoding="utf-8")
    found = solve_base_case(Feeder.from_dss(path), load_level, settled=settled)
    assert found.source_kw == pytest.approx(source_kw(text, load_level), abs=0.01)
    without = source_kw(CIRCUIT.format(units=""), load_level)
    # On at nominal load; at the low one the generator is off and the storage charges.
    power_kw = {GENERATOR: (-300.0, 0.0), STORAGE: (-300.0, 300.0)}[units][load_level < 1.0]
    assert found.source_kw - without == pytest.approx(power_kw, abs=30.0)


@pytest.mark.parametrize("units", DISPATCHED)
def test_what_a_control_has_a_unit_give_is_held(units: str, tmp_path: Path) -> None:
    """A storage held its share by default, 20 % of its rating, and a generator its kW, while others were told."""
    path = tmp_path / "own.dss"
    path.write_text(text := CIRCUIT.format(units=units), encoding="utf-8")
    feeder = Feeder.from_dss(path)
    power_kw, told = DISPATCHED[units]
    source_kw_of_opendss, voltages = direct_solution(text)
    assert solve_base_case(feeder).source_kw == pytest.approx(source_kw_of_opendss, abs=1.0)
    circuit = Circuit(feeder.commands, tolerance=1e-9, max_iterations=300)
    circuit.finish()
    nodes = [f"{bus}.{phase}" for bus, phase in zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True)]
    found = np.abs(circuit.node_voltages()) / circuit.node_base_v
    assert dict(zip(nodes, found.tolist(), strict=True)) == pytest.approx(voltages, abs=2e-4)
    circuit.activate(units.split()[1])
    held_kw = -float(circuit.ask_array("CktElement_Get_Powers", "double")[0::2].sum())
    assert held_kw == pytest.approx(power_kw, abs=1.0)
    words = "; ".join(feeder.state)
    assert told in words
    assert f"{abs(held_kw):,.1f} kW" in words or f"{abs(held_kw):,.0f} kW" in words


@pytest.mark.parametrize(
    ("target", "told"),
    [
        # The feeder takes 2,040 kW without its storage, three times its largest phase 2,040: balanced.
        ("modedis=peakshave kwtarget=1000", "reach its target at line.l: 1,000 kW, while 1,7"),
        ("modedis=peakshave kwtarget=1800", ""),
        ("modedis=i-peakshave kwtarget=0.06", "reach its target at line.l: 0.06 kA, while 0.08"),
        ("modedis=i-peakshave kwtarget=0.12", ""),
    ],
)
def test_a_target_that_storage_does_not_reach_is_told(target: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "own.dss"
    units = CONTROLLER.replace("modedis=peakshave kwtarget=1000", target)
    path.write_text(CIRCUIT.format(units=units), encoding="utf-8")
    words = [line for line in Feeder.from_dss(path).state if line.startswith("storagecontroller c")]
    assert len(words) == int(bool(told))
    if told:
        assert told in words[0]
        assert words[0].endswith("its storage gives 300 kW")


def test_a_target_is_told_as_its_controller_counts_it(tmp_path: Path) -> None:
    """It takes the largest phase three times: 3 times 883 kW where 2,100 are drawn."""
    path = tmp_path / "own.dss"
    more = "New Load.one bus1=end.1 phases=1 kv=7.2 kw=300 pf=0.95\n" + CONTROLLER
    path.write_text(CIRCUIT.format(units=more), encoding="utf-8")
    feeder = Feeder.from_dss(path)
    dss = feeder.direct()
    dss.Circuit.SetActiveElement("line.l")
    kw = dss.CktElement.Powers()[0:6:2]
    (words,) = [line for line in feeder.state if line.startswith("storagecontroller c")]
    assert (
        f"{3 * max(kw):,.4g} kW flow there as it counts (3 times that of the largest phase, {sum(kw):,.4g} kW" in words
    )


@pytest.mark.parametrize("engine", ["batch", "opendss"])
@pytest.mark.parametrize("words", ["modedis=peakshave kwtarget=1000", "modecharge=peakshavelow kwtargetlow=3000"])
def test_storage_idles_through_a_profile_whoever_would_dispatch_it(engine: Engine, words: str, tmp_path: Path) -> None:
    """An hour follows the other in which the same kWh would be there: it would give 300 kW all year long."""
    path = tmp_path / "own.dss"
    units = CONTROLLER.replace("modedis=peakshave kwtarget=1000", words)
    path.write_text(CIRCUIT.format(units=units), encoding="utf-8")
    profile = tmp_path / "profile.csv"
    rows = [f"2024-01-01T{hour:02d}:00,1,0" for hour in range(24)]
    profile.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    hours = Scenario(
        "hours",
        duration_s=24 * 3600,
        dt_s=Fraction(3600),
        control_dt_s=Fraction(3600),
        profile=str(profile),
        profile_rows=(0, 24, 1),
    )
    run = Plan((), tap_mode="own control"), hours
    (outcome,) = simulate_runs([run], Feeder.from_dss(path), Limits(), engine=engine)
    assert (outcome.engine, outcome.failure) == (engine, None)
    dss = opendssdirect.NewContext()
    text = CIRCUIT.format(units=units.splitlines()[0])
    for line in ("Clear", *text.strip().splitlines(), "Set tolerance=1e-9 maxiterations=500", "Solve"):
        dss.Text.Command(line)
    dss.Circuit.SetActiveBus("end")
    idle_pu = dss.Bus.puVmagAngle()[0]
    place = outcome.summary.nodes.index(("end", 1))
    assert outcome.summary.lowest_pu[place] == pytest.approx(idle_pu, abs=1e-6)
    assert outcome.summary.highest_pu[place] == pytest.approx(idle_pu, abs=1e-6)


def test_a_reserve_that_a_resting_controller_has_written_over_a_storage_is_not_taken_for_its_own(
    tmp_path: Path,
) -> None:
    """It keeps 10 % and says 50 once the controller has acted: in lockstep it stopped at half."""
    path = tmp_path / "own.dss"
    units = (
        "New Storage.unit bus1=end kv=12.47 kwrated=300 kwhrated=10 %stored=60 %reserve=10 kva=400\n"
        "New StorageController.c element=Line.l modedis=peakshave kwtarget=1000 %reserve=50 elementlist=[unit]"
    )
    left = "Solve\nDisable StorageController.c\nEdit Storage.unit state=discharging %stored=60\n"
    path.write_text(CIRCUIT.format(units=units) + left, encoding="utf-8")
    run = Plan((), tap_mode="own control"), Scenario("minutes", duration_s=180)
    feeder = Feeder.from_dss(path)
    (outcome,) = simulate_runs([run], feeder, Limits())
    assert outcome.engine == "opendss"
    assert "beside a StorageController's reserve" in outcome.engine_note
