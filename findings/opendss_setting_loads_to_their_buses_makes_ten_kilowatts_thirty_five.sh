#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). SetLoadAndGenKV makes the kv of loads and generators agree with
# their buses. For one that is not conn=delta on three phases that is the voltage to ground, whatever it
# is connected between: a customer of 10 kW across both legs of a service (phases=1 kv=0.24, bus h.1.2) becomes one of 0.12 kV and takes
# 35 kW and 20 kvar, of model 2 39 kW; one between two phases, or of phases=2, whose kv is that of the line by OpenDSS's own rule, becomes
# one of 7.2 kV and takes 27 kW for 10. A generator there gives 33. With conn=delta a load keeps its own, as do all on three phases or
# from one phase to ground. PVSystem and Storage are left alone. The command answers nothing, the circuit converges, and no voltage is far
# off, so that a feeder's customers have three times their size where they have 240 volts. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

UNITS = {
    "legs": "Load.x phases=1 bus1=h.1.2 kv=0.24 kw=10 pf=0.88",
    "legs, model 2": "Load.x phases=1 bus1=h.1.2 kv=0.24 kw=10 pf=0.88 model=2",
    "one leg": "Load.x phases=1 bus1=h.1 kv=0.12 kw=10 pf=0.88",
    "between phases": "Load.x phases=1 bus1=s.1.2 kv=12.47 kw=10 pf=0.88",
    "between phases, delta": "Load.x phases=1 bus1=s.1.2 kv=12.47 kw=10 pf=0.88 conn=delta",
    "two phases": "Load.x phases=2 bus1=s.1.2 kv=12.47 kw=10 pf=0.88",
    "three phases": "Load.x phases=3 bus1=s kv=12.47 kw=10 pf=0.88",
    "generator": "Generator.x phases=1 bus1=h.1.2 kv=0.24 kw=10 pf=1",
    "panels": "PVSystem.x phases=1 bus1=h.1.2 kv=0.24 kva=10 pmpp=10",
}


def capi(line):
    dss.Text.Command(line)
    return dss.Text.Result()


def before_and_after(unit):
    """kW from the grid before SetLoadAndGenKV and after it, and the kv that the unit then has."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        "New Transformer.t phases=1 windings=3 buses=[s.1 h.1.0 h.0.2] kvs=[7.2 0.12 0.12] kvas=[25 25 25] xhl=2 xht=2 xlt=1.3",
        f"New {unit}",
        "Set voltagebases=[12.47 0.208]",
        "CalcVoltageBases",
        "Solve",
    ):
        capi(line)
    before = -dss.Circuit.TotalPower()[0]
    assert capi("SetLoadAndGenKV") == ""
    capi("Solve")
    return round(before), round(-dss.Circuit.TotalPower()[0]), round(float(capi(f"? {unit.split()[0]}.kv")), 2)


found = {name: before_and_after(unit) for name, unit in UNITS.items()}
print(found)
assert found == {
    "legs": (10, 35, 0.12),
    "legs, model 2": (10, 39, 0.12),
    "one leg": (10, 10, 0.12),
    "between phases": (10, 27, 7.2),
    "between phases, delta": (10, 10, 12.47),
    "two phases": (10, 27, 7.2),
    "three phases": (10, 10, 12.47),
    "generator": (-10, -33, 0.12),
    "panels": (-10, -10, 0.24),
}, found
PY
echo "as recorded"
