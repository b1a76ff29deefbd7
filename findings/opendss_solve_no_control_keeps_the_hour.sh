#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). After a solution in daily mode, `Set mode=snapshot` followed by
# Solution.SolveNoControl() reports the mode Snap and a converged solution, but the loads still draw the share of the last
# hour of their shape: 200 kW of 1,000 kW here. `Solve` instead of SolveNoControl(), or any `Set LoadMult=...` (even to the
# value it has), makes OpenDSS work out the loads anew: 1,000 kW. So a study that switches controls off, as one does to hold
# taps, and solves through that call, studies whatever hour a file's own solution ended at.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def fresh_after_an_hour():
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=2000 mvasc1=2000",
        "New Loadshape.day npts=4 interval=1 mult=[0.2 0.4 0.6 0.8]",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1",
        "New Load.a bus1=b kv=12.47 kw=1000 pf=1 daily=day",
        "Set mode=daily stepsize=1h number=1",
        "Solve",
        "Set mode=snapshot controlmode=off",
    ):
        dss.Text.Command(line)


def source_kw():
    return round(-dss.Circuit.TotalPower()[0])


fresh_after_an_hour()
dss.Solution.SolveNoControl()
kept = source_kw(), dss.Solution.ModeID(), dss.Solution.Converged()
fresh_after_an_hour()
dss.Text.Command("Solve")
renewed = source_kw()
fresh_after_an_hour()
dss.Text.Command("Set LoadMult=1")
dss.Solution.SolveNoControl()
by_multiplier = source_kw()
print("SolveNoControl:", kept, "Solve:", renewed, "LoadMult set, then SolveNoControl:", by_multiplier)
assert kept == (200, "Snap", True), kept
assert renewed == 1001, renewed
assert by_multiplier == 1001, by_multiplier
PY
echo "as recorded"
