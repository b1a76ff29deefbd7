#!/usr/bin/env bash
# NREL's DiTTo (nrel-ditto 0.1.8 with grid-data-models 2.4.1 and OpenDSSDirect.py 0.9.4), an OpenDSS feeder read and written as OpenDSS
# again. Solved as it stands it is the same to 2 kW and 3 kvar. But what acts is gone: a regulator is a transformer at the tap that it had,
# a bank with its control one that is on or off, an inverter on a volt-var curve one of fixed vars, each as at the end of the solution
# that reading makes. At a tenth of the load the regulated bus has 1.041 pu where the feeder itself has 1.022, and the bank stays on, 501
# kvar into the grid where 101 are drawn. Generators, Storage, induction machines and LoadMult are left out altogether: 1,000 kW of each of
# the first two are missing, a feeder at LoadMult=0.5 comes at 1. A capacitor in series with a line comes as one to ground: 1.15 pu
# for 0.97. No message names one of these, and what is written solves without an error. Exits 0 while this is so. (Two minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nrel-ditto==0.1.8 grid-data-models==2.4.1 infrasys==1.2.1 pydantic==2.14.4 \
    opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 pandas==3.0.6
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
from pathlib import Path

import opendssdirect as dss
from ditto.readers.opendss.reader import Reader
from ditto.writers.opendss.write import Writer
from loguru import logger

said = io.StringIO()
logger.remove()
logger.add(said, level="INFO")
HEAD = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
    "New Line.l bus1=s bus2=b length=2 units=km r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0",
    "New Load.x bus1=b kv=12.47 kw=3000 kvar=1000",
)
BANK = "New Capacitor.k bus1=b kv=12.47 kvar=600"
CURVE = "New XYCurve.v npts=4 xarray=(0.5 0.95 1.05 1.5) yarray=(1 1 -1 -1)"
PANELS = "New PVSystem.p bus1=b kv=12.47 kva=1200 pmpp=1000 irradiance=0.5"
UNIT = "New Transformer.t buses=(b r) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1"
cases = {
    "a regulator": (UNIT, "New RegControl.r transformer=t winding=2 vreg=122 band=2 ptratio=60", "New Load.y bus1=r kv=12.47 kw=1000"),
    "a bank": (BANK, "New CapControl.c capacitor=k element=Line.l type=kvar onsetting=500 offsetting=-200"),
    "volt-var": (CURVE, PANELS, "New InvControl.i mode=voltvar vvc_curve1=v refreactivepower=varmax"),
    "Generator": ("New Generator.g bus1=b kv=12.47 kw=1000 kvar=0",),
    "Storage": ("New Storage.s bus1=b kv=12.47 kwrated=1000 kwhrated=4000 state=discharging",),
    "a machine": ("New IndMach012.m bus1=b kv=12.47 kw=500 kva=600",),
    "LoadMult": ("Set loadmult=0.5",),
    "in series": ("New Capacitor.k bus1=b bus2=q kv=12.47 kvar=20000", "New Load.y bus1=q kv=12.47 kw=1000"),
}


def state(bus="b"):
    """kW and kvar of the source and pu at a bus, of the circuit as OpenDSS has it."""
    dss.Text.Command("Solve")
    assert dss.Solution.Converged()
    kw, kvar = (-x for x in dss.Circuit.TotalPower())
    dss.Circuit.SetActiveBus(bus)
    return round(kw), round(kvar), round(dss.Bus.puVmagAngle()[0], 3)


def light(bus="b"):
    """The same at a tenth of the loads' kW."""
    for name in dss.Loads.AllNames():
        dss.Loads.Name(name)
        dss.Loads.kW(dss.Loads.kW() / 10)
    return state(bus)


def both(number, lines, bus):
    path, out = Path(f"case{number}.dss"), Path(f"out{number}")
    out.mkdir()
    path.write_text("\n".join([*HEAD, *lines, "Set voltagebases=[12.47]", "CalcVoltageBases", "Solve"]) + "\n")
    dss.Text.Command(f"Redirect {path}")
    own = state(bus), light(bus)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        Writer(Reader(path.resolve()).get_system()).write(out.resolve(), separate_substations=False, separate_feeders=False)
    dss.Text.Command("Clear")
    (master,) = (file for file in out.rglob("*.dss") if file.name.lower() == "master.dss")
    here = Path.cwd()
    dss.Text.Command(f'Redirect "{master.resolve()}"')
    dss.Text.Command(f'Set DataPath="{here}"')
    return own, (state(bus), light(bus))


found = {name: both(n, lines, "r" if name == "a regulator" else "b") for n, (name, lines) in enumerate(cases.items())}
print("kW, kvar, pu as the file stands, and at a tenth of the load: the feeder itself, and as DiTTo writes it")
for name, (own, written) in found.items():
    print(f"  {name:12s}", *own, "|", *written)
due = {
    "a regulator": [(4076, 1693, 1.012), (401, 155, 1.022), (4076, 1693, 1.012), (401, 155, 1.041)],
    "a bank": [(3037, 491, 0.985), (300, 101, 0.998), (3037, 491, 0.985), (301, -501, 1.003)],
    "volt-var": [(2526, 694, 0.985), (-200, 100, 1.0), (2526, 694, 0.985), (-199, -260, 1.003)],
    "Generator": [(2020, 1040, 0.984), (-698, 103, 1.002), (3040, 1080, 0.98), (300, 101, 0.998)],
    "Storage": [(2020, 1040, 0.984), (-698, 103, 1.002), (3040, 1080, 0.98), (300, 101, 0.998)],
    "a machine": [(3556, 1357, 0.976), (805, 353, 0.994), (3040, 1080, 0.98), (300, 101, 0.998)],
    "LoadMult": [(1510, 520, 0.99), (150, 50, 0.999), (3040, 1080, 0.98), (300, 101, 0.998)],
    "in series": [(4074, 1623, 0.972), (401, 155, 0.997), (5515, -21525, 1.152), (2489, -23275, 1.175)],
}
for name, (own, written) in found.items():
    for (kw, kvar, pu), (due_kw, due_kvar, due_pu) in zip((*own, *written), due[name]):
        assert abs(kw - due_kw) <= 2 and abs(kvar - due_kvar) <= 3 and abs(pu - due_pu) <= 0.0015, (name, own, written)
LOST = "Reg", "CapControl", "Controller", "Generator", "Storage", "Battery", "Mach", "LoadMult"
mentioned = [word for word in LOST if word in said.getvalue()]
assert mentioned == [], mentioned
PY
echo "as recorded"
