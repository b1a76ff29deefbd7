#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). AllocateLoads scales customers that are stated by their transformer's kVA until the meter at
# the head carries its measured 80 A. Of 500 and 1,000 kVA, one behind the other, they get 531 and 1,063 kW, 80 and 53 A on the two lines.
# A Sensor on the second line that measures 40 A there is to part them otherwise: 0 A are left on that line, the customer behind it has 0
# kW, and all 1,631 stand before it. It is so whatever the Sensor measures (53 or 80 A), with its kvbase and connection or without, and
# after a second time. The head has its amperes, the circuit converges and nothing is reported, so a feeder with a second measurement has
# its load in the wrong place: 0.982 pu at its end, where the meter alone has 0.970. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def allocated(sensor=None, times=1):
    """kW of the two customers, amperes of the two lines and the voltage at the end in pu, after an allocation."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=2000 mvasc1=2000",
        "New Line.a bus1=s bus2=b r1=1 x1=2 c1=0 length=1",
        "New Line.b bus1=b bus2=c r1=1 x1=2 c1=0 length=1",
        "New Load.b bus1=b kv=12.47 xfkva=500 pf=0.95",
        "New Load.c bus1=c kv=12.47 xfkva=1000 pf=0.95",
        "New EnergyMeter.m element=Line.a peakcurrent=[80 80 80]",
        *([f"New Sensor.s element=Line.b {sensor}"] if sensor else []),
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
        *(["AllocateLoads"] * times),
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    kw, amperes = [], []
    for name in "bc":
        dss.Loads.Name(name)
        kw.append(round(dss.Loads.kW()))
    for name in "ab":
        dss.Circuit.SetActiveElement(f"Line.{name}")
        amperes.append(round(dss.CktElement.CurrentsMagAng()[0], 1))
    dss.Circuit.SetActiveBus("c")
    return kw, amperes, round(dss.Bus.puVmagAngle()[0], 3)


plain = allocated()
measured = {words: allocated(words) for words in ("currents=[40 40 40]", "currents=[80 80 80]", "kvbase=12.47 conn=wye currents=[53 53 53]")}
again = allocated("currents=[40 40 40]", times=2)
print("the meter alone:", plain, "with a sensor:", measured, "a second time:", again)
assert plain == ([531, 1063], [79.8, 53.4], 0.97), plain
assert all(found == ([1631, 0], [81.0, 0.0], 0.982) for found in measured.values()), measured
assert again == ([1612, 0], [80.0, 0.0], 0.982), again
PY
echo "as recorded"
