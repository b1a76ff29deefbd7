#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). `Set year=5`, anywhere before a plain snapshot `Solve`, makes every load
# 10.4 % larger: 2.5 % a year from the first on where no growth is stated, although the mode is no yearly one and Loads.kW()
# still gives the nominal power. Status=Fixed, which keeps a load out of LoadMult and of shapes, does not keep it out of the
# growth; only `Set %growth=0` or a GrowthShape of its own does. So a load added by a script to a circuit whose file names a
# year (a site under study) draws more than the script asked for, and says that it draws what was asked.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def drawn_kw(*lines):
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000",
        "New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        "New GrowthShape.none npts=1 year=[1] mult=[1]",
        *lines,
        "Solve",
    ):
        dss.Text.Command(line)
    dss.Loads.Name("site")
    dss.Circuit.SetActiveElement("Load.site")
    return round(sum(dss.CktElement.Powers()[0::2])), round(dss.Loads.kW()), dss.Solution.ModeID()


site = "New Load.site bus1=b kv=12.47 kw=1000 pf=1 status=fixed"
by_year = {year: drawn_kw(site, f"Set year={year}") for year in (0, 1, 2, 5)}
held = drawn_kw(site, "Set loadmult=2")
without = drawn_kw(site, "Set year=5 %growth=0"), drawn_kw(f"{site} growth=none", "Set year=5")
print("drawn, said, mode by year:", by_year)
print("LoadMult 2:", held, "no growth:", without)
assert by_year == {0: (1000, 1000, "Snap"), 1: (1000, 1000, "Snap"), 2: (1025, 1000, "Snap"), 5: (1104, 1000, "Snap")}
assert held[0] == 1000, held
assert [found[0] for found in without] == [1000, 1000], without
PY
echo "as recorded"
