#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. GenMult, the multiplier of generation
# beside LoadMult, reaches elements of the class Generator and no others: of 100 kW each, with GenMult=5 a Generator gives 500, a
# PVSystem 100, a Storage that discharges 100 and a load of -100 kW 100, which with LoadMult=5 gives 500. So a search for the generation
# that a feeder hosts, by its multiplier, finds no end where it is panels: 1.019 pu at GenMult 1, 5 and 50, where five times the panels
# are 1.089. In steps of a day it is the same. Nothing is reported, and get GenMult has the 5. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()


def capi(command):
    opendssdirect.Text.Command(command)
    return opendssdirect.Text.Result()


UNITS = {
    "Generator": "New Generator.u bus1=b kv=0.48 kw={kw} pf=1 vminpu=0.5 vmaxpu=1.5",
    "PVSystem": "New PVSystem.u bus1=b kv=0.48 kva={kw} pmpp={kw} irradiance=1 pf=1 %cutin=0.1 %cutout=0.1 vminpu=0.5 vmaxpu=1.5",
    "Storage": "New Storage.u bus1=b kv=0.48 kwrated={kw} kva={kw} kwhrated=1e5 %stored=90 state=discharging vminpu=0.5 vmaxpu=1.5",
    "Load": "New Load.u bus1=b kv=0.48 kw=-{kw} pf=1 vminpu=0.5 vmaxpu=1.5",
}


def run(kind, *options, kw=100):
    """kW that the unit gives, pu at its bus, and GenMult as read back; the same by either engine."""
    engines = []
    for text in (capi, epri.text):
        for command in (
            "Clear",
            "New Circuit.c basekv=0.48 bus1=s pu=1 mvasc3=1000 mvasc1=1000",
            "New Line.l bus1=s bus2=b length=1 units=km r1=0.045 x1=0.02 r0=0.045 x0=0.02 c1=0 c0=0",
            UNITS[kind].format(kw=kw),
            "Set voltagebases=[0.48]",
            "CalcVoltageBases",
            *options,
            "Solve",
        ):
            text(command)
        if text is capi:
            opendssdirect.Circuit.SetActiveElement(f"{kind}.u")
            given = -sum(opendssdirect.CktElement.Powers()[0:6:2])
            opendssdirect.Circuit.SetActiveBus("b")
            volts = opendssdirect.Bus.puVmagAngle()[0]
        else:
            epri.circuit.set_active_element(f"{kind}.u")
            given = -sum(epri.cktelement.powers[0:6:2])
            epri.circuit.set_active_bus("b")
            volts = epri.bus.vmag_angle_pu[0]
        engines.append((round(given), round(volts, 4), float(text("get GenMult"))))
    assert engines[0] == engines[1], engines
    return engines[0]


daily = "Set mode=daily number=1 stepsize=1h"
found = {}
for kind in UNITS:
    found[kind] = [run(kind), run(kind, "Set GenMult=5"), run(kind, "Set GenMult=50") if kind == "PVSystem" else None, run(kind, daily, "Set GenMult=5")]
    print("RESULT", kind, *found[kind])
negative, five = run("Load", "Set LoadMult=5"), run("PVSystem", kw=500)
print("RESULT a load of -100 kW, LoadMult=5", negative, "panels of 500 kW", five)
assert [row[0] for row in found["Generator"] if row] == [100, 500, 500], found
for kind in ("PVSystem", "Storage", "Load"):
    assert {row[:2] for row in found[kind] if row} == {found[kind][0][:2]} and found[kind][0][0] == 100, found[kind]
assert found["PVSystem"][2][1] == 1.0192 and five[1] == 1.089, (found, five)
assert [row[2] for row in found["PVSystem"]] == [1, 5, 50, 5] and negative[0] == 500 == five[0], (found, negative, five)
PY
grep -o 'RESULT.*' log
echo "as recorded"
