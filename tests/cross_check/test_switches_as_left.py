"""Switches with a SwtControl are studied where OpenDSS's own solution of the file has them, whatever mode is named."""

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


def circuit(stated: str, behind: str, mode: str) -> list[str]:
    """300 kW before a switch and 500 kW behind it."""
    return [
        "New Circuit.c basekv=4.16 bus1=s",
        "New Line.head bus1=s bus2=m length=0.1 units=km",
        "New Line.tie bus1=m bus2=e length=0.1 units=km",
        "New Load.near bus1=m kv=4.16 kw=300",
        "New Load.far bus1=e kv=4.16 kw=500",
        f"New SwtControl.w switchedobj=Line.tie switchedterm=1 {stated}",
        "Set voltagebases=[4.16]",
        "CalcVoltageBases",
        *filter(None, (behind, mode)),
    ]


@pytest.mark.parametrize(("stated", "behind", "mode"), list(product(STATED, BEHIND, MODES)))
def test_a_switch_is_where_opendss_solves_the_file_with_it(stated: str, behind: str, mode: str, tmp_path: Path) -> None:
    text = circuit(stated, behind, mode)
    for line in ("Clear", *text, "Solve", "Solve"):
        dss.Text.Command(line)
    own_kw = -dss.Circuit.TotalPower()[0]
    master = tmp_path / "Master.dss"
    master.write_text("\n".join(("Clear", *text)), encoding="utf-8")
    feeder = Feeder.from_dss(master)
    assert solve_base_case(feeder, settled=True).source_kw == pytest.approx(own_kw, rel=2e-3)
    # It stays there under own control, which leaves runs on the batch engine.
    assert load_controls(feeder.commands, SETTLED_DT_S).others == ("swtcontrol.w",)
    moved = [words for words in feeder.state if words.startswith("switches that stay")]
    is_told = not mode and (behind, stated) in {
        *(("Open Line.tie 1", one) for one in ("", "normal=closed", "state=closed", "action=close")),
        ("Close Line.tie 1", "state=open"),
        ("", "normal=closed state=open"),
        ("Open Line.tie 1", "normal=closed state=open"),
    }
    assert bool(moved) == is_told, feeder.state
