#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. One InvControl over a PVSystem and
# over a Storage that discharges, both 800 kW and 1,000 kVA, at the end of a weak line. By volt-var each takes 161 kvar. By power factor
# over watts (WATTPF) the panels take 387 and the battery none, by vars over watts (WATTVAR) 264 and none, also where the battery is named
# in the list and whether it charges or discharges; the bus stays at 1.060 pu for 1.052 and 1.054. By volt-watt over the power that is
# there (voltwattYaxis=PAVAILABLEPU) the panels go from 800 to 553 kW and the battery to 19, as what it gives already counts as all that
# it could, round after round; over its rating (the default) it gives 674. Each converges, and nothing is reported. Exits 0 while this is
# so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()
PANELS = "PVSystem.u bus1=b kv=12.47 kva=1000 pmpp=800"
GIVES = "Storage.u bus1=b kv=12.47 kva=1000 kwrated=1000 kwhrated=5000 %stored=90 state=discharging %discharge=80"
TAKES = "Storage.u bus1=b kv=12.47 kva=1000 kwrated=1000 kwhrated=5000 %stored=30 state=charging %charge=80"
MODES = {
    "volt-var": "mode=voltvar vvc_curve1=vv",
    "watt-pf": "mode=wattpf wattpf_curve=wp",
    "watt-var": "mode=wattvar wattvar_curve=wv",
    "volt-watt": "mode=voltwatt voltwatt_curve=vw",
    "volt-watt, available": "mode=voltwatt voltwatt_curve=vw voltwattYaxis=PAVAILABLEPU",
}


def capi_element(name):
    dss.Circuit.SetActiveElement(name)
    return dss.CktElement.Powers(), dss.Solution.Converged()


def epri_element(name):
    epri.circuit.set_active_element(name)
    return epri.cktelement.powers, bool(epri.solution.converged)


def power(text, element, unit, mode):
    """kW that a unit gives and kvar that it takes under a control."""
    name = unit.split()[0]
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=200 mvasc1=200 pu=1.05",
        "New XYCurve.vv npts=6 xarray=[0.5 0.92 0.98 1.02 1.08 1.5] yarray=[0.44 0.44 0 0 -0.44 -0.44]",
        "New XYCurve.vw npts=4 xarray=[0.5 1.03 1.1 1.5] yarray=[1 1 0.2 0.2]",
        "New XYCurve.wp npts=4 xarray=[0 0.2 0.5 1] yarray=[1 1 1 -0.9]",
        "New XYCurve.wv npts=4 xarray=[0 0.2 0.5 1] yarray=[0 0 0 -0.44]",
        "New Line.l bus1=s bus2=b r1=2 x1=3 c1=0 length=1",
        f"New {unit}",
        f"New InvControl.i {mode} derlist=[{name}]",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Set maxcontroliter=300",
        "Solve",
    ):
        text(line)
    powers, converged = element(name)
    assert converged
    return round(-sum(powers[0:6:2])), round(sum(powers[1:6:2]))


for engine, text, element in (("DSS C-API", dss.Text.Command, capi_element), ("EPRI", epri.text, epri_element)):
    found = {name: tuple(power(text, element, unit, mode) for unit in (PANELS, GIVES, TAKES)) for name, mode in MODES.items()}
    print(engine, found)
    assert found["volt-var"] == ((800, 161), (800, 161), (-800, 75)), found
    assert found["watt-pf"] == ((800, 387), (800, 0), (-800, 0)), found
    assert found["watt-var"] == ((800, 264), (800, 0), (-800, 0)), found
    assert found["volt-watt"] == ((553, 0), (674, 0), (-800, 0)), found
    assert found["volt-watt, available"] == ((553, 0), (19, 0), (-800, 0)), found
PY
echo "as recorded"
