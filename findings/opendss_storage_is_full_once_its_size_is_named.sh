#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. Naming the size of a Storage
# (kwhrated) fills it. `kwhrated=4000 %stored=50` holds 2,000 kWh and gives 1,000 kW for one hour above its reserve of 25 %; `%stored=50
# kwhrated=4000` holds 4,000 and gives it for three, as does kwhstored=2000 before the size. Between two solutions of a day it is the
# same: after two hours of discharge a battery of 4,000 kWh holds 2,000, `Edit Storage.s kwhrated=4000`, the size that it has, makes it
# 4,000 again, and the same day brings 5 hours of 1,000 kW where it had 3. Naming kwrated, the power, does not. Nothing is reported, so a
# sweep over sizes by edits begins each with a full battery, whatever was stated, and a circuit whose file writes its words in another
# order is another one. Exits 0 while this is so.
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
LOSSLESS = "%effdischarge=100 %effcharge=100 %idlingkw=0"


def capi(line):
    dss.Text.Command(line)
    return dss.Text.Result()


def day(text, total, words, edit=None, hours=8):
    """kWh held at first, and the kW that a discharging battery gives in each hour; with an edit after two of them."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        f"New Storage.s bus1=s kv=12.47 kwrated=1000 kva=1000 %reserve=25 {words} state=discharging {LOSSLESS}",
        "Set mode=daily number=1 stepsize=1h",
    ):
        text(line)
    held = round(float(text("? Storage.s.kwhstored")))
    given = []
    for hour in range(hours):
        if hour == 2 and edit:
            text(f"Edit Storage.s {edit}")
        text("Solve")
        given.append(round(total()[0]))
    return held, [kw for kw in given if kw]


def of_epri():
    return epri.circuit.total_power


for engine, text, total in (("DSS C-API", capi, dss.Circuit.TotalPower), ("EPRI", epri.text, of_epri)):
    found = {
        "size, share": day(text, total, "kwhrated=4000 %stored=50"),
        "share, size": day(text, total, "%stored=50 kwhrated=4000"),
        "kWh, size": day(text, total, "kwhstored=2000 kwhrated=4000"),
        "full": day(text, total, "kwhrated=4000"),
        "full, size named": day(text, total, "kwhrated=4000", "kwhrated=4000"),
        "full, power named": day(text, total, "kwhrated=4000", "kwrated=1000"),
    }
    print(engine, found)
    assert found["size, share"] == (2000, [1000]), found
    assert found["share, size"] == found["kWh, size"] == found["full"] == found["full, power named"] == (4000, [1000] * 3), found
    assert found["full, size named"] == (4000, [1000] * 5), found
PY
echo "as recorded"
