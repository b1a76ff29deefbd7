#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). The meter's register Load EEN, energy that exceeds normal ratings, can be more
# than all the energy there is: customers of 1,000 kWh behind a line at 2.3 times its rating have 1,316 kWh of it, at 4.6 times
# 3,631. It is their energy times (loading - 1), not times the share that is over the rating (1 - 1 / loading), which the
# register Overload kWh Normal holds (568 and 784 kWh). At small overloads the two are near each other (158 and 136 at
# 1.16). Who prices EEN as the energy above ratings so pays for more than was ever asked for.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def registers(normal_a, second_a=400, hours=1):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.head bus1=s bus2=b r1=0.001 x1=0.001 c1=0 c0=0 length=1",
        f"New Line.mid bus1=b bus2=e r1=0.001 x1=0.001 c1=0 c0=0 length=1 normamps={normal_a} emergamps=1000",
        f"New Line.end bus1=e bus2=f r1=0.001 x1=0.001 c1=0 c0=0 length=1 normamps={second_a} emergamps=1000",
        "New Load.site bus1=f kv=12.47 kw=1000 pf=1",
        "New EnergyMeter.m element=Line.head terminal=1",
        f"Set mode=daily number={hours} stepsize=1h hour=0",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Circuit.SetActiveElement("Line.mid")
    loading = dss.CktElement.CurrentsMagAng()[0] / dss.CktElement.NormalAmps()
    dss.Meters.Name("m")
    read = dict(zip(dss.Meters.RegisterNames(), dss.Meters.RegisterValues()))
    return round(loading, 2), *(round(read[name]) for name in ("Zone kWh", "Overload kWh Normal", "Load EEN", "Load UE"))


found = {a: registers(a) for a in (50, 40, 30, 20, 10)}
print("normal A: loading, kWh of customers, overload kWh, Load EEN kWh, Load UE kWh")
for a, read in found.items():
    print(f"  {a:3d}:", *read)
print("two lines of 30 A in a row:", *registers(30, 30))
print("two hours at 20 A:", *registers(20, hours=2))
assert found[50][2:] == (0, 0, 0), found
for a in (40, 30, 20, 10):
    loading, energy, overload, exceeding, unserved = found[a]
    assert abs(exceeding - (loading - 1) * energy) < 10 and abs(overload - (1 - 1 / loading) * energy) < 10, found
    assert energy == 1000 and unserved == 0, found
assert found[20][3] > 1.3 * found[20][1] and found[10][3] > 3.6 * found[10][1], found
assert registers(30, 30)[3] == found[30][3], found
PY
echo "as recorded"
