#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). One load of 0 kW between two nodes that nothing else joins (b.4 and b.5
# beside the bus's 1 to 3) makes the whole circuit solve to zero: converged is true after 2 iterations, every node of every bus
# is at 0 V, the source gives 0 kW and 3,000 kW of customers get nothing. Without that load the same circuit gives 0.9393 pu
# and 3,033 kW. Connected from one new node to ground instead, the solution is NaN and says that it did not converge. So a
# converged flag is no proof that there is a solution; a check that loads are served finds it.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

def solved(load_of_nothing):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=200 mvasc1=200",
        "New Line.a bus1=s bus2=b r1=0.3 x1=0.6 r0=0.9 x0=1.8 c1=0 c0=0 length=5 units=km",
        "New Load.l bus1=b kv=12.47 kw=3000 pf=0.95",
        load_of_nothing,
        "Set voltagebases=[12.47]",
        "Calcvoltagebases",
        "Set maxiterations=50",
        "Solve",
    ):
        dss.Text.Command(line)
    pu = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu()))
    return dss.Solution.Converged(), round(pu["b.1"], 4), round(-dss.Circuit.TotalPower()[0], 1) + 0.0


without = solved("! nothing")
between = solved("New Load.z bus1=b.4.5 phases=1 conn=delta kv=7.2 kw=0 kvar=0")
to_ground = solved("New Load.z bus1=b.4 phases=1 kv=7.2 kw=0 kvar=0")
print("without:", without, "between two new nodes:", between, "from one to ground:", to_ground)
assert without == (True, 0.9393, 3033.3), without
assert between == (True, 0.0, 0.0), between
assert to_ground[0] is False and to_ground[1] != to_ground[1], to_ground
PY
echo "as recorded"
