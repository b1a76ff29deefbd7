#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A Fuse with MonitoredTerm=2 says that it watches terminal 2 and looks at
# terminal 1: on the 480 V side of a 500 kVA transformer (361 A) a fuse of 100 A lets everything pass, since the 12.47 kV side
# carries 14 A. A Recloser and a Relay with the same words look at the terminal they name, and trip. And a fuse's rated current
# is not where it begins to melt: with the curve that it has unless told otherwise that is twice the rating, so that 7 A carry
# 13.9 A for good and 6.9 A lose phases.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def served_kw(device, terminal):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        "New Transformer.t phases=3 windings=2 buses=(s low) conns=(delta wye) kvs=(12.47 0.48) kvas=(500 500) xhl=5",
        "New Load.customer bus1=low kv=0.48 kw=300 pf=1",
        f"New {device} monitoredobj=Transformer.t monitoredterm={terminal}",
        "Set voltagebases=[12.47 0.48]",
        "CalcVoltageBases",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Text.Command("? " + device.split()[0] + ".monitoredterm")
    assert dss.Text.Result() == str(terminal)
    return round(-dss.Circuit.TotalPower()[0])


devices = {
    "fuse of 100 A": "Fuse.f ratedcurrent=100",
    "recloser of 100 A": "Recloser.r phasetrip=100",
    "relay of 100 A": "Relay.r type=current phasecurve=definite phasetrip=100",
    "fuse of 7 A": "Fuse.f ratedcurrent=7",
    "fuse of 6.9 A": "Fuse.f ratedcurrent=6.9",
}
found = {name: (served_kw(device, 1), served_kw(device, 2)) for name, device in devices.items()}
print("kW served, watching terminal 1 (14 A) and terminal 2 (361 A):")
for name, served in found.items():
    print(f"  {name:18s}", *served)
assert found["fuse of 100 A"] == (301, 301), found
assert found["recloser of 100 A"] == found["relay of 100 A"] == (301, 0), found
assert found["fuse of 7 A"] == (301, 301), found
assert max(found["fuse of 6.9 A"]) < 301, found
PY
echo "as recorded"
