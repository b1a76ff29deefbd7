"""New conductors as long as the lines that they take the place of, whatever unit a circuit states, and where."""

from __future__ import annotations

from pathlib import Path

import opendssdirect
import pytest

from g2g_opt.feeder import Feeder
from studies.connection_check.remedy_candidates import RemedyPlace, list_remedies

CIRCUIT = """Clear
New Circuit.lines basekv=11 bus1=src
New LineCode.code nphases=3 r1=0.4 x1=0.35 r0=0.8 x0=1.2 c1=0 c0=0 normamps=300 {code}
New Line.first bus1=src bus2=mid linecode=code {first}
New Line.second bus1=mid bus2=far linecode=code {second}
New Load.far bus1=far kv=11 kW=500 pf=0.95
Set VoltageBases=[11]
CalcVoltageBases
"""


def place(folder: Path, code: str, first: str, second: str) -> tuple[Path, RemedyPlace]:
    path = folder / "lines.dss"
    path.write_text(CIRCUIT.format(code=code, first=first, second=second), encoding="utf-8")
    feeder = Feeder.from_dss(path)
    return path, RemedyPlace(feeder, feeder.bus("far"), 3)


@pytest.mark.parametrize(
    ("code", "first", "second", "km"),
    [
        ("units=km", "length=3 units=km", "length=2 units=km", (3.0, 2.0)),
        ("units=km", "length=5000 units=ft", "length=2 units=mi", (1.524, 3.218688)),
        ("units=mi", "length=3", "length=0.5", (4.828032, 0.804672)),
        ("units=kft", "length=3", "length=600 units=m", (0.9144, 0.6)),
    ],
)
def test_a_new_conductor_has_the_length_that_is_paid_for(
    tmp_path: Path, code: str, first: str, second: str, km: tuple[float, float]
) -> None:
    """By OpenDSS: the new line's admittance is that of so many kilometres of it."""
    path, found = place(tmp_path, code, first, second)
    remedy = next(
        one for one in list_remedies("conductor", found).remedies if "2 lines" in one.words and "336" in one.words
    )
    ((_, paid_km),) = remedy.amounts
    assert paid_km == pytest.approx(sum(km), rel=1e-9)
    dss = opendssdirect.dss.NewContext()
    dss.Text.Command(f"Compile [{path}]")
    for edit in remedy.edits:
        dss.Text.Command(edit)
    geometry = next(edit.split("geometry=")[1] for edit in remedy.edits if "geometry=" in edit)
    dss.Text.Command(f"New Line.a_kilometre bus1=src bus2=beside geometry={geometry} length=1 units=km")
    dss.Solution.Solve()

    def series_s(name: str) -> complex:
        dss.Circuit.SetActiveElement(f"Line.{name}")
        own = dss.CktElement.YPrim()
        return complex(own[0], own[1])

    for name, length in zip(("first", "second"), km, strict=True):
        assert abs(series_s(name) - series_s("a_kilometre") / length) < 1e-4 * abs(series_s(name))


def test_lines_whose_length_has_no_unit_get_no_new_conductor(tmp_path: Path) -> None:
    """OpenDSS would take the number for metres: three kilometres of a bare number would cost as such and be none."""
    _, found = place(tmp_path, "", "length=3", "length=2")
    listed = list_remedies("conductor", found)
    assert not listed.remedies
    assert "state the units of line.first, line.second" in listed.reason
    others = list_remedies("other bus", found).remedies
    assert all(one.words.endswith("km away, lengths without a unit taken for km") for one in others)
    assert others
    _, found = place(tmp_path, "", "length=3", "length=2 units=km")
    assert {words for one in list_remedies("conductor", found).remedies for words in one.words.split(": ")[1:]} == {
        "second"
    }


def test_lines_with_a_neutral_among_their_phases_say_so(tmp_path: Path) -> None:
    """Lines of four wires: a conductor for three would leave the neutral out."""
    path = tmp_path / "wires.dss"
    path.write_text(
        "Clear\nNew Circuit.lines basekv=11 bus1=src\n"
        "New LineCode.code nphases=4 r1=0.4 x1=0.35 units=km normamps=300\n"
        "New Line.first bus1=src.1.2.3.0 bus2=far.1.2.3.4 linecode=code length=1 units=km\n"
        "New Load.far bus1=far.1.2.3.4 kv=11 kW=500 pf=0.95\nSet VoltageBases=[11]\nCalcVoltageBases\n",
        encoding="utf-8",
    )
    feeder = Feeder.from_dss(path)
    listed = list_remedies("conductor", RemedyPlace(feeder, feeder.bus("far"), 3))
    assert not listed.remedies
    assert listed.reason == "a new conductor has three phases, and lines have a neutral among theirs: first"
