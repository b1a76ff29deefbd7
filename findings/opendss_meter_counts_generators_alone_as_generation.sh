#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). An EnergyMeter has registers of the generation in its zone (Gen kWh and its
# maxima), and they are those of Generators: 400 kW of a PVSystem or of a Storage, as large and as long, add 0 to them, while
# the energy at the head falls by the same 9,600 kWh a day. Charging is nobody's either: the head takes 9,600 kWh more, and
# the zone's customers as much as before. A negative load, another way to write a plant, is taken off the customers'
# energy. So customers + losses - generation is not what the head delivers, and a share of renewables from these registers is
# 0 where all of it is solar. And in duty mode the meter samples nothing at all: every energy is 0, without a word.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def day(mode="daily", *lines):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.001 x1=0.001 c1=0 c0=0",
        "New Load.site bus1=b kv=12.47 kw=1000 pf=1",
        "New EnergyMeter.m element=Line.l terminal=1",
        *lines,
        f"Set mode={mode} stepsize=1h number=24 hour=0",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Meters.Name("m")
    registers = dict(zip(dss.Meters.RegisterNames(), dss.Meters.RegisterValues()))
    return tuple(round(registers[name]) for name in ("kWh", "Zone kWh", "Gen kWh"))


units = {
    "nothing": (),
    "generator": ("New Generator.u bus1=b kv=12.47 kw=400 pf=1",),
    "pv": ("New PVSystem.u bus1=b kv=12.47 kva=400 pmpp=400 irradiance=1 %cutin=0 %cutout=0",),
    "storage": ("New Storage.u bus1=b kv=12.47 kwrated=400 kwhrated=40000 dispmode=follow %idlingkw=0",),
    "negative load": ("New Load.u bus1=b kv=12.47 kw=-400 pf=1",),
    "charging": ("New Storage.u bus1=b kv=12.47 kwrated=400 kwhrated=40000 %stored=20 state=charging dispmode=external",),
}
found = {name: day("daily", *lines) for name, lines in units.items()}
duty = day("duty")
print("kWh of a day at the feeder's head, of its customers, of its generation")
for name, kwh in found.items():
    print(f"  400 kW of {name:14s}", *kwh)
print("  in duty mode           ", *duty)
assert found["nothing"] == (24000, 24000, 0), found
assert found["generator"] == (14400, 24000, 9600), found
assert found["pv"] == found["storage"] == (14400, 24000, 0), found
assert found["negative load"] == (14400, 14400, 0), found
assert found["charging"] == (33600, 24000, 0), found
assert duty == (0, 0, 0), duty
PY
echo "as recorded"
