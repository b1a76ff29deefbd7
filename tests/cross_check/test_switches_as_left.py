"""Switches with devices on them are studied where OpenDSS's own solution of a file has them, whatever mode is named."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from opendssdirect import dss

from g2g_opt.base_case import solve_base_case
from g2g_opt.batch.modelled_controls import load_controls
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S
from g2g_opt.feeder import Feeder

STATED = (
    "",
    "normal=open",
    "normal=closed",
    "state=open",
    "state=closed",
    "action=open delay=2",
    "action=close",
    "lock=yes",
    "action=open lock=yes",
    "normal=closed state=open",
    "state=open normal=closed",
)
BEHIND = ("", "Open Line.tie 1", "Close Line.tie 1")
MODES = ("", "Set mode=daily")


def circuit(device: str, behind: str, mode: str = "") -> list[str]:
    """300 kW before a switch and 500 kW behind it."""
    return [
        "New Circuit.c basekv=4.16 bus1=s",
        "New Line.head bus1=s bus2=m length=0.1 units=km",
        "New Line.tie bus1=m bus2=e length=0.1 units=km",
        "New Load.near bus1=m kv=4.16 kw=300",
        "New Load.far bus1=e kv=4.16 kw=500",
        f"New {device}",
        "Set voltagebases=[4.16]",
        "CalcVoltageBases",
        *filter(None, (behind, mode)),
    ]


def solved_alike(text: list[str], folder: Path) -> Feeder:
    """The feeder of a file, whose sources give what they give in OpenDSS's own solution of it."""
    for line in ("Clear", *text, "Solve", "Solve"):
        dss.Text.Command(line)
    own_kw = -dss.Circuit.TotalPower()[0]
    master = folder / "Master.dss"
    master.write_text("\n".join(("Clear", *text)), encoding="utf-8")
    feeder = Feeder.from_dss(master)
    assert solve_base_case(feeder, settled=True).source_kw == pytest.approx(own_kw, rel=2e-3)
    return feeder


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("state", ["", "state=open", "normal=open"])
@pytest.mark.parametrize(
    "device",
    [
        "Fuse.d monitoredobj=Line.tie ratedcurrent=1000",
        "Recloser.d monitoredobj=Line.tie monitoredterm=1 phasetrip=1000 groundtrip=1000",
        "Relay.d monitoredobj=Line.tie monitoredterm=1 type=current phasetrip=1000 groundtrip=1000",
    ],
)
def test_a_line_with_protection_is_where_opendss_solves_the_file_with_it(
    device: str, state: str, behind: str, tmp_path: Path
) -> None:
    if device.startswith("Fuse"):
        state = state.replace("open", "[open open open]")
    solved_alike(circuit(f"{device} {state}", behind), tmp_path)


def test_a_conductor_that_is_open_stays_so_behind_a_fuse_and_is_said_to_close_behind_a_recloser(tmp_path: Path) -> None:
    fused = solved_alike(circuit("Fuse.d monitoredobj=Line.tie ratedcurrent=1000", "Open Line.tie 1 2"), tmp_path)
    assert any("line.tie (open in part)" in words for words in fused.state)
    recloser = "Recloser.d monitoredobj=Line.tie monitoredterm=1 phasetrip=1000 groundtrip=1000"
    master = tmp_path / "Recloser.dss"
    master.write_text("\n".join(("Clear", *circuit(recloser, "Open Line.tie 1 2"))), encoding="utf-8")
    said = "open in part in the file's own solution, and studied closed: line.tie (by recloser.d)"
    assert said in Feeder.from_dss(master).state


@pytest.mark.parametrize("behind", ["", "Open Capacitor.c 1", "Edit Capacitor.c states=0"])
@pytest.mark.parametrize("on_kvar", ["", "onsetting=1000 offsetting=-1000", "onsetting=50 offsetting=-1000"])
def test_a_bank_is_where_opendss_solves_the_file_with_it(on_kvar: str, behind: str, tmp_path: Path) -> None:
    text = circuit("Capacitor.c bus1=m kv=4.16 kvar=200", behind)
    if on_kvar:
        text.insert(6, f"New CapControl.c element=Line.head capacitor=c type=kvar {on_kvar}")
    feeder = solved_alike(text, tmp_path)
    own_kvar = -dss.Circuit.TotalPower()[1]
    studied = feeder.direct()
    studied.Solution.Solve()
    assert -studied.Circuit.TotalPower()[1] == pytest.approx(own_kvar, abs=2.0)


@pytest.mark.parametrize(("stated", "behind", "mode"), list(product(STATED, BEHIND, MODES)))
def test_a_switch_is_where_opendss_solves_the_file_with_it(stated: str, behind: str, mode: str, tmp_path: Path) -> None:
    feeder = solved_alike(circuit(f"SwtControl.w switchedobj=Line.tie switchedterm=1 {stated}", behind, mode), tmp_path)
    # It stays there under own control, which leaves runs on the batch engine.
    assert load_controls(feeder.commands, SETTLED_DT_S).others == ("swtcontrol.w",)
    moved = [words for words in feeder.state if words.startswith("stays as the file")]
    is_told = not mode and (behind, stated) in {
        *(("Open Line.tie 1", one) for one in ("", "normal=closed", "state=closed", "action=close")),
        ("Close Line.tie 1", "state=open"),
        ("", "normal=closed state=open"),
        ("Open Line.tie 1", "normal=closed state=open"),
    }
    assert bool(moved) == is_told, feeder.state
