#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Between SetActiveBus and a reading of that bus's voltage one may make another
# element active through the API, read its powers, or a line by name: the bus stays. Asking for a property in words
# does not let it: after `? Line.head.length` the Bus functions read the first bus of that line, 0.998 pu instead of
# 0.960 here; after `? LineCode.code.r1`, of no circuit element, the bus that was chosen. `Select` moves it as well. So a
# loop over buses that asks one element for one figure lists voltages of other buses under the right names.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

for line in (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
    "New LineCode.code nphases=3 r1=0.3 x1=0.3 units=km",
    "New Line.head bus1=s bus2=b linecode=code length=2 units=km",
    "New Line.end bus1=b bus2=e linecode=code length=2 units=km",
    "New Load.site bus1=e kv=12.47 kw=3000",
    "Set voltagebases=[12.47]",
    "CalcVoltageBases",
    "Solve",
):
    dss.Text.Command(line)


def text(line):
    return lambda: dss.Text.Command(line)


between = {
    "nothing": lambda: None,
    "SetActiveElement": lambda: dss.Circuit.SetActiveElement("Line.head"),
    "Lines.Name and Length": lambda: (dss.Lines.Name("head"), dss.Lines.Length()),
    "CktElement.Powers": lambda: (dss.Circuit.SetActiveElement("Line.head"), dss.CktElement.Powers()),
    "? LineCode.code.r1": text("? LineCode.code.r1"),
    "? Line.head.length": text("? Line.head.length"),
    "? Load.site.kw": text("? Load.site.kw"),
    "Select Line.head": text("Select Line.head"),
}
found = {}
for name, act in between.items():
    dss.Circuit.SetActiveBus("e")
    act()
    found[name] = dss.Bus.Name(), round(dss.Bus.puVmagAngle()[0], 3)
    print(f"SetActiveBus e, then {name:22s} Bus reads", *found[name])
still = ("nothing", "SetActiveElement", "Lines.Name and Length", "CktElement.Powers", "? LineCode.code.r1", "? Load.site.kw")
assert all(found[name] == found["nothing"] for name in still) and found["nothing"][0] == "e", found
assert found["? Line.head.length"] == found["Select Line.head"] and found["Select Line.head"][0] == "s", found
assert found["? Line.head.length"][1] > found["nothing"][1] + 0.02, found
PY
echo "as recorded"
