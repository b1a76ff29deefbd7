#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A series reactor given by its impedance (r, x) has a rating all the same:
# that of 100 kvar, the default of a property which it does not use. At 12.47 kV this is 4.63 A normal and 6.25 A emergency, so
# an element that carries 53 A for a load of 1,000 kW reads as 11 times overloaded, and CktElement.NormalAmps gives no sign that
# nobody stated it. The rating does not follow x: ten times the impedance has the same.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

def amps(x_ohm):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=2000 mvasc1=2000",
        f"New Reactor.r bus1=s bus2=d r=0.1 x={x_ohm}",
        "New Load.d bus1=d kv=12.47 kw=1000 pf=0.88",
        "Set voltagebases=[12.47]",
        "Calcvoltagebases",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Circuit.SetActiveElement("Reactor.r")
    carried = max(dss.CktElement.CurrentsMagAng()[0:6:2])
    return round(dss.CktElement.NormalAmps(), 2), round(dss.CktElement.EmergAmps(), 2), round(carried)


one, ten = amps(1), amps(10)
print("1 ohm:", one, "10 ohm:", ten)
assert one[:2] == (4.63, 6.25), one
assert ten[:2] == one[:2], ten
assert 50 <= one[2] <= 56, one
PY
echo "as recorded"
