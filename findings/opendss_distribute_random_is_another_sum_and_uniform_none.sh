#!/usr/bin/env bash
# py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1) beside OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). `Distribute kw=600` writes a file of
# generators at the loads, 600 kW in all, which is how hosting studies spread theirs. how=proportional does so in both. how=uniform has no
# blank before bus1 in EPRI's file, `new generator.DG_1bus1=s`: EPRI's own engine reads it without an error and has no generator after it,
# 1,600 kW from the grid where it should be 1,000; DSS C-API refuses it. how=random in EPRI's has some 10^11 kW for each, the converged
# circuit is at 477 MW into the grid. In DSS C-API each is between nothing and twice the mean, and nothing brings the sum to 600: for
# three loads it is anything to 1,200. what=PVSystem writes generators, too. Nothing is reported where it is not said here. Exits 0 while
# this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
cat > circuit.py <<'PY'
import pathlib
import re

# The engine leaves the folder that it is started in.
FOLDER = pathlib.Path(__file__).resolve().parent
CIRCUIT = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
    "New Load.a bus1=s kv=12.47 kw=1000 pf=1",
    "New Load.b bus1=s.1 phases=1 kv=7.2 kw=100 pf=1",
    "New Load.c bus1=s kv=12.47 kw=500 pf=1",
)


def write(text, words, name):
    """Lets an engine write a file for 600 kW in that circuit."""
    for line in CIRCUIT:
        text(line)
    text(f"Distribute kw=600 {words} file={FOLDER / name}")


def lines(name):
    """What a file holds but for its comments, and the sum of its kW."""
    found = [line for line in (FOLDER / name).read_text().splitlines() if line.startswith("new ")]
    return found, sum(float(re.search(r"kW=(\S+)", line).group(1)) for line in found)


def grid_kw(text, power, generators):
    """kW from the grid with these generators, read by an engine."""
    for line in (*CIRCUIT, *generators, "Solve"):
        text(line)
    return -round(power()[0])
PY
cat > epri.py <<'PY'
import os
import sys

import py_dss_interface
from circuit import grid_kw, lines, write

epri = py_dss_interface.DSS()
if sys.argv[1] == "write":
    write(epri.text, f"how={sys.argv[2]}", f"epri_{sys.argv[2]}.dss")
else:
    print("KW", grid_kw(epri.text, lambda: epri.circuit.total_power, lines(f"epri_{sys.argv[2]}.dss")[0]))
# The library's own end is not of interest here.
sys.stdout.flush()
os._exit(0)
PY
for how in proportional uniform random; do
    "$folder/venv/bin/python" epri.py write $how >>log
    "$folder/venv/bin/python" epri.py read $how >>log
done
"$folder/venv/bin/python" - <<'PY'
import pathlib
import re
import time

import opendssdirect as dss
from circuit import grid_kw, lines, write

kw_of_epri = [int(found) for found in re.findall(r"KW (-?\d+)", pathlib.Path("log").read_text())]
files = {how: lines(f"epri_{how}.dss") for how in ("proportional", "uniform", "random")}
print(files, "kW from the grid:", kw_of_epri)
assert round(files["proportional"][1]) == files["uniform"][1] == 600 and files["random"][1] > 1e10
assert all(re.match(r"new generator.DG_\dbus1=", line) for line in files["uniform"][0])
assert kw_of_epri[:2] == [1000, 1600] and kw_of_epri[2] < -1e5


def by_capi(words, name):
    write(dss.Text.Command, words, name)
    return lines(name)


def fed_kw(generators):
    return grid_kw(dss.Text.Command, dss.Circuit.TotalPower, generators)


try:
    fed_kw(files["uniform"][0])
    refused = False
except dss.DSSException as error:
    refused = "not found" in str(error)
assert refused
for how in ("proportional", "uniform", "uniform what=PVSystem"):
    generators, kw = by_capi(f"how={how}", f"capi_{how[-5:]}.dss")
    assert round(kw) == 600 and fed_kw(generators) == 1000 and generators[0].startswith("new generator."), generators
sums = []
for count in range(4):
    sums.append(round(by_capi("how=random", f"capi_{count}.dss")[1]))
    time.sleep(1.1)
print("sums of how=random in DSS C-API:", sums)
assert any(abs(total - 600) > 6 for total in sums) and all(0 <= total <= 1200 for total in sums), sums
PY
echo "as recorded"
