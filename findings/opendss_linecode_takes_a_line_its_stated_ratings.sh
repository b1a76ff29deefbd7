#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A line that states normamps=250 emergamps=300 and then names a linecode
# which states no rating is left with 400 and 600 A, the code's own defaults: a code that says nothing overrules a line that
# says something, because it stands later. Written the other way round, the line keeps 250 and 300. Nothing is reported, and
# CktElement.NormalAmps gives 400. A line so has 60 % more room than its planner stated.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

def ratings_a(words):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1",
        "New Linecode.code nphases=3 r1=0.1 x1=0.2 units=km",
        f"New Line.x bus1=s bus2=b {words}",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Circuit.SetActiveElement("Line.x")
    return dss.CktElement.NormalAmps(), dss.CktElement.EmergAmps()


code_last = ratings_a("normamps=250 emergamps=300 length=1 units=km linecode=code")
code_first = ratings_a("linecode=code length=1 units=km normamps=250 emergamps=300")
print("code last:", code_last, "code first:", code_first)
assert code_last == (400.0, 600.0), code_last
assert code_first == (250.0, 300.0), code_first
PY
echo "as recorded"
