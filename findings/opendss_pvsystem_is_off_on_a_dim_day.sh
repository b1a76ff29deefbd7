#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A PVSystem that is given no more than kVA, Pmpp and irradiance feeds in
# nothing while its panels give less than 20 % of its kVA: %CutIn and %CutOut are 20 where nobody states them. Of a dim day
# (a sine of twelve hours with an irradiance of 0.25 kW/m2 at noon) a unit of 1,000 kVA and 1,000 kW gives 1,166 of
# 1,900 kWh; one whose panels are half its inverter gives nothing at all, as the threshold is one of kVA. Reactive power that is
# stated in kvar goes on all night (VarFollowInverter is off), one stated as a power factor does not. And where %CutIn is above
# %CutOut, what is fed in at one irradiance depends on the solution before: at 0.15 kW/m2 150 kW after a bright hour, 0 after a
# dark one, with no control, no time and no mode in play.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import math

import opendssdirect as dss


def compiled(stated):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        f"New PVSystem.p bus1=b kv=12.47 kva=1000 {stated}",
    ):
        dss.Text.Command(line)


def fed_in(irradiance):
    dss.Text.Command(f"Edit PVSystem.p irradiance={irradiance}")
    dss.Text.Command("Solve")
    dss.Circuit.SetActiveElement("PVSystem.p")
    powers = dss.CktElement.Powers()
    return round(-sum(powers[0::2])), round(-sum(powers[1::2]))


def dim_day_kwh(stated):
    compiled(stated)
    return sum(fed_in(max(0.0, 0.25 * math.sin(math.pi * (hour - 6) / 12)))[0] for hour in range(24))


whole, half = dim_day_kwh("pmpp=1000 pf=1"), dim_day_kwh("pmpp=500 pf=1")
stated = dim_day_kwh("pmpp=1000 pf=1 %cutin=0 %cutout=0")
compiled("pmpp=1000 kvar=300")
night_by_kvar = fed_in(0.0)
compiled("pmpp=1000 pf=0.9")
night_by_factor = fed_in(0.0)
compiled("pmpp=1000 pf=1 %cutin=30 %cutout=10")
after_bright = fed_in(1.0), fed_in(0.15)
after_dark = fed_in(0.0), fed_in(0.15)
print(f"a dim day: {whole} kWh by default, {stated} kWh with %cutin=0, {half} kWh with half the panels")
print("at night:", night_by_kvar, "with kvar=300,", night_by_factor, "with pf=0.9")
print("0.15 kW/m2:", after_bright[1], "after a bright hour,", after_dark[1], "after a dark one")
assert (whole, half, stated) == (1166, 0, 1900), (whole, half, stated)
assert (night_by_kvar, night_by_factor) == ((0, 300), (0, 0)), (night_by_kvar, night_by_factor)
assert (after_bright[1], after_dark[1]) == ((150, 0), (0, 0)), (after_bright, after_dark)
PY
echo "as recorded"
