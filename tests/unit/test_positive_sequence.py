"""A circuit in its positive sequence carries a third of what a site is: it is studied as it was stated, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 mvasc3=1000 mvasc1=1000
New Line.one bus1=head bus2=mid r1=0.1 x1=0.2 length=1 units=km
New Load.l bus1=mid kv=12.47 kw=900 kvar=200
New Generator.g bus1=mid kv=12.47 kw=90 pf=1
Set VoltageBases=[12.47]
CalcVoltageBases
{lines}
"""
# One phase that stands for three, as such circuits are written.
ONE_PHASE = """Clear
New Circuit.c bus1=head.1 phases=1 basekv=7.2 r1=0.1 x1=0.3
New Line.one phases=1 bus1=head.1 bus2=mid.1 r1=0.1 x1=0.2 length=1 units=km
New Load.l phases=1 bus1=mid.1 kv=7.2 kw=300 kvar=70
Set CktModel=Positive
Set VoltageBases=[12.47]
CalcVoltageBases
"""


def feeder(folder: Path, text: str) -> Feeder:
    path = folder / "master.dss"
    path.write_text(text)
    return Feeder.from_dss(path)


@pytest.mark.parametrize("line", ["MakePosSeq", "Set CktModel=Positive", "MakePosSeq\nNew Monitor.m element=line.one"])
def test_a_circuit_of_three_phases_is_studied_as_it_was_stated(tmp_path: Path, line: str) -> None:
    """A bus that hosts 5.35 MW hosted 1.79 MW in the positive sequence, as a site there is one phase of three."""
    stated, turned = (feeder(tmp_path, MASTER.format(lines=lines)) for lines in ("", line))
    assert turned.candidate_buses == stated.candidate_buses
    assert turned.buses["mid"].phases == (1, 2, 3)
    assert solve_base_case(turned).source_kw == pytest.approx(solve_base_case(stated).source_kw, rel=1e-6)
    (told,) = [words for words in (*turned.left_out, *turned.state) if "positive sequence" in words]
    assert "three phases" in told


@pytest.mark.parametrize("behind", ["New Load.m phases=1 bus1=mid kw=5", "Load.l.kw=400", "BatchEdit Load..* kw=1"])
def test_what_is_stated_behind_one_phase_is_refused(tmp_path: Path, behind: str) -> None:
    with pytest.raises(InputError, match=r"master\.dss:9: .*MakePosSeq"):
        feeder(tmp_path, MASTER.format(lines=f"MakePosSeq\n{behind}"))


def test_a_circuit_written_in_its_positive_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"positive sequence.*one phase"):
        feeder(tmp_path, ONE_PHASE)
    single = ONE_PHASE.replace("Set CktModel=Positive\n", "")
    assert feeder(tmp_path, single).buses["mid"].phases == (1,)


def test_a_trusted_circuit_is_told_by_what_it_compiles_to(tmp_path: Path) -> None:
    give_consent(Consent(circuits=True))
    try:
        with pytest.raises(InputError, match=r"positive sequence.*one phase"):
            feeder(tmp_path, MASTER.format(lines="MakePosSeq"))
        found = feeder(tmp_path, MASTER.format(lines="Set CktModel=Positive\nSolve"))
        assert solve_base_case(found).source_kw == pytest.approx(811.0, abs=2.0)
    finally:
        give_consent(Consent())
