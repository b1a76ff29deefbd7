#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A transformer has a range of taps,
# MinTap and MaxTap (0.9 and 1.1 unless stated), and a number of them (NumTaps, 32). Neither holds a tap that is stated: tap=1.2 stands at
# 1.2 and lifts its side to 1.20 pu, taps=[1 1.25] and an edit to 1.3 likewise, 1.1 where the stated MaxTap is 1.05, and with NumTaps=4,
# whose steps are of 0.05, tap=1.03 stands at 1.03, between two of them. Set as a number of steps it is held (RegControl.tapnum=20 is 16,
# 1.1), and a regulator that starts at 1.2 comes back into its range, or stops at 1.1 if it wants more. Nothing is reported, so a search
# over fixed taps finds voltages that no tap of the unit gives. Exits 0 while this is so.
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
REGULATOR = "New RegControl.r transformer=t winding=2 band=2 ptratio=60 vreg="
CASES = {
    "tap=1.2": ("wdg=2 tap=1.2",),
    "taps": ("taps=[1 1.25]",),
    "edit": ("", "Edit Transformer.t wdg=2 tap=1.3"),
    "maxtap=1.05": ("wdg=2 maxtap=1.05 mintap=0.95 tap=1.1",),
    "between steps": ("wdg=2 numtaps=4 tap=1.03",),
    "tapnum=20": ("", f"{REGULATOR}120 enabled=no", "Edit RegControl.r tapnum=20"),
    "regulator from 1.2": ("wdg=2 tap=1.2", f"{REGULATOR}120"),
    "regulator to 140 V": ("wdg=2 tap=1.2", f"{REGULATOR}140"),
}


def volts(text, pu, words, *more):
    """Voltage behind a transformer of so many words, in pu."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        f"New Transformer.t windings=2 buses=[s b] kvs=[12.47 12.47] kvas=[5000 5000] xhl=1 {words}",
        "New Load.d bus1=b kv=12.47 kw=100 vminpu=0.5 vmaxpu=1.5",
        *more,
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    ):
        text(line)
    return round(float(pu()), 2)


def of_capi():
    dss.Circuit.SetActiveBus("b")
    return dss.Bus.puVmagAngle()[0]


def of_epri():
    epri.circuit.set_active_bus("b")
    return epri.bus.vmag_angle_pu[0]


for engine, text, pu in (("DSS C-API", dss.Text.Command, of_capi), ("EPRI", epri.text, of_epri)):
    found = {name: volts(text, pu, *words) for name, words in CASES.items()}
    print(engine, found)
    assert found == {
        "tap=1.2": 1.2,
        "taps": 1.25,
        "edit": 1.3,
        "maxtap=1.05": 1.1,
        "between steps": 1.03,
        "tapnum=20": 1.1,
        "regulator from 1.2": 1.01,
        "regulator to 140 V": 1.1,
    }, found
PY
echo "as recorded"
