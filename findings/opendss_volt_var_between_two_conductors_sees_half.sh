#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A rooftop inverter across both legs of a 120/240 V service (phases=1, kv=0.24,
# bus h.1.2) whose volt-var curve asks for nothing around 1 pu gives all the vars it can at 1.02 pu: the control divides the voltage
# of the first leg to ground, 123 V, by the 240 V between the legs, and takes the site for 0.51 pu. At 0.8 sun 5.9 of 6 kVA go
# into vars and 1.3 of 4 kW are left. conn=delta changes nothing; nor does the same inverter between two phases of 480 V or 12.47 kV
# (0.58 pu). Told as two phases of 208 V (kv=0.208), or put on one leg (kv=0.12), it gives its 4 kW and hardly a var. The power flow
# converges and nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def given(inverter):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1.02 mvasc3=1000 mvasc1=1000",
        "New Transformer.t phases=1 windings=3 xhl=2 xht=2 xlt=1.33 buses=[s.1.0 h.1.0 h.0.2] kvs=[7.2 .12 .12] kvas=[25 25 25]",
        "New Transformer.w phases=3 windings=2 xhl=4 buses=[s k] conns=[wye wye] kvs=[12.47 .48] kvas=[300 300]",
        f"New PVSystem.p {inverter} pmpp=5 kva=6 irradiance=0.8 pf=1",
        "New XYCurve.curve npts=6 xarray=[0.5 0.92 0.98 1.02 1.08 1.5] yarray=[1 1 0 0 -1 -1]",
        "New InvControl.i mode=voltvar vvc_curve1=curve refreactivepower=varmax",
        "Set voltagebases=[12.47 0.48 0.208]",
        "CalcVoltageBases",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveElement("PVSystem.p")
    powers, volts = dss.CktElement.Powers(), dss.CktElement.VoltagesMagAng()
    kw, kvar = -sum(powers[0::2]), -sum(powers[1::2])
    print(f"{inverter}: {kw:.2f} kW, {kvar:.2f} kvar, {volts[0]:.1f} V to ground")
    return kw, kvar


for between in (
    "phases=1 bus1=h.1.2 kv=0.24",
    "phases=1 bus1=h.1.2 kv=0.24 conn=delta",
    "phases=1 bus1=k.1.2 kv=0.48 conn=delta",
    "phases=1 bus1=s.1.2 kv=12.47 conn=delta",
):
    kw, kvar = given(between)
    assert kvar > 5.8 and kw < 1.4, (between, kw, kvar)
for apart in ("phases=2 bus1=h.1.2 kv=0.208", "phases=1 bus1=h.1 kv=0.12"):
    kw, kvar = given(apart)
    assert abs(kw - 4.0) < 0.01 and abs(kvar) < 0.2, (apart, kw, kvar)
PY
echo "as recorded"
