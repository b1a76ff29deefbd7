#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A Generator that holds a voltage (model=3) is limited to the vars that its
# maxkvar and minkvar state, until its kW is set: then both are what a power factor of 0.88 makes of the kW, times two, whatever
# was stated and whatever its kVA. So the limit depends on the order of the words (kW first keeps a maxkvar of 300, maxkvar first
# gives 1,079.5), a later `Generator.g.kW=900` replaces it by 971.5, and without a statement a machine of 8,000 kVA that gives
# 1,000 kW stops at 1,079.5 kvar. At that limit the solution is reported as converged, the voltage 0.095 pu from the stated one.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def run(words, edit=""):
    """(absorbed kvar, voltage in pu, what it says of its maxkvar) of a generator at the end of 5 ohms."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 pu=1.02 r1=0 x1=0.001 r0=0 x0=0.001",
        "New Line.l bus1=sourcebus bus2=g phases=3 r1=1.6667 x1=5 r0=5 x0=15 c1=0 c0=0 length=1",
        f"New Generator.g bus1=g kv=12.47 kva=8000 model=3 vpu=0.9 {words}",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        edit,
        f"Set maxiterations=300 tolerance=1e-6",
        "Solve",
    ):
        dss.Text.Command(line)
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveBus("g")
    pu = dss.Bus.puVmagAngle()[0]
    dss.Circuit.SetActiveElement("Generator.g")
    kvar = dss.CktElement.TotalPowers()[1]
    dss.Text.Command("? Generator.g.maxkvar")
    return round(kvar, 1), round(pu, 4), round(float(dss.Text.Result()), 1)


limits = {
    "kW=1000": run("kW=1000"),
    "kW=1000 maxkvar=300 minkvar=-300": run("kW=1000 maxkvar=300 minkvar=-300"),
    "maxkvar=300 minkvar=-300 kW=1000": run("maxkvar=300 minkvar=-300 kW=1000"),
    "kW=1000 maxkvar=300 minkvar=-300, then kW=900": run("kW=1000 maxkvar=300 minkvar=-300", "Generator.g.kW=900"),
}
print("holding 0.9 pu: kvar absorbed, pu, maxkvar")
for words, found in limits.items():
    print(f"  {words:46s}", *found)
assert [found[2] for found in limits.values()] == [1079.5, 300.0, 1079.5, 971.5], limits
assert all(abs(kvar - limit) < 0.1 for kvar, _, limit in limits.values()), limits
assert limits["kW=1000"][1] > 0.99, limits
PY
echo "as recorded"
