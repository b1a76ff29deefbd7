"""Banks that follow the clock, in runs through the hours of a profile: as OpenDSS has them at those hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import opendssdirect
import pytest

from g2g_opt.batch.chains import Chains
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.operating_points import Unit
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs

CIRCUIT = """
Clear
New Circuit.small basekv=12.47 pu=1.0 phases=3 bus1=source MVAsc3=200
New Line.first bus1=source bus2=end r1=0.3 x1=0.6 r0=0.8 x0=1.8 units=km length=8 normamps=400
New Load.own bus1=end phases=3 kV=12.47 kW=1500 kvar=700 model=1
New Capacitor.day bus1=end kv=12.47 kvar=900
New CapControl.day capacitor=day element=Line.first terminal=1 type=time onsetting=8 offsetting=20
Set voltagebases=[12.47]
Calcvoltagebases
"""
N_HOURS = 30


@pytest.fixture
def circuit(tmp_path: Path) -> Path:
    path = tmp_path / "small.dss"
    path.write_text(CIRCUIT, encoding="utf-8")
    return path


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path, begin = tmp_path / "profile.csv", datetime(2024, 1, 1, 5)
    rows = [f"{(begin + k * timedelta(hours=1)).isoformat()},1,0" for k in range(N_HOURS)]
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    return str(path)


def plain_pu(circuit: Path, hour: int) -> float:
    """Voltage of end.1 by plain OpenDSS, its bank switched by hand as the hour says."""
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{circuit}"')
    dss.Text.Command(f"Edit Capacitor.day states=[{int(8 <= hour < 20)}]")
    dss.Text.Command("Set Mode=Snapshot ControlMode=Off tolerance=1e-9")
    dss.Solution.Solve()
    dss.Circuit.SetActiveBus("end")
    return float(dss.Bus.puVmagAngle()[0])


def scenario(profile: str, rows: tuple[int, int, int], dt_s: int = 3600) -> Scenario:
    return Scenario(
        "hours",
        duration_s=3600 * rows[1],
        dt_s=Fraction(dt_s),
        control_dt_s=Fraction(dt_s),
        profile=profile,
        profile_rows=rows,
    )


@pytest.mark.parametrize("engine", ["batch", "opendss"])
@pytest.mark.parametrize("dt_s", [3600, 1800])
def test_a_bank_is_on_in_the_hours_that_its_clock_says(circuit: Path, profile: str, dt_s: int, engine: Engine) -> None:
    """Row k begins at 5 + k o'clock: at 7, 8, 19 and 20 the bank is off, on, on and off; rows 24 apart are one hour."""
    rows = [(k, 1, 1) for k in (2, 3, 14, 15)] + [(3, 2, 24), (0, 8, 1), (10, 8, 1)]
    runs = [(Plan((), tap_mode="own control"), scenario(profile, one, dt_s)) for one in rows]
    outcomes = simulate_runs(runs, Feeder.from_dss(circuit), Limits(), engine=engine)
    on, off = plain_pu(circuit, 12), plain_pu(circuit, 2)
    assert on - off > 0.02
    expected = [(off, off), (on, on), (on, on), (off, off), (on, on), (off, on), (off, on)]
    for run, (low, high) in zip(outcomes, expected, strict=True):
        assert (run.engine, run.failure) == (engine, None)
        place = run.summary.nodes.index(("end", 1))
        assert run.summary.lowest_pu[place] == pytest.approx(low, abs=1e-6)
        assert run.summary.highest_pu[place] == pytest.approx(high, abs=1e-6)


def test_in_time_a_run_begins_at_the_hour_of_its_first_row(circuit: Path, profile: str) -> None:
    """Steps of a minute, from 7 o'clock on: the bank goes on an hour later, on both engines."""
    run = Plan((), tap_mode="own control"), scenario(profile, (2, 2, 1), 60)
    feeder = Feeder.from_dss(circuit)
    on, off = plain_pu(circuit, 12), plain_pu(circuit, 2)
    for engine in ("batch", "opendss"):
        (outcome,) = simulate_runs([run], feeder, Limits(), engine=engine)
        place = outcome.summary.nodes.index(("end", 1))
        assert outcome.summary.lowest_pu[place] == pytest.approx(off, abs=1e-6)
        assert outcome.summary.highest_pu[place] == pytest.approx(on, abs=1e-6)


def test_where_taps_are_fixed_a_bank_stays_and_that_is_said(circuit: Path, profile: str) -> None:
    feeder = Feeder.from_dss(circuit)
    (outcome,) = simulate_runs([(Plan(()), scenario(profile, (0, 24, 1)))], feeder, Limits())
    place = outcome.summary.nodes.index(("end", 1))
    assert outcome.summary.lowest_pu[place] == outcome.summary.highest_pu[place]
    (words,) = [line for line in feeder.state if "follow the clock" in line]
    assert "in runs through the hours of a profile they follow its hours where controls act" in words
    assert "stay there where taps are fixed" in words


def test_days_of_a_year_side_by_side_follow_the_clock_as_well(circuit: Path) -> None:
    """Three days of hours, of which each begins at midnight."""
    feeder = Feeder.from_dss(circuit)
    operation = FeederOperation(feeder)
    hours = np.arange(72)
    series = operation.run(Chains([Unit("end")], np.zeros((1, 1, 72)), np.ones(72), [{}]))
    row = operation.nodes.index(("end", 1))
    expected = np.where((hours % 24 >= 8) & (hours % 24 < 20), plain_pu(circuit, 12), plain_pu(circuit, 2))
    assert np.abs(series.rows[row, 0] - expected).max() < 1e-6


def test_a_bank_that_follows_a_shape_stays_and_that_is_said(circuit: Path, profile: str) -> None:
    """OpenDSS opens it in a snapshot by the shape, and closes it in its modes by the hour alone."""
    shape = f"New Loadshape.signal npts=24 interval=1 mult=[{' '.join('1' if 8 <= k < 20 else '0' for k in range(24))}]"
    text = CIRCUIT.replace("type=time onsetting=8 offsetting=20", "type=follow controlsignal=signal")
    circuit.write_text(text.replace("New CapControl", f"{shape}\nNew CapControl"))
    feeder, run = Feeder.from_dss(circuit), (Plan((), tap_mode="own control"), scenario(profile, (0, 24, 1)))
    (outcome,) = simulate_runs([run], feeder, Limits())
    place = outcome.summary.nodes.index(("end", 1))
    assert outcome.summary.lowest_pu[place] == pytest.approx(outcome.summary.highest_pu[place], abs=1e-9)
    (words,) = [line for line in feeder.state if "follow a shape" in line]
    assert words.startswith("banks that follow a shape (type=follow: day) stand where 00:00 puts them, and stay there")
