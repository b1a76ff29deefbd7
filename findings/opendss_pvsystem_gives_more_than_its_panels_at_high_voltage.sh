#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Above its window (Vmaxpu, 1.1 where nobody states it) a PVSystem is a constant
# negative impedance, as a load there is a positive one, and nothing caps what that gives: panels of 100 kW behind an inverter of
# 120 kVA feed in 109 kW at 1.15 pu and 140 at 1.3, more than the panels have and the inverter can. Storage that discharges and
# generators do the same. It converges and no limit says so. So where feed-in
# lifts the voltage, more voltage makes more feed-in: exactly the hours that a study of overvoltage looks at.
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
    "PVSystem.x": "kva=120 pmpp=100 irradiance=1",
    "Generator.x": "kw=100 pf=1 kva=120",
    "Storage.x": "kwrated=100 kva=120 state=discharging",
}


def fed_in_kw(element, source_pu, stated=""):
    for command in (
        "Clear",
        f"New Circuit.c basekv=12.47 bus1=s pu={source_pu}",
        "New Line.l bus1=s bus2=a length=1 r1=0.0001 x1=0.0001",
        f"New {element} bus1=a kv=12.47 {ELEMENTS[element]} {stated}",
        "Solve",
    ):
        dss.Text.Command(command)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveElement(element)
    return round(-sum(dss.CktElement.Powers()[::2]), 1)


found = {(element, pu): fed_in_kw(element, pu) for element in ELEMENTS for pu in (1.0, 1.09, 1.15, 1.3)}
wide = fed_in_kw("PVSystem.x", 1.3, "vmaxpu=1.5")
print(found, "a wider window:", wide)
for element in ELEMENTS:
    assert abs(found[(element, 1.0)] - 100.0) < 0.2 and abs(found[(element, 1.09)] - 100.0) < 0.2, found
    assert abs(found[(element, 1.15)] - 100.0 * (1.15 / 1.1) ** 2) < 0.3, found
    assert found[(element, 1.3)] > 139.0, found
assert abs(wide - 100.0) < 0.2, wide
PY
echo "as recorded"
