#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). A script that changes an element by name gets an error for a name that does not
# exist from `Load.x.kW=5`, `? Load.x.kW`, `Select`, `Open` and `Close`, and none from `Edit Load.x kW=5`, `Disable Load.x` and
# `Enable Load.x`: these return as if they had worked, with an empty result, and the circuit is as before. A wrong property of an
# existing element is an error in all of them. So a file of edits with a misspelt name (an outage list, say) is taken as done.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss_python_backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from opendssdirect import dss


def tell(text):
    """Empty if the engine took the command, else what it said."""
    try:
        dss.Text.Command(text)
    except Exception as error:
        return str(error).strip().splitlines()[0]
    return ""


for text in (
    "Clear",
    "New Circuit.c bus1=s basekv=12.47",
    "New Line.a bus1=s bus2=b length=1 units=km",
    "New Load.l bus1=b kW=100 kV=12.47",
    "Set voltagebases=[12.47]",
    "Calcvoltagebases",
    "Solve",
):
    dss.Text.Command(text)
before = dss.Circuit.AllElementNames(), dss.Circuit.TotalPower()
silent = [c for c in ("Edit Load.lo kW=5", "Disable Load.lo", "Enable Load.lo", "Edit Line.b enabled=no") if not tell(c)]
dss.Text.Command("Solve")
after = dss.Circuit.AllElementNames(), dss.Circuit.TotalPower()
said = {c: tell(c) for c in ("Load.lo.kW=5", "? Load.lo.kW", "Select Load.lo", "Open Line.b 1", "Close Line.b 1", "Edit Load.l kWatt=5")}
print("silent:", silent)
for command, words in said.items():
    print(command, "->", words)
assert len(silent) == 4 and all(said.values())
assert before[0] == after[0] and abs(before[1][0] - after[1][0]) < 1e-3
PY
echo "as recorded"
