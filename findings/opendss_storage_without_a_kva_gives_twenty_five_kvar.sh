#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A battery's inverter follows its kWrated where no kVA is stated: one of 1,000 kW
# says that it has 1,000 kVA. Its limit of vars does not follow: kvarMax stays at 25, that of the 25 kVA nobody asked for. So
# at 500 kW and pf=0.9 it gives 25 kvar, not 242, a power factor of 0.999, and still says pf 0.9; kvar=300 is 25 as well, and
# a volt-var control gets 2.5 % of what the curve asks for. With the same kva=1000 stated, which it says it has already, it gives all.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def given(element, *lines):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        *lines,
        "Set maxcontroliter=100 voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveElement(element)
    powers = dss.CktElement.Powers()
    said = []
    for word in ("kva", "kvarmax", "pf"):
        dss.Text.Command(f"? {element}.{word}")
        said.append(float(dss.Text.Result()))
    return (round(-sum(powers[0:6:2])), round(-sum(powers[1:6:2]))), tuple(said)


battery = "New Storage.b bus1=s kv=12.47 kwrated=1000 kwhrated=4000 state=discharging %discharge=50"
found = {words: given("Storage.b", f"{battery} {words}") for words in ("pf=0.9", "pf=0.9 kva=1000", "pf=0.9 kvarmax=1000", "kvar=300")}
curve = "New XYCurve.v npts=6 xarray=(0.5 0.92 0.98 1.02 1.08 1.5) yarray=(0.44 0.44 0 0 -0.44 -0.44)"
control = "New InvControl.i derlist=(Storage.b) mode=voltvar vvc_curve1=v refreactivepower=varmax deltaq_factor=0.3"
steered = {words: given("Storage.b", battery.replace("12.47", "11.8") + words, curve, control) for words in ("", " kva=1000")}
for words, (power, said) in {**found, **{f"volt-var{words}": s for words, s in steered.items()}}.items():
    print(f"{words:20s} gives {power[0]} kW, {power[1]} kvar; says kVA, kvarMax, pf: {said}")
assert found["pf=0.9"] == ((500, 25), (1000.0, 25.0, 0.9)), found
assert found["kvar=300"][0] == (500, 25), found
assert found["pf=0.9 kva=1000"] == ((500, 242), (1000.0, 1000.0, 0.9)), found
assert found["pf=0.9 kvarmax=1000"][0] == (500, 242), found
assert steered[""][1][1] == 25.0 and abs(steered[""][0][1]) < 12 < 200 < abs(steered[" kva=1000"][0][1]), steered
PY
echo "as recorded"
