#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A LoadShape of npts=6 that gets two values keeps six points if they stand in
# the file (`mult=(0.5 1.0)`): the other four are zero, and its customers draw nothing then. If they stand in a data file it has
# two points and begins anew every other hour. A row left blank in the data file is an hour of 0, which pushes the last
# row out of the shape. Nothing of this is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

with open("short.csv", "w") as file:
    file.write("0.5\n1.0\n")
with open("gap.csv", "w") as file:
    file.write("0.5\n1.0\n\n0.8\n0.9\n0.7\n0.6\n")


def drawn_kw(values):
    """Points that the shape has, and what a customer of 100 kW draws in its first six hours."""
    for command in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1",
        f"New LoadShape.s npts=6 interval=1 {values}",
        "New Line.l bus1=s bus2=a length=1 r1=0.001 x1=0.001",
        "New Load.d bus1=a kv=12.47 kw=100 pf=1 daily=s",
        "Solve",
        "Set mode=daily stepsize=1h number=1",
    ):
        dss.Text.Command(command)
    dss.LoadShape.Name("s")
    drawn = []
    for _ in range(6):
        dss.Text.Command("Solve")
        dss.Circuit.SetActiveElement("Load.d")
        drawn.append(round(sum(dss.CktElement.Powers()[::2])))
    return dss.LoadShape.Npts(), drawn


found = {values: drawn_kw(values) for values in ("mult=(0.5 1.0)", "mult=(file=short.csv)", "mult=(file=gap.csv)")}
print(found)
assert found["mult=(0.5 1.0)"] == (6, [50, 100, 0, 0, 0, 0]), found
assert found["mult=(file=short.csv)"] == (2, [50, 100, 50, 100, 50, 100]), found
assert found["mult=(file=gap.csv)"] == (6, [50, 100, 0, 80, 90, 70]), found
PY
echo "as recorded"
