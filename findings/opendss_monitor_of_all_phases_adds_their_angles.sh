#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A Monitor of powers for all phases
# in one (mode=65: 1, and 64 for one value of all) writes a column of kVA and one of an angle. The kVA are the sum of the phases' amounts
# and the angle is the sum of their angles. A line that brings 301 kW and 378 kvar on one phase and takes back 100 kW and 75 kvar on each
# of the others, 102 kW and 228 kvar, 250 kVA in all, is 733 kVA at -235 degrees, which are -421 kW and 600 kvar: power towards the grid.
# With ppolar=no it is 102 and 228, though the phases' own columns agree in both. Volts and amperes (mode=64) are means of the amounts
# beside a mean of angles, 34 A for 11.8 of the positive sequence (mode=80), and with vipolar=no the mean of three phasors, 33 V of 7,190.
# Nothing is reported, and no header says what was added. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import cmath
import math
import pathlib

import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()


def capi(line):
    dss.Text.Command(line)
    return dss.Text.Result()


def recorded(text, mode, words=""):
    """The header and the values that a monitor of the line writes."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=200 mvasc1=200",
        f"Set DataPath={pathlib.Path.cwd()}",
        "New Line.l bus1=s bus2=b r1=0.2 x1=0.4 r0=0.5 x0=1 c1=0 c0=0 length=1",
        "New Load.a bus1=b.1 phases=1 kv=7.2 kw=500 pf=0.8",
        "New Load.b bus1=b.2 phases=1 kv=7.2 kw=100 pf=-0.8",
        "New Load.c bus1=b.3 phases=1 kv=7.2 kw=100 pf=-0.8",
        "New PVSystem.p bus1=b kv=12.47 kva=600 pmpp=600",
        f"New Monitor.m element=Line.l mode={mode} {words}",
        "Set mode=daily number=1",
        "Solve",
    ):
        text(line)
    header, values = pathlib.Path(text("Export monitors m").strip()).read_text().splitlines()[:2]
    names = [name.strip(' "') for name in header.split(",")[2:]]
    return dict(zip(names, (float(value) for value in values.split(",")[2:]), strict=True))


for engine, text in (("DSS C-API", capi), ("EPRI", epri.text)):
    by_phase = recorded(text, 1)
    powers = [cmath.rect(by_phase[f"S{k} (kVA)"], math.radians(by_phase[f"Ang{k}"])) for k in (1, 2, 3)]
    together = recorded(text, 65)
    read = cmath.rect(together["S1 (kVA)"], math.radians(together["Ang"]))
    plain = recorded(text, 65, "ppolar=no")
    mean, phasors, sequence = recorded(text, 64), recorded(text, 64, "vipolar=no"), recorded(text, 80)
    print(engine, by_phase, together, "as kW and kvar:", read, plain, mean, phasors, sequence)
    assert [complex(round(s.real), round(s.imag)) for s in powers] == [301 + 378j, -100 - 75j, -100 - 75j], powers
    assert abs(together["S1 (kVA)"] - sum(abs(s) for s in powers)) < 0.01, together
    assert abs(together["Ang"] - sum(by_phase[f"Ang{k}"] for k in (1, 2, 3))) < 0.01, together
    assert (round(read.real), round(read.imag)) == (-421, 600), read
    assert (round(plain["P1 (kW)"]), round(plain["Q1 (kvar)"])) == (102, 228), plain
    assert (round(mean["I1"], 1), round(sequence["I1"], 1)) == (34.1, 11.8), (mean, sequence)
    assert round(mean["V1"]) > 7100 and math.hypot(phasors["V1.re"], phasors["V1.im"]) < 40, (mean, phasors)
PY
echo "as recorded"
