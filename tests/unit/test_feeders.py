"""Feeders: the bundled ones, a round trip through a .dss file, a user's own circuit and what it lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.circuit.direct import open_direct
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.script import read_script
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_lint import LintFinding, format_findings, lint_feeder, placeholder_rated_lines
from g2g_opt.grid.opendss import OpenDSSGrid

FEEDERS = ("ieee13", "ieee34", "ieee123")


def solved_voltages(feeder: Feeder) -> dict[tuple[str, int], float]:
    circuit = Circuit(feeder.commands, tolerance=1e-10, max_iterations=300)
    circuit.finish()
    circuit.solve()
    magnitudes = np.abs(circuit.node_voltages()) / circuit.node_base_v
    return dict(zip(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True), magnitudes.tolist(), strict=True))


def test_the_bundled_feeders_are_known_by_name_in_any_case() -> None:
    assert set(FEEDERS) <= set(Feeder.known())
    assert Feeder.load("IEEE13") is Feeder.load("ieee13")


@pytest.mark.parametrize(
    ("name", "regulators", "base_kv_ll", "at_bus"),
    [("ieee13", 3, 4.16, "671"), ("ieee34", 6, 24.9, "850"), ("ieee123", 7, 4.16, "1")],
)
def test_bundled_feeders_hold_what_the_published_feeders_hold(
    name: str, regulators: int, base_kv_ll: float, at_bus: str
) -> None:
    feeder = Feeder.load(name)
    assert len(feeder.regulators) == regulators
    assert feeder.bus(at_bus).kv_ln == pytest.approx(base_kv_ll / np.sqrt(3), rel=1e-4)
    for regulator in feeder.regulators.values():
        assert (regulator.tap_min_pu, regulator.tap_max_pu) == (0.9, 1.1)
        assert regulator.tap_step_pu == pytest.approx(0.00625)
        # The substation regulator of the 123-bus feeder moves all three phases together; the others one each.
        ganged = (name, regulator.name) == ("ieee123", "creg1a")
        assert regulator.phases == ((1, 2, 3) if ganged else ("abc".index(regulator.name[-1]) + 1,))
    assert feeder.initial_taps is not None
    assert set(feeder.initial_taps.regulators) == set(feeder.regulators)
    assert all(feeder.bus(bus).phases == (1, 2, 3) for bus in feeder.candidate_buses)
    assert not set(feeder.candidate_buses) & set(feeder.exclude_buses)
    assert not set(feeder.candidate_buses) & set(feeder.isolated_buses)


def test_zones_of_the_123_bus_feeder_hold_5_15_29_and_7_three_phase_buses() -> None:
    feeder = Feeder.load("ieee123")
    counts = {zone: sum(feeder.bus(bus).phases == (1, 2, 3) for bus in buses) for zone, buses in feeder.zones.items()}
    assert counts == {"z1_sw": 5, "z2_nw": 15, "z3_se": 29, "z4_ne": 7}
    in_zones = {bus for buses in feeder.zones.values() for bus in buses if feeder.bus(bus).phases == (1, 2, 3)}
    assert in_zones == set(feeder.candidate_buses)


@pytest.mark.parametrize("name", FEEDERS)
def test_a_feeder_written_to_a_file_and_read_back_has_the_same_voltages(name: str, tmp_path: Path) -> None:
    feeder = Feeder.load(name)
    master = feeder.write_dss(tmp_path / "new folder")
    again = Feeder.from_dss(master)
    # Read back, its regulators are settled as those of any circuit; here they stay as they were written.
    before, after = solved_voltages(feeder), solved_voltages(replace(again, commands=read_script(master).commands))
    assert before.keys() == after.keys()
    assert max(abs(before[node] - after[node]) for node in before) < 1e-6
    assert dict(again.buses) == dict(feeder.buses)
    assert dict(again.regulators) == dict(feeder.regulators)
    assert [b.name for b in again.branches] == [b.name for b in feeder.branches]
    assert [b.rating_a for b in again.branches] == [b.rating_a for b in feeder.branches]
    assert set(feeder.candidate_buses) <= set(again.candidate_buses)


def test_an_unknown_feeder_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"feeder 'ieee14' not found .*; did you mean .*known feeders: \[.*ieee123"
    ) as error:
        Feeder.load("ieee14")
    assert all(name in str(error.value) for name in FEEDERS)


def test_a_file_or_folder_in_the_place_of_a_master_file_is_told_what_is_missing(tmp_path: Path) -> None:
    """Both were called feeders that are not found, as if a bundled one were meant."""
    folder, text = tmp_path / "net", tmp_path / "net.txt"
    folder.mkdir()
    text.touch()
    with pytest.raises(InputError, match=rf"^feeder {folder} is a folder; give its OpenDSS master file, .*\.dss$"):
        Feeder.find(str(folder))
    for name in ("Lines.dss", "master.DSS"):
        (folder / name).touch()
    with pytest.raises(InputError, match=rf"is a folder; give its OpenDSS master file, as in {folder}/master\.DSS$"):
        Feeder.find(str(folder))
    with pytest.raises(
        InputError, match=r"net\.txt is a file whose name does not end in \.dss; give an OpenDSS master"
    ):
        Feeder.find(str(text))
    with pytest.raises(
        InputError, match=r"not found \(or give the path of an OpenDSS master file, \.dss\); known feeders"
    ):
        Feeder.find("net")


def test_unknown_buses_and_regulators_list_the_known_ones() -> None:
    feeder = Feeder.load("ieee13")
    with pytest.raises(InputError, match=r"bus '672' .*did you mean.*671"):
        feeder.bus("672")
    with pytest.raises(InputError, match=r"regulator 'creg9' .*creg1a"):
        feeder.regulator("creg9")
    assert feeder.bus("RG60").name == "rg60"


def test_a_bus_is_found_between_blanks_and_told_apart_from_its_phases_and_from_several() -> None:
    feeder = Feeder.load("ieee13")
    assert feeder.bus(" 671\t").name == "671"
    with pytest.raises(InputError, match=r"^bus '671\.1\.2' names phases; name the bus alone: 671$"):
        feeder.bus("671.1.2")
    with pytest.raises(InputError, match=r"^'671, RG60' are several buses; name each by itself: 671 and rg60$"):
        feeder.bus("671, RG60")
    with pytest.raises(InputError, match=r"bus '672\.1' not found in feeder ieee13"):
        feeder.bus("672.1")
    with pytest.raises(InputError, match="bus '' not found in feeder ieee13"):
        feeder.bus("")


def test_the_documented_path_of_a_bundled_feeder_means_that_feeder() -> None:
    grid = OpenDSSGrid(dss_case_dir="anywhere/ieee13", dss_master_file="IEEE13Bus.dss")
    assert grid.feeder is Feeder.load("ieee13")
    for folder, master in (("anywhere/ieee13", "other.dss"), ("anywhere/ieee99", "IEEE13Bus.dss")):
        with pytest.raises(InputError, match=r"not found; bundled feeders: .*ieee13"):
            OpenDSSGrid(dss_case_dir=folder, dss_master_file=master)


# --- a user's own circuit

GOOD = """Clear
New Circuit.mine bus1=head basekv=12.47 pu=1
New Line.one bus1=head bus2=mid length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1 normamps=250
New Line.two bus1=mid.1.2 bus2=end.1.2 phases=2 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1 normamps=120
New Load.l bus1=mid kV=12.47 kW=100
Set VoltageBases=[12.47]
CalcVoltageBases
"""


def write(folder: Path, text: str, name: str = "my grid.v2.dss") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_an_own_circuit_offers_its_three_phase_buses_but_the_source(tmp_path: Path) -> None:
    feeder = Feeder.from_dss(write(tmp_path, GOOD))
    assert feeder.name == "my_grid_v2"
    assert feeder.exclude_buses == ("head",)
    assert feeder.candidate_buses == ("mid",)
    assert feeder.bus("end").phases == (1, 2)
    assert {b.name: b.rating_a for b in feeder.branches} == {"one": 250.0, "two": 120.0}
    assert Feeder.from_dss(tmp_path / "my grid.v2.dss", name="other").name == "other"


def test_a_circuit_may_lie_in_several_files(tmp_path: Path) -> None:
    (tmp_path / "loads").mkdir()
    (tmp_path / "loads" / "loads.dss").write_text("New Load.l bus1=mid kV=12.47 kW=4000\n")
    master = write(tmp_path, GOOD.replace("New Load.l bus1=mid kV=12.47 kW=100", "Redirect loads/loads.dss"))
    small = solved_voltages(Feeder.from_dss(write(tmp_path, GOOD, "small.dss")))
    assert solved_voltages(Feeder.from_dss(master))["mid", 1] < small["mid", 1] - 0.005


def test_a_missing_master_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.dss not found"):
        Feeder.from_dss(tmp_path / "nowhere.dss")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("New Load.l", "New Lode.l"), r"Lode"),
        (("kV=12.47 kW=100", "kV=12.47 kWatts=100"), r"(?i)kwatts"),
        (("length=1 units=km r1=0.3", "linecode=none_such r1=0.3"), r"none_such"),
        (("New Load.l bus1=mid kV=12.47 kW=100", "Redirect gone.dss"), r"gone\.dss"),
    ],
)
def test_a_broken_command_is_refused_in_openDSSs_own_words(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(InputError, match=words):
        Feeder.from_dss(write(tmp_path, text))


def test_a_voltage_of_zero_is_refused_with_the_file_and_its_element(tmp_path: Path) -> None:
    transformer = "New Transformer.t phases=3 windings=2 buses=[mid low] kvs=[12.47 -0] kvas=[5000 5000] xhl=6"
    lines = GOOD.replace("Set VoltageBases", f"{transformer}\nSet VoltageBases")
    with pytest.raises(
        InputError, match=r"my grid\.v2\.dss: transformer\.t has an admittance that is no finite number"
    ):
        Feeder.from_dss(write(tmp_path, lines))


def test_a_figure_that_is_no_number_is_refused_with_the_file_and_its_element(tmp_path: Path) -> None:
    transformer = "New Transformer.t phases=3 windings=2 buses=[na nb] kvs=[12.47 4.16] kvas=[5000 nan] xhl=1"
    lines = GOOD.replace("Set VoltageBases", f"{transformer}\nSet VoltageBases")
    with pytest.raises(InputError, match=r"my grid\.v2\.dss: an element's figure is no finite number: .*"):
        Feeder.from_dss(write(tmp_path, lines))


@pytest.mark.parametrize("text", ["! nothing but a comment\n", ""])
def test_a_file_without_a_circuit_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"New Circuit"):
        Feeder.from_dss(write(tmp_path, text))


# --- lint

LACKING = """Clear
New Circuit.lacking bus1=head basekv=12.47 pu=1
New Line.stated bus1=head bus2=a length=1 units=km r1=0.3 x1=0.4 normamps=250
New Line.unstated bus1=a bus2=b length=1 units=km r1=0.3 x1=0.4
New Line.tie switch=yes bus1=b bus2=c normamps=250
New Line.far bus1=d bus2=e length=1 units=km r1=0.3 x1=0.4 normamps=250
New Line.off bus1=a bus2=f length=1 units=km r1=0.3 x1=0.4 normamps=250
New Load.l bus1=b kV=12.47 kW=100
Set VoltageBases=[12.47]
CalcVoltageBases
Open Line.tie 1
Line.off.enabled=no
MakeBusList
SetBusXY bus=a x=1 y=2
"""


def by_kind(findings: list[LintFinding]) -> dict[tuple[str, str], set[str]]:
    return {(f.kind, f.message.split(":")[0]): set(f.elements) for f in findings}


def test_lint_names_what_a_circuit_lacks(tmp_path: Path) -> None:
    feeder = Feeder.from_dss(write(tmp_path, LACKING, "lacking.dss"))
    found = {kind: elements for (kind, _), elements in by_kind(lint_feeder(feeder)).items()}
    assert {"c", "d", "e"} <= found["island"]
    assert not {"head", "a", "b"} & found["island"]
    assert found["open switch"] == {"tie", "off"}
    assert "a" not in found["coordinates"]
    assert {"head", "b", "c"} <= found["coordinates"]
    (told,) = (one.message for one in lint_feeder(feeder) if one.kind == "coordinates")
    # With a single place, or none, they are on maps, which are drawn by the branches.
    assert "missing" not in told
    assert "maps are a layout by the branches" in told
    two = Feeder.from_dss(write(tmp_path, LACKING + "SetBusXY bus=b x=2 y=2\n", "two.dss"))
    (told,) = (one.message for one in lint_feeder(two) if one.kind == "coordinates")
    assert "they are missing on maps" in told
    assert found["regulators"] == {"lacking"}
    assert placeholder_rated_lines(feeder) == ("unstated",)
    text = format_findings(lint_feeder(feeder))
    assert "tie" in text
    assert "no source serves" in text


def test_lint_names_buses_without_a_voltage_base(tmp_path: Path) -> None:
    text = GOOD.replace("Set VoltageBases=[12.47]\nCalcVoltageBases\n", "")
    feeder = Feeder.from_dss(write(tmp_path, text))
    found = {f.kind: f for f in lint_feeder(feeder)}
    assert set(found["voltage base"].elements) == {"head", "mid", "end"}
    assert "CalcVoltageBases" in found["voltage base"].message


def test_lint_names_loads_that_are_rated_for_another_base(tmp_path: Path) -> None:
    """240 V at a base of 277 V, the nearest of those that the file names: OpenDSS takes it, and says nothing."""
    secondary = (
        "New Transformer.t phases=1 windings=2 buses=[mid.1 q.1] kvs=[7.2 0.24] kvas=[50 50] xhl=2\n"
        "New Load.house bus1=q.1 phases=1 kv=0.24 kw=20\n"
        "New Load.shop bus1=end phases=3 kv=12.47 kw=20\n"
    )
    named = GOOD.replace("Set VoltageBases=[12.47]", f"{secondary}Set VoltageBases=[12.47 0.48]")
    found = [f for f in lint_feeder(Feeder.from_dss(write(tmp_path, named))) if f.kind == "voltage base"]
    assert [f.elements for f in found] == [("house at q: 0.24 kV, base 0.2771",)]
    right = named.replace("0.48]", "0.4157]")
    assert not [f for f in lint_feeder(Feeder.from_dss(write(tmp_path, right))) if f.kind == "voltage base"]


def test_lint_of_a_complete_circuit_finds_nothing(tmp_path: Path) -> None:
    regulator = (
        "New Transformer.reg phases=3 windings=2 buses=[mid low] kvs=[12.47 12.47] kvas=[5000 5000] xhl=1\n"
        "New RegControl.creg transformer=reg winding=2 vreg=120 ptratio=60\n"
    )
    places = "".join(f"SetBusXY bus={b} x={i + 1} y={i + 1}\n" for i, b in enumerate(("head", "mid", "end", "low")))
    text = GOOD.replace("Set VoltageBases", regulator + "Set VoltageBases") + places
    findings = lint_feeder(Feeder.from_dss(write(tmp_path, text)))
    assert findings == []
    assert format_findings(findings) == "nothing is missing"


def test_lint_shows_eight_elements_and_how_many_there_are() -> None:
    finding = LintFinding("coordinates", tuple(f"b{i}" for i in range(20)), "no place")
    assert str(finding).count("b") == 8
    assert "20 in all" in str(finding)


@pytest.mark.parametrize("name", ["ieee13", "ieee34"])
def test_the_same_circuit_in_opendssdirect(name: str) -> None:
    feeder = Feeder.load(name)
    dss = feeder.direct()
    assert dss.Solution.Converged()
    pu = dict(zip((n.lower() for n in dss.Circuit.AllNodeNames()), dss.Circuit.AllBusMagPu(), strict=True))
    circuit = Circuit(feeder.commands)
    circuit.finish()
    circuit.solve()
    own = np.abs(circuit.node_voltages()) / circuit.node_base_v
    ours = {f"{bus}.{p}": v for bus, p, v in zip(circuit.node_bus, circuit.node_phase, own, strict=True)}
    assert pu == pytest.approx(ours, abs=2e-4)  # OpenDSS stops at its tolerance
    # What a script does to it, no study sees.
    dss.Text.Command("Set LoadMult=0.1")
    assert Feeder.load(name).direct().Solution.LoadMult() == pytest.approx(1.0)
    with pytest.raises(InputError, match="OpenDSS refused"):
        open_direct(["New Circuit.x", "New nonsense.y"])
