#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). `Save Circuit` writes a bank of three steps of 200 kvar as kvar=[200 200 200] and
# NumSteps=3, in this order, and read back that is 200 kvar in all: the number of steps divides what stands before it, and of
# a list it divides the first. The words in the other order, or kvar=600 before them, are 600. LoadMult (0.6 here) is not
# written, so that every load comes back larger; a line that was opened comes back closed, with its customers; and a tap that
# a regulator moved before it was switched off comes back at 1, while one that an edit set is kept. Nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import opendssdirect as dss


def text(*lines):
    for line in lines:
        dss.Text.Command(line)


def reading():
    dss.Circuit.SetActiveElement("Capacitor.bank")
    kvar = round(-sum(dss.CktElement.Powers()[1:6:2]) / 10) * 10
    dss.Circuit.SetActiveElement("Load.house")
    house_kw = round(sum(dss.CktElement.Powers()[0:6:2]))
    dss.Circuit.SetActiveElement("Load.beyond")
    beyond_kw = round(sum(dss.CktElement.Powers()[0:6:2]))
    taps = []
    for name in ("reg", "set"):
        dss.Transformers.Name(name)
        dss.Transformers.Wdg(2)
        taps.append(round(dss.Transformers.Tap(), 4))
    return {"bank kvar": kvar, "house kW": house_kw, "beyond kW": beyond_kw, "taps": taps}


text(
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000 pu=0.98",
    "New Transformer.reg buses=(s b) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1",
    "New Transformer.set buses=(s f) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1",
    "New RegControl.r transformer=reg winding=2 vreg=122 band=2 ptratio=60",
    "New Capacitor.bank bus1=b kv=12.47 kvar=600 numsteps=3",
    "New Line.tie bus1=b bus2=e switch=yes",
    "New Load.house bus1=b kv=12.47 kw=1000",
    "New Load.beyond bus1=e kv=12.47 kw=500",
    "Set loadmult=0.6 controlmode=static",
    "Open Line.tie 1",
    "Solve",
    "Disable RegControl.r",
    "Edit Transformer.set wdg=2 tap=1.025",
)
saved = reading()
text("Save Circuit dir=saved")
line = next(part for part in Path("saved/Capacitor.dss").read_text().splitlines() if "bank" in part)
text("Clear", "Redirect saved/Master.dss", "Solve mode=snapshot")
back = reading()
print("in memory:", saved)
print("read back:", back)
print("the bank's line:", line)
written = {}
for words in ("kvar=600 numsteps=3", "numsteps=3 kvar=(200 200 200)", "kvar=(200 200 200) numsteps=3"):
    text("Clear", "New Circuit.c basekv=12.47 bus1=s", f"New Capacitor.bank bus1=s kv=12.47 {words}", "Solve")
    dss.Circuit.SetActiveElement("Capacitor.bank")
    written[words] = round(-sum(dss.CktElement.Powers()[1:6:2]) / 10) * 10
print("by hand:", written)
assert list(written.values()) == [600, 600, 200], written
assert 580 < saved["bank kvar"] < 640 and 180 < back["bank kvar"] < 215, (saved, back)
assert (saved["house kW"], back["house kW"]) == (600, 1000), (saved, back)
assert (saved["beyond kW"], back["beyond kW"]) == (0, 500), (saved, back)
assert saved["taps"] == [1.0312, 1.025] and back["taps"] == [1.0, 1.025], (saved, back)
PY
echo "as recorded"
