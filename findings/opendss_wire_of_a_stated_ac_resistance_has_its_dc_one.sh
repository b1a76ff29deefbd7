#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. Of a WireData that states both its
# resistances, as tables of conductors have them (rac at 75 degrees, rdc at 20), a line of wires takes the DC one with a little for the
# skin, and Rac counts for nothing: 0.306 and 0.278 ohm per mile are 0.373 in the matrix where rac alone is 0.395, losses are 97.7 kW for
# 105.6. Stated ten times too large, rac=3.06, changes no digit. It is so with the earth as it is unless stated (EarthModel=Deri); with
# Carson it is the other way round, Rac alone counts, 632 kW. And Rdc follows Rac when the wire is made and never again: `Edit WireData.w
# rac=3.06` before any line is made says 3.06 and leaves the losses as they were. Nothing is reported, so a conductor's heat, or a wire
# exchanged by its Rac, changes nothing in a loss or a voltage. Exits 0 while this is so.
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
def losses_kw(text, watts, wire, earth="", edit=""):
    """Losses of five miles of a line of three such wires that feeds 3,000 kW, as its impedances have them."""
    for line in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
        *([f"Set EarthModel={earth}"] if earth else []),
        f"New WireData.w gmrac=0.0244 gmrunits=ft {wire} runits=mi diam=0.721 radunits=in normamps=530",
        *([edit] if edit else []),
        "New LineGeometry.g nconds=3 nphases=3 cond=1 wire=w x=-4 h=28 units=ft cond=2 wire=w x=-1.5 h=28 cond=3 wire=w x=3 h=28",
        "New Line.l bus1=s bus2=b geometry=g length=5 units=mi",
        "New Load.d bus1=b kv=12.47 kw=3000 pf=0.95",
        "Solve",
    ):
        text(line)
    return round(watts(), 1)


def of_epri():
    return epri.circuit.line_losses[0]


def of_capi():
    return dss.Circuit.LineLosses()[0]


for engine, text, watts in (("DSS C-API", dss.Text.Command, of_capi), ("EPRI", epri.text, of_epri)):
    found = {
        "rac": losses_kw(text, watts, "rac=0.306"),
        "rac and rdc": losses_kw(text, watts, "rac=0.306 rdc=0.278"),
        "rac ten times": losses_kw(text, watts, "rac=3.06 rdc=0.278"),
        "carson": losses_kw(text, watts, "rac=0.306 rdc=0.278", "Carson"),
        "carson, rac ten times": losses_kw(text, watts, "rac=3.06 rdc=0.278", "Carson"),
        "rac edited": losses_kw(text, watts, "rac=0.306", "", "Edit WireData.w rac=3.06"),
        "rdc edited": losses_kw(text, watts, "rac=0.306", "", "Edit WireData.w rdc=3"),
    }
    print(engine, found)
    assert found["rac"] == found["rac edited"] == 105.6, found
    assert found["rac and rdc"] == found["rac ten times"] == 97.7, found
    assert (found["carson"], found["carson, rac ten times"]) == (107.3, 632.2), found
    assert found["rdc edited"] > 600, found
PY
echo "as recorded"
