#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) beside py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1): one line of BatchEdit, two
# circuits. Of loads s1, s2, s10, bus1 and axs1y, 20 kW each, `BatchEdit Load.s1 kw=500` changes s1 alone in EPRI's engine (580 kW),
# and in DSS C-API each load that has s1 anywhere in its name, s10, bus1 and axs1y with it (2,020 kW). `Load.s.*`, `Load.s\d+` and
# `Load.^s1$` change none in EPRI's, which knows whole names and `.*` (all) only, and 5, 5 and 1 in the other: 100 kW here and
# 2,500 there, both converged. What EPRI's answers, "Elements edited: 5", is how many loads there are, whatever it changed, also
# where no name fits; DSS C-API answers nothing. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()
NAMES = ("s1", "s2", "s10", "bus1", "axs1y")


def changed(pattern):
    """The loads that a batch edit from 20 to 500 kW reaches, kW drawn from the source, and the answer: EPRI's engine, then DSS C-API."""
    loads = [f"New Load.{name} bus1=s kv=12.47 kw=20 pf=1" for name in NAMES]
    for line in ("Clear", "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000", *loads):
        epri.text(line)
        opendssdirect.Text.Command(line)
    answer = epri.text(f"BatchEdit Load.{pattern} kw=500")
    opendssdirect.Text.Command(f"BatchEdit Load.{pattern} kw=500")
    assert opendssdirect.Text.Result() == "", pattern
    theirs, mine = [], []
    for name in NAMES:
        opendssdirect.Text.Command(f"? Load.{name}.kw")
        mine += [name] if float(opendssdirect.Text.Result()) == 500 else []
        theirs += [name] if float(epri.text(f"? Load.{name}.kw")) == 500 else []
    epri.text("Solve")
    opendssdirect.Text.Command("Solve")
    kw = round(-epri.circuit.total_power[0]), round(-opendssdirect.Circuit.TotalPower()[0])
    assert kw == tuple(100 + 480 * len(names) for names in (theirs, mine)), (pattern, kw)
    return theirs, mine, kw, answer


found = {pattern: changed(pattern) for pattern in (".*", "s1", "s.*", r"s\d+", "^s1$", "none")}
for pattern, (theirs, mine, kw, answer) in found.items():
    print(f"\nLoad.{pattern}: EPRI's {theirs} {kw[0]} kW and {answer!r}, DSS C-API {mine} {kw[1]} kW")
ALL = list(NAMES)
assert all(answer == "Elements edited: 5" for *_, answer in found.values()), found
assert [found[p][0] for p in found] == [ALL, ["s1"], [], [], [], []], found
assert [found[p][1] for p in found] == [ALL, ["s1", "s10", "bus1", "axs1y"], ALL, ALL, ["s1"], []], found
PY
echo "as recorded"
