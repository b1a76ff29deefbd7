#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. An AutoTrans of 115/69 kV and
# 30 MVA takes its 30 MVA for what passes through it where its impedance counts (xhx=5: voltage and losses are those of a two-winding
# Transformer of 30 MVA and xhl=5), and for what its series winding transforms where its rating does: its kVA over 46 kV, 414 A, not over
# 115 kV, 166 A. So with 40 MW behind it `Export Capacity` has it at 49 % where the Transformer is at 123, `Export Overloads` lists
# nothing, and the meter has no Overload kWh (7,488 in an hour there); 81 MW that enter are 100 %. A stated rating is read so as well: NormHkVA=30000
# is 377 A. The nearer the two voltages, the larger the error: 2.5 at 115/69, 6 at 138/115, 1.1 at 115/13.8. And CktElement.Powers of
# its first terminal add up to 16,273 kW of the 40,272 that enter, as the winding's other end counts there. Nothing is
# reported, so a substation that is served by an autotransformer hosts what it cannot carry. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import csv
import os

import opendssdirect as dss
import py_dss_interface

FOLDER = os.getcwd()
epri = py_dss_interface.DSS()
UNITS = {
    "AutoTrans": "windings=2 buses=(s b) xhx=5",
    "Transformer": "windings=2 buses=(s b) conns=(wye wye) xhl=5",
}


def exported(text, report):
    """Rows of a report, words without their blanks."""
    text(f"Set datapath={FOLDER}")
    name = text(f"Export {report}")
    with open(name) as file:
        return [[word.strip(' "') for word in row] for row in csv.reader(file) if row]


def asked(command):
    dss.Text.Command(command)
    return dss.Text.Result()


def loaded(kind, mw, kvs="115 69", words=""):
    """Of both engines: A, rating in A, % of it in Export Capacity, kW there, rows of Export Overloads, Overload kWh, kW by Powers, pu."""
    circuit = (
        "Clear",
        f"New Circuit.c basekv={kvs.split()[0]} bus1=s mvasc3=3000 mvasc1=3000",
        f"New {kind}.t {UNITS[kind]} kvs=({kvs}) kvas=(30000 30000) %loadloss=0.5 {words}",
        f"New Load.site bus1=b kv={kvs.split()[1]} kw={1000 * mw} pf=1 vminpu=0.8",
        f"New EnergyMeter.m element={kind}.t terminal=1",
        f"Set voltagebases=[{kvs}]",
        "CalcVoltageBases",
        "Set mode=daily number=1 stepsize=1h",
        "Solve",
    )
    found = []
    for text, circuit_api, element in ((asked, dss.Circuit, dss.CktElement), (epri.text, epri.circuit, epri.cktelement)):
        for line in circuit:
            text(line)
        row = exported(text, "Capacity")[1]
        rows = exported(text, "Meters")  # a row more with each export
        meter = dict(zip(rows[0], rows[-1]))
        over = len(exported(text, "Overloads")) - 1
        mine = text is asked
        (circuit_api.SetActiveElement if mine else circuit_api.set_active_element)(f"{kind}.t")
        powers, rating = (element.Powers(), element.NormalAmps()) if mine else (element.powers, element.norm_amps)
        first = sum(powers[0 : len(powers) // 2 : 2])
        (circuit_api.SetActiveBus if mine else circuit_api.set_active_bus)("b")
        pu = (dss.Bus.puVmagAngle() if mine else epri.bus.vmag_angle_pu)[0]
        pu = pu / (float(kvs.split()[1]) * 1000 / 3**0.5) if pu > 100 else pu
        kwh = round(float(meter["Overload kWh Normal"]))
        found.append((*(round(float(x)) for x in (row[1], rating, row[2], row[4])), over, kwh, round(first), round(pu, 4)))
    assert found[0] == found[1], found
    return found[0]


auto, plain = loaded("AutoTrans", 40), loaded("Transformer", 40)
more, stated = loaded("AutoTrans", 80), loaded("AutoTrans", 40, words="normhkva=30000")
print("A, rated A, % in Capacity, kW there, rows of Overloads, Overload kWh, kW by Powers, pu")
print("  AutoTrans, 40 MW:  ", *auto)
print("  Transformer, 40 MW:", *plain)
print("  AutoTrans, 80 MW:  ", *more)
print("  AutoTrans, 40 MW, NormHkVA=30000:", *stated)
assert auto == (204, 414, 49, 40272, 0, 0, 16273, 0.9867), auto
assert plain == (204, 166, 123, 40272, 1, 7488, 40272, 0.9867), plain
assert more[2] == 100 and stated[1] == 377, (more, stated)
ratios = {}
for kvs in ("115 69", "138 115", "115 13.8"):
    ratios[kvs] = round(loaded("AutoTrans", 10, kvs)[1] / loaded("Transformer", 10, kvs)[1], 1)
print("rating of an AutoTrans over that of a Transformer:", ratios)
assert ratios == {"115 69": 2.5, "138 115": 6.0, "115 13.8": 1.1}, ratios
PY
echo "as recorded"
