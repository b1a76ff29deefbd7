"""Small circuits as files, for tests of how circuit files are read."""

from __future__ import annotations

from pathlib import Path

from g2g_opt.circuit.script_file.script import CircuitScript, read_script

HEAD = """Clear
New Circuit.c bus1=head basekv=12.47 pu=1 mvasc3=200 mvasc1=210
New Line.one bus1=head bus2=mid length=2 units=km r1=0.3 x1=0.4 normamps=250
New Load.l bus1=mid kV=12.47 kW=500 pf=0.95
"""
TAIL = """Set VoltageBases=[12.47]
CalcVoltageBases
Solve
"""
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def write(folder: Path, extra: str = "", name: str = "Master.dss") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(HEAD + extra + "\n" + TAIL, encoding="utf-8")
    return path


def read(folder: Path, extra: str) -> CircuitScript:
    return read_script(write(folder, extra))
