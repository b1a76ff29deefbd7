#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). An inverter's volt-var curve of IEEE 1547's four points (0.92 to 1.08 pu, 44 %
# either way) does not end at its ends: OpenDSS goes on in the straight line of the last two points, so that 1,000 kVA that
# shall take at most 440 kvar take 712 at 1.12 pu and 934 at 1.15, and give as much at 0.85. A volt-watt curve from 100 % at
# 1.06 pu to 20 % at 1.1 goes on through zero: at 1.12 pu the PV system draws power from the grid. Below its first
# point it does not go on, as watts are capped there by what the sun gives. A point on either side at the same height (0.5 and
# 1.5 pu) makes both curves what they were meant to be. Nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def given(mode, curve, source_pu):
    for line in (
        "Clear",
        f"New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000 pu={source_pu}",
        f"New XYCurve.curve {curve}",
        "New PVSystem.p bus1=s kv=12.47 kva=1000 pmpp=500 irradiance=1 vminpu=0.5 vmaxpu=1.5",
        f"New InvControl.i derlist=(PVSystem.p) mode={mode} refreactivepower=varmax deltaq_factor=0.3",
        "Set voltagebases=[12.47] maxcontroliter=200",
        "CalcVoltageBases",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveElement("PVSystem.p")
    powers = dss.CktElement.Powers()
    return round(-sum(powers[0:6:2])), round(-sum(powers[1:6:2]))


VAR = "voltvar vvc_curve1=curve"
WATT = "voltwatt voltwatt_curve=curve"
four = "npts=4 xarray=(0.92 0.98 1.02 1.08) yarray=(0.44 0 0 -0.44)"
six = "npts=6 xarray=(0.5 0.92 0.98 1.02 1.08 1.5) yarray=(0.44 0.44 0 0 -0.44 -0.44)"
two = "npts=2 xarray=(1.06 1.1) yarray=(1 0.2)"
flat = "npts=4 xarray=(0.5 1.06 1.1 1.5) yarray=(1 1 0.2 0.2)"
found = {}
for pu in (1.05, 1.08, 1.12, 1.15, 0.85):
    found["var", pu] = given(VAR, four, pu)[1], given(VAR, six, pu)[1]
    print(f"volt-var at {pu} pu, kvar: four points {found['var', pu][0]}, six {found['var', pu][1]}")
for pu in (1.0, 1.08, 1.1, 1.12):
    found["watt", pu] = given(WATT, two, pu)[0], given(WATT, flat, pu)[0]
    print(f"volt-watt at {pu} pu, kW: two points {found['watt', pu][0]}, four {found['watt', pu][1]}")
near = {key: abs(a - b) <= 1 for key, (a, b) in found.items()}
within = [key for key in found if key[1] in (1.0, 1.05, 1.08) or key == ("watt", 1.1)]
assert all(near[key] for key in within), found
assert found["var", 1.15][0] < -920 and -430 < found["var", 1.15][1] < -415, found
assert found["var", 0.85][0] > 920 and 415 < found["var", 0.85][1] < 430, found
assert found["watt", 1.12][0] < -50 < 90 < found["watt", 1.12][1], found
PY
echo "as recorded"
