#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5): a line opened by `Open`, with a SwtControl on it that states nothing and with
# ControlMode=off, carries nothing, solve after solve. `Set mode=snapshot`, the mode that it is in already, closes it, and 500 kW
# are served: naming any mode puts switches where their SwtControls have them, though no control may act. Named before the
# `Open`, the mode leaves it open. With controls allowed to act (static) it stays open, while the SwtControl says "closed". Without a
# SwtControl the mode changes nothing. Every solve converges and nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from opendssdirect import dss

CONTROL = "New SwtControl.w SwitchedObj=Line.tie SwitchedTerm=1"
OPEN, OFF, MODE, STATIC = "Open Line.tie 1", "Set controlmode=off", "Set mode=snapshot", "Set controlmode=static"


def served_kw(control, *steps):
    """kW of the load after each solve of the steps."""
    for line in (
        "Clear",
        "New Circuit.c basekv=4.16 bus1=s",
        "New Line.head bus1=s bus2=m length=0.1",
        "New Line.tie bus1=m bus2=e length=0.1",
        "New Load.site bus1=e kv=4.16 kw=500",
        *([CONTROL] if control else []),
        "Set voltagebases=[4.16]",
        "CalcVoltageBases",
    ):
        dss.Text.Command(line)
    found = []
    for step in steps:
        dss.Text.Command(step)
        if step == "Solve":
            assert dss.Solution.Converged()
            dss.Circuit.SetActiveElement("Load.site")
            found.append(round(sum(dss.CktElement.Powers()[0:6:2])))
    return found


def state():
    dss.Text.Command("? SwtControl.w.state")
    return dss.Text.Result()


seen = {
    "opened, solved, the mode named, solved": served_kw(True, OPEN, OFF, "Solve", "Solve", MODE, "Solve"),
    "the mode named, opened, solved twice": served_kw(True, OFF, MODE, OPEN, "Solve", "Solve"),
    "without a SwtControl": served_kw(False, OPEN, OFF, "Solve", MODE, "Solve"),
    "controls may act": served_kw(True, OPEN, STATIC, "Solve", "Solve"),
}
for words, kw in seen.items():
    print(f"{words}: {kw} kW")
print(f"the control that may act says: {state()}")
assert seen["opened, solved, the mode named, solved"] == [0, 0, 500]
assert seen["the mode named, opened, solved twice"] == [0, 0]
assert seen["without a SwtControl"] == [0, 0]
assert seen["controls may act"] == [0, 0]
assert state() == "closed"
PY
