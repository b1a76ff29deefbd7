"""What a file leaves out, and OpenDSS fills, is named by `g2g feeder`, and what is stated is not."""

from __future__ import annotations

import re
from pathlib import Path

import opendssdirect
import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder, unassessed_notes

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 mvasc3=1000 mvasc1=1000
New Line.one bus1=head bus2=mid r1=0.1 x1=0.2 length=1 units=km
New Load.l bus1=mid kv=12.47 kw=100 kvar=20
{lines}
Set VoltageBases=[12.47]
CalcVoltageBases
"""


def notes(folder: Path, *lines: str) -> tuple[str, ...]:
    path = folder / "master.dss"
    path.write_text(MASTER.format(lines="\n".join(lines)))
    feeder = Feeder.from_dss(path)
    assert set(feeder.unstated_notes) <= set(describe_feeder(feeder))
    return feeder.unstated_notes


STORAGE = "New Storage.b bus1=mid kv=12.47 kwrated=1000 kwhrated=4000"


@pytest.mark.parametrize("stated", ["", " pf=0.9", " kvar=300"])
def test_storage_of_no_stated_kva_is_short_of_vars(tmp_path: Path, stated: str) -> None:
    (note,) = notes(tmp_path, STORAGE + stated)
    assert "25 kvar" in note
    assert note.endswith(": storage.b")


@pytest.mark.parametrize("stated", [" kva=1000", " kvarmax=25", " kva=1000 kvarmax=25", " enabled=no"])
def test_storage_that_states_its_limit_is_not_named(tmp_path: Path, stated: str) -> None:
    assert notes(tmp_path, STORAGE + stated) == ()


def test_a_transformer_for_direct_currents_is_named(tmp_path: Path) -> None:
    """The base of what lay beyond it was that of its first winding, and the answer that no source served it."""
    lines = ("New GICTransformer.g busH=mid busX=low type=yy r1=1 r2=0.01", "New Load.m bus1=low kv=0.48 kw=10")
    (note,) = notes(tmp_path, *lines)
    assert note.endswith("state a Transformer: gictransformer.g")


CENTRE_TAPPED = (
    "~ wdg=1 bus=mid.1 kv=7.2 kva=25",
    "~ wdg=2 bus=home.1.0 kv=0.12 kva=25",
    "~ wdg=3 bus=home.0.2 kv=0.12 kva=25",
    "New Load.a phases=1 bus1=home.1 kv=0.12 kw=2",
)


def test_a_third_winding_of_unstated_reactances_is_named(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, "New Transformer.t phases=1 windings=3 xhl=2", *CENTRE_TAPPED)
    assert "35 and 30 %" in note
    assert note.endswith(": transformer.t")
    assert notes(tmp_path, "New Transformer.t phases=1 windings=3 xhl=2 xht=2 xlt=1.4", *CENTRE_TAPPED) == ()


def test_curves_that_end_with_a_slope_are_named(tmp_path: Path) -> None:
    def of(mode: str, curve: str) -> tuple[str, ...]:
        return notes(
            tmp_path,
            f"New XYCurve.k {curve}",
            "New PVSystem.p bus1=mid kv=12.47 kva=120 pmpp=100 irradiance=1",
            f"New InvControl.i derlist=(PVSystem.p) deltaq_factor=0.3 {mode}",
        )

    var, watt = "mode=voltvar vvc_curve1=k", "mode=voltwatt voltwatt_curve=k"
    for curve in (
        "npts=4 xarray=(0.92 0.98 1.02 1.08) yarray=(0.44 0 0 -0.44)",
        "npts=5 xarray=(0.5 0.92 0.98 1.02 1.08) yarray=(0.44 0.44 0 0 -0.44)",
        "npts=5 xarray=(0.92 0.98 1.02 1.08 1.5) yarray=(0.44 0 0 -0.44 -0.44)",
    ):
        (note,) = of(var, curve)
        assert note.endswith(": xycurve.k")
    assert of(var, "npts=6 xarray=(0.5 0.92 0.98 1.02 1.08 1.5) yarray=(0.44 0.44 0 0 -0.44 -0.44)") == ()
    assert len(of(watt, "npts=2 xarray=(1.06 1.1) yarray=(1 0.2)")) == 1
    # Below its first point the sun is the limit, and a curve that no mode uses does nothing.
    assert of(watt, "npts=3 xarray=(1.06 1.1 1.3) yarray=(1 0.2 0.2)") == ()
    assert of("mode=voltwatt vvc_curve1=k", "npts=2 xarray=(0.92 1.08) yarray=(0.44 -0.44)") == ()


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("phases=1 bus1=home.1.2 kv=0.24", True),
        ("phases=1 bus1=home.1.2 kv=0.24 conn=delta", True),
        ("phases=1 bus1=mid.3.1 kv=12.47", True),
        ("phases=1 bus1=home.2 kv=0.12", False),
        ("phases=2 bus1=home.1.2 kv=0.208", False),
        ("phases=3 bus1=mid kv=12.47 conn=delta", False),
    ],
)
def test_inverters_that_see_the_voltage_to_ground_are_named(tmp_path: Path, place: str, named: bool) -> None:
    """By OpenDSS alone: those that are named give all vars that they have at 1.02 pu, the others next to none."""
    lines = (
        "New Transformer.t phases=1 windings=3 xhl=2 xht=2 xlt=1.4",
        *CENTRE_TAPPED,
        "New XYCurve.k npts=6 xarray=(0.5 0.92 0.98 1.02 1.08 1.5) yarray=(1 1 0 0 -1 -1)",
        f"New PVSystem.p {place} kva=6 pmpp=5 irradiance=0.8 %cutin=0.1 %cutout=0.1",
        "New InvControl.i mode=voltvar vvc_curve1=k refreactivepower=varmax",
    )
    found = notes(tmp_path, *lines)
    assert [note.rpartition(": ")[2] for note in found] == (["pvsystem.p"] if named else [])
    dss = opendssdirect.NewContext()
    dss.Text.Command(f'Compile "{tmp_path / "master.dss"}"')
    dss.Solution.Solve()
    dss.PVsystems.First()
    assert (dss.PVsystems.kvar() > 5.8) is named


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ("state=open normal=closed", "swtcontrol.s (closed)"),
        ("action=open normal=closed", "swtcontrol.s (closed)"),
        ("normal=open", "swtcontrol.s (open)"),
        ("normal=closed state=open", ""),
        ("state=open", ""),
        ("normal=closed", ""),
    ],
)
def test_switches_that_stand_as_their_normal_state_says_are_named(tmp_path: Path, stated: str, named: str) -> None:
    found = notes(
        tmp_path,
        "New Line.tie bus1=mid bus2=end switch=yes",
        "New Load.end bus1=end kv=12.47 kw=10",
        f"New SwtControl.s switchedobj=Line.tie switchedterm=1 {stated}",
    )
    assert [note.rpartition(": ")[2] for note in found] == ([named] if named else [])


def test_bundled_feeders_state_what_they_mean() -> None:
    assert {name: Feeder.load(name).unstated_notes for name in Feeder.known()} == dict.fromkeys(Feeder.known(), ())


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["New Line.two like=one bus1=mid bus2=far"], "line.two (r1, x1, units)"),
        (["New Line.two like=one bus1=mid bus2=far r1=0.1 x1=0.2"], "line.two (units)"),
        (["CalcVoltageBases", "New Line.two like=one bus1=mid bus2=far units=km"], ""),
        (["New Line.two like=one bus1=mid bus2=far units=km", "Edit Line.two r1=0.1 x1=0.2"], ""),
        (["New Line.two like=one bus1=mid bus2=far units=km", "Line.two.r1=0.1"], ""),
        # A file's own solution makes the matrix in OpenDSS; where it is left out, the impedance is stated again.
        (["Solve", "New Line.two like=one bus1=mid bus2=far"], "line.two (units)"),
        (["Solve", "Line.one.r1=0.2", "New Line.two like=one bus1=mid bus2=far"], "line.two (r1, x1, units)"),
        (
            ["New Line.x bus1=mid bus2=far", "~ r1=0.1 x1=0.2", "New Line.y bus1=mid bus2=end", "~ like=x"],
            "line.y (r1, x1)",
        ),
        (
            ["New Line.y like=one bus1=mid bus2=far", "New Line.z like=y bus1=mid bus2=end r1=0.1 x1=0.2"],
            "line.y (r1, x1, units)",
        ),
        (
            [
                "New LineCode.k r1=0.1 x1=0.2 units=km",
                "New LineCode.m like=k",
                "New Line.a bus1=mid bus2=far linecode=m",
            ],
            "linecode.m (units)",
        ),
        (
            [
                "New PVSystem.p bus1=mid kv=12.47 kva=100 pmpp=100 irradiance=1 %pmpp=60",
                "New PVSystem.q like=p bus1=head",
                "New PVSystem.r like=p bus1=head %Pmpp=60",
            ],
            "pvsystem.q (%pmpp)",
        ),
    ],
)
def test_a_copy_that_lacks_what_it_copies_is_named(tmp_path: Path, lines: list[str], told: str) -> None:
    found = notes(tmp_path, *lines)
    assert [note.rpartition("again: ")[2] for note in found] == ([told] if told else [])


@pytest.mark.parametrize(
    "lines",
    [
        ["New Line.a bus1=head bus2=x r1=0.3 x1=0.9", "Solve", "New Line.b like=a bus1=mid bus2=far length=2"],
        ["New Line.a bus1=head bus2=x c1=400", "Solve", "New Line.b bus1=mid bus2=far length=2", "~ like=a"],
        ["New Line.a bus1=head bus2=x r0=3 x0=5", "Solve", "New Line.c like=a", "New Line.b like=c bus1=mid bus2=far"],
        [
            "New Line.a bus1=head bus2=x rmatrix=[1|0 1|0 0 1] xmatrix=[2|0 2|0 0 2]",
            "New Line.b like=a bus1=mid bus2=far",
        ],
        ["New Line.a bus1=head bus2=x r1=0.3", "Solve mode=daily", "New Line.b like=a bus1=mid bus2=far x1=0.5"],
        ["New Line.a bus1=head bus2=x r1=0.3", "New Line.b like=a bus1=mid bus2=far", "Solve"],
    ],
)
def test_a_line_copied_behind_the_files_own_solution_is_the_line_of_opendss(tmp_path: Path, lines: list[str]) -> None:
    """OpenDSS itself told the file as it is, its solutions among it."""
    text = MASTER.format(
        lines="\n".join([*lines, "New Load.f bus1=far.1 phases=1 kv=7.2 kw=300", "New Load.x bus1=x kw=9"])
    )
    (tmp_path / "own.dss").write_text(text, encoding="utf-8")
    direct = opendssdirect.dss.NewContext()
    for line in [*text.splitlines(), "Solve mode=snapshot"]:
        direct.Text.Command(line)
    own = dict(zip(direct.Circuit.AllNodeNames(), direct.Circuit.AllBusMagPu(), strict=True))
    circuit = Circuit(Feeder.from_dss(tmp_path / "own.dss").commands, tolerance=1e-9, max_iterations=300)
    circuit.finish()
    far = circuit.node_index["far", 1]
    assert abs(circuit.node_voltages()[far]) / circuit.node_base_v[far] == pytest.approx(own["far.1"], abs=1e-5)


def test_a_copied_line_acts_with_another_impedance_than_it_tells(tmp_path: Path) -> None:
    """OpenDSS itself, without our reading: why the note is worth its words."""
    text = MASTER.format(lines="New Line.two like=one bus1=mid bus2=far\nNew Load.f bus1=far kv=12.47 kw=100")
    for line in [*text.splitlines(), "Solve"]:
        opendssdirect.Text.Command(line)
    opendssdirect.Circuit.SetActiveElement("Line.two")
    assert opendssdirect.Lines.R1() == pytest.approx(0.1)
    opendssdirect.Lines.Name("two")
    (watts, _), amps = opendssdirect.CktElement.Losses(), opendssdirect.CktElement.CurrentsMagAng()[0]
    assert watts / 3.0 / amps**2 == pytest.approx(0.058, abs=1e-3)


def test_ratings_by_season_are_named(tmp_path: Path) -> None:
    seasonal = "New Line.two bus1=mid bus2=far r1=0.1 x1=0.2 length=1 normamps=400 seasons=3 ratings=(400 200 100)"
    (note,) = notes(tmp_path, seasonal, "Set SeasonRating=True")
    assert "normamps" in note
    assert note.endswith("whatever the season: line.two")
    assert notes(tmp_path, seasonal.partition(" seasons")[0]) == ()
    # As OpenDSS itself saves a line.
    assert notes(tmp_path, seasonal.partition(" seasons")[0] + " seasons=1 ratings=[ 400]") == ()


def test_a_reduced_circuit_is_studied_whole_with_the_rating_of_every_line(tmp_path: Path) -> None:
    """OpenDSS gives a row of lines that it joins the rating of its last: 100 A between 300 and 200 were gone."""
    line = "New Line.{} bus1={} bus2={} r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0 length=1 units=km normamps={}"
    rows = [("l2", "mid", "b", 300), ("l3", "b", "d", 100), ("l4", "d", "e", 200)]
    lines = [line.format(*row) for row in rows]
    customers = ["New Load.e bus1=e kv=12.47 kw=3000 kvar=1000", "New EnergyMeter.m element=Line.one"]
    reduces = ["Set voltagebases=[12.47]", "CalcVoltageBases", "Solve", "Set ReduceOption=Default", "Reduce All"]
    path = tmp_path / "master.dss"
    path.write_text(MASTER.format(lines="\n".join([*lines, *customers, *reduces])), encoding="utf-8")
    feeder = Feeder.from_dss(path)
    found = solve_base_case(feeder)
    assert found.loading is not None
    assert found.loading[0] == "line.l3"
    assert found.loading[1] == pytest.approx(1.53, abs=0.02)
    assert any("reduce" in words and "studied whole" in words for words in feeder.left_out)


def test_what_acts_by_a_default_stands_in_answers_as_well(tmp_path: Path) -> None:
    """Who asks for a capacity need not have looked at the feeder before."""
    path = tmp_path / "own.dss"
    path.write_text(
        "New Circuit.own basekv=12.47 bus1=grid mvasc3=200 mvasc1=210\n"
        "New Line.l bus1=grid bus2=end r1=0.3 x1=0.6 length=1\nNew Load.own bus1=end kv=12.47 kw=500\n"
        "New Isource.harmonic bus1=end amps=5 frequency=180\nSet VoltageBases=[12.47]\nCalcVoltageBases\n"
    )
    feeder = Feeder.from_dss(path)
    (note,) = feeder.source_notes
    assert note in unassessed_notes(feeder)
    assert describe_feeder(feeder).count(note) == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("New Line.l3 bus1=mid.2 bus2=far.2 r1=.2 x1=.4", "New Load.f bus1=far.2 phases=1 kv=7.2 kw=9"), "line.l3"),
        (("New Linecode.c nphases=3 r1=.2 x1=.4", "New Line.l3 bus1=mid.2 bus2=far.2 phases=1 linecode=c"), "line.l3"),
        (("New Load.m bus1=mid.3 kv=12.47 kw=9",), "load.m"),
        (("New Load.m bus1=mid.1 kv=12.47 kw=9",), ""),
        (("New Load.m phases=1 bus1=mid.3 kv=7.2 kw=9",), ""),
        (("New Line.l3 phases=1 bus1=mid.2 bus2=far.2 r1=.2 x1=.4", "New Load.f bus1=far.2 phases=1 kv=7.2 kw=9"), ""),
        (("New Line.l6 phases=6 bus1=mid.1.2.3.1.2.3 bus2=far.1.2.3.4.5.6 r1=.2 x1=.4",), ""),
    ],
)
def test_conductors_that_share_a_node_since_their_bus_names_too_few_are_named(
    tmp_path: Path, lines: tuple[str, ...], told: str
) -> None:
    """A line of three phases from mid.2 has two of them at node 2, whatever its author had in mind."""
    found = [note for note in notes(tmp_path, *lines) if "two lie at one" in note]
    assert [told in note.rpartition(": ")[2] for note in found] == ([True] if told else [])


@pytest.mark.parametrize(
    "unit", ["Load.zero kw=50", "Generator.zero kw=50", "PVSystem.zero pmpp=50 kva=50", "Storage.zero kwrated=50"]
)
def test_what_is_stated_for_no_voltage_is_refused_by_name(tmp_path: Path, unit: str) -> None:
    """The power flow did not converge, and what was said to be too much was the load."""
    with pytest.raises(InputError, match=rf"{unit.split()[0].lower()} is stated for 0 kV"):
        notes(tmp_path, f"New {unit} bus1=mid kv=0")
    notes(tmp_path, f"New {unit} bus1=mid kv=0 enabled=no")


@pytest.mark.parametrize("control", ["InvControl.i mode=voltvar", "ExpControl.e"])
def test_a_control_of_inverters_without_any_is_refused_with_that_cause(tmp_path: Path, control: str) -> None:
    with pytest.raises(InputError, match=r"without a PVSystem or Storage in service: (inv|exp)control\.[ie]$"):
        notes(tmp_path, f"New {control}")


def source_notes(folder: Path, *lines: str) -> tuple[str, ...]:
    path = folder / "master.dss"
    path.write_text(MASTER.format(lines="\n".join(lines)))
    return Feeder.from_dss(path).source_notes


@pytest.mark.parametrize("unlike", ["basekv=12.47 pu=1.02 angle=-30", "basekv=69 pu=1.02"])
def test_sources_that_work_against_each_other_are_named(tmp_path: Path, unlike: str) -> None:
    """A voltage base was said to be wrong, or a line to be loaded to eleven times its rating."""
    (note,) = source_notes(tmp_path, f"New Vsource.two bus1=mid {unlike} mvasc3=500 mvasc1=400")
    assert re.search(r": vsource\.(source|two) \([\d,.e+]+ kW\)$", note)
    assert source_notes(tmp_path, "New Vsource.two bus1=mid basekv=12.47 pu=1 mvasc3=500 mvasc1=400") == ()


REGULATOR = (
    "New Transformer.reg phases=3 windings=2 buses=[mid after] kvs=[12.47 12.47] kvas=[5000 5000] xhl=1",
    "New Line.two bus1=after bus2=far r1=0.1 x1=0.2 length=1 units=km",
    "New Load.far bus1=far kv=12.47 kw=100 kvar=20",
)


LOOKING = "New RegControl.r transformer=reg winding=2 vreg=120 band=2 ptratio=60 remoteptratio=60"


@pytest.mark.parametrize("looks_at", ["bus=far.3", "bus=far", "ptphase=3"])
def test_a_regulator_that_looks_at_what_opendss_reads_stays_where_it_is(tmp_path: Path, looks_at: str) -> None:
    notes(tmp_path, *REGULATOR, f"{LOOKING} {looks_at}")
    assert Feeder.from_dss(tmp_path / "master.dss").compiled_taps["r"] == pytest.approx(1.0)


def test_a_regulator_that_looks_at_another_phase_of_a_remote_bus_is_refused(tmp_path: Path) -> None:
    """Its tap is what memory makes of it: 1.1, sometimes 0.9, or it comes to no rest."""
    with pytest.raises(InputError, match=r"regcontrol\.r looks at phase 3 of the remote bus far, .*\(bus=far\.3\)"):
        notes(tmp_path, *REGULATOR, f"{LOOKING} bus=far ptphase=3")
    notes(tmp_path, *REGULATOR, f"{LOOKING} bus=far ptphase=3 enabled=no")
