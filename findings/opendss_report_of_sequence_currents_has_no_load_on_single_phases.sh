#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. `Export SeqCurrents` has columns
# %Normal and %Emergency as `Export Capacity` and `Export Overloads` have. Theirs are shares of the fullest phase, those of SeqCurrents of
# the positive sequence, which no header says: a three-phase line of 50 A that carries 110 A on one phase is at 219 % in two reports and
# at 73 in the third, and a lateral of one or two phases is at 0, whatever it carries. The zero is that of I1, which is not worked out for
# less than three phases; `Export SeqVoltages` has 0 pu for their buses, the lowest voltage of the feeder. And kVAOver of `Export
# Overloads` is 940 kVA where 788 flow in all and 430 are over: all that flows is multiplied by the share over the rating. Exits 0 while
# this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import csv
import math
import pathlib

import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()


def capi(line):
    dss.Text.Command(line)
    return dss.Text.Result()


def report(text, kind):
    """Rows of a report by the name that they begin with, in lower case; of two terminals the first."""
    rows = {}
    with pathlib.Path(text(f"Export {kind}").strip()).open() as opened:
        for row in csv.reader(opened, skipinitialspace=True):
            rows.setdefault(row[0].strip(' "').lower(), [value.strip() for value in row])
    head = next(iter(rows.values()))
    return {name: dict(zip(head, row, strict=False)) for name, row in rows.items()}


def figures(text, phases):
    """What four reports say of a lateral of so many phases, loaded on one, and of the three-phase line to it."""
    nodes = ".".join(str(k + 1) for k in range(phases))
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=2000 mvasc1=2000",
        f"Set DataPath={pathlib.Path.cwd()}",
        "New Line.main bus1=s bus2=b r1=0.2 x1=0.4 r0=0.5 x0=1 c1=0 c0=0 length=1 normamps=50 emergamps=75",
        f"New Line.side phases={phases} bus1=b.{nodes} bus2=e.{nodes} r1=0.2 x1=0.4 c1=0 c0=0 length=1 normamps=50 emergamps=75",
        "New Load.d bus1=e.1 phases=1 kv=7.2 kw=700 pf=0.9",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    ):
        text(line)
    lines = ("line.main", "line.side")
    capacity, over, sequence = (report(text, kind) for kind in ("Capacity", "Overloads", "SeqCurrents"))
    main = {key: float(capacity["line.main"][key]) for key in ("kW", "kvar")}
    return {
        "Capacity": [round(float(capacity[name]["%normal"])) for name in lines],
        "Overloads": [round(float(over[name]["%Normal"])) for name in lines],
        "SeqCurrents": [round(float(sequence[name]["%Normal"])) for name in lines],
        "kVAOver": round(float(over["line.main"]["kVAOver"])),
        "kVA": round(math.hypot(main["kW"], main["kvar"])),
        "pu": [round(float(report(text, "SeqVoltages")[bus]["p.u."]), 3) for bus in "be"],
    }


for engine, text in (("DSS C-API", capi), ("EPRI", epri.text)):
    for phases in (1, 2):
        found = figures(text, phases)
        print(engine, phases, found)
        assert found["Capacity"] == found["Overloads"] == [219, 219], found
        assert found["SeqCurrents"] == [73, 0], found
        assert (found["kVAOver"], found["kVA"], found["pu"]) == (940, 788, [0.998, 0.0]), found
PY
echo "as recorded"
