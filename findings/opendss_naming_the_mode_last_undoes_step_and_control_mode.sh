#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. Options stated before the mode are lost
# with it, in one line as in two. Of "Set stepsize=15m number=96" and then "Set mode=daily" 24 steps of an hour are left, a day all the
# same, without what happens within its hours: the quarter of an hour at 2,000 kW is gone from the largest flow (1,020 kW for
# 2,084). With the number after the mode and the step before it the day is four of them, 96 hours, and 97.9 MWh for 24.7. mode=duty puts
# the control mode, off before, to TIME, so a regulator that was told to stay moves 11 taps (and the meter of a day in this mode
# has 0 kWh). Trapezoidal integration is off after any mode, mode=snapshot too. loadmult and the limits of iterations stay.
# Nothing is reported, and every option reads back as what it then is. Exits 0 while this is so.
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


SHAPE = " ".join("2" if quarter == 41 else "1" for quarter in range(96))
CIRCUIT = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=100000 mvasc1=100000",
    f"New Loadshape.day npts=96 minterval=15 mult=[{SHAPE}]",
    "New Line.l bus1=s bus2=a length=5 units=km r1=0.6 x1=0.8 r0=0.6 x0=0.8 c1=0 c0=0",
    "New Transformer.t windings=2 buses=(a b) kvs=(12.47 12.47) kvas=(5000 5000) xhl=0.1 %loadloss=0.01 maxtap=1.1 mintap=0.9 numtaps=32",
    "New RegControl.r transformer=t winding=2 vreg=126 ptratio=60 band=1 delay=1 tapdelay=1",
    "New Load.x bus1=b kv=12.47 kw=1000 pf=1 vminpu=0.7 daily=day duty=day",
    "New EnergyMeter.m element=Line.l",
    "Set voltagebases=[12.47]",
    "CalcVoltageBases",
    "Set controlmode=off",
)
ASKED = "stepsize", "number", "controlmode", "trapezoidal", "loadmult", "maxiterations", "maxcontroliter"


def plain(text):
    """A number as six digits, a word in small letters."""
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text.lower()


def run(*options):
    """Of each engine: kWh and largest kW of the line, hours, tap above 1.0, and what the options read back as before the solution."""
    engines = []
    for text in (capi, epri.text):
        for command in (*CIRCUIT, *options):
            text(command)
        read = tuple(plain(text(f"get {option}")) for option in ASKED)
        text("Solve")
        meters = opendssdirect.Meters if text is capi else epri.meters
        meters.First() if text is capi else meters.first()
        registers = meters.RegisterValues() if text is capi else meters.register_values
        tap = (float(text("? Transformer.t.tap")) - 1) / 0.00625
        hours = float(text("get hour")) + float(text("get sec")) / 3600
        engines.append((round(registers[0], -2), max(round(registers[2]), 0), round(hours, 2), round(tap), read))
    assert engines[0] == engines[1], engines
    return engines[0]


cases = {
    "mode first": run("Set mode=daily", "Set stepsize=15m number=96"),
    "mode last": run("Set stepsize=15m number=96", "Set mode=daily"),
    "mode last in one line": run("Set stepsize=15m number=96 mode=daily"),
    "step, mode, number": run("Set stepsize=15m", "Set mode=daily", "Set number=96"),
    "duty, control off after it": run("Set mode=duty stepsize=15m number=96", "Set controlmode=off"),
    "duty after control off": run("Set mode=duty stepsize=15m number=96"),
    "options and snapshot": run("Set trapezoidal=yes loadmult=1.1 maxiterations=77 maxcontroliter=33", "Set mode=snapshot"),
}
for name, row in cases.items():
    print("RESULT", f"{name:28s}", *row[:4], dict(zip(ASKED, row[4])))
first = cases["mode first"]
assert first[:3] == (24700, 2084, 24) and first[4][:3] == ("900", "96", "off"), first
for name in ("mode last", "mode last in one line"):
    assert cases[name][:3] == (24500, 1020, 24) and cases[name][4][:2] == ("3600", "24"), cases[name]
assert cases["step, mode, number"][:3] == (97900, 1020, 96), cases
assert [cases[name][3:][0] for name in ("duty, control off after it", "duty after control off")] == [0, 11], cases
assert cases["duty after control off"][4][2] == "time" and cases["duty after control off"][0] == 0, cases
assert cases["options and snapshot"][4][3:] == ("no", "1.1", "77", "33"), cases
PY
grep ^RESULT log
echo "as recorded"
