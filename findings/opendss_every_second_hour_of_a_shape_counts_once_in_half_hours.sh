#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). An hourly LoadShape that is run in half hours counts every even hour three times
# and every odd hour once: the point of an hour is the nearest one, and half past is rounded to the even of its two neighbours.
# A load of 1,000 kW in every odd hour of the day so takes 6,000 kWh instead of 12,000, one in every even hour 18,000; in
# quarter hours 9,000 and 15,000, in steps of 5 minutes 11,000 and 13,000. Steps of an hour and of 20 minutes, which have no
# half past, give 12,000. The meter agrees with it, the peaks are right, and a smooth day hides it: over a
# year it is a wrong energy of what is switched by the hour. With interpolation=edge every step length gives 12,000.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def day_kwh(steps, odd, even, more=""):
    shape = " ".join([str(odd), str(even)] * 12)
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.001 x1=0.001 c1=0 c0=0",
        f"New LoadShape.day npts=24 interval=1 mult=({shape}) {more}",
        "New Load.site bus1=b kv=12.47 kw=1000 pf=1 daily=day",
        "New EnergyMeter.m element=Line.l terminal=1",
        f"Set mode=daily hour=0 number={steps} stepsize={86400 // steps}s",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Meters.Name("m")
    registers = dict(zip(dss.Meters.RegisterNames(), dss.Meters.RegisterValues()))
    return round(registers["Zone kWh"])


steps = {"1 h": 24, "30 min": 48, "20 min": 72, "15 min": 96, "5 min": 288, "1 min": 1440}
found = {name: (day_kwh(n, 1, 0), day_kwh(n, 0, 1), day_kwh(n, 1, 0, "interpolation=edge")) for name, n in steps.items()}
print("kWh of a day at 1,000 kW in every second hour: the odd ones, the even ones, the odd ones with interpolation=edge")
for name, kwh in found.items():
    print(f"  steps of {name:7s}", *kwh)
assert found["1 h"][:2] == found["20 min"][:2] == (12000, 12000), found
assert found["30 min"][:2] == (6000, 18000), found
assert found["15 min"][:2] == (9000, 15000), found
assert found["5 min"][:2] == (11000, 13000), found
assert all(kwh[2] == 12000 for kwh in found.values()), found
PY
echo "as recorded"
