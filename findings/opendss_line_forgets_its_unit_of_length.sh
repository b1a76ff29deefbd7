#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A line keeps its unit of length only if no impedance is named after it:
# `length=2 units=mi r1=0.3 x1=0.6` leaves a line of length 2 without a unit, `r1=0.3 x1=0.6 length=2 units=mi` one of 2 miles.
# The same goes for rmatrix, c1, b1, r0 and switch=yes after units; normamps or phases after it do no harm. Nothing is
# reported. The power flow is the same but for line charging (impedances are per whatever the length is in), but an energy
# meter's distances, which profiles of voltage over distance are drawn from, are 3.2 km in one case and 2.0 in the other.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def unit_and_distance(words):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1",
        f"New Line.x bus1=s bus2=b {words}",
        "New Load.l bus1=b kv=12.47 kw=100",
        "New Energymeter.m Line.x 1",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Text.Command("? Line.x.units")
    unit = dss.Text.Result()
    dss.Circuit.SetActiveBus("b")
    return unit, round(dss.Bus.Distance(), 4), min(dss.Bus.VMagAngle()[0::2])


before = unit_and_distance("r1=0.3 x1=0.6 length=2 units=mi")
after = unit_and_distance("length=2 units=mi r1=0.3 x1=0.6")
units = {
    words: unit_and_distance(f"length=2 units=mi {words}")[0]
    for words in ("rmatrix=[1 | 0 1 | 0 0 1]", "c1=3", "b1=3", "r0=1", "switch=yes", "normamps=3", "phases=3")
}
print("unit last:", before, "impedance last:", after, "others:", units)
assert before[:2] == ("mi", 3.2187), before
assert after[:2] == ("none", 2.0), after
assert abs(before[2] - after[2]) < 0.1, (before, after)  # volts of 7,193
assert [word for word, unit in units.items() if unit == "mi"] == ["normamps=3", "phases=3"], units
PY
echo "as recorded"
