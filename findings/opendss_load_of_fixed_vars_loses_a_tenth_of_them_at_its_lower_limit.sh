#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A load of model 6 (constant watts, fixed vars) that falls below its Vminpu
# keeps its watts there without a jump, as loads of model 1 keep both, but its vars drop by a tenth at once: 300 kvar at 0.9501 pu
# are 271 at 0.9499, while 600 kW are 599.9. Where a feeder stands at that edge there is no voltage that fits: with 600 kW of model 6
# at the end of a line, a second load of 4,194 to 4,221 kW does not converge in 1,000 iterations at 1e-8, though 4,190 and 4,226 kW
# do, and all of them do with models 1 and 7, or with Vminpu=0.9. Sweeps of a load's size meet a gap that is not of the network.
# At OpenDSS's own tolerance of 1e-4 the gap is narrower (4,194 kW converges) and still there.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def drawn(pu):
    for line in (
        "Clear",
        f"New Circuit.c basekv=12.47 bus1=s pu={pu} r1=1e-9 x1=1e-9 r0=1e-9 x0=1e-9",
        "New Load.x bus1=s kv=12.47 kw=600 kvar=300 model=6",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Circuit.SetActiveElement("Load.x")
    powers = dss.CktElement.Powers()
    return round(sum(powers[0::2]), 1), round(sum(powers[1::2]), 1)


def converges(kw, model, vminpu=0.95, tolerance=1e-8):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1 mvasc3=1000 mvasc1=1000",
        "New Line.l bus1=s bus2=b length=3 units=km r1=.3 x1=.5 r0=.5 x0=1.2 c1=0 c0=0",
        f"New Load.x bus1=b kv=12.47 kw=600 pf=.9 model={model} vminpu={vminpu}",
        f"New Load.y bus1=b kv=12.47 kw={kw} pf=.95 vminpu=.8",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        f"Set tolerance={tolerance} maxiterations=1000",
    ):
        dss.Text.Command(line)
    try:
        dss.Solution.Solve()
    except dss.DSSException:
        return False
    return bool(dss.Solution.Converged())


edge = {pu: drawn(pu) for pu in (0.9501, 0.9499)}
print(edge)
assert edge[0.9501] == (600.0, 300.0), edge
assert edge[0.9499][0] > 599.5 and 270.0 < edge[0.9499][1] < 271.5, edge
band = (4194, 4200, 4210, 4220)
found = {kw: converges(kw, 6) for kw in (4190, *band, 4226)}
print(found)
assert not any(found[kw] for kw in band) and found[4190] and found[4226], found
for kw in band:
    assert converges(kw, 1) and converges(kw, 7) and converges(kw, 6, vminpu=0.9), kw
rough = {kw: converges(kw, 6, tolerance=1e-4) for kw in band}
print(rough)
assert rough == {4194: True, 4200: False, 4210: False, 4220: False}, rough
PY
echo "as recorded"
