"""Hours of a circuit's own shapes, and what its PV systems and storage do in them: as OpenDSS itself solves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.studied_hour import hour_of, studied_hour
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.held_series import HeldSeries
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from studies.cli import main
from studies.hosting_capacity.study import HostingCapacityStudy


def _series(first: float, step: float, n: int) -> str:
    return " ".join(f"{first + step * k:.4f}" for k in range(1, n + 1))


SHAPES = f"""New Loadshape.week npts=168 interval=1 mult=[{_series(0.3, 0.003, 168)}]
New Loadshape.day npts=24 interval=1 mult=[{_series(0.2, 0.02, 24)}] qmult=[{_series(0.1, 0.01, 24)}]
New Loadshape.half npts=48 interval=0.5 mult=[{_series(0.0, 0.02, 48)}]
New Loadshape.uneven npts=3 interval=0 hour=[0 10 20] mult=[0.1 0.5 0.9]
New Loadshape.measured npts=24 interval=1 useactual=yes mult=[{_series(100, 3, 24)}]
New Loadshape.dispatch npts=24 interval=1 mult=[{" ".join(["-0.5"] * 8 + ["0"] * 8 + ["0.8"] * 8)}]
New TShape.warm npts=24 interval=1 temp=[{_series(10, 1, 24)}]
New XYCurve.derating npts=2 xarray=[0 100] yarray=[1.2 0.8]
"""
LOADS = """New Load.a bus1=b phases=3 kv=12.47 kw=800 pf=0.9 yearly=week
New Load.b bus1=b.1 phases=1 kv=7.2 kw=200 pf=0.9 daily=day model=2
New Load.both bus1=b.2 phases=1 kv=7.2 kw=200 pf=0.95 yearly=week daily=day
New Load.h bus1=b phases=3 kv=12.47 kw=300 pf=0.95 daily=half model=4 cvrwatts=0.8
New Load.u bus1=b phases=3 conn=delta kv=12.47 kw=100 pf=0.95 daily=uneven
New Load.m bus1=b phases=3 kv=12.47 kw=50 pf=0.95 daily=measured
New Load.f bus1=b phases=3 kv=12.47 kw=60 pf=0.95 daily=day status=fixed
New Load.e bus1=b phases=3 kv=12.47 kw=70 pf=0.95 daily=day status=exempt
New Load.n bus1=b phases=3 kv=12.47 kw=80 pf=0.95
"""
UNITS = """New PVSystem.roof bus1=b phases=3 kv=12.47 kva=500 pmpp=500 irradiance=0.9 temperature=25 p-tcurve=derating
~ daily=day tdaily=warm
New Generator.g bus1=b phases=3 kv=12.47 kw=100 pf=0.9 daily=day
New Storage.s bus1=b phases=3 kv=12.47 kwrated=250 kwhrated=2000 state=discharging %stored=80 dispmode=follow
~ daily=dispatch
"""


def circuit_of(parts: str, end: str = "") -> list[str]:
    text = f"""New Circuit.c bus1=a basekv=12.47 pu=1.02 mvasc3=100 mvasc1=90
{SHAPES}New Line.l bus1=a bus2=b r1=0.3 x1=0.4 r0=0.6 x0=1.2 length=3 units=km
{parts}Set VoltageBases=[12.47]
CalcVoltageBases
{end}"""
    return [line for line in text.splitlines() if line]


def solved(commands: Sequence[str], *more: str) -> np.ndarray:
    circuit = Circuit(commands, tolerance=1e-9, max_iterations=300)
    circuit.finish()
    for command in more:
        circuit.command(command)
    circuit.ask("Solution_Solve")
    return circuit.node_voltages() / circuit.node_base_v


@pytest.mark.parametrize("at", ["2023-01-01T00:00", "2023-01-01T05:00", "2023-07-15T17:00", "2024-12-31T23:00"])
@pytest.mark.parametrize("end", ["", "Set LoadMult=0.8"])
def test_an_hour_is_what_opendss_makes_of_it_in_its_yearly_mode(at: str, end: str) -> None:
    time = datetime.fromisoformat(at)
    loads = LOADS if not end else "\n".join(line for line in LOADS.splitlines() if "measured" not in line) + "\n"
    commands = circuit_of(loads + UNITS, end)
    hour = studied_hour(commands, time)
    # A generator's daily shape is none of its yearly mode's, unless it is told so.
    yearly = f"Set mode=yearly hour={int(hour_of(time))} sec=0 number=1 stepsize=0"
    theirs = solved([*commands, "Edit Generator.g yearly=day"], yearly)
    ours = solved([*commands, *hour.commands], "Set mode=snapshot")
    assert np.abs(ours - theirs).max() < 1e-6
    assert np.abs(ours - solved(commands)).max() > 1e-4
    assert any("8 of 9 loads follow a shape" in word or "7 of 8 loads" in word for word in hour.words)


def test_the_hour_17_takes_the_17th_point_and_midnight_of_new_year_the_last_one() -> None:
    """By hand: load n has no shape, and day's points are 0.2 + 0.02 k for P, 0.1 + 0.01 k for Q."""
    commands = circuit_of("New Load.x bus1=b phases=3 kv=12.47 kw=100 kvar=50 daily=day\n")
    for at, point in (("2023-03-01T17:00", 17), ("2023-01-01T00:00", 24), ("2023-01-01T01:00", 1)):
        (edit,) = studied_hour(commands, datetime.fromisoformat(at)).commands
        values = dict(part.split("=") for part in edit.split()[2:])
        assert float(values["kw"]) == pytest.approx(100 * (0.2 + 0.02 * point), rel=1e-6)
        assert float(values["kvar"]) == pytest.approx(50 * (0.1 + 0.01 * point), rel=1e-6)


def test_what_follows_the_hour_in_another_way_is_refused() -> None:
    commands = circuit_of("New Load.x bus1=b phases=3 kv=12.47 kw=100 daily=day\n")
    with pytest.raises(InputError, match=r"OpenDSS's own solution is .* pu off"):
        studied_hour([*commands, "Edit Vsource.source yearly=week"], datetime(2023, 7, 15, 17))
    with pytest.raises(InputError, match="no load, generator or PV system of the circuit has a yearly or daily shape"):
        studied_hour(circuit_of("New Load.x bus1=b phases=3 kv=12.47 kw=100\n"), datetime(2023, 7, 15, 17))


@pytest.fixture
def feeder_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.dss"
    path.write_text("Clear\n" + "\n".join(circuit_of(LOADS + UNITS)))
    return path


def written_with(path: Path, line: str) -> Path:
    """The circuit of a file with one line more."""
    changed = path.with_name("changed.dss")
    changed.write_text(f"{path.read_text()}\n{line}\n")
    return changed


def test_a_feeder_says_what_its_own_units_do_and_an_hour_changes_it(feeder_file: Path) -> None:
    nominal = Feeder.from_dss(feeder_file)
    night = Feeder.from_dss(feeder_file, at=datetime(2023, 1, 15, 3))
    # 500 kW at 0.9 kW/m2, and 1.1 of it at 25 degrees.
    said = " ".join(nominal.state)
    assert "pvsystem.roof injects 495 kW of 500 kVA at irradiance 0.9 (off below 20 % of that)" in said
    assert "storage.s discharges 250 kW, 1,600 kWh stored, which last 6.4 h" in said
    said = " ".join(night.state)
    assert "studied at 2023-01-15 03:00" in said
    assert "at irradiance 0.234" in said
    assert "storage.s draws 125 kW" in said
    stated = Feeder.from_dss(written_with(feeder_file, "Edit PVSystem.roof %cutin=0 %cutout=0"))
    assert "at irradiance 0.9" in " ".join(stated.state)
    assert "off below" not in " ".join(stated.state)
    with pytest.raises(InputError, match="a circuit of your own"):
        Feeder.find("ieee13", at=datetime(2023, 1, 15, 3))


def test_in_a_run_through_a_profile_pv_follows_its_sun_and_storage_idles(feeder_file: Path) -> None:
    """Three hours: every voltage is what OpenDSS solves with that load and irradiance, and an idle storage."""
    feeder = Feeder.from_dss(feeder_file)
    grid = OpenDSSGrid(
        feeder=feeder,
        dt_s=Fraction(600),
        own_load_share=HeldSeries((0.6, 0.8, 1.0), 3600.0),
        own_sun_share=HeldSeries((0.0, 0.5, 1.0), 3600.0),
        tolerance=1e-9,
    )
    grid.start()
    times_s = [600.0 * step for step in range(18)]
    grid.advance_block(times_s[:1], {})
    grid.advance_block(times_s[1:], {})
    record = grid.record
    for step, (load, sun) in ((2, (0.6, 0.0)), (8, (0.8, 0.5)), (14, (1.0, 1.0))):
        expected = solved(
            feeder.commands,
            "Edit Storage.s dispmode=default state=idling",
            f"Edit PVSystem.roof irradiance={0.9 * sun}",
            f"Set LoadMult={load}",
        )
        assert np.abs(record.voltage_pu[step] - np.abs(expected)).max() < 1e-5


def test_a_study_at_an_hour_is_of_that_hour_and_refuses_a_profile_besides(feeder_file: Path) -> None:
    asked = HostingCapacityStudy(feeder=str(feeder_file), at="2023-01-15T03:00")
    assert any("studied at 2023-01-15 03:00" in word for word in asked.load_feeder().state)
    with pytest.raises(InputError, match="leave out one of them"):
        replace(asked, scenario=Scenario(profile="nyc_2018")).load_feeder()
    with pytest.raises(InputError, match="no time such as"):
        replace(asked, at="noon").load_feeder()


def test_the_feeder_command_takes_the_hour(feeder_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeder", str(feeder_file), "--at", "2023-07-15T17:00", "--no-picture"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "studied at 2023-07-15 17:00, 4,697 hours into the year" in said
    assert "pvsystem.roof injects 265.4 kW of 500 kVA at irradiance 0.486" in said


@pytest.mark.parametrize(("hour", "is_on"), [(2, False), (12, True)])
def test_a_bank_that_follows_the_clock_is_where_the_hour_puts_it(tmp_path: Path, hour: int, is_on: bool) -> None:
    """OpenDSS's own yearly solution of the hour, controls acting; a run under own control begins at that hour, too."""
    bank = """New Capacitor.c bus1=b phases=3 kv=12.47 kvar=900
New CapControl.k element=Line.l terminal=1 capacitor=c type=time onsetting=8 offsetting=20 delay=10
"""
    path = tmp_path / "clock.dss"
    path.write_text("Clear\n" + "\n".join(circuit_of(LOADS + bank)))
    plain = Circuit(circuit_of(LOADS + bank), tolerance=1e-9)
    after_h = hour_of(datetime(2023, 7, 15, hour))
    plain.command(f"Set mode=yearly controlmode=static hour={after_h:.0f} number=1 stepsize=0")
    plain.command("Solve")
    assert plain.ask_property("Capacitor.c.states").split() == ["[", "1]" if is_on else "0]"]
    lowest = float(np.abs(plain.node_voltages()).min())
    feeder = Feeder.from_dss(path, at=datetime(2023, 7, 15, hour))
    said = " ".join(feeder.state)
    assert f"follow the clock (k) stand where {hour:02d}:00 puts them" in said
    # The bank is closed as the circuit is compiled.
    assert ("capacitor.c states 1 to 0" in said) != is_on
    for dt_s in (60, 600):
        plan = Plan((), tap_mode="own control")
        for engine in ("batch", "opendss"):
            scenario = Scenario("brief", 1200, dt_s=Fraction(dt_s))
            ((run,),) = simulate([plan], [scenario], feeder, Limits(), engine=engine)  # type: ignore[arg-type]
            assert run.engine == engine
            found = float(np.nanmin(run.summary.lowest_pu)) * 12470.0 / np.sqrt(3.0)
            assert found == pytest.approx(lowest, rel=1e-5)
