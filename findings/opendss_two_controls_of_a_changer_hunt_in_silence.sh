#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Two RegControls may move one changer, and nobody objects. Where they want
# different voltages a snapshot ends with error 485; in time mode (and so in daily and duty runs of seconds) the tap goes from
# 1.0 to 1.0375 and back every half minute for as long as one looks, every single solution converges, and no error, warning or
# property says so: 156 moves in ten minutes at a constant load.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

for line in (
    "Clear",
    "New Circuit.two basekv=33 pu=1.0 bus1=grid MVAsc3=400 MVAsc1=350",
    "New Transformer.sub phases=3 windings=2 xhl=8 buses=[grid head] conns=[delta wye] kvs=[33 11] kvas=[10000 10000]",
    "New RegControl.low transformer=sub winding=2 vreg=118 band=2 ptratio=52.92",
    "New RegControl.high transformer=sub winding=2 vreg=124 band=2 ptratio=52.92 delay=30",
    "New Line.l bus1=head bus2=end length=3 units=km r1=0.25 x1=0.35 r0=0.6 x0=1.2",
    "New Load.d bus1=end kv=11 kw=2000 pf=0.95",
    "Set voltagebases=[33 11]",
    "CalcVoltageBases",
    "Set mode=time stepsize=1s controlmode=time number=1",
):
    dss.Text.Command(line)
taps, all_converged = [], True
for _ in range(600):
    dss.Solution.Solve()
    all_converged &= dss.Solution.Converged()
    dss.Transformers.Name("sub")
    dss.Transformers.Wdg(2)
    taps.append(round(dss.Transformers.Tap(), 5))
moves = sum(a != b for a, b in zip(taps, taps[1:]))
print("lowest and highest tap, moves in ten minutes, all converged:", min(taps), max(taps), moves, all_converged)
snapshot = ""
try:
    dss.Text.Command("Set mode=snapshot controlmode=static")
    dss.Solution.Solve()
except dss.DSSException as error:
    snapshot = str(error.args[0])
print("a snapshot ends with error", snapshot)
assert (min(taps), max(taps), all_converged, snapshot) == (1.0, 1.0375, True, "485")
assert moves > 80 and any(a != b for a, b in zip(taps[-60:], taps[-59:])), moves
PY
echo "as recorded"
