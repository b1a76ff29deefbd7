#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Rneut and Xneut of a load, documented as the impedance of its neutral to
# ground, do not ground it: the admittance is put into the system matrix and its current is compensated away again, like that
# of the load itself. At 5 ohm the neutral of a four-wire load is where it is with none at all, at 111 V here; at a milliohm
# the iteration only creeps and does not converge in 300. A reactor from the same node to ground is what it should be.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def volts():
    dss.Circuit.SetActiveBus("b")
    return dss.Bus.VMagAngle()[6]


def neutral_v(ohm, *more):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=2000 mvasc1=2000",
        "New Line.l bus1=s.1.2.3.0 bus2=b.1.2.3.4 phases=4 length=2 units=km r1=0.3 x1=0.8 r0=0.6 x0=2",
        f"New Load.a bus1=b.1.2.3.4 phases=3 kv=12.47 kw=300 kvar=100 rneut={ohm} xneut=0",
        "New Load.one bus1=b.1.4 phases=1 kv=7.2 kw=400",
        *more,
        "Set tolerance=1e-10 maxiterations=300",
        "Solve",
    ):
        dss.Text.Command(line)
    return volts()


open_v, five_v = neutral_v(-1), neutral_v(5)
assert dss.Solution.Converged()
grounded_v = neutral_v(-1, "New Reactor.g bus1=b.4 phases=1 R=0.001 X=0")
neutral_v(0.001)
creeps = not dss.Solution.Converged()
print("neutral at", round(open_v, 3), "V open,", round(five_v, 3), "behind 5 ohm;", end=" ")
print("behind a milliohm", "not converged;" if creeps else "converged;", "with a reactor", round(grounded_v, 4), "V")
assert abs(five_v - open_v) < 1e-4 * open_v
assert creeps
assert open_v > 10 * grounded_v
PY
