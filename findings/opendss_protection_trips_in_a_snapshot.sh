#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Protection acts in a plain snapshot `Solve`, where no time passes: a Fuse
# or a Recloser that states nothing but its line is rated at 1 A, opens the line of a customer of 46 A, and the solution is
# reported as converged, without a warning, with the customer dark. A Relay that states as little lets everything pass: it has
# no curve until one is named, and then trips as well, whatever its delay. In the time control mode, where delays would count,
# one solution opens nothing. So what a planner reads as the base case may be the state after a fault that nobody had.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def served_kw(device, mode="static"):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=400",
        "New Load.customer bus1=b kv=12.47 kw=1000 pf=1",
        f"New {device} monitoredobj=Line.l",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        f"Set controlmode={mode}",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    return round(-dss.Circuit.TotalPower()[0])


static = {
    device: served_kw(device)
    for device in (
        "Fuse.f",
        "Fuse.f ratedcurrent=40",
        "Recloser.r",
        "Relay.r type=current",
        "Relay.r type=current phasecurve=definite phasetrip=10 delay=60",
    )
}
in_time = {device: served_kw(device, "time") for device in static}
print("kW served after one Solve:", static)
print("in time mode:", in_time)
assert list(static.values()) == [0, 1001, 0, 1001, 0], static
assert set(in_time.values()) == {1001}, in_time
PY
echo "as recorded"
