"""Elements that few circuits have: power flow controllers, faults in service, inverters that form the grid, and parts
that nothing holds to ground.
"""

from __future__ import annotations

from pathlib import Path

import opendssdirect
import pytest

from g2g_opt.base_case import BaseCaseState, solve_base_case
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.modelled_controls import load_controls
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.feeder import Feeder

HEAD = """
Clear
New Circuit.own basekv=12.47 pu=1.02 bus1=grid R1=0.1 X1=0.8 R0=0.2 X0=1
New Line.l bus1=grid bus2=end r1=0.3 x1=0.6 r0=0.6 x0=1.5 c1=0 c0=0 length=3
New Load.own bus1=end kv=12.47 kw=2000 pf=0.93
"""
TAIL = "\nSet voltagebases=[12.47 0.4]\nCalcVoltageBases\nSolve\n"


def write(folder: Path, body: str) -> Path:
    path = folder / "own.dss"
    path.write_text(HEAD + body + TAIL)
    return path


def plain_pu(master: Path, bus: str) -> list[float]:
    """Voltages by plain OpenDSS, as the file itself solves."""
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{master}"')
    dss.Circuit.SetActiveBus(bus)
    return [float(pu) for pu in dss.Bus.puVmagAngle()[0::2]]


def test_a_circuit_with_a_power_flow_controller_is_studied(tmp_path: Path) -> None:
    """Its control has no nodes at all."""
    master = write(
        tmp_path,
        "New UPFC.u bus1=end bus2=behind refkv=7.2 phases=3 mode=1 xs=0.75\nNew UPFCControl.c\n"
        "New Load.behind bus1=behind kv=12.47 kw=100",
    )
    base = solve_base_case(Feeder.from_dss(master))
    found = [node.voltage_pu for node in base.voltages if node.bus == "behind"]
    assert found == pytest.approx(plain_pu(master, "behind"), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "told", "moves"),
    [
        ("r=200", "fault.f (200 ohm at end)", False),
        ("r=0.5 ontime=2", "fault.f (0.5 ohm at end, from 2 s on)", True),
        ("r=50 temporary=yes minamps=5", "fault.f (50 ohm at end, until it carries less than 5 A)", True),
        ("r=200 enabled=no", "", False),
    ],
)
def test_a_fault_in_service_is_told_and_one_that_comes_or_goes_in_time_is_for_openDSS(
    tmp_path: Path, words: str, told: str, moves: bool
) -> None:
    feeder = Feeder.from_dss(write(tmp_path, f"New Fault.f bus1=end.1 phases=1 {words}"))
    notes = [note for note in feeder.unstated_notes if "fault" in note]
    assert [note.endswith(told) for note in notes] == ([True] if told else [])
    if moves:
        with pytest.raises(UnsupportedByBatch, match=r"fault\.f .* in time"):
            load_controls(feeder.commands, 1.0)
    else:
        load_controls(feeder.commands, 1.0)
    # Where no time passes, nothing comes.
    load_controls(feeder.commands, 600.0)


def test_an_inverter_that_forms_the_grid_is_named_as_such(tmp_path: Path) -> None:
    unit = "New PVSystem.p bus1=end kv=12.47 kva=500 pmpp=600 irradiance=0.9 controlmode=gfm amplimit=1.2"
    feeder = Feeder.from_dss(write(tmp_path, unit))
    with pytest.raises(UnsupportedByBatch, match=r"pvsystem p forms the grid \(controlmode=gfm\)"):
        load_jacobian(feeder.commands, tuple(feeder.buses.values()))


def test_a_part_that_nothing_holds_to_ground_is_the_reason_why_there_is_no_solution(tmp_path: Path) -> None:
    """The load is 60 kW of 500 kVA: it is not beyond what the circuit can carry."""
    master = write(
        tmp_path,
        "New Transformer.t phases=3 windings=2 buses=[end low] conns=[wye delta] kvs=[12.47 0.4] kvas=[500 500] xhl=4 "
        "ppm_antifloat=0\nNew Load.low bus1=low kv=0.4 kw=60 conn=delta",
    )
    base = solve_base_case(Feeder.from_dss(master))
    assert base.state is BaseCaseState.NO_SOLUTION
    assert "nothing holds the nodes low.1, low.2, low.3 to ground" in base.failure
    assert "beyond what the circuit can carry" not in base.failure
