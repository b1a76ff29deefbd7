"""A feeder's own demand and sun by the hour: both engines, loads that follow and loads that do not, bad files."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.batch import attached
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.hourly_profile import HourlyProfile, load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate, simulate_runs
from g2g_opt.site import BASE_KW_PER_GPU, sized_site

MODEL = measured_spec("llama-3.1-70b", gpu="H100")
# Loads of several models on a short line, one of them fixed and one exempt.
CIRCUIT = """
Clear
New Circuit.small basekv=12.47 pu=1.02 phases=3 bus1=source MVAsc3=200
New Linecode.plain nphases=3 r1=0.3 x1=0.6 r0=0.8 x0=1.8 units=km
New Line.first bus1=source bus2=middle linecode=plain length=3 units=km
New Line.second bus1=middle bus2=end linecode=plain length=2 units=km
New Load.power bus1=middle phases=3 kV=12.47 kW=900 kvar=300 model=1
New Load.impedance bus1=end phases=3 kV=12.47 kW=600 kvar=200 model=2
New Load.current bus1=end.1 phases=1 kV=7.2 kW=150 kvar=50 model=5
New Load.exponents bus1=end.2 phases=1 kV=7.2 kW=150 kvar=50 model=4 CVRwatts=0.6 CVRvars=1.7
New Load.fixed bus1=end phases=3 kV=12.47 kW=300 kvar=60 model=1 status=fixed
New Load.exempt bus1=middle phases=3 kV=12.47 kW=200 kvar=60 model=1 status=exempt
Set voltagebases=[12.47]
Calcvoltagebases
"""


def plan_at(bus: str, n_servers: int = 200) -> Plan:
    return Plan((sized_site("site", bus, [(MODEL, 128)], n_servers, BASE_KW_PER_GPU),))


def write_profile(path: Path, load: list[float], generation: list[float]) -> Path:
    begin = datetime(2024, 1, 1)
    rows = [
        f"{(begin + k * timedelta(hours=1)).isoformat()},{a},{b}"
        for k, (a, b) in enumerate(zip(load, generation, strict=True))
    ]
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    return path


def hours(profile: str, rows: tuple[int, int, int], name: str = "hours") -> Scenario:
    return Scenario(name, duration_s=3600 * rows[1], dt_s=3600, control_dt_s=3600, profile=profile, profile_rows=rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123"])
def test_a_month_by_the_hour_is_the_same_on_both_engines(name: str) -> None:
    feeder = Feeder.load(name)
    plans = [plan_at(bus, n) for bus in feeder.candidate_buses[:2] for n in (50, 150)]
    scenarios = [hours("hudson_valley_2018", rows, str(rows)) for rows in ((0, 31, 24), (4380, 31, 24), (13, 31, 1))]
    batch = simulate(plans, scenarios, feeder, Limits(), tolerance=1e-9)
    opendss = simulate(plans, scenarios, feeder, Limits(), engine="opendss", tolerance=1e-9)
    for of_plan, expected in zip(batch, opendss, strict=True):
        for run, other in zip(of_plan, expected, strict=True):
            assert (run.engine, run.failure, other.failure) == ("batch", None, None)
            assert np.abs(run.summary.lowest_pu - other.summary.lowest_pu).max() < 1e-7
            assert np.abs(run.summary.highest_pu - other.summary.highest_pu).max() < 1e-7
    # Nights are lighter than afternoons in summer.
    night, afternoon = batch[0][0].summary.lowest, batch[0][1].summary.lowest
    assert night != afternoon


@pytest.mark.parametrize("tap_mode", ["fixed", "own control"])
def test_shares_are_laid_out_for_some_steps_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tap_mode: TapMode
) -> None:
    """Hours without any load, steps within an hour, scenarios of several profiles in a batch: as on OpenDSS, however
    many steps are laid out at a time.
    """
    rng = np.random.default_rng(5)
    profiles = [write_profile(tmp_path / f"{k}.csv", rng.uniform(0.3, 1.2, 30).tolist(), [0.0] * 30) for k in range(2)]
    dark = write_profile(tmp_path / "dark.csv", [*rng.uniform(0.3, 1.2, 9), *[0.0] * 6, *[0.7] * 15], [0.0] * 30)
    scenarios = [hours(str(path), (0, 30, 1), path.stem) for path in (*profiles, dark)]
    scenarios += [replace(scenarios[0], name="minutes", duration_s=20 * 600, dt_s=600, control_dt_s=600)]
    feeder, plan = Feeder.load("ieee13"), replace(plan_at("671", 100), tap_mode=tap_mode)
    expected = simulate([plan], scenarios, feeder, Limits(), engine="opendss", tolerance=1e-9)[0]
    found = [simulate([plan], scenarios, feeder, Limits(), tolerance=1e-9)[0]]
    monkeypatch.setattr(attached, "_SERIES_STEPS", 7)
    found.append(simulate([plan], scenarios, feeder, Limits(), tolerance=1e-9)[0])
    for runs in found:
        for run, other in zip(runs, expected, strict=True):
            assert (run.engine, run.failure) == ("batch", None)
            assert np.abs(run.summary.lowest_pu - other.summary.lowest_pu).max() < 1e-7
            assert np.abs(run.summary.highest_pu - other.summary.highest_pu).max() < 1e-7
            assert run.verdict.used == pytest.approx(other.verdict.used, abs=1e-6)


def test_loads_follow_the_share_unless_their_status_keeps_them(tmp_path: Path) -> None:
    master = tmp_path / "small.dss"
    master.write_text(CIRCUIT, encoding="utf-8")
    feeder = Feeder.from_dss(master)
    shares = [1.0, 0.2, 1.7, 0.0, 0.6]
    profile = str(write_profile(tmp_path / "year.csv", shares, [0.0] * len(shares)))
    scenarios = [hours(profile, (k, 1, 1), f"row {k}") for k in range(len(shares))]
    (batch,) = simulate([plan_at("end", 60)], scenarios, feeder, Limits(), tolerance=1e-10)
    (opendss,) = simulate([plan_at("end", 60)], scenarios, feeder, Limits(), engine="opendss", tolerance=1e-10)
    for k, (run, other) in enumerate(zip(batch, opendss, strict=True)):
        # The circuit itself, with the loads that follow rewritten by hand.
        by_hand = tmp_path / f"hand{k}.dss"
        text = CIRCUIT
        for load, kw, kvar in (
            ("power", 900, 300),
            ("impedance", 600, 200),
            ("current", 150, 50),
            ("exponents", 150, 50),
        ):
            line = next(row for row in CIRCUIT.splitlines() if row.startswith(f"New Load.{load} "))
            text = text.replace(
                line, line.replace(f"kW={kw} kvar={kvar}", f"kW={kw * shares[k]:.9g} kvar={kvar * shares[k]:.9g}")
            )
        by_hand.write_text(text, encoding="utf-8")
        plain = replace(scenarios[k], profile=None)
        hand = Feeder.from_dss(by_hand)
        ((expected,),) = simulate([plan_at("end", 60)], [plain], hand, Limits(), engine="opendss", tolerance=1e-10)
        assert run.engine == "batch"
        assert np.abs(other.summary.lowest_pu - expected.summary.lowest_pu).max() < 1e-8, shares[k]
        assert np.abs(run.summary.lowest_pu - expected.summary.lowest_pu).max() < 1e-8, shares[k]


def test_a_row_holds_for_its_hour_when_steps_are_finer(tmp_path: Path) -> None:
    feeder = Feeder.load("ieee13")
    profile = str(write_profile(tmp_path / "year.csv", [0.4, 1.0, 0.4], [0.0, 0.0, 1.0]))
    scenario = replace(hours(profile, (0, 3, 1)), dt_s=600, control_dt_s=600, server_noise=0.0, replica_ramps=())  # type: ignore[arg-type]
    from g2g_opt.assembly import assemble

    run = assemble(plan_at("671", 20), scenario, feeder, Limits())
    log = run.coordinator.run()
    assert isinstance(run.grid, OpenDSSGrid)
    lowest = log.grid_states.voltage_pu.min(axis=1)
    by_hour = lowest.reshape(3, 6)
    assert np.ptp(by_hour, axis=1).max() < 2e-4  # what the servers' ripple leaves
    assert by_hour[1].max() < min(by_hour[0].min(), by_hour[2].min())


def test_the_bundled_year_has_every_hour_and_the_cells_of_its_months() -> None:
    profile = load_profile("hudson_valley_2018")
    assert len(profile.hours) == 8760
    assert (max(profile.load_share), max(profile.generation_share)) == (1.0, 1.0)
    assert HourlyProfile.known() == ("hudson_valley_2018",)
    rows = profile.rows_of(2, 17)
    assert (len(rows), set(np.diff(rows))) == (28, {24})
    assert all(profile.generation_share[k] == 0.0 for k in profile.rows_of(12, 1))
    assert sum(len(profile.rows_of(m, h)) for m in range(1, 13) for h in range(24)) == 8760


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:3] + rows[4:], "line 4: .* follows"),
        (
            lambda rows: [rows[0], rows[1].replace("0.5", "-0.5"), *rows[2:]],
            "line 2, load_share: '-0.5' must be from 0",
        ),
        (
            lambda rows: [rows[0], rows[1].replace("0.5", "nan"), *rows[2:]],
            "line 2, load_share: 'nan' is no finite number",
        ),
        (lambda rows: [rows[0], rows[1].replace("0.5", ""), *rows[2:]], "line 2, load_share: '' is no number"),
        (
            lambda rows: [rows[0], rows[1].replace("0.5", "2500"), *rows[2:]],
            "line 2, load_share: '2500' must be from 0 to 100; it is a share: kW and percent have to be divided first",
        ),
        (lambda rows: [rows[0].replace("load_share", "load"), *rows[1:]], "lacks the columns load_share"),
        (lambda rows: rows[:1], "has no rows"),
        (lambda rows: [rows[0], rows[1].replace("2024-01-01", "Monday"), *rows[2:]], "line 2: 'MondayT"),
    ],
)
def test_a_bad_profile_is_refused_with_its_row(tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    path = write_profile(tmp_path / "year.csv", [0.5] * 6, [0.1] * 6)
    path.write_text("\n".join(change(path.read_text().splitlines())), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_profile(str(path))


def test_rows_beyond_the_profile_and_unknown_profiles_are_refused(tmp_path: Path) -> None:
    path = write_profile(tmp_path / "year.csv", [0.5] * 6, [0.1] * 6)
    with pytest.raises(InputError, match="asks for row 7 of profile year, which has 6"):
        simulate([plan_at("671")], [hours(str(path), (1, 3, 3))], Feeder.load("ieee13"), Limits())
    with pytest.raises(InputError, match="known"):
        load_profile("no_such_year")
    with pytest.raises(InputError, match="longer than its 2 rows"):
        replace(hours(str(path), (0, 3, 1)), profile_rows=(0, 2, 1))


def test_a_run_of_one_step_counts_that_step_on_both_engines(tmp_path: Path) -> None:
    profile = str(write_profile(tmp_path / "year.csv", [1.0], [0.0]))
    runs = [
        simulate([plan_at("671", 300)], [hours(profile, (0, 1, 1))], Feeder.load("ieee13"), Limits(), engine=engine)  # type: ignore[arg-type]
        for engine in ("batch", "opendss")
    ]
    figures = [run[0][0] for run in runs]
    assert all(f.voltage.violation_time_s == 3600.0 for f in figures)
    assert figures[0].voltage.integral_violation_pu_s == pytest.approx(
        figures[1].voltage.integral_violation_pu_s,
        rel=1e-4,
    )
    assert not any(run[0][0].kept for run in runs)


def test_loads_that_ask_for_nothing_are_not_unserved(tmp_path: Path) -> None:
    profile = str(write_profile(tmp_path / "year.csv", [0.0, 0.0], [0.0, 0.0]))
    for engine in ("batch", "opendss"):
        scenario = hours(profile, (0, 2, 1))
        ((run,),) = simulate([plan_at("671", 5)], [scenario], Feeder.load("ieee13"), Limits(), engine=engine)  # type: ignore[arg-type]
        assert run.failure is None
        assert run.summary.own_loads_unserved_time_s == 0.0


def test_scheduled_batch_caps_hold_from_their_hour_on_in_both_engines() -> None:
    caps = ((-3600.0, 32), (3600.0, 128), (7200.0, 8))  # hours 0 and 1, 2, 3
    plan = replace(plan_at("671", 200), policy=Policy("schedule", batch_caps=caps))
    scenario = hours("hudson_valley_2018", (0, 4, 1))
    feeder = Feeder.load("ieee13")
    (opendss,) = simulate_runs([(plan, scenario)], feeder, Limits(), engine="opendss", by_step=True)
    assert opendss.by_step is not None
    alone = {
        cap: simulate_runs(
            [(replace(plan_at("671", 200), sites=(plan.sites[0].capped(cap),)), scenario)],
            feeder,
            Limits(),
            engine="opendss",
            by_step=True,
        )[0].by_step
        for cap in (32, 128, 8)
    }
    for hour, cap in enumerate((32, 32, 128, 8)):
        expected = alone[cap]
        assert expected is not None
        assert opendss.by_step.power_mw[hour] == pytest.approx(expected.power_mw[hour], rel=1e-9)
    ((batch,),) = simulate([plan], [scenario], feeder, Limits())
    assert batch.engine == "batch"
    assert batch.summary.throughput_tps == pytest.approx(opendss.summary.throughput_tps, rel=1e-9)
    assert batch.summary.throughput_share < 0.8
    for wrong in (("none", caps), ("schedule", ())):
        with pytest.raises(InputError, match="needs batch_caps, and no other"):
            Policy(wrong[0], batch_caps=wrong[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("begin", "n_hours", "is_year"),
    [
        (datetime(2023, 1, 1), 8760, True),
        (datetime(2024, 1, 1), 8784, True),
        (datetime(2024, 1, 1), 8760, True),  # without its 31 December
        (datetime(2023, 4, 1), 8784, True),
        (datetime(2023, 6, 1), 240, False),
        (datetime(2023, 6, 1), 92 * 24, False),
        (datetime(2022, 1, 1), 17520, False),
        (datetime(2023, 1, 1, 5), 8760, False),
        (datetime(2023, 1, 1), 8770, False),
    ],
)
def test_only_a_year_of_whole_days_is_a_year(begin: datetime, n_hours: int, is_year: bool) -> None:
    at = tuple(begin + timedelta(hours=k) for k in range(n_hours))
    profile = HourlyProfile("mine", at, (0.5,) * n_hours, (0.0,) * n_hours)
    if is_year:
        profile.check_is_year()
    else:
        with pytest.raises(
            InputError, match=rf"'mine' covers {n_hours:,} hours from {begin:%Y-%m-%d %H:%M} to .*8,760"
        ):
            profile.check_is_year()


def test_what_is_no_year_is_not_called_one(tmp_path: Path) -> None:
    def profile(begins: str, n: int) -> HourlyProfile:
        first = datetime.fromisoformat(begins)
        hours = tuple(first + timedelta(hours=k) for k in range(n))
        return HourlyProfile("own", hours, (0.5,) * n, (0.0,) * n)

    ten_days = profile("2018-06-01T00:00", 240)
    assert not ten_days.is_year
    assert ten_days.period == "the 240 hours of profile own"
    assert "part of a year" in ten_days.calendar_notes()[0]
    for begins, n, lacks in (
        ("2018-01-01T00:00", 8760, ""),
        ("2024-01-01T00:00", 8784, ""),
        ("2023-07-01T00:00", 8784, ""),
        ("2024-01-01T00:00", 8760, "the last day, 31 December 2024,"),
    ):
        year = profile(begins, n)
        assert year.is_year
        assert year.period == "the year"
        notes = " ".join(year.calendar_notes())
        assert ("leap year and lacks" in notes) == bool(lacks)
        assert lacks in notes
        assert "without a gap" in notes
    # A day too few, or half a day off.
    assert not profile("2018-01-01T00:00", 8736).is_year
    assert not profile("2018-01-01T12:00", 8760).is_year


# An inverter with an efficiency curve, cut-in and a limit, one at a power factor on two phases, one that may be
# overvoltage-limited; a generator, and storage that discharges as its file has it.
UNITS = """New XYCurve.eff npts=4 xarray=[.1 .2 .4 1.0] yarray=[.86 .9 .93 .97]
New PVSystem.roof bus1=end phases=3 kv=12.47 kva=800 pmpp=900 irradiance=0.9 pf=1 effcurve=eff %cutin=8 %cutout=8
New PVSystem.barn bus1=middle.1.2 phases=1 conn=delta kv=12.47 kva=300 pmpp=280 irradiance=0.7 pf=0.95
New PVSystem.shed bus1=end.3 phases=1 kv=7.2 kva=100 pmpp=90 irradiance=1 pf=-0.9 limitcurrent=yes
New Generator.diesel bus1=middle phases=3 kv=12.47 kw=150 kvar=40 model=1
New Storage.battery bus1=end phases=3 kv=12.47 kwrated=200 kwhrated=800 %stored=60 state=discharging
Set voltagebases"""


@pytest.mark.parametrize("controls", [False, True])
def test_units_of_the_circuit_follow_the_sun_on_both_engines(tmp_path: Path, controls: bool) -> None:
    master = tmp_path / "sunny.dss"
    text = CIRCUIT.replace("Set voltagebases", UNITS)
    if controls:
        text = text.replace("New Linecode", CHANGER + "New Linecode").replace(
            "bus1=source bus2=middle", "bus1=head bus2=middle"
        )
    master.write_text(text, encoding="utf-8")
    sun = [0.0, 0.05, 0.09, 0.1, 0.2, 0.35, 0.5, 0.8, 1.0, 1.2, 0.6, 0.08, 0.0]
    load = np.linspace(0.4, 1.1, len(sun)).tolist()
    profile = str(write_profile(tmp_path / "day.csv", load, sun))
    feeder = Feeder.from_dss(master)
    plan = replace(plan_at("end", 60), tap_mode="own control" if controls else "fixed")
    runs = [(plan, hours(profile, rows, str(rows))) for rows in ((0, 13, 1), (3, 4, 2))]
    batch, alone = (
        simulate_runs(runs, feeder, Limits(), engine=engine, tolerance=1e-9) for engine in ("batch", "opendss")
    )
    for run, other in zip(batch, alone, strict=True):
        assert (run.engine, run.failure, other.failure) == ("batch", None, None)
        np.testing.assert_allclose(run.summary.lowest_pu, other.summary.lowest_pu, rtol=0, atol=1e-7)
        np.testing.assert_allclose(run.summary.highest_pu, other.summary.highest_pu, rtol=0, atol=1e-7)
        np.testing.assert_allclose(run.summary.loading_pu, other.summary.loading_pu, rtol=0, atol=1e-6)
    # A scenario alone is the one in the batch, and the sun does matter.
    (single,) = simulate_runs(runs[:1], feeder, Limits(), tolerance=1e-9)
    assert (single.summary.lowest_pu == batch[0].summary.lowest_pu).all()
    profile = str(write_profile(tmp_path / "night.csv", load, [0.0] * len(sun)))
    (dark,) = simulate_runs([(plan, hours(profile, (3, 4, 2)))], feeder, Limits(), tolerance=1e-9)
    assert (batch[1].summary.highest_pu - dark.summary.highest_pu).max() > 1e-3


CHANGER = """New Transformer.sub phases=3 windings=2 buses=(source head) kvs=(12.47 12.47) kvas=(8000 8000)
~ conns=(wye wye) xhl=3 %loadloss=0.3
New RegControl.sub transformer=sub winding=2 vreg=122 band=2 ptratio=60
"""
