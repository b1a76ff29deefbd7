"""Ratings: every element between two buses is judged or listed, and a rating counts as stated if somebody stated it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from batch_rigs import circuit_commands
from rated_circuits import branches_of

from g2g_opt.base_case import base_case_words, solve_base_case
from g2g_opt.circuit.script_file.described_elements import stated_ratings
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder, loading_notes
from g2g_opt.feeder_lint import (
    lint_feeder,
    placeholder_rated_transformers,
    unjudged_elements,
    unrated_branches,
)
from g2g_opt.grid.loading import BranchLoading, judged_ratings
from g2g_opt.limits import Limits

CIRCUITS = Path(__file__).resolve().parent.parent / "circuits"
CODE = "New Linecode.d nphases=3 units=km r1=0.3 x1=0.6 r0=0.7 x0=1.8"
WIRE = "New Wiredata.w gmr=0.02 gmrunits=ft rac=0.3 runits=mi diam=0.7 radunits=in"
GEOMETRY = (
    "New Linegeometry.g nconds=3 nphases=3 cond=1 wire=w x=0 h=30 units=ft cond=2 wire=w x=3 h=30 units=ft "
    "cond=3 wire=w x=6 h=30 units=ft"
)


@pytest.mark.parametrize(
    ("body", "stated"),
    [
        (("New Line.x bus1=end bus2=far r1=0.1 x1=0.2 length=1",), False),
        (("New Line.x bus1=end bus2=far r1=0.1 x1=0.2 length=1 normamps=400",), True),
        (("New Line.x bus1=end bus2=far r1=0.1 x1=0.2 length=1 normamps=399",), True),
        ((CODE, "New Line.x bus1=end bus2=far linecode=d length=1"), False),
        ((CODE + " normamps=400", "New Line.x bus1=end bus2=far linecode=d length=1"), True),
        ((CODE + " normamps=250", "New Line.x bus1=end bus2=far linecode=d length=1"), True),
        ((CODE, "New Line.x bus1=end bus2=far linecode=d length=1 normamps=400"), True),
        ((CODE, "New Line.x bus1=end bus2=far linecode=d normamps=400 length=1"), True),
        ((CODE, "New Line.x bus1=end bus2=far linecode=d length=1 emergamps=600"), False),
        ((WIRE + " normamps=400", GEOMETRY, "New Line.x bus1=end bus2=far geometry=g length=1 units=km"), True),
        (
            (
                "New Line.y bus1=end bus2=far r1=0.1 x1=0.2 length=1 normamps=400",
                "New Line.x like=y bus1=far bus2=next",
            ),
            True,
        ),
    ],
)
def test_400_amperes_are_a_rating_if_they_were_stated(body: tuple[str, ...], stated: bool) -> None:
    found = branches_of(*body)["line.x"]
    assert found.rating_is_stated == stated
    assert found.rating_a > 0.0


@pytest.mark.parametrize(
    ("lines", "stated"),
    [
        ("New Line.x bus1=a bus2=b linecode=c length=1 normamps=400 emergamps=600", (True, True)),
        ("New Line.x bus1=a bus2=b linecode=c\n~ normamps=400 emergamps=600", (True, True)),
        ("New Line.x bus1=a bus2=b linecode=c\nLine.X.normamps=400 emergamps=600", (True, True)),
        ("New Line.x bus1=a bus2=b linecode=c emergamps=600", (False, True)),
        ("New Line.x bus1=a bus2=b normamps=400 emergamps=600 linecode=c", (False, False)),
        ("New Line.x bus1=a bus2=b linecode=c\nNew Load.y bus1=b kw=5 kv=12.47\n~ kw=4", (False, False)),
        # Where something comes behind the code, the engine forgets that there was one.
        ("New Line.x bus1=a bus2=b linecode=c length=1 switch=y", (False, False)),
        ("New Line.x bus1=a bus2=b linecode=c length=1 c1=0 c0=0", (False, False)),
        ("New Line.x bus1=a bus2=b linecode=c normamps=400\n~ c1=0 c0=0", (True, False)),
        ("New Linecode.n like=c normamps=400\nNew Line.x bus1=a bus2=b linecode=n r1=0.1", (True, False)),
        ("New Line.x bus1=a bus2=b linecode=c\nSelect Line.x\n~ emergamps=600 c1=0", (False, True)),
        ("New Line.x bus1=a bus2=b linecode=c\nBatchEdit Line..* normamps=400", (True, False)),
    ],
)
def test_the_usual_ratings_beside_a_line_code_are_told_from_none(
    lines: str, stated: tuple[bool, bool], tmp_path: Path
) -> None:
    path = tmp_path / "own.dss"
    head = f"New Circuit.c bus1=a basekv=12.47\n{CODE.replace('Linecode.d', 'Linecode.c')}"
    path.write_text(f"{head}\n{lines}\nSet voltagebases=[12.47]\nCalcVoltageBases\n", encoding="utf-8")
    (branch,) = Feeder.from_dss(path).branches
    assert (branch.rating_is_stated, branch.emergency_is_stated) == stated
    assert (branch.rating_a, branch.emergency_a) == (400.0, 600.0)


def test_a_batch_edit_reaches_the_names_that_its_expression_finds() -> None:
    """As Python's expressions do, for those that are read; others, which may take forever, reach nothing."""
    draw = np.random.default_rng(7)
    for _ in range(3000):
        parts = draw.choice(["a", "b", "1", ".", ".*"], draw.integers(0, 6))
        pattern = f"{draw.choice(['', '^'])}{''.join(parts)}{draw.choice(['', '$'])}"
        name = "".join(draw.choice(["a", "b", "1"], draw.integers(1, 7)))
        commands = [f"New Line.{name} linecode=c", f"BatchEdit Line.{pattern} normamps=400"]
        reached = stated_ratings(commands).get(f"line.{name}", frozenset())
        assert ("normamps" in reached) == (re.search(pattern, name) is not None), (pattern, name)
    assert stated_ratings(["New Line.aab", "BatchEdit Line.(a|b)+ normamps=400"]) == {"line.aab": frozenset()}


@pytest.mark.parametrize(
    ("stated", "at_transformer", "rated"),
    [
        ("kvas=(500 500)", "", True),
        ("kvas=(500 500)", "xhl=4", True),
        ("normhkva=600", "wdg=2 tap=1.025", True),
        ("", "xhl=4", False),
        ("", "kva=300", True),
    ],
)
def test_a_transformers_size_may_be_that_of_its_code(stated: str, at_transformer: str, rated: bool) -> None:
    found = branches_of(
        f"New XfmrCode.k phases=3 windings=2 conns=(delta wye) kvs=(12.47 0.48) xhl=5 {stated}",
        f"New Transformer.x xfmrcode=k buses=(end low) {at_transformer}",
    )["transformer.x"]
    assert found.rating_is_stated == rated


@pytest.mark.parametrize(
    ("body", "name", "rated"),
    [
        ("New Reactor.x bus1=end bus2=far R=0.1 X=1", "reactor.x", False),
        ("New Reactor.x bus1=end bus2=far R=0.1 X=1 normamps=300", "reactor.x", True),
        ("New Reactor.x bus1=end bus2=far kvar=500 kv=12.47", "reactor.x", True),
        ("New Capacitor.x bus1=end bus2=far phases=3 cuf=330", "capacitor.x", False),
        ("New Capacitor.x bus1=end bus2=far kvar=9000 kv=8", "capacitor.x", True),
        (
            "New AutoTrans.x phases=3 windings=2 buses=[end far] kvs=[12.47 12] kvas=[400 400]",
            "autotrans.x",
            True,
        ),
        ("New Fault.x bus1=end bus2=far phases=3 r=0.01", "fault.x", False),
    ],
)
def test_what_is_in_series_is_judged_or_has_no_rating(body: str, name: str, rated: bool) -> None:
    found = branches_of(body, "New Load.l bus1=far kv=12 kw=300")[name]
    assert (found.rating_a > 0.0) == rated
    assert found.closed


def test_what_leads_to_ground_is_no_branch() -> None:
    found = branches_of(
        "New Capacitor.shunt bus1=end kvar=300 kv=12.47", "New Reactor.shunt bus1=end kvar=300 kv=12.47"
    )
    assert set(found) == {"line.first"}


def test_a_transformer_of_no_stated_size_is_a_placeholder(tmp_path: Path) -> None:
    path = tmp_path / "sizes.dss"
    path.write_text(
        "Clear\n"
        + "\n".join(
            circuit_commands(
                [
                    "New Transformer.unstated buses=(end low) kvs=(12.47 4.16)",
                    "New Transformer.stated buses=(end low) kvs=(12.47 4.16) kvas=(1000 1000)",
                    "New Reactor.bare bus1=end bus2=far R=0.1 X=1",
                ]
            )
        )
        + "\n"
    )
    feeder = Feeder.from_dss(path)
    assert placeholder_rated_transformers(feeder) == ("unstated",)
    assert unrated_branches(feeder) == ("reactor.bare",)
    text = "\n".join(str(f) for f in lint_feeder(feeder))
    assert "state kva [unstated]" in text
    assert "cannot be judged [reactor.bare]" in text


# By feeder: the normal ratings (A) of its conductors, and the switches, which nobody rated.
CONDUCTORS_A = {
    "ieee13": ({730.0, 340.0, 230.0, 260.0, 165.0}, ("line.671692",)),
    "ieee34": ({230.0, 180.0, 140.0}, ()),
    "ieee123": ({530.0, 230.0, 175.0}, tuple(f"line.sw{k}" for k in range(1, 9))),
}


@pytest.mark.parametrize("name", CONDUCTORS_A)
def test_bundled_lines_are_rated_by_their_conductors_and_switches_are_not(name: str) -> None:
    feeder = Feeder.load(name)
    amperes, unrated = CONDUCTORS_A[name]
    stated = [b for b in feeder.branches if b.kind == "line" and b.rating_is_stated]
    assert {b.rating_a for b in stated} == amperes
    # No emergency rating of a conductor is stated: OpenDSS's 600 A judges nothing.
    assert not any(b.emergency_is_stated for b in stated)
    assert unjudged_elements(feeder) == unrated
    assert set(unjudged_elements(feeder, "emergency")) == {
        f"line.{b.name}" for b in feeder.branches if b.kind == "line"
    }
    words = "\n".join(loading_notes(feeder, Limits()))
    assert all(element in words for element in unrated)
    assert ("not judged" in words) == bool(unrated)


def test_a_placeholder_judges_nothing_and_is_listed(tmp_path: Path) -> None:
    """Whoever states no rating is never told that one was passed, however much flows."""
    feeder = own_circuit(
        tmp_path,
        "New Line.unrated bus1=s bus2=a length=1 r1=0.01 x1=0.02 units=km",
        "New Line.rated bus1=a bus2=b length=1 r1=0.01 x1=0.02 units=km normamps=400",
        "New Load.l bus1=b kv=12.47 kw=9000 pf=1 vminpu=0.7",
    )
    base = solve_base_case(feeder)
    # Hand: 9 MW at 12.47 kV are 417 A.
    assert base.loading is not None
    assert base.loading == ("line.rated", pytest.approx(417 / 400, rel=5e-3))
    assert "line.rated is loaded to" in base.breaks(Limits())
    assert "loaded" not in base.breaks(Limits(loading_max_pu=None))
    assert unjudged_elements(feeder) == ("line.unrated",)
    assert "1 of 2 elements: line.unrated" in "\n".join(describe_feeder(feeder))


def test_nameplate_normal_and_emergency_ratings_are_told_apart(tmp_path: Path) -> None:
    """Hand: a transformer of 1,000 kVA at 12.47 kV carries 46.30 A, 110 % of it normally, 150 % in emergencies."""
    feeder = own_circuit(
        tmp_path,
        "New Transformer.t buses=(s l) kvs=(12.47 4.16) kvas=(1000 1000) xhl=0.01 %loadloss=0.001",
        "New Line.x bus1=l bus2=b length=1 r1=0.0001 x1=0.0001 normamps=200 emergamps=250",
        "New Load.l bus1=b kv=4.16 kw=1000 pf=1",
    )
    nameplate = 1000 / (3**0.5 * 12.47)
    for basis, rating_a, line_a in (
        ("nameplate", nameplate, 200.0),
        ("normal", 1.1 * nameplate, 200.0),
        ("emergency", 1.5 * nameplate, 250.0),
    ):
        of_element = {r.element: r for r in judged_ratings(feeder.branches, basis)}  # type: ignore[arg-type]
        assert of_element["transformer.t"].terminal_a[0] == pytest.approx(rating_a)
        assert of_element["line.x"].terminal_a == (line_a,)
        loading = solve_base_case(feeder, rating_basis=basis).loading  # type: ignore[arg-type]
        assert loading is not None
        assert loading == ("transformer.t", pytest.approx(nameplate / rating_a, rel=1e-3))
    assert f"{nameplate / rating_a:.3f} of its emergency rating" in "\n".join(
        base_case_words(feeder, solve_base_case(feeder, rating_basis="emergency"), Limits())
    )
    with pytest.raises(InputError, match="rating basis 'summer' not found"):
        Limits(rating_basis="summer")  # type: ignore[arg-type]


def test_the_secondary_winding_of_a_transformer_is_judged(tmp_path: Path) -> None:
    """Hand: 333 kW on phase A alone of 4.16 kV wye are a third of 1,000 kVA, so all of what its winding can carry.

    The delta primary carries 1/1.73 of it in two of its lines, and would look loaded to 0.58.
    """
    feeder = own_circuit(
        tmp_path,
        "New Transformer.t buses=(s l) kvs=(12.47 4.16) kvas=(1000 1000) conns=(delta wye) xhl=0.01 %loadloss=0.001",
        "New Load.l bus1=l.1 phases=1 kv=2.4018 kw=333.333 pf=1",
    )
    loading = solve_base_case(feeder, rating_basis="nameplate").loading
    assert loading is not None
    assert loading == ("transformer.t", pytest.approx(1.0, rel=2e-3))


def own_circuit(folder: Path, *body: str) -> Feeder:
    path = folder / "own.dss"
    lines = ["New Circuit.c bus1=s basekv=12.47 MVAsc3=1e6 MVAsc1=1e6", *body]
    path.write_text("\n".join([*lines, "Set VoltageBases=[12.47 4.16]", "CalcVoltageBases", ""]))
    return Feeder.from_dss(path)


def test_one_open_conductor_leaves_a_line_in_the_loadings() -> None:
    load = "New Load.l bus1=far kv=12.47 kw=900"
    line = "New Line.x bus1=end bus2=far r1=0.1 x1=0.2 length=1 normamps=100"
    found = branches_of(line, load, after=("Open Line.x 1 2",))["line.x"]
    assert (found.closed, found.has_open_conductor) == (True, True)
    assert "line.x" in BranchLoading([found]).names
    found = branches_of(line, load, after=("Open Line.x 2",))["line.x"]
    assert (found.closed, found.has_open_conductor) == (False, False)


def test_how_much_of_its_nameplate_a_normal_rating_is_stands_in_the_description() -> None:
    feeder = Feeder.from_dss(CIRCUITS / "transformer_4000kva.dss")
    (sub,) = [b for b in feeder.branches if b.kind == "transformer"]
    assert sub.normal_over_nameplate == pytest.approx(1.1)
    # 4,000 kVA at 69 kV.
    assert sub.rating_a / sub.normal_over_nameplate == pytest.approx(33.47, abs=0.01)
    words = "\n".join(describe_feeder(feeder))
    assert "110 % of nameplate: sub" in words


def test_an_emergency_rating_that_follows_no_normal_one_is_said(tmp_path: Path) -> None:
    """OpenDSS gives a 77 A line 600 A in emergencies, unless it is told."""
    path = tmp_path / "own.dss"
    path.write_text(
        "New Circuit.c bus1=s basekv=12.47\n"
        "New Line.loose bus1=s bus2=a length=1 r1=0.1 x1=0.2 normamps=77\n"
        "New Line.told bus1=a bus2=b length=1 r1=0.1 x1=0.2 normamps=77 emergamps=100\n"
        "New Line.unrated bus1=b bus2=c length=1 r1=0.1 x1=0.2\n"
        "New Load.l bus1=c kv=12.47 kw=10\nSet VoltageBases=[12.47]\nCalcVoltageBases\n"
    )
    words = [line for line in describe_feeder(Feeder.from_dss(path)) if "no emergency limit judges them" in line]
    assert [line.rpartition(": ")[2] for line in words] == ["loose"]
