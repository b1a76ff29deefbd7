#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A GrowthShape's `mult` is, by its
# help, what the previous year's load is multiplied with to get the present year's. A load of 1,000 kW in 2025 that grows by 10 % in 2026
# and 50 % in 2027, when a datacenter's halls open, and by nothing after, is so 1,100 kW in 2026 and 1,650 in 2027. With year=[2025 2026
# 2027 2028] and mult=[1 1.1 1.5 1] it is 1,000 in 2026, 1,100 in 2027 and 1,650 in 2028: each year has the factor of the year before. The
# plain %growth is one year late as well: `Set year=1` at 2.5 % is 1,000 kW, 5 is 1,104, four years of it. Nothing is reported, so what is
# to be built for a year's load is planned by that of the year before. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()
SHAPE = "New GrowthShape.g npts=4 year=[2025 2026 2027 2028] mult=[1 1.1 1.5 1]"


def kw(text, total, year, shape=True):
    """kW of a load of 1,000 in a year, with that shape or with the growth that every circuit has."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        *([SHAPE] if shape else []),
        f"New Load.d bus1=s kv=12.47 kw=1000 pf=1 {'growth=g' if shape else ''}",
        f"Set year={year}",
        "Set mode=yearly number=1",
        "Solve",
    ):
        text(line)
    return -round(total()[0])


def of_epri():
    return epri.circuit.total_power


for engine, text, total in (("DSS C-API", dss.Text.Command, dss.Circuit.TotalPower), ("EPRI", epri.text, of_epri)):
    found = {year: kw(text, total, year) for year in range(2025, 2030)}
    plain = {year: kw(text, total, year, shape=False) for year in (0, 1, 2, 5)}
    print(engine, found, plain)
    assert found == {2025: 1000, 2026: 1000, 2027: 1100, 2028: 1650, 2029: 1650}, found
    assert plain == {0: 1000, 1: 1000, 2: 1025, 5: 1104}, plain
PY
echo "as recorded"
