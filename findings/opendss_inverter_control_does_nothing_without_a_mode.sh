#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). An InvControl that is given curves and no mode does nothing, and is solved
# without a word: its Mode reads back empty. Given a mode and a combined mode it depends on which comes last: "combimode=vv_vw
# mode=voltvar" is volt-var, and "mode=voltvar combimode=vv_vw" does not come to rest within 500 rounds, while the PV system, in
# the sun, ends at 0 kW and 0 kvar. A combined mode alone is well.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def solved(mode):
    """Mode and combined mode as read back, kW and kvar of the PV system, and whether the control came to rest."""
    for line in (
        "Clear",
        "New Circuit.c bus1=s basekv=12.47 pu=1.06 mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        "New PVSystem.p bus1=b kv=12.47 kva=1200 pmpp=1000 irradiance=0.9 pf=1",
        "New XYCurve.vv npts=6 xarray=[0.5 0.92 0.98 1.02 1.08 1.5] yarray=[1 1 0 0 -1 -1]",
        "New XYCurve.vw npts=4 xarray=[0.5 1.0 1.1 1.5] yarray=[1 1 0.2 0.2]",
        f"New InvControl.i vvc_curve1=vv voltwatt_curve=vw {mode}",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Set controlmode=static maxcontroliter=500",
    ):
        dss.Text.Command(line)
    at_rest = True
    try:
        dss.Text.Command("Solve")
    except dss.DSSException as error:
        assert error.args[0] == 485, error
        at_rest = False
    read = []
    for prop in ("mode", "combimode"):
        dss.Text.Command(f"? InvControl.i.{prop}")
        read.append(dss.Text.Result())
    dss.PVsystems.Name("p")
    return *read, round(dss.PVsystems.kW()), round(dss.PVsystems.kvar()), at_rest


found = {mode: solved(mode) for mode in ("", "mode=voltvar", "combimode=vv_vw")}
found |= {mode: solved(mode) for mode in ("combimode=vv_vw mode=voltvar", "mode=voltvar combimode=vv_vw")}
for mode, seen in found.items():
    print(f"{mode or '(no mode)'}: mode, combined mode, kW, kvar, at rest: {seen}")
assert found == {
    "": ("", "", 900, 0, True),
    "mode=voltvar": ("Voltvar", "", 900, -515, True),
    "combimode=vv_vw": ("", "VV_VW", 524, -684, True),
    "combimode=vv_vw mode=voltvar": ("Voltvar", "", 900, -515, True),
    "mode=voltvar combimode=vv_vw": ("Voltvar", "VV_VW", 0, 0, False),
}, found
PY
echo "as recorded"
