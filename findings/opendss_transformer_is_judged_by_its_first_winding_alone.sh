#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A transformer has one rating, in
# amperes of its first winding, and what its other windings carry is compared with nothing. A unit of 30, 20 and 10 MVA at 115, 12.47 and
# 4.16 kV that brings 15 MW through its third winding and 5 through its second is at 61 % of normal in `Export Capacity`, `Export
# Overloads` lists nothing, and the meter has no Overload kWh, while the third winding carries 1.51 times the current of its 10 MVA.
# Of a bank with a delta at its high side the current of a load on one phase is spread over two lines: 800 kW on one phase of 1,500 kVA are
# 85 % of normal, while the winding of that phase carries 1.62 times what its 500 kVA allow. A load on all three of 2,430 kW, which loads
# each winding as much, is at 149 %. Nothing is reported; the windings' kVA, which the file states, are read and used for impedances only.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import csv
import os

import opendssdirect as dss
import py_dss_interface

FOLDER = os.getcwd()
epri = py_dss_interface.DSS()


def asked(command):
    dss.Text.Command(command)
    return dss.Text.Result()


def exported(text, report):
    """Rows of a report, words without their blanks."""
    text(f"Set datapath={FOLDER}")
    name = text(f"Export {report}")
    with open(name) as file:
        return [[word.strip(' "') for word in row] for row in csv.reader(file) if row]


def loaded(kvs, unit, loads, winding_kva):
    """% in Export Capacity, rows of Export Overloads, Overload kWh of an hour, and the largest current of the last winding's phases
    over that of its own kVA, the same in both engines."""
    circuit = (
        "Clear",
        f"New Circuit.c basekv={kvs[0]} bus1=s mvasc3=3000 mvasc1=3000",
        f"New Transformer.t {unit}",
        *(f"New Load.x{n} {words} pf=1 vminpu=0.8" for n, words in enumerate(loads)),
        "New EnergyMeter.m element=Transformer.t terminal=1",
        "Set mode=daily number=1 stepsize=1h",
        "Solve",
    )
    found = []
    for text, circuit_api, element in ((asked, dss.Circuit, dss.CktElement), (epri.text, epri.circuit, epri.cktelement)):
        for line in circuit:
            text(line)
        percent = round(float(exported(text, "Capacity")[1][2]))
        over = len(exported(text, "Overloads")) - 1
        rows = exported(text, "Meters")  # a row more with each export
        kwh = round(float(dict(zip(rows[0], rows[-1]))["Overload kWh Normal"]))
        mine = text is asked
        (circuit_api.SetActiveElement if mine else circuit_api.set_active_element)("Transformer.t")
        amps = (element.CurrentsMagAng() if mine else element.currents_mag_ang)[-8::2][:3]
        found.append((percent, over, kwh, round(max(amps) / (winding_kva / 3**0.5 / kvs[-1]), 2)))
    assert found[0] == found[1], found
    return found[0]


THREE = "windings=3 buses=(s b c) conns=(delta wye wye) kvs=(115 12.47 4.16) kvas=(30000 20000 10000) xhl=10 xht=12 xlt=8 %rs=(0.3 0.3 0.3)"
TWO = "windings=2 buses=(s b) conns=(delta wye) kvs=(12.47 0.48) kvas=(1500 1500) xhl=5 %loadloss=0.5"
three = loaded((115, 12.47, 4.16), THREE, ("bus1=b kv=12.47 kw=5000", "bus1=c kv=4.16 kw=15000"), 10000)
phase = loaded((12.47, 0.48), TWO, ("bus1=b.1 phases=1 kv=0.277 kw=800",), 1500)
even = loaded((12.47, 0.48), TWO, ("bus1=b kv=0.48 kw=2430",), 1500)
print("% of normal, rows of Overloads, Overload kWh, current of the last winding over that of its kVA")
print("  three windings:", *three)
print("  one phase of three:", *phase)
print("  three phases:", *even)
assert three == (61, 0, 0, 1.51), three
assert phase == (85, 0, 0, 1.62), phase
assert even[0] == 149 and even[1] == 1 and even[3] > 1.6, even
PY
echo "as recorded"
