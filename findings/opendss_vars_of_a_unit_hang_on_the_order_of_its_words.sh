#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike unless said. `kw=100 kvar=75` is 75
# kvar for a load, a generator and a storage. `kvar=75 kw=100` is 54 kvar for the load (the default power factor of 0.88), 7.5 for the
# generator and 75 for the storage; with pf=0.9 behind both words the load keeps 75 and the others take 48.4, and a later `Edit pf=0.95`
# changes the others and not the load. Doubled by `Edit kw=200`, load and generator have 150 kvar, the storage 75. A load of `kva=125
# kvar=75` is one of 10 kW. One that was made as `kw=0 kvar=0`, to be sized later, has 108 kvar at 200 kW in DSS C-API and none in EPRI's;
# one of `kw=0 kvar=75` is then NaN in the one and 0 kW with 666 Mvar, converged, in the other. No message in any of these. Exits 0 while
# this is so.
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
UNITS = {"Load": "", "Generator": "", "Storage": "kva=300 kwrated=300 kwhrated=1000 state=discharging"}


def power(text, total, kind, words, *edits):
    """kW and kvar that a unit of so many words takes or gives after its edits, and whether the solution converged."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        f"New {kind}.x bus1=s kv=12.47 {UNITS[kind]} {words}",
        *(f"Edit {kind}.x {edit}" for edit in edits),
        "Solve",
    ):
        text(line)
    kw, kvar = total()[:2]
    sign = -1 if kind == "Load" else 1
    return tuple(round(float(sign * value), 1) + 0.0 for value in (kw, kvar))


def of_capi():
    return dss.Circuit.TotalPower()


def of_epri():
    return epri.circuit.total_power


CASES = {
    "kw, kvar": ("kw=100 kvar=75",),
    "kvar, kw": ("kvar=75 kw=100",),
    "kw, kvar, pf": ("kw=100 kvar=75 pf=0.9",),
    "pf edited": ("kw=100 kvar=75", "pf=0.95"),
    "kw edited": ("kw=100 kvar=75", "kw=200"),
}
EXPECTED = {
    "kw, kvar": {"Load": (100, 75), "Generator": (100, 75), "Storage": (100, 75)},
    "kvar, kw": {"Load": (100, 54), "Generator": (100, 7.5), "Storage": (100, 75)},
    "kw, kvar, pf": {"Load": (100, 75), "Generator": (100, 48.4), "Storage": (100, 48.4)},
    "pf edited": {"Load": (100, 75), "Generator": (100, 32.9), "Storage": (100, 32.9)},
    "kw edited": {"Load": (200, 150), "Generator": (200, 150), "Storage": (200, 75)},
}
for engine, text, total in (("DSS C-API", dss.Text.Command, of_capi), ("EPRI", epri.text, of_epri)):
    found = {case: {kind: power(text, total, kind, *words) for kind in UNITS} for case, words in CASES.items()}
    print(engine, found)
    assert found == EXPECTED, found
    assert power(text, total, "Load", "kva=125 kvar=75") == (10, 75)
    later = {words: power(text, total, "Load", words, "kw=200") for words in ("kw=0 kvar=0", "kw=0 kvar=75")}
    print("made as nothing, 200 kW later:", later)
    if engine == "EPRI":
        assert later["kw=0 kvar=0"] == (200, 0) and epri.solution.converged, later
        assert later["kw=0 kvar=75"][0] == 0 and later["kw=0 kvar=75"][1] > 6e5, later
    else:
        assert later["kw=0 kvar=0"] == (200, 107.9), later
        assert all(value != value for value in later["kw=0 kvar=75"]), later
PY
echo "as recorded"
