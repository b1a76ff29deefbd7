#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). A capacitor bank can be taken out of service by its steps (`Edit Capacitor.x
# states=[0]`, or Capacitors.States) or by its terminal (`Open Capacitor.x 1`). Both give 0 kvar, and neither shows in what the
# other is read by: after states=[0] CktElement.IsOpen says False, after Open the states are still [1] and AvailableSteps 0, so
# whoever lists the banks in service by one of them counts a bank that is off.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss_python_backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from opendssdirect import dss


def circuit(*more):
    for text in (
        "Clear",
        "New Circuit.c bus1=s basekv=12.47",
        "New Line.a bus1=s bus2=b length=5 units=km",
        "New Load.l bus1=b kW=2000 kvar=1000 kV=12.47",
        "New Capacitor.x bus1=b kvar=600 kV=12.47",
        "Set voltagebases=[12.47]",
        "Calcvoltagebases",
        *more,
        "Solve",
    ):
        dss.Text.Command(text)
    dss.Circuit.SetActiveElement("Capacitor.x")
    kvar = sum(dss.CktElement.Powers()[1::2])
    is_open = bool(dss.CktElement.IsOpen(1, 0))
    dss.Capacitors.Name("x")
    return round(abs(kvar)), is_open, list(dss.Capacitors.States()), dss.Capacitors.AvailableSteps()


found = {
    "in service": circuit(),
    "states=[0]": circuit("Edit Capacitor.x states=[0]"),
    "Open": circuit("Solve", "Open Capacitor.x 1"),
}
for what, (kvar, is_open, states, free) in found.items():
    print(f"{what}: {kvar} kvar, IsOpen {is_open}, states {states}, AvailableSteps {free}")
assert found["in service"][0] > 500 and found["in service"][1:] == (False, [1], 0)
assert found["states=[0]"] == (0, False, [0], 1)
assert found["Open"] == (0, True, [1], 0)
PY
echo "as recorded"
