"""A bus with a + in its name: an answer as of the same circuit without, and no part in sets of sites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.cli import main

CIRCUIT = """Clear
New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000
New Line.l bus1=s bus2=a{sign}b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=60
New Load.y bus1=a{sign}b kv=12.47 kw=300 pf=1
Set voltagebases=[12.47]
Calcvoltagebases
"""
ASKED = ["--duration-s", "120", "--operation", "firm", "--no-ladder", "--workers", "1"]


def test_a_bus_with_a_plus_has_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for sign, name in (("+", "with"), ("_", "without")):
        (tmp_path / name).mkdir()
        master = tmp_path / name / "Master.dss"
        master.write_text(CIRCUIT.format(sign=sign), encoding="utf-8")
        out = tmp_path / name / "out"
        assert main(["hosting-capacity", "--feeder", str(master), *ASKED, "--out", str(out)]) == 0
        # Judged again from what is stored, too.
        assert main(["report", str(out), "--loading-max", "0.5"]) == 0
        tables = json.loads((out / "answer.json").read_text(encoding="utf-8"))["tables"]
        (rows,) = (table["rows"] for table in tables if table["name"] == "capacities")
        capsys.readouterr()
        found.append({row["bus"]: row["power_peak_mw"] for row in rows})
    assert found[0] == {"a+b": found[1]["a_b"]}
    assert found[0]["a+b"] > 0.5
    pairs = ["--sites", "2", "--bus", "a+b", "--bus", "s", "--out", str(tmp_path / "pairs")]
    assert main(["hosting-capacity", "--feeder", str(tmp_path / "with" / "Master.dss"), *ASKED, *pairs]) == 2
    assert "which bus 'a+b' has in its name" in capsys.readouterr().err
