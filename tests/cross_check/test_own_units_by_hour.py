"""PV, generators and storage of the circuit itself at the hours of planning: each hour as OpenDSS alone has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect
import pytest

from g2g_opt.batch.chains import Chains
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.operating_points import OperatingPoints
from g2g_opt.batch.unit_series import UnitPoints
from g2g_opt.feeder import Feeder

CIRCUIT = """Clear
New Circuit.units basekv=12.47 pu=1.02 bus1=src mvasc3=40 mvasc1=35
New Transformer.Reg phases=3 windings=2 buses=(src a) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1 %loadloss=0.1
New RegControl.Reg transformer=Reg winding=2 vreg=122 band=1.6 ptratio=60 delay=30
New Line.l1 bus1=a bus2=b length=4 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 c1=0 c0=0
New Load.l bus1=b kv=12.47 kW=1500 pf=0.95 vminpu=0.7
New PVSystem.Roof bus1=b phases=3 kv=12.47 kva=800 pmpp=900 irradiance=0.9 pf=0.98
New PVSystem.Shaped bus1=b phases=3 kv=12.47 kva=300 pmpp=300 irradiance=1 pf=1 %cutin=0 %cutout=0
New Generator.CHP bus1=b phases=3 kv=12.47 kW=200 pf=0.95 model=1
New Storage.Battery bus1=b phases=3 kv=12.47 kwrated=400 kwhrated=800 %stored=60 dispmode=default state=discharging
Set VoltageBases=[12.47]
CalcVoltageBases
"""
N = 24
HOUR = np.arange(N)
LOAD = 0.7 + 0.3 * np.sin(2 * np.pi * (HOUR - 9) / 24)
SUN = np.clip(np.sin(np.pi * (HOUR - 6) / 12), 0.0, None)
OF_SHAPED, OF_CHP = np.where(HOUR < 12, 0.25, 1.0), np.where(HOUR % 2, 1.0, 0.0)
UNITS = UnitPoints(SUN, {"pvsystem.shaped": OF_SHAPED, "generator.chp": OF_CHP})


def alone(path: Path, mode: str) -> np.ndarray:
    """Voltages (bus-phase, hour) of a and b, controls where the hour before left them."""
    dss = opendssdirect.dss.NewContext()
    dss.Text.Command(f"Compile [{path}]")
    dss.Text.Command("Edit Storage.Battery dispmode=default state=idling")
    dss.Text.Command(f"Set controlmode={mode} tolerance=1e-9 maxiterations=200 maxcontroliter=100")
    found = []
    for k in range(N):
        dss.Text.Command(f"Set LoadMult={LOAD[k]:.15g}")
        dss.Text.Command(f"Edit PVSystem.Roof irradiance={0.9 * SUN[k]:.15g}")
        dss.Text.Command(f"Edit PVSystem.Shaped irradiance={OF_SHAPED[k]:.15g}")
        dss.Text.Command(
            f"Edit Generator.CHP kw={200 * OF_CHP[k]:.15g} kvar={200 * np.tan(np.arccos(0.95)) * OF_CHP[k]:.15g}"
        )
        dss.Solution.Solve()
        volts = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True))
        found.append([volts[f"{bus}.{phase}"] for bus in "ab" for phase in (1, 2, 3)])
    return np.array(found).T


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "units.dss").write_text(CIRCUIT, encoding="utf-8")
    return tmp_path / "units.dss"


def test_operating_points_have_the_units_of_their_hours(path: Path) -> None:
    feeder = Feeder.from_dss(path)
    points = OperatingPoints(feeder, LOAD, [{"reg": 1.0}] * N, units=UNITS)
    place = [points.nodes.index((bus, phase)) for bus in "ab" for phase in (1, 2, 3)]
    solved = points.solve([], np.empty((0, N)))
    np.testing.assert_allclose(solved.voltage_pu[place], alone(path, "off"), rtol=0, atol=2e-6)


def test_hours_under_own_controls_have_their_units(path: Path) -> None:
    operation = FeederOperation(Feeder.from_dss(path), storage_idles=True)
    series = operation.run(Chains([], np.empty((0, 1, N)), LOAD, [operation.set_points()], own_units=UNITS))
    place = [operation.nodes.index((bus, phase)) for bus in "ab" for phase in (1, 2, 3)]
    theirs = alone(path, "static")
    np.testing.assert_allclose(series.rows[place, 0], theirs, rtol=0, atol=2e-6)
    assert np.ptp(theirs) > 0.01
    assert len(np.unique(series.taps_pu)) > 1
