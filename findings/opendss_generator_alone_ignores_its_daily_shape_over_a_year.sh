#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). In yearly mode what has a daily shape and no yearly one follows the daily
# shape: loads, PV systems, storage and sources all do. A generator does not: it runs at its full kW all year, as if it had no
# shape, while in duty mode it falls back to the daily one like the others. So a circuit whose customers, panels and generators
# all name one daily shape has three of them at 20 % in the first hour of its year and the generators at 100 %.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

ELEMENTS = {
    "Load.x": "kv=12.47 kw=100 pf=1",
    "Generator.x": "kv=12.47 kw=100 pf=1",
    "PVSystem.x": "kv=12.47 kva=120 pmpp=100 irradiance=1 %cutin=0.1 %cutout=0.1",
    "Storage.x": "kv=12.47 kwrated=100 kwhrated=4000 %stored=90 dispmode=follow",
}


def drawn_kw(element, mode, shape):
    """Power of the element's first two hours."""
    for command in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1",
        "New LoadShape.day npts=4 interval=1 mult=(0.2 0.4 0.6 0.8)",
        "New Line.l bus1=s bus2=a length=1 r1=0.001 x1=0.001",
        f"New {element} bus1=a {ELEMENTS[element]} {shape}=day",
        f"Set mode={mode} stepsize=1h number=1",
    ):
        dss.Text.Command(command)
    found = []
    for _ in range(2):
        dss.Text.Command("Solve")
        dss.Circuit.SetActiveElement(element)
        found.append(abs(round(sum(dss.CktElement.Powers()[::2]))))
    return found


found = {
    (element, mode, shape): drawn_kw(element, mode, shape)
    for element in ELEMENTS
    for mode, shape in (("yearly", "daily"), ("yearly", "yearly"), ("duty", "daily"))
}
print(found)
for asked, kw in found.items():
    assert kw == ([100, 100] if asked == ("Generator.x", "yearly", "daily") else [20, 40]), (asked, kw)
PY
echo "as recorded"
