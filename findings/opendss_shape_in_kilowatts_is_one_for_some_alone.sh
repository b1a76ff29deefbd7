#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A LoadShape with UseActual=yes holds kW, not shares: at 300 a load of 1,000 kW
# takes 300 kW, and a generator gives 300. A PVSystem and a Storage do not look at the word: 300 is a multiplier to them, cut
# off at 1,000 kW, which is what they give all day, whatever the shape says. And what becomes of the vars, where the shape has no
# QMult, hangs on how they were stated: a load by pf=0.9 keeps its power factor (145 kvar), one by kvar=484 has
# none, a generator none either way. As shares of the same size (0.3) all six give 300 kW and 145 kvar.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def given(element, shape):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        f"New LoadShape.day npts=1 interval=1 {shape}",
        f"New {element} bus1=s kv=12.47 daily=day",
        "Set mode=daily number=1 stepsize=1h hour=0",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveElement(element.split()[0])
    powers = dss.CktElement.Powers()
    return abs(round(sum(powers[0:6:2]))), abs(round(sum(powers[1:6:2])))


elements = {
    "load by pf": "Load.x kw=1000 pf=0.9",
    "load by kvar": "Load.x kw=1000 kvar=484.3",
    "generator by pf": "Generator.x kw=1000 pf=0.9",
    "generator by kvar": "Generator.x kw=1000 kvar=484.3",
    "pv system": "PVSystem.x kva=1200 pmpp=1000 pf=0.9 irradiance=1 %cutin=0 %cutout=0",
    "storage": "Storage.x kva=1200 kwrated=1000 kwhrated=4000 pf=0.9 dispmode=follow",
}
shapes = ("mult=(0.3)", "mult=(300) useactual=yes", "mult=(300) qmult=(145.3) useactual=yes")
found = {name: tuple(given(element, shape) for shape in shapes) for name, element in elements.items()}
print("kW and kvar of 1,000 kW at a shape of 0.3, of 300 kW, of 300 kW and 145 kvar")
for name, powers in found.items():
    print(f"  {name:18s}", *powers)
assert all(powers[0] == (300, 145) for powers in found.values()), found
assert found["load by pf"][1:] == ((300, 145), (300, 145)), found
assert found["load by kvar"][1:] == ((300, 0), (300, 145)), found
assert found["generator by pf"] == found["generator by kvar"] == found["load by kvar"], found
assert found["pv system"][1:] == found["storage"][1:] == ((1000, 484), (1000, 484)), found
PY
echo "as recorded"
