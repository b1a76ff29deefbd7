"""A year of a circuit's own load shapes: every hour as OpenDSS itself solves it, on both engines, and in studies."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import opendssdirect
import pytest
from limits_left_out import NO_POWER_QUALITY

from g2g_opt.assembly import profile_series
from g2g_opt.batch.operating_points import OperatingPoints
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.site import sized_site
from g2g_opt.studied_year import own_year_of, studied_hours, through_own_year
from studies.load_profile.study import LoadProfileStudy
from studies.pv_datacenter_siting.case import days_of, make_case
from studies.pv_datacenter_siting.network import no_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.windows import opendss_voltages
from studies.shared.site_choices import ServedModel, SiteChoice

pytestmark = pytest.mark.xdist_group("own year")  # one worker, so that the year is simulated once

ENGINES: tuple[Engine, Engine] = ("batch", "opendss")
GENERATOR = np.random.default_rng(5)
SHAPES = {
    "year": (1.0, GENERATOR.uniform(0.2, 1.0, 8760)),
    "quarters": (0.25, GENERATOR.uniform(0.2, 1.0, 4 * 8760)),
    "pairs": (2.0, GENERATOR.uniform(0.2, 1.0, 4380)),
    "week": (1.0, GENERATOR.uniform(0.2, 1.0, 168)),
    "day": (1.0, GENERATOR.uniform(0.2, 1.0, 24)),
}
LOADS = """New Load.a bus1=b phases=3 kv=12.47 kw=800 pf=0.9 yearly=year daily=day
New Load.p bus1=b phases=3 kv=12.47 kw=150 pf=0.95 yearly=pairs model=2
New Load.w bus1=b.1 phases=1 kv=7.2 kw=200 pf=0.9 yearly=week model=4 cvrwatts=0.8
New Load.d bus1=b.2 phases=1 kv=7.2 kw=200 pf=0.9 daily=day model=5
New Load.f bus1=b phases=3 kv=12.47 kw=60 pf=0.95 yearly=day status=fixed
New Load.n bus1=b phases=3 kv=12.47 kw=80 pf=0.95
"""
PV = "New PVSystem.roof bus1=b phases=3 kv=12.47 kva=500 pmpp=500 irradiance=0.9 temperature=25 yearly=week\n"
# In January a year begins; in a leap year's December shapes of 8,760 hours begin again.
FIRST, N_HOURS = datetime(2024, 12, 30, 0), 48


def write_circuit(folder: Path, loads: str = LOADS) -> Path:
    shapes = ""
    for name, (interval, values) in SHAPES.items():
        (folder / f"{name}.csv").write_text("\n".join(f"{value:.6f}" for value in values))
        shapes += f"New Loadshape.{name} npts={len(values)} interval={interval} mult=(file={name}.csv)\n"
    path = folder / "own.dss"
    path.write_text(f"""Clear
New Circuit.c bus1=a basekv=12.47 pu=1.02 mvasc3=100 mvasc1=90
{shapes}New Line.l bus1=a bus2=b r1=0.3 x1=0.4 r0=0.6 x0=1.2 length=3 units=km normamps=400
New Line.m bus1=b bus2=c r1=0.3 x1=0.4 r0=0.6 x0=1.2 length=1 units=km normamps=400
{loads}Set LoadMult=0.9
Set VoltageBases=[12.47]
CalcVoltageBases
""")
    return path


def write_hours(folder: Path, first: datetime = FIRST, n_hours: int = N_HOURS) -> str:
    path = folder / "hours.csv"
    rows = [f"{(first + k * timedelta(hours=1)).isoformat()},0.5,{0.01 * (k % 100)}" for k in range(n_hours)]
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]))
    return str(path)


def plain_pu(path: Path, hours: list[int]) -> np.ndarray:
    """Lowest voltage of b and c (pu) in each hour of the year, by OpenDSS's own yearly mode."""
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{path}"')
    dss.Text.Command("Set tolerance=1e-9 maxiterations=500 controlmode=off")
    found = []
    for hour in hours:
        dss.Text.Command(f"Set mode=yearly hour={hour + 1} sec=0 number=1 stepsize=0")
        dss.Solution.Solve()
        lowest = []
        for bus in ("b", "c"):
            dss.Circuit.SetActiveBus(bus)
            lowest.append(min(dss.Bus.puVmagAngle()[0::2]))
        found.append(min(lowest))
    return np.array(found)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_circuit(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_hours(tmp_path_factory.mktemp("hours"))


def scenario_of(hours: str) -> Scenario:
    return Scenario(
        "own",
        duration_s=N_HOURS * 3600,
        dt_s=Fraction(3600),
        control_dt_s=Fraction(3600),
        replica_share_start=1.0,
        replica_ramps=(),
        profile=hours,
        profile_rows=(0, N_HOURS, 1),
        own_shapes=True,
    )


def test_every_hour_is_what_openDSS_makes_of_it(path: Path, hours: str) -> None:
    feeder = Feeder.from_dss(path)
    loads, units = profile_series(scenario_of(hours), feeder)
    grid = OpenDSSGrid(feeder=feeder, dt_s=Fraction(3600), own_load_share=loads, own_sun_share=units, tolerance=1e-9)
    grid.start()
    grid.advance_block([3600.0 * k for k in range(N_HOURS)], {})
    ours = grid.record.voltage_pu[:, grid.monitored_columns].min(axis=1)
    first = 24 * 364
    theirs = plain_pu(path, list(range(first, first + N_HOURS)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.ptp(theirs) > 0.01


def test_both_engines_agree_on_the_hours(path: Path, hours: str) -> None:
    site = sized_site("site", "c", LoadProfileStudy().load_models(), 40, 0.2)
    limits = Limits(voltage_min_pu=0.8, loading_max_pu=None, **NO_POWER_QUALITY)
    (batch,), (alone,) = (
        simulate_runs([(Plan((site,)), scenario_of(hours))], Feeder.from_dss(path), limits, engine=engine)
        for engine in ENGINES
    )
    assert (batch.engine, alone.engine) == ENGINES
    np.testing.assert_allclose(batch.summary.lowest_pu, alone.summary.lowest_pu, rtol=0, atol=2e-6)
    np.testing.assert_allclose(batch.summary.highest_pu, alone.summary.highest_pu, rtol=0, atol=2e-6)


def test_operating_points_take_a_share_for_every_shape(path: Path, hours: str) -> None:
    feeder = Feeder.from_dss(path)
    year = own_year_of(feeder, load_profile(hours))
    points = OperatingPoints(feeder, year.load_share, [{}] * N_HOURS).solve([], np.empty((0, N_HOURS)))
    first = 24 * 364
    theirs = plain_pu(path, list(range(first, first + N_HOURS)))
    np.testing.assert_allclose(points.voltage_pu.min(axis=0), theirs, rtol=0, atol=1e-6)


def test_of_shapes_finer_than_an_hour_the_mean_counts_and_pv_follows_its_own(tmp_path: Path) -> None:
    load = "New Load.q bus1=b phases=3 kv=12.47 kw=800 yearly=quarters\nNew Load.o bus1=b phases=3 kv=12.47 kw=200\n"
    feeder = Feeder.from_dss(write_circuit(tmp_path, load + PV))
    profile = load_profile(write_hours(tmp_path, datetime(2023, 1, 1), 8760))
    year = own_year_of(feeder, profile)
    means = np.round(SHAPES["quarters"][1], 6).reshape(-1, 4).mean(axis=1)
    np.testing.assert_allclose(year.load_share["quarters"], means, rtol=1e-6)
    np.testing.assert_allclose(year.mean_share, 0.8 * means + 0.2, rtol=1e-6)
    np.testing.assert_allclose(
        year.unit_share["pvsystem.roof"][:400], np.tile(np.round(SHAPES["week"][1], 6), 3)[:400], rtol=1e-6
    )
    said = " ".join(year.words)
    assert "1 of 2 loads follow one" in said
    assert "loads without a shape draw their nominal power all year: o" in said
    assert "the mean of every hour counts: quarters" in said
    assert "shapes of one week" in said


@pytest.mark.parametrize(
    ("shape", "load", "words"),
    [
        (
            "New Loadshape.s npts=240 interval=1 mult=[240*0.5]",
            "yearly=s",
            "covers 240 hours.*neither a day",
        ),
        ("New Loadshape.s npts=2 interval=12 useactual=yes mult=[1 2]", "yearly=s", "actual powers"),
        ("New Loadshape.s npts=2 interval=12 mult=[1 2] qmult=[1 1]", "yearly=s", "multipliers of its own for kvar"),
        ("New Loadshape.s npts=2 interval=12 mult=[1 2]", "yearly=s status=exempt", "status exempt"),
        ("New Loadshape.s npts=2 interval=12 mult=[1 2]", "", "no load of the circuit has a yearly or daily shape"),
    ],
)
def test_shapes_that_say_nothing_about_a_year_are_refused(
    tmp_path: Path, hours: str, shape: str, load: str, words: str
) -> None:
    shape = shape.replace("[240*0.5]", "[" + "0.5 " * 240 + "]")
    feeder = Feeder.from_dss(write_circuit(tmp_path, f"{shape}\nNew Load.x bus1=b phases=3 kv=12.47 kw=100 {load}\n"))
    with pytest.raises(InputError, match=words):
        studied_hours(hours, feeder)


def test_a_load_profile_and_a_siting_study_follow_the_circuits_own_shapes(path: Path, hours: str) -> None:
    study = LoadProfileStudy(feeder=str(path), buses=("c",), profile=hours, own_shapes=True)
    study.check()
    assert study.hourly().load_share != load_profile(hours).load_share
    said = " ".join(study.load_feeder().state)
    assert "5 of 6 loads" not in said
    assert "4 of 6 loads follow one" in said
    assert "begin again on the last day of a leap year: year, pairs" in said
    assert "whose load_share is not used" in said
    assert through_own_year(Feeder.from_dss(path), study.scenario).state == study.load_feeder().state
    assert study.cell_scenario(study.cells()[0]).own_shapes
    with pytest.raises(InputError, match="go through the hours of a profile; name one"):
        Scenario(own_shapes=True)
    with pytest.raises(InputError, match="no load of the circuit has"):
        SitingStudy(own_shapes=True).check()


def test_the_network_of_a_siting_study_follows_the_shapes_as_openDSS_does(path: Path, tmp_path: Path) -> None:
    profile = write_hours(tmp_path, datetime(2023, 1, 1), 8760)
    site = SiteChoice("dc", (ServedModel("Llama-3.1-70B-Instruct", 160),), candidates=("c",))
    study = SitingStudy(feeder=str(path), mode="dc", sites=(site,), profile=profile, own_shapes=True)
    case = make_case(study, study.load_feeder(), days_of(study)[:1])
    plan = no_plan(case.network, len(case.calendar.slot_day), case.sites)
    found = case.network.simulate(plan)
    for point in (7, 60):
        voltages = found.g[: case.network.n_voltages, point]
        assert np.abs(opendss_voltages(case, plan, point) - voltages).max() < 1e-6
    assert set(case.network.by_shape) == {"", "year", "pairs", "week", "day"}
    assert case.network.by_shape["year"].std() > 0.05
