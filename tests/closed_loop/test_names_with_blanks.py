"""Names with blanks: a circuit whose buses and elements have them is studied like the same circuit without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from limits_left_out import NO_POWER_QUALITY
from study_run import results_of

from g2g_opt import BASE_KW_PER_GPU, measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan, StorageUnit, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs
from g2g_opt.site import sized_site
from studies.cli import main, parser_of
from studies.connection_check.rows import RemedyRow
from studies.running.runner import read_results
from studies.shared.typed_rows import gather_as

# "§" stands for a blank, or for what is there without one.
CIRCUIT = """
Clear
New "Circuit.own§feeder" basekv=33 pu=1.02 bus1="grid§bus" MVAsc3=400 MVAsc1=350
New "Loadshape.house§hold" npts=24 interval=1 mult=[.6 .6 .6 .6 .6 .7 .8 1 .9 .8 .8 .8 .8 .8 .8 .9 1 1 1 .9 .8 .7 .7 .6]
New "Transformer.sub§one" phases=3 windings=2 xhl=8 %loadloss=0.6 buses=["grid§bus" "head§bus"] conns=[delta wye]
~ kvs=[33 11] kvas=[10000 10000] wdg=2 maxtap=1.1 mintap=0.9 numtaps=32
New "RegControl.tap§control" transformer="sub§one" winding=2 vreg=122 band=2 ptratio=52.92 R=1 X=1
New "Linecode.lc§1" nphases=3 r1=0.25 x1=0.35 r0=0.6 x0=1.2 c1=10 c0=5 units=km normamps=350
New "Line.first§line" bus1="head§bus" bus2="mid§bus" linecode="lc§1" length=2 units=km
New "Line.second§line" bus1="mid§bus" bus2="far§bus" linecode="lc§1" length=2 units=km
New "Line.spare§line" bus1="mid§bus" bus2="far§bus" linecode="lc§1" length=2 units=km
Open "Line.spare§line" 1
New "Fuse.at§head" monitoredobj="Line.first§line" ratedcurrent=600
New "Load.first§load" bus1="mid§bus" conn=delta kv=11 kw=1200 pf=0.95 yearly="house§hold"
New "Load.second§load" bus1="far§bus.2" phases=1 kv=6.35 kw=150 pf=0.95
New "Capacitor.the§bank" bus1="far§bus" kv=11 kvar=300
New "CapControl.of§bank" capacitor="the§bank" element="Line.second§line" type=voltage ptratio=52.92
~ onsetting=115 offsetting=125
New "XYcurve.volt§var" npts=4 xarray=[0.5 0.97 1.03 1.5] yarray=[1 1 -1 -1]
New "PVSystem.the§sun" bus1="far§bus" kv=11 kva=600 pmpp=500 irradiance=0.8
New "InvControl.of§sun" derlist=["PVSystem.the§sun"] mode=voltvar vvc_curve1="volt§var" deltaq_factor=0.4
New "Generator.the§machine" bus1="mid§bus" kv=11 kw=200 model=3 maxkvar=150 minkvar=-150
New "Storage.the§battery" bus1="mid§bus" kv=11 kwrated=100 kwhrated=400 state=idling
Set voltagebases=[33 11]
CalcVoltageBases
Set year=2
"""
# A minute at full demand, and a ramp.
SCENARIO = Scenario("short", 120, replica_share_start=1.0, replica_ramps=((40.0, 80.0, 0.5),), server_noise=0.0)
MODEL = measured_spec("llama-3.1-70b", gpu="H100")
LIMITS = Limits(**NO_POWER_QUALITY)


@pytest.fixture
def masters(tmp_path: Path) -> tuple[Path, Path]:
    """The circuit with blanks in its names, and with underscores."""
    found = []
    for sign, name in ((" ", "with"), ("_", "without")):
        (tmp_path / name).mkdir()
        found.append(tmp_path / name / "Master.dss")
        found[-1].write_text(CIRCUIT.strip().replace("§", sign) + "\n", encoding="utf-8")
    return found[0], found[1]


@pytest.mark.parametrize("more", [(), ("--at", "2024-07-15T17:00")])
def test_a_feeder_is_described_alike(
    masters: tuple[Path, Path], more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for master in masters:
        assert main(["feeder", str(master), "--no-picture", "--all-buses", *more]) == 0
        said.append(" ".join(capsys.readouterr().out.split()).replace(" ", "_"))
    assert said[0] == said[1]
    assert "controls_were_settled" in said[0]


@pytest.mark.parametrize("taps", ["own control", "fixed"])
@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_runs_are_equal(masters: tuple[Path, Path], taps: TapMode, engine: Engine) -> None:
    found = []
    for master, sign in zip(masters, " _", strict=True):
        feeder = Feeder.from_dss(master)
        campus = sized_site("site", f"far{sign}bus", [(MODEL, 128)], n_servers=120, base_kw_per_gpu=BASE_KW_PER_GPU)
        battery = StorageUnit(f"mid{sign}bus", 100.0, 400.0, droop="qv")
        plan = Plan((campus,), tap_mode=taps, storage=(battery,))
        (run,) = simulate_runs([(plan, SCENARIO)], feeder, LIMITS, engine=engine)
        assert run.failure is None
        assert run.engine == engine
        found.append((run.voltage, [replace(site, bus="") for site in run.summary.sites]))
    assert found[0] == found[1]


def test_a_campus_with_a_transformer_and_what_would_let_it_in(masters: tuple[Path, Path], tmp_path: Path) -> None:
    """With blanks the command does it, with what it stores, writes and draws; without, the study alone."""
    asked = [
        ["check", "--feeder", str(master), "--bus", f"far{sign}bus", "--mw", "4", "--service-kva", "6000",
         "--duration-s", "30", "--year", "none"]
        for master, sign in zip(masters, " _", strict=True)
    ]  # fmt: skip
    assert main([*asked[0], "--workers", "1", "--out", str(tmp_path / "out")]) == 0
    options = parser_of("check").parse_args(asked[1])
    answers = (read_results(tmp_path / "out")[1], results_of(options.question_of(options)))
    said = [
        [str(row).replace(" ", "_").replace('"', "") for row in gather_as(one, "remedies", RemedyRow)]
        for one in answers
    ]
    assert len({row.kind for row in gather_as(answers[0], "remedies", RemedyRow)}) > 8
    assert said[0] == said[1]
    assert "far bus" in (tmp_path / "out" / "remedies.csv").read_text(encoding="utf-8")
