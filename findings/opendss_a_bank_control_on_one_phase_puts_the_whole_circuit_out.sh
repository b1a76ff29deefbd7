#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). A CapControl of a three-phase bank may measure on a lateral of one phase. At the end of
# that lateral the control itself brings a node into the circuit (side.2) which nothing connects, and the solution that "converged"
# is 0 V at every node and 0 kW from the source, with 500 kW of load unserved; no error is raised. The same control at the lateral's
# other end, whose bus has all three nodes, serves them (0.997 pu), as it does disabled, on the three-phase line, or with a
# single-phase bank. Whether the control is of current, voltage or kvar makes no difference.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss_python_backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from opendssdirect import dss

THREE_PHASES = "bus1=mid kV=12.47 kvar=50"


def solved(control, bank=THREE_PHASES):
    """Whether it converged, kW from the source, lowest and highest voltage (pu), nodes."""
    for text in (
        "Clear",
        "New Circuit.c bus1=head basekv=12.47 pu=1",
        "New Line.main bus1=head bus2=mid length=2 units=km r1=0.3 x1=0.4",
        "New Line.side bus1=mid.3 bus2=side.3 phases=1",
        "New Load.customers bus1=mid kV=12.47 kW=500 pf=0.95",
        f"New Capacitor.k {bank}",
        f"New CapControl.k capacitor=k {control}",
        "Set VoltageBases=[12.47]",
        "CalcVoltageBases",
    ):
        dss.Text.Command(text)
    dss.Solution.Solve()
    voltages = dss.Circuit.AllBusMagPu()
    kw = round(-dss.Circuit.TotalPower()[0])
    return bool(dss.Solution.Converged()), kw, round(min(voltages), 3), round(max(voltages), 3), dss.Circuit.AllNodeNames()


ended = [solved("element=line.side terminal=2" + more)
         for more in ("", " type=voltage ptratio=60", " type=kvar onsetting=100 offsetting=-100")]
beside = {
    "other end": solved("element=line.side terminal=1"),
    "disabled": solved("element=line.side terminal=2 enabled=no"),
    "main line": solved("element=line.main terminal=2"),
    "one phase": solved("element=line.side terminal=2", "phases=1 bus1=mid.3 kV=7.2 kvar=17"),
}
print("at the end of the lateral", *ended, sep="\n  ")
print("beside", *beside.items(), sep="\n  ")
for converged, kw, lowest, highest, nodes in ended:
    assert converged and (kw, lowest, highest) == (0, 0.0, 0.0) and nodes[-1] == "side.2", (kw, lowest, highest, nodes)
for where, (converged, kw, lowest, highest, nodes) in beside.items():
    assert converged and kw == 501 and lowest == 0.997 and "side.2" not in nodes, (where, kw, lowest, nodes)
PY
echo "as recorded"
