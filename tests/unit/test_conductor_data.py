"""Wires and cables that state too little: what OpenDSS makes of them is told, or is why nothing is solved."""

from __future__ import annotations

from pathlib import Path

import opendssdirect
import pytest
from circuit_files_written import write

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

_WIRE = "rac=0.306 gmrac=0.0244 runits=mi gmrunits=ft radunits=in diam=0.721"
_NEUTRAL = (
    "k=13 diastrand=0.064 gmrstrand=0.0256 rstrand=14.87 epsr=2.3 inslayer=0.22 diains=1.06 diacable=1.29 rac=0.41 "
    "runits=mi gmrac=0.2052 gmrunits=in radunits=in diam=0.567"
)
_TAPE = (
    "diashield=0.88 tapelayer=0.005 tapelap=20 epsr=2.3 inslayer=0.22 diains=0.82 diacable=1.06 rac=0.97 runits=mi "
    "gmrac=0.13 gmrunits=in radunits=in diam=0.368"
)
_LISTS = {
    "WireData": ("wires", _WIRE, "28"),
    "CNData": ("cncables", _NEUTRAL, "-4"),
    "TSData": ("tscables", _TAPE, "-4"),
}


def _circuit(folder: Path, kind: str, without: str = "") -> Path:
    word, whole, height = _LISTS[kind]
    data = " ".join(part for part in whole.split() if part.partition("=")[0] != without)
    lines = [
        f"New {kind}.a {data} normamps=200",
        f"New {kind}.b like=a normamps=150",
        f"New LineSpacing.s nconds=3 nphases=3 units=ft x=[-0.5 0 0.5] h=[{height} {height} {height}]",
        f"New Line.two bus1=mid bus2=end spacing=s {word}=[a b a] length=1 units=km",
        "New Load.e bus1=end kV=12.47 kW=500",
    ]
    return write(folder, "\n".join(lines))


@pytest.mark.parametrize("kind", _LISTS)
def test_conductors_that_state_all_are_not_named(tmp_path: Path, kind: str) -> None:
    assert not Feeder.from_dss(_circuit(tmp_path, kind)).unstated_notes


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("CNData", "k"),
        ("CNData", "rstrand"),
        ("CNData", "diains"),
        ("CNData", "inslayer"),
        ("TSData", "tapelayer"),
        ("TSData", "inslayer"),
        ("TSData", "runits"),
        ("WireData", "runits"),
    ],
)
def test_a_conductor_that_lacks_something_is_named_where_openDSS_solves_all_the_same(
    tmp_path: Path, kind: str, without: str
) -> None:
    (told,) = Feeder.from_dss(_circuit(tmp_path, kind, without)).unstated_notes
    assert told.endswith(f"{kind.lower()}.a (no {without}), {kind.lower()}.b (no {without})")


def test_a_cable_without_its_insulation_has_a_capacitance_below_zero_in_openDSS(tmp_path: Path) -> None:
    """What the note is for: plain OpenDSS says nothing about it."""
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{_circuit(tmp_path, "CNData", "inslayer")}"')
    dss.Circuit.SetActiveElement("Line.two")
    assert dss.Lines.CMatrix()[0] < 0.0


@pytest.mark.parametrize(
    ("kind", "without"),
    [("WireData", "rac"), ("CNData", "rac"), ("CNData", "diacable"), ("TSData", "rac"), ("TSData", "diashield")],
)
def test_a_line_that_cannot_be_solved_is_refused_with_what_its_conductors_lack(
    tmp_path: Path, kind: str, without: str
) -> None:
    """The engine speaks of the line alone, whose length and impedance nobody stated to be zero."""
    with pytest.raises(InputError, match=rf"line\.two .*{kind.lower()}\.a \(no {without}\)"):
        Feeder.from_dss(_circuit(tmp_path, kind, without))


def test_a_spacing_without_conductors_is_the_reason_why_the_engine_crashes(tmp_path: Path) -> None:
    master = _circuit(tmp_path, "WireData")
    master.write_text(master.read_text().replace("wires=[a b a]", ""))
    with pytest.raises(InputError, match=r"crashed .*a spacing without wires or cables: line\.two"):
        Feeder.from_dss(master)
