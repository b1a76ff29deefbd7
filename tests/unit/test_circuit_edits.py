"""An edit file changes elements that a circuit has, in OpenDSS's words, under the rules of a circuit file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.reading import circuit_inputs
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.regulators import RegulatorBank
from studies.catalogue import make_question, parse_question, question_json
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.running.inputs import changed_inputs, inputs_of

PUBLISHED = Path(__file__).resolve().parent.parent / "circuits" / "ieee13_published.dss"
TO_STUDY = data_path("edits", "ieee13_from_published.dss")
MASTER = """Clear
New Circuit.c bus1=head basekv=12.47
New Linecode.code nphases=3 r1=0.1 x1=0.2 units=km
New Line.one bus1=head bus2=mid linecode=code length=1 units=km
New Line.two bus1=mid bus2=end linecode=code length=1 units=km
New Load.l bus1=end kV=12.47 kW=100 kvar=20
New Capacitor.c bus1=mid kvar=300 kv=12.47
Set VoltageBases=[12.47]
CalcVoltageBases
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "circuit").mkdir()
    (tmp_path / "circuit" / "master.dss").write_text(MASTER)
    return tmp_path / "circuit"


def edited(folder: Path, *lines: str) -> Feeder:
    path = folder.parent / "edits.dss"
    path.write_text("\n".join(lines) + "\n")
    return Feeder.from_dss(folder / "master.dss", edits=path)


def asked(feeder: Feeder, *questions: str) -> list[str]:
    circuit = Circuit(feeder.commands)
    return [circuit.command(f"? {question}") for question in questions]


def test_every_form_of_an_edit_is_what_opendss_makes_of_it(folder: Path) -> None:
    feeder = edited(
        folder,
        "! a remark",
        "Edit Load.l kW=50 kvar=5",
        "~ model=5",
        "vminpu=0.8",
        "Line.one.normamps=123",
        "Disable Capacitor.c",
        "Edit Vsource.source pu=1.02",
    )
    found = asked(feeder, "Load.l.kW", "Load.l.kvar", "Load.l.model", "Load.l.vminpu", "Line.one.normamps")
    assert [float(value) for value in found] == [50.0, 5.0, 5.0, 0.8, 123.0]
    assert asked(feeder, "Capacitor.c.enabled") == ["No"]
    assert [load.kw for load in feeder.own_loads] == [50.0]
    assert "7 edits" not in feeder.state[0]
    assert "changed by 6 edits" in feeder.state[0]
    assert any("Load.l.kw=50" in words for words in describe_feeder(feeder))


def test_switching_is_an_edit(folder: Path) -> None:
    assert not edited(folder, "Open Line.two 1").bus("end").phases
    assert edited(folder, "Open Line.two 1", "Close Line.two 1").bus("end").phases == (1, 2, 3)
    assert not edited(folder, "Disable Line.two").bus("end").phases
    assert edited(folder, "Disable Line.two", "Enable Line.two").bus("end").phases == (1, 2, 3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("New Load.more bus1=mid kW=3", "is no edit"),
        ("Redirect other.dss", "is no edit"),
        ("Solve", "is no edit"),
        ("Set LoadMult=0.5", "is no edit"),
        ("Clear", "is no edit"),
        ("BatchEdit Load..* kW=3", "is no edit"),
        ("Edit Load", "is no edit"),
        ("Edit Load.l", "says nothing"),
        ("Edit Load.l 3", "has no name"),
        ("Edit Load.l kW= kvar=3", "has no value"),
        ("Edit Load.l kW=", "a value is missing"),
        ("kW=3", "not clear which object"),
        ("Edit Load.l none_such=3", "no property 'none_such'"),
        ("Edit Linecode.code r1=0.5", "does not reach"),
        ("Circuit.c.pu=1.1", "does not reach"),
        ("Edit Generator.g usermodel=lib.so", "not allowed"),
        ("Edit Load.nobody kW=3", "nobody"),
        ("Disable Load.nobody", "nobody"),
        ("Open Line.nobody 1", "Line.nobody"),
        ("Disable Load.l Load.k", "one element a line"),
    ],
)
def test_what_is_no_edit_of_an_element_that_is_there_is_refused_with_its_line(
    folder: Path, line: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        edited(folder, "! a remark", line)
    assert "edits.dss" in str(error.value)
    assert "line 2" in str(error.value) or "edits.dss:2" in str(error.value)


def test_edits_are_of_own_circuits_and_must_be_there(folder: Path) -> None:
    with pytest.raises(InputError, match="'ieee13' is a bundled one"):
        Feeder.find("ieee13", edits="edits.dss")
    with pytest.raises(InputError, match=r"edit file .* is not found"):
        Feeder.from_dss(folder / "master.dss", edits=folder / "none.dss")


def test_edits_are_part_of_the_question_and_of_what_it_follows_from(folder: Path) -> None:
    path = folder.parent / "edits.dss"
    path.write_text("Load.l.kW=50\n")
    master = str(folder / "master.dss")
    content = {"feeder": master, "edits": str(path), "buses": ("end",)}
    question = make_question("hosting-capacity", content)
    assert parse_question(question_json(question)) == question
    assert question != make_question("hosting-capacity", {"feeder": master, "buses": ("end",)})
    before = inputs_of(question)
    assert "feeder/../edits.dss" in before
    assert set(circuit_inputs(Path(master))) == {"master.dss"}
    path.write_text("Load.l.kW=60\n")
    assert changed_inputs(before, question) == ["feeder/../edits.dss"]
    assert [load.kw for load in question.load_feeder().own_loads] == [60.0]  # type: ignore[attr-defined]


def test_a_question_names_its_edits_by_their_whole_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "edits.dss").write_text("Load.l.kW=50\n")
    monkeypatch.chdir(folder)
    question = make_question("hosting-capacity", {"feeder": "master.dss", "edits": "edits.dss"})
    assert isinstance(question, HostingCapacityStudy)
    assert question.edits == str(folder / "edits.dss")


def voltages_pu(feeder: Feeder) -> dict[tuple[str, int], float]:
    """As a study begins: the bundled feeder at the source voltage and taps of its constants."""
    circuit = Circuit(OpenDSSGrid(feeder=feeder).setup.commands(), tolerance=1e-10, max_iterations=300)
    if feeder.initial_taps is not None:
        RegulatorBank(feeder).apply(circuit, feeder.initial_taps)
    circuit.finish()
    circuit.solve()
    magnitudes = np.abs(circuit.node_voltages()) / circuit.node_base_v
    return dict(zip(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True), magnitudes, strict=True))


def test_the_published_feeder_with_the_edits_of_the_studies_is_the_bundled_one() -> None:
    bundled = Feeder.load("ieee13")
    ours = Feeder.from_dss(PUBLISHED, edits=TO_STUDY).excluding(("650", "rg60"))
    plain = Feeder.from_dss(PUBLISHED)
    reference, found, before = voltages_pu(bundled), voltages_pu(ours), voltages_pu(plain)
    assert found.keys() == reference.keys()
    assert max(abs(found[node] - reference[node]) for node in reference) < 1e-12
    # The edits matter: a test that passes without them shows nothing.
    assert max(abs(before[node] - reference[node]) for node in reference) > 0.02
    assert sum(load.kw for load in plain.own_loads) == pytest.approx(3466.0)
    assert sum(load.kw for load in ours.own_loads) == pytest.approx(1561.0)
    assert set(ours.exclude_buses) == set(bundled.exclude_buses)
    ampacities = [{b.name: b.rating_a for b in feeder.branches if b.kind == "line"} for feeder in (ours, bundled)]
    assert ampacities[0] == ampacities[1]
    assert {b.name for b in ours.branches if not b.rating_is_stated} == {"671692"}
    assert not any(b.rating_is_stated for b in plain.branches if b.kind == "line")
