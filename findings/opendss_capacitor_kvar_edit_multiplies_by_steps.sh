#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A capacitor made with kvar=600 and numsteps=3 has three steps of 200
# kvar. Editing its kvar to one number, 1,200, makes it say [1200, 0, 0] and Capacitors.kvar() 1,200, but act otherwise: every
# step that is on injects 1,200 kvar, so that the bank of 1,200 gives 2,400 with two steps and 3,600 with three. Naming
# numsteps again does not divide it; an array, kvar=[400 400 400], does what it says. A sweep over bank sizes by editing kvar
# multiplies them by the number of steps.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def steps():
    dss.Text.Command("? Capacitor.k.kvar")
    return [round(float(word)) for word in dss.Text.Result().strip("[]").replace(",", " ").split()]


def injected_kvar():
    dss.Text.Command("Solve")
    dss.Circuit.SetActiveElement("Capacitor.k")
    return round(-sum(dss.CktElement.Powers()[1::2]))


for line in (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=1e6 mvasc1=1e6",
    "New Capacitor.k bus1=s kv=12.47 kvar=600 numsteps=3",
):
    dss.Text.Command(line)


def by_states():
    found = []
    for states in ("1 0 0", "0 1 1", "1 1 1"):
        dss.Text.Command(f"Edit Capacitor.k states=[{states}]")
        found.append(injected_kvar())
    return found


before = steps(), by_states()
dss.Text.Command("Edit Capacitor.k kvar=1200")
dss.Capacitors.Name("k")
after = steps(), dss.Capacitors.kvar(), by_states()
dss.Text.Command("Edit Capacitor.k numsteps=3")
again = steps()
dss.Text.Command("Edit Capacitor.k kvar=[400 400 400]")
array = steps(), by_states()
print("made:", before, "kvar edited:", after, "numsteps named again:", again, "as an array:", array)
assert before == ([200, 200, 200], [200, 400, 600]), before
assert after == ([1200, 0, 0], 1200.0, [1200, 2400, 3600]), after
assert again == [1200, 0, 0], again
assert array == ([400, 400, 400], [400, 800, 1200]), array
PY
echo "as recorded"
