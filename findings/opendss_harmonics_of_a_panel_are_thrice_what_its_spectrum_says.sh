#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. One spectrum, 20 % of the fifth
# harmonic, for units of 1,000 kW (46.3 A) on a strong bus. A load sends 9.26 A of the fifth, 20 %, as does an Isource. A PVSystem sends
# 27.8 A, 60 %: its spectrum is one of a voltage, as its help has it, behind its %R, 50 where nobody states it, and that voltage is 1.5 pu
# at full sun. In weak sun (13.9 A) it is 21.3 A, 153 % of what the panels give, and at night, when they give nothing, 18.5 A. A better
# inverter sends more: with %R=5 193 A, four times its own size. A Storage of the same size and spectrum sends 4.1 A, 9 %, charging or
# discharging, and 3.7 A at rest, as its impedance is %X=50; a Generator without a kVA 11.2. The spectra of inverters' data sheets and of
# their standards are shares of rated current. Nothing is reported, so panels of a site exceed limits of distortion that they keep. Exits
# 0 while this is so.
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
UNITS = {
    "load": "Load.x kw=1000 pf=1 kv=12.47",
    "isource": "Isource.x amps=46.3 angle=0",
    "sun": "PVSystem.x kva=1000 pmpp=1000 kv=12.47",
    "weak sun": "PVSystem.x kva=1000 pmpp=1000 irradiance=0.3 kv=12.47",
    "night": "PVSystem.x kva=1000 pmpp=1000 irradiance=0 kv=12.47",
    "r=5": "PVSystem.x kva=1000 pmpp=1000 %R=5 kv=12.47",
    "discharging": "Storage.x kwrated=1000 kwhrated=1000 state=discharging kv=12.47",
    "charging": "Storage.x kwrated=1000 kwhrated=1000 kwhstored=100 state=charging kv=12.47",
    "idle": "Storage.x kwrated=1000 kwhrated=1000 kv=12.47",
    "generator": "Generator.x kw=1000 pf=1 kv=12.47",
}


def amperes(text, element, unit):
    """Amperes of the line to a unit: at 60 Hz, and of the fifth harmonic."""
    kind, rest = unit.split(" ", 1)
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=2000 mvasc1=2000",
        "New Spectrum.fifth numharm=2 harmonic=[1 5] %mag=[100 20] angle=[0 0]",
        "New Line.l bus1=s bus2=b r1=0.01 x1=0.01 c1=0 length=1",
        f"New {kind} bus1=b spectrum=fifth {rest}",
        "Solve",
    ):
        text(line)
    plain = element()
    text("Solve mode=harmonics")
    return round(plain, 1), round(element(), 1)


def of_capi():
    dss.Circuit.SetActiveElement("Line.l")
    return dss.CktElement.CurrentsMagAng()[0]


def of_epri():
    epri.circuit.set_active_element("Line.l")
    return epri.cktelement.currents_mag_ang[0]


found = {
    engine: {name: amperes(text, element, unit) for name, unit in UNITS.items()}
    for engine, text, element in (("DSS C-API", dss.Text.Command, of_capi), ("EPRI", epri.text, of_epri))
}
for engine, figures in found.items():
    print(engine, figures)
    assert figures == {
        "load": (46.3, 9.3),
        "isource": (46.3, 9.3),
        "sun": (46.3, 27.8),
        "weak sun": (13.9, 21.3),
        "night": (0.0, 18.5),
        "r=5": (46.3, 193.5),
        "discharging": (46.3, 4.1),
        "charging": (46.3, 4.1),
        "idle": (0.5, 3.7),
        "generator": (46.3, 11.2),
    }, figures
PY
echo "as recorded"
