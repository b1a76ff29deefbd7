#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5). `Distribute kw=600` writes a file of generators at the loads, 600 kW in all, which is how
# hosting studies spread theirs. how=proportional and how=uniform come to that. With how=random each is between nothing and twice the
# mean, and nothing brings the sum to 600: for three loads it is anything to 1,200, another every second, so that a hundred draws "of
# 600 kW" are a hundred amounts. what=PVSystem writes generators, too. Nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import pathlib
import re
import time

import opendssdirect as dss

# The engine leaves the folder that it is started in.
FOLDER = pathlib.Path.cwd().resolve()
CIRCUIT = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
    "New Load.a bus1=s kv=12.47 kw=1000 pf=1",
    "New Load.b bus1=s.1 phases=1 kv=7.2 kw=100 pf=1",
    "New Load.c bus1=s kv=12.47 kw=500 pf=1",
)


def written(words):
    """Generators for 600 kW in that circuit as the engine writes them, and the sum of their kW."""
    file = FOLDER / "written.dss"
    file.unlink(missing_ok=True)
    for line in (*CIRCUIT, f"Distribute kw=600 {words} file={file}"):
        dss.Text.Command(line)
    found = [line for line in file.read_text().splitlines() if line.startswith("new ")]
    return found, round(sum(float(re.search(r"kW=(\S+)", line).group(1)) for line in found))


def grid_kw(generators):
    for line in (*CIRCUIT, *generators, "Solve"):
        dss.Text.Command(line)
    return -round(dss.Circuit.TotalPower()[0])


for how in ("proportional", "uniform", "uniform what=PVSystem"):
    generators, kw = written(f"how={how}")
    print(how, kw, "kW,", grid_kw(generators), "kW from the grid")
    assert kw == 600 and grid_kw(generators) == 1000 and all(line.startswith("new generator.") for line in generators)
sums = []
for _ in range(4):
    sums.append(written("how=random")[1])
    time.sleep(1.1)
print("random:", sums)
assert any(abs(total - 600) > 6 for total in sums) and all(0 <= total <= 1200 for total in sums), sums
PY
echo "as recorded"
