#!/usr/bin/env bash
# py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1) beside OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5): the underground cable of IEEE's test
# feeders (configuration 606: 13 strands of neutral over 250 kcmil, 15 kV) as CNData, whose published susceptance is 96.89 uS a mile, 257
# nF. EPRI's engine has 289 nF and DSS C-API 384, a third more, so that ten miles at 12.47 kV take 151 kvar as published, 170 in the one
# and 225 in the other, alike in impedance. EPRI's knows a semiconducting layer (SemiconLayer), answers that it is there unless stated,
# and with yes and no has the same 289, the value of a cable without it. DSS C-API does not know the word and has the capacitance of a
# cable with it. A cable with a tape shield (TSData) is the same in both. Nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import math

import numpy as np
import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()
NEUTRALS = (
    "New CNData.c k=13 diastrand=0.0641 gmrstrand=0.00208 rstrand=14.8722 diam=0.567 diacable=1.29 inslayer=0.22 diains=1.06 "
    "gmrac=0.205 rac=0.41 normamps=260 runits=mi radunits=in gmrunits=in"
)
TAPE = (
    "New TSData.c tapelayer=0.005 tapelap=20 diam=0.368 diashield=0.88 inslayer=0.22 diains=0.82 diacable=1.06 "
    "gmrac=0.1332 rac=0.97 normamps=165 runits=mi radunits=in gmrunits=in"
)
MILES, KV, PUBLISHED_S_PER_MILE = 10, 12.47, 96.8897e-6


def capi(line):
    dss.Text.Command(line)
    return dss.Text.Result()


def of_capi():
    dss.Lines.Name("l")
    return dss.Lines.CMatrix()[0], dss.Lines.XMatrix()[0], dss.Circuit.TotalPower()[1]


def of_epri():
    epri.lines.name = "l"
    return *(np.ravel(matrix)[0] for matrix in (epri.lines.cmatrix, epri.lines.xmatrix)), epri.circuit.total_power[1]


def charged(text, read, cable):
    """nF and ohm a mile of a cable of three such cores, and the kvar that ten miles of it feed into the grid."""
    kind = cable.split(".")[0].split()[1].replace("Data", "cable")
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        cable,
        "New LineGeometry.g nconds=3 nphases=3 units=ft "
        + " ".join(f"cond={k + 1} {kind}=c x={x} h=-4" for k, x in enumerate((-0.5, 0, 0.5))),
        f"New Line.l bus1=s bus2=b geometry=g length={MILES} units=mi",
        "Solve",
    ):
        text(line)
    nanofarad, ohm, kvar = read()
    return round(float(nanofarad)), round(float(ohm), 4), round(float(kvar))


published = round(PUBLISHED_S_PER_MILE / (2 * math.pi * 60) * 1e9), round(MILES * PUBLISHED_S_PER_MILE * KV**2 * 1000)
found = {"DSS C-API": charged(capi, of_capi, NEUTRALS), "EPRI": charged(epri.text, of_epri, NEUTRALS)}
layer = {}
for word in ("yes", "no"):
    layer[word] = charged(epri.text, of_epri, f"{NEUTRALS} semiconlayer={word}")
    assert epri.text("? CNData.c.semiconlayer").lower() == word
charged(epri.text, of_epri, NEUTRALS)
unless_stated = epri.text("? CNData.c.semiconlayer")
tape = charged(capi, of_capi, TAPE), charged(epri.text, of_epri, TAPE)
print("published:", published, found, "layer:", layer, "unless stated:", unless_stated, "tape:", tape)
assert published == (257, 151), published
assert found["DSS C-API"] == (384, 0.4501, 225), found
assert found["EPRI"] == layer["yes"] == layer["no"] == (289, 0.4501, 170), (found, layer)
assert unless_stated == "Yes", unless_stated
assert tape[0] == tape[1], tape
try:
    known = capi(f"{NEUTRALS} semiconlayer=yes") is not None
except dss.DSSException as error:
    known = "Unknown parameter" not in str(error)
assert not known
PY
echo "as recorded"
