"""`g2g feeder` on the command line: buses left out by its flag, and its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.assembly import assemble
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.plan import Plan
from studies.cli import main
from studies.hosting_capacity.study import HostingCapacityStudy


def test_a_bus_is_left_out_of_the_limits_and_the_feeder_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "feeder.png"
    arguments = ["feeder", "ieee13", "--exclude-bus", "646", "--exclude-bus", "611", "--picture", str(picture)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "646" in said
    assert "611" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["ieee13", "split_phase", "open_conductor", "series_cap"])
def test_the_buses_it_lists_are_those_that_take_a_site(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One truth: what `g2g feeder` counts is what a study that names a bus accepts."""
    file = Path(__file__).resolve().parents[1] / "circuits" / f"{name}.dss"
    asked = str(file) if file.exists() else name
    feeder = Feeder.find(asked)
    study = HostingCapacityStudy(feeder=asked)
    accepted = []
    for bus in feeder.buses:
        try:
            site = study.site("site", bus, study.load_models(), 6)
            assemble(Plan((site,)), study.scenario, feeder, study.limits)
        except InputError:
            continue
        accepted.append(bus)
    assert tuple(accepted) == feeder.site_buses
    assert set(feeder.candidate_buses) <= set(accepted)
    assert main(["feeder", asked, "--no-picture", "--all-buses"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(feeder.candidate_buses)} of {len(accepted)} buses that can take a site" in said
    fewer = [bus for bus in accepted if len(feeder.buses[bus].phases) < 3]
    assert not fewer or f"need three phases): {', '.join(fewer)}" in said


@pytest.mark.parametrize("letter", ["m", "日"])
def test_names_without_room_in_a_picture_are_no_warning(
    letter: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    names = {bus: letter * 70 + bus for bus in ("head", "end")}
    text = "\n".join(
        (
            f"New Circuit.{'c' * 120} basekv=12.47 bus1={names['head']}",
            f"New Line.l bus1={names['head']} bus2={names['end']} length=1 units=km",
            f"New Load.d bus1={names['end']} kv=12.47 kw=100",
            "Set VoltageBases=[12.47]",
            "CalcVoltageBases",
            *(f"SetBusXY bus={bus} x=0 y={k}" for k, bus in enumerate(names.values())),
        )
    )
    path = tmp_path / f"{'long' * 40}.dss"
    path.write_text(text, encoding="utf-8")
    assert main(["feeder", str(path), "--out", str(tmp_path)]) == 0
    assert capfd.readouterr().err == ""
    assert not recwarn.list
    assert next(tmp_path.glob("*.png")).stat().st_size > 1000


def test_limits_that_do_not_go_together_are_told_by_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeder", "ieee13", "--no-picture", "--voltage-min-pu", "1.2"]) == 2
    assert "limits need --voltage-min-pu below --voltage-max-pu, got 1.2 and 1.05" in capsys.readouterr().err
