"""A circuit that does not come to rest, or has no solution, says so before any figure, in its state and exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.base_case import BaseCaseState, base_case_words, solve_base_case
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from studies.cli import main
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.base_case_note import studied_base_case, with_base_case_note
from studies.shared.conclusion import Conclusion

CIRCUIT = """\
Clear
New Circuit.{name} basekv=33 pu=1.02 bus1=grid MVAsc3=400 MVAsc1=350
New Transformer.sub phases=3 windings=2 xhl=8 buses=(grid head) conns=(delta wye) kvs=(33 11) kvas=(10000 10000)
~ wdg=2 maxtap=1.1 mintap=0.9 numtaps=32
New RegControl.oltc transformer=sub winding=2 vreg=122 band=2 ptratio=52.92
{more}
New Linecode.lc nphases=3 r1=0.25 x1=0.35 r0=0.6 x0=1.2 c1=10 c0=5 units=km normamps=350
New Line.l1 bus1=head bus2=mid linecode=lc length=2 units=km
New Load.a bus1=mid kv=11 kw={kw} pf=0.95 model=1 vminpu=0.{vmin}
Set VoltageBases=[33 11]
CalcVoltageBases
Set maxiterations=100
"""
# Two controls that ask for different voltages move one changer for ever.
HUNTING = "New RegControl.two transformer=sub winding=2 vreg=126 band=0.2 ptratio=52.92"
# 1.2 MW are 22 A on the side that it looks at.
FUSED = "New Fuse.f monitoredobj=Transformer.sub ratedcurrent=10"
CASES = {
    "fused": (CIRCUIT.format(name="fused", more=FUSED, kw=1200, vmin=8), BaseCaseState.PROTECTION_ACTS),
    "fine": (CIRCUIT.format(name="fine", more="", kw=1200, vmin=8), BaseCaseState.AT_REST),
    "hunting": (CIRCUIT.format(name="hunting", more=HUNTING, kw=1200, vmin=8), BaseCaseState.RESTLESS),
    "beyond": (CIRCUIT.format(name="beyond", more="", kw=200000, vmin="01 vlowpu=0.01"), BaseCaseState.NO_SOLUTION),
}


def written(folder: Path, case: str) -> Path:
    path = folder / f"{case}.dss"
    path.write_text(CASES[case][0], encoding="utf-8")
    return path


@pytest.mark.parametrize("case", CASES)
def test_the_first_line_and_the_status_tell(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    state = CASES[case][1]
    status = main(["feeder", str(written(tmp_path, case)), "--out", str(tmp_path)])
    first, *rest = capsys.readouterr().out.splitlines()
    if state is BaseCaseState.AT_REST:
        assert (status, first) == (0, "feeder fine: 3 buses, 1 regulator")
    else:
        assert status == 1
        assert first.startswith(f"{state.value.upper()}: ")
    assert any(line.startswith("base case, no site:") for line in rest) == (state is not BaseCaseState.NO_SOLUTION)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("taps", ["own control", "study"])
def test_the_answer_of_every_study_begins_with_it(tmp_path: Path, case: str, taps: str) -> None:
    feeder = Feeder.from_dss(written(tmp_path, case))
    base = solve_base_case(feeder)
    assert base.state is CASES[case][1]
    assert bool(base.headline) == (base.state is not BaseCaseState.AT_REST)
    assert (base_case_words(feeder, base, Limits())[0].startswith(base.state.value.upper())) == bool(base.headline)
    question = HostingCapacityStudy(feeder=str(tmp_path / f"{case}.dss"), buses=("mid",), taps=taps)
    base = studied_base_case(question, feeder)
    noted = with_base_case_note(Conclusion("t", "Bus mid hosts 1 MW.", feeder.name, ()), question, feeder, base)
    assert noted.base_case == CASES[case][1].value
    assert noted.answer.endswith("Bus mid hosts 1 MW.")
    assert noted.answer.lower().startswith(base.headline.lower() or "bus mid")


def test_controls_at_a_level_of_load_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "hunting")
    assert main(["feeder", str(path), "--no-picture", "--load-level", "0.5"]) == 1
    assert capsys.readouterr().out.startswith("RESTLESS CONTROLS: ")


def test_pictures_of_several_masters_of_one_name_lie_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Master.dss").write_text(CASES["fine"][0])
        assert main(["feeder", f"{folder}/Master.dss"]) == 0
        assert main(["feeder", f"{folder}/Master.dss"]) == 0
    assert len(list((tmp_path / "results").iterdir())) == 2
    assert main(["feeder", "one/Master.dss", "--out", "mine"]) == 0
    (again,) = (tmp_path / "mine").iterdir()
    assert again.name in {path.name for path in (tmp_path / "results").iterdir()}
    assert str(Path("mine") / again.name) in capsys.readouterr().out
