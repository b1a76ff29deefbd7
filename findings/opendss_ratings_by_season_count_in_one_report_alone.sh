#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1). A line of normamps=400 emergamps=500 whose
# ratings by season are 400, 200 and 100 A, with SeasonRating and its signal set, carries 187 A in the season of 100. `Export Capacity` says
# 187 % in both engines, and 187 % of its emergency rating as well, which the season's has taken the place of (500 A were stated).
# CktElement.NormalAmps says 400, and the meter's Overload kWh and Load EEN are 0 (1,872 and 3,467 where normamps=100 is stated
# instead). `Export Overloads` lists it in EPRI's engine and lists nothing in DSS C-API. A transformer of 1,000 kVA that may carry 500 in
# that season is at 181 % in EPRI's Export Capacity and at 164 in the other, which adds a tenth to what was stated. So whether a size
# fits in the hot season hangs on which of these is asked; nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()
HERE = Path.cwd()
LINE = "New Line.l bus1=s bus2=a length=1 units=km r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0 emergamps=500 "
UNIT = "New Transformer.l buses=(s a) kvs=(12.47 4.16) kvas=(1000 1000) xhl=5 seasons=3 ratings=(1100 800 500)"


def mine(command):
    opendssdirect.Text.Command(command)
    return opendssdirect.Text.Result()


def judged(element, load, *, season, by_season=True):
    """Of EPRI's engine and of DSS C-API: per cent of normal and emergency rating in Export Capacity, per cent of the normal one in Export
    Overloads where it is listed, the rating that the element says it has, and the meter's Overload kWh Normal and Load EEN."""
    answers = []
    for text, meters, cktelement in (
        (epri.text, epri.meters, epri.cktelement),
        (mine, opendssdirect.Meters, opendssdirect.CktElement),
    ):
        theirs = text is not mine
        for command in (
            "Clear",
            f'Set DataPath="{HERE}"',
            "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
            "New XYCurve.season npts=3 xarray=(0 1 2) yarray=(0 1 2)",
            element,
            load,
            f"New EnergyMeter.m element={element.split()[1]} terminal=1",
            f"Set SeasonRating={by_season}",
            "Set SeasonSignal=season",
            # An hour from here the signal says which of the ratings it is.
            f"Set mode=daily number=1 stepsize=1h hour={season - 1}",
            "Solve",
        ):
            text(command)
        reports = []
        for name in ("Capacity", "Overloads"):
            lines = Path(text(f"Export {name} {name}{theirs}.csv")).read_text().splitlines()
            reports.append([[word.strip() for word in line.split(",")] for line in lines[1:]])
        (capacity,), listed = reports
        (meters.first if theirs else meters.First)()
        names, values = (meters.register_names, meters.register_values) if theirs else (meters.RegisterNames(), meters.RegisterValues())
        registers = dict(zip(names, values))
        over = [round(registers[name]) for name in ("Overload kWh Normal", "Load EEN")]
        text(f"Select {element.split()[1]}")
        normal = cktelement.norm_amps if theirs else cktelement.NormalAmps()
        answers.append(([round(float(p)) for p in capacity[2:4]], [round(float(row[5])) for row in listed], round(normal), over))
    return answers


by_season = LINE + "normamps=400 seasons=3 ratings=(400 200 100)"
customers = "New Load.x bus1=a kv=12.47 kw=4000 pf=1"
found = {
    "200 A": judged(by_season, customers, season=1),
    "100 A": judged(by_season, customers, season=2),
    "100 A, switched off": judged(by_season, customers, season=2, by_season=False),
    "100 A as normamps": judged(LINE + "normamps=100", customers, season=2, by_season=False),
    "unit, 800 kVA": judged(UNIT, "New Load.x bus1=a kv=4.16 kw=900 pf=1", season=1),
    "unit, 500 kVA": judged(UNIT, "New Load.x bus1=a kv=4.16 kw=900 pf=1", season=2),
}
print("\nCapacity, Overloads, NormalAmps, registers: of EPRI's engine, of DSS C-API")
for name, (theirs, others) in found.items():
    print(f"  {name:20s}", *theirs, "|", *others)
NONE = [0, 0]
assert found["200 A"] == [([93, 93], [], 400, NONE)] * 2, found
assert found["100 A"] == [([187, 187], [187], 400, NONE), ([187, 187], [], 400, NONE)], found
assert found["100 A, switched off"] == [([47, 37], [], 400, NONE)] * 2, found
assert found["100 A as normamps"] == [([187, 37], [187], 100, [1872, 3467])] * 2, found
assert [answer[0] for answer in found["unit, 800 kVA"]] == [[113, 113], [103, 103]], found
assert [answer[0] for answer in found["unit, 500 kVA"]] == [[181, 181], [164, 164]], found
assert [answer[1] for answer in found["unit, 500 kVA"]] == [[181], []], found
PY
echo "as recorded"
