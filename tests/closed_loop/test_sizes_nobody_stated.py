"""What OpenDSS puts in the place of a size that nobody stated, or holds a unit to: it is said, and nothing rests on it.

Each circuit is asked of opendssdirect by itself, too.
"""

from __future__ import annotations

import math
from pathlib import Path

import opendssdirect
import pytest

from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import loading_notes
from g2g_opt.limits import Limits

FEEDER = """Clear
Set DefaultBaseFrequency=60
New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000
New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps={amps}
{more}
Set voltagebases=[12.47]
Calcvoltagebases
Solve
"""


def read(folder: Path, text: str) -> Feeder:
    (folder / "Master.dss").write_text(text, encoding="utf-8")
    return Feeder.from_dss(folder / "Master.dss")


def in_opendss(text: str) -> None:
    """Commands of a circuit in OpenDSS by itself."""
    for line in text.splitlines():
        opendssdirect.Text.Command(line)


@pytest.mark.parametrize("more", ["", "normhkva=13200 emerghkva=18000"])
def test_an_autotransformer_says_what_it_is_rated_if_its_kva_is_what_passes_through(tmp_path: Path, more: str) -> None:
    """30 MVA at 115/69 kV: 33,000 kVA over 46 kV as OpenDSS has it, or over 115 kV; a stated rating is read so, too."""
    text = (
        "Clear\nNew Circuit.c basekv=115 bus1=s mvasc3=3000 mvasc1=3000\n"
        f"New AutoTrans.t windings=2 buses=(s b) kvs=(115 69) kvas=(30000 30000) xhx=5 {more}\n"
        "New Load.x bus1=b kv=69 kw=10000 pf=1\nSet voltagebases=[115 69]\nCalcvoltagebases\nSolve\n"
    )
    in_opendss(text)
    opendssdirect.Circuit.SetActiveElement("AutoTrans.t")
    theirs_a = opendssdirect.CktElement.NormalAmps()
    feeder = read(tmp_path, text)
    (branch,) = (b for b in feeder.branches if b.kind == "autotrans")
    kva = 13_200.0 if more else 33_000.0
    assert branch.rating_a == pytest.approx(theirs_a)
    assert branch.rating_a == pytest.approx(kva / 46.0 / math.sqrt(3.0), rel=1e-6)
    assert branch.through_rating_a == pytest.approx(kva / 115.0 / math.sqrt(3.0), rel=1e-6)
    for basis in ("normal", "nameplate", "emergency"):
        (note,) = (n for n in loading_notes(feeder, Limits(rating_basis=basis)) if "autotransformer" in n)
        assert f"{branch.rating_a:.4g} A; if its kVA is what passes through it" in note
        assert f"rated {branch.through_rating_a:.4g} A: state 0.4 times its normhkva" in note


def test_a_share_of_emergency_ratings_takes_no_line_its_stated_rating(tmp_path: Path) -> None:
    """`Set %Normal=100` makes 600 A of 77 in OpenDSS: of an emergency rating that nobody stated."""
    text = FEEDER.format(amps=77, more="New Load.y bus1=b kv=12.47 kw=3000 pf=1") + "Set %Normal=100\nSolve\n"
    in_opendss(text)
    opendssdirect.Circuit.SetActiveElement("Line.l")
    assert opendssdirect.CktElement.NormalAmps() == pytest.approx(600.0)
    feeder = read(tmp_path, text)
    (line,) = feeder.branches
    assert line.rating_a == 77.0
    assert line.rating_is_stated
    assert any("set %normal=100; ratings are those that are stated" in words for words in feeder.left_out)


@pytest.mark.parametrize("peak", ["", "peakcurrent=[100 100 100]"])
def test_allocated_loads_are_told_with_what_they_were_allocated_by(tmp_path: Path, peak: str) -> None:
    more = (
        "New Load.x bus1=b kv=12.47 xfkva=1000 pf=1 allocationfactor=0.5\nNew Load.y bus1=b kv=12.47 kw=1000 pf=1\n"
        f"New EnergyMeter.m element=line.l terminal=1 {peak}"
    )
    text = FEEDER.format(amps=900, more=more) + "AllocateLoads\nSolve\n"
    in_opendss(text)
    opendssdirect.Loads.Name("x")
    feeder = read(tmp_path, text)
    (words,) = (word for word in feeder.state if word.startswith("AllocateLoads"))
    assert f"sets 1 load (xfkva or kwh), {opendssdirect.Loads.kW():,.6g} kW in all" in words
    assert ("nobody stated that of energymeter.m: OpenDSS's own stands for it, 400 A a phase" in words) == (not peak)
    unallocated = read(tmp_path, FEEDER.format(amps=900, more=more))
    assert not any("Allocate" in word for word in unallocated.state)


@pytest.mark.parametrize(("kva", "beyond"), [(120, True), (3000, False)])
def test_a_generator_that_a_dispatcher_takes_beyond_its_size_is_told(tmp_path: Path, kva: int, beyond: bool) -> None:
    more = (
        f"New Load.y bus1=b kv=12.47 kw=7000 pf=0.95\nNew Generator.g bus1=b kv=12.47 kw=100 kva={kva} pf=1\n"
        "New GenDispatcher.d element=line.l terminal=1 kwlimit=5000 kwband=100 genlist=(g)\nSet maxcontroliter=100"
    )
    feeder = read(tmp_path, FEEDER.format(amps=900, more=more))
    (words,) = (word for word in feeder.state if "generator.g injects" in word)
    assert (f", beyond its {kva:,} kVA" in words) == beyond
