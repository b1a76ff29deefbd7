"""Ratings of lines made of wires, and what is told of ratings that OpenDSS takes otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from batch_rigs import circuit_commands
from rated_circuits import branches_of

from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder
from g2g_opt.feeder_lint import (
    lint_feeder,
)

STRONG, WEAK, NEUTRAL = (
    f"New Wiredata.{name} gmrac=0.02 gmrunits=ft rac=0.3 runits=mi radius=0.3 radunits=in normamps={rating_a}"
    for name, rating_a in (("strong", 400), ("weak", 200), ("neutral", 150))
)
SPACING = "New LineSpacing.s nconds=4 nphases=3 units=ft x=(0 2 4 3) h=(30 30 30 25)"


def made_of(*wires: str, line: str = "", geometry: str = "") -> tuple[str, ...]:
    """A line by a geometry (x) and one by a spacing (y), of these wires, with what they and the geometry state."""
    listed = " ".join(wires)
    return (
        *(STRONG, WEAK, NEUTRAL, SPACING),
        f"New Linegeometry.g nconds=4 nphases=3 spacing=s wires=({listed}) reduce=y {geometry}",
        f"New Line.x bus1=end bus2=far geometry=g length=1 units=km {line}",
        f"New Line.y bus1=far bus2=next spacing=s wires=({listed}) length=1 units=km {line}",
    )


@pytest.mark.parametrize(
    ("wires", "rating_a"),
    [
        (("strong", "strong", "strong", "neutral"), 400.0),
        (("strong", "strong", "weak", "neutral"), 200.0),
        (("weak", "strong", "strong", "neutral"), 200.0),
    ],
)
def test_a_line_of_wires_is_rated_by_its_weakest_phase(wires: tuple[str, ...], rating_a: float) -> None:
    found = branches_of(*made_of(*wires))
    for name in ("line.x", "line.y"):
        assert (found[name].rating_a, found[name].emergency_a) == (rating_a, 1.5 * rating_a)
        assert (found[name].rating_is_stated, found[name].emergency_is_stated) == (True, True)


def test_what_a_line_or_its_geometry_states_of_itself_counts_more_than_its_wires() -> None:
    wires = ("strong", "strong", "weak", "neutral")
    of_line = branches_of(*made_of(*wires, line="normamps=310 emergamps=320"))
    assert {(of_line[name].rating_a, of_line[name].emergency_a) for name in ("line.x", "line.y")} == {(310.0, 320.0)}
    of_geometry = branches_of(*made_of(*wires, geometry="normamps=250 emergamps=260"))["line.x"]
    assert (of_geometry.rating_a, of_geometry.emergency_a) == (250.0, 260.0)


def test_lines_that_opendss_rates_by_another_conductor_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wires.dss"
    path.write_text("\n".join(circuit_commands(made_of("strong", "strong", "weak", "neutral"))))
    named = next(f for f in lint_feeder(Feeder.from_dss(path)) if "unlike conductors" in f.message)
    assert named.elements == ("x: 200 to 400 A, in OpenDSS 400 A", "y: 200 to 400 A, in OpenDSS 400 A")


def test_a_transformer_whose_size_was_edited_keeps_its_rating_and_is_named(tmp_path: Path) -> None:
    unit = "New Transformer.t windings=2 buses=(end far) kvs=(12.47 0.48) kvas=(1000 1000) xhl=6"
    named = []
    for edit in ("Edit Transformer.t kva=2000", "Edit Transformer.t kvas=(2000 2000)"):
        path = tmp_path / f"edited_{len(named)}.dss"
        path.write_text("\n".join(circuit_commands((unit, edit))))
        found = [f.elements for f in lint_feeder(Feeder.from_dss(path)) if "below their size" in f.message]
        named.append(found)
    assert named == [[("t: 55 %",)], []]


@pytest.mark.parametrize(
    ("stated", "is_told"),
    [("isc3=5000", True), ("mvasc3=1000", True), ("isc3=5000 isc1=4000", False), ("mvasc3=3000", False), ("", False)],
)
def test_a_source_of_negative_zero_sequence_impedance_is_told(tmp_path: Path, stated: str, is_told: bool) -> None:
    path = tmp_path / "source.dss"
    lines = circuit_commands(())
    path.write_text("\n".join(f"{line} {stated}" if line.lower().startswith("new circuit") else line for line in lines))
    words = [line for line in describe_feeder(Feeder.from_dss(path)) if "zero-sequence impedance" in line]
    assert len(words) == int(is_told)
    # By hand: 3 V^2 / S_1 - 2 z1 < 0 where S_1 (sqrt(3) V I_1) is over 1.5 S_3.
    if stated == "isc3=5000":
        assert "227.71 MVA single-phase" in words[0]


def test_a_rating_stated_ahead_of_what_takes_its_place_is_told(tmp_path: Path) -> None:
    """OpenDSS rates the line by what stands behind the statement; plain OpenDSS says 300, 400, 400 and 120 A."""
    lines = [
        "New Linecode.rated nphases=3 r1=0.3 x1=0.4 units=km normamps=300",
        "New Linecode.bare nphases=3 r1=0.3 x1=0.4 units=km",
        "New Line.a bus1=end bus2=k1 normamps=120 linecode=rated length=1",
        "New Line.b bus1=end bus2=k2 normamps=120 linecode=bare length=1",
        "New Line.c like=b bus1=end bus2=k3",
        "New Line.d bus1=end bus2=k4 linecode=rated length=1 normamps=120",
        "New Line.e bus1=end bus2=k5 normamps=300 linecode=rated length=1",
        "New Line.f bus1=end bus2=k6 normamps=120 linecode=rated length=1",
        "Edit Line.f normamps=130",
    ]
    path = tmp_path / "lost.dss"
    path.write_text("\n".join(circuit_commands(lines)))
    feeder = Feeder.from_dss(path)
    (told,) = [note for note in feeder.unstated_notes if "normamps ahead" in note]
    named = [f"line.{name} (120 stated, {rating} A there)" for name, rating in (("a", 300), ("b", 400), ("c", 400))]
    assert told.endswith(": " + ", ".join(named))
    dss = feeder.direct()
    ratings = []
    for name in "abcd":
        dss.Circuit.SetActiveElement(f"line.{name}")
        ratings.append(dss.CktElement.NormalAmps())
    assert ratings == [300.0, 400.0, 400.0, 120.0]
