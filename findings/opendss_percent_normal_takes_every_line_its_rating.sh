#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1). `Set %Normal=100` sounds like what is there
# already. It gives every line of the circuit 100 % of its emergency rating as its normal one, which its help says, and the emergency
# rating is 600 A where nobody stated it: a line of normamps=77 that carries 139 A, 181 %, is at 23 %, `Export Overloads` is empty, and the
# meter's Overload kWh fall from 1,343 to 0. At 80 it is 480 A. A line that is made after the word keeps its 77. In EPRI's engine
# `? Line.l.normamps` answers 77 as before, while its reports, its meter and CktElement's NormAmps go by 600; in DSS C-API the property
# says 600, too. `Get %Normal` answers 0 where nobody set it. Nothing is reported. Exits 0 while this is so.
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


def rated(text, *words, late=()):
    """What the property says, the rating that the engine goes by, % in Export Capacity, rows of Export Overloads, Overload kWh."""
    mine = text is asked
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
        *words[:1],
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=77",
        "New Load.x bus1=b kv=12.47 kw=3000 pf=1",
        "New EnergyMeter.m element=Line.l terminal=1",
        *words[1:],
        "Set mode=daily number=1 stepsize=1h",
        "Solve",
    ):
        text(line)
    says = float(text("? Line.l.normamps"))
    percent = float(exported(text, "Capacity")[1][2])
    over = len(exported(text, "Overloads")) - 1
    rows = exported(text, "Meters")  # a row more with each export
    kwh = float(dict(zip(rows[0], rows[-1]))["Overload kWh Normal"])
    if mine:
        dss.Circuit.SetActiveElement("Line.l")
        used = dss.CktElement.NormalAmps()
    else:
        epri.circuit.set_active_element("Line.l")
        used = epri.cktelement.norm_amps
    return round(says), round(used), round(percent), over, round(kwh)


print("normamps by its property, by the engine, % in Capacity, rows of Overloads, Overload kWh")
found = {}
for engine, text in (("DSS C-API", asked), ("EPRI's", epri.text)):
    found[engine] = {
        "none": rated(text),
        "100": rated(text, "", "Set %Normal=100"),
        "80": rated(text, "", "Set %Normal=80"),
        "100, before the line": rated(text, "Set %Normal=100"),
    }
    text("Clear")
    text("New Circuit.c")
    unset = float(text("Get %Normal"))
    for name, figures in found[engine].items():
        print(f"  {engine:10s} %Normal {name}:", *figures)
    print(f"  {engine:10s} Get %Normal where nobody set it:", unset)
    found[engine]["unset"] = unset
for engine, says in (("DSS C-API", (600, 480)), ("EPRI's", (77, 77))):
    figures = found[engine]
    assert figures["none"] == figures["100, before the line"] == (77, 77, 181, 1, 1343), figures
    assert figures["100"] == (says[0], 600, 23, 0, 0) and figures["80"] == (says[1], 480, 29, 0, 0), figures
    assert figures["unset"] == 0.0, figures
PY
echo "as recorded"
