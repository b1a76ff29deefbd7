#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. RelCalc counts faults of
# lines, and of the linecode's FaultRate, PctPerm and Repair, which are read without complaint, it takes none: a mile of a code
# of 0.5 faults a year, 60 % of them permanent, 8 hours each, is 0.02 interruptions and 0.06 hours a year for its customers, not
# 0.3 and 2.4. These are a line's defaults (0.1, 20 % and 3 hours), though ratings and impedances of the code are taken. Stated
# on the line it is 0.3 and 2.4. And the rate is one per unit of length, whatever the unit: the mile written as 5,280 ft with
# the same code has 105.6 interruptions and 316.8 hours a year, as 1.609 km 0.032, while impedance and losses follow the unit
# and are the same in all three. Nothing is reported. Exits 0 while this is so.
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
FAULTS = "faultrate=0.5 pctperm=60 repair=8"


def year(line, code=""):
    """Interruptions and hours a year of 100 customers behind the line, its watts lost and its normal amperes."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=200 mvasc1=200",
        f"New LineCode.k nphases=3 r1=0.5 x1=0.5 r0=0.5 x0=0.5 c1=0 c0=0 units=mi normamps=250 {code}",
        f"New Line.l bus1=s bus2=a linecode=k {line}",
        "New Load.homes bus1=a kv=12.47 kw=900 numcust=100",
        "New Recloser.r monitoredobj=Line.l monitoredterm=1 phasetrip=1000 groundtrip=1000",
        "New EnergyMeter.m element=Line.l terminal=1",
        "Solve",
        "RelCalc",
    )
    for text in circuit:
        epri.text(text)
        opendssdirect.Text.Command(text)
    opendssdirect.Meters.Name("m")
    epri.meters.name = "m"
    opendssdirect.Circuit.SetActiveElement("Line.l")
    epri.circuit.set_active_element("Line.l")
    mine = opendssdirect.Meters.SAIFI(), opendssdirect.Meters.SAIDI(), opendssdirect.CktElement.Losses()[0]
    theirs = epri.meters.saifi, epri.meters.saidi, epri.cktelement.losses[0]
    assert all(abs(a - b) < 1e-6 * abs(a) for a, b in zip(mine, theirs)), (mine, theirs)
    return round(mine[0], 4), round(mine[1], 4), round(mine[2]), round(opendssdirect.CktElement.NormalAmps())


def by_hand(miles, rate, permanent, hours):
    interruptions = miles * rate * permanent / 100
    return round(interruptions, 4), round(interruptions * hours, 4)


found = {
    "mile, by its code": year("length=1 units=mi", FAULTS),
    "feet, by its code": year("length=5280 units=ft", FAULTS),
    "km, by its code": year("length=1.609344 units=km", FAULTS),
    "mile, by itself": year(f"length=1 units=mi {FAULTS}"),
    "mile, by nobody": year("length=1 units=mi"),
}
assert year("length=1 units=mi", FAULTS) == found["mile, by its code"], found
for word, value in (("FaultRate", 0.5), ("PctPerm", 60), ("Repair", 8)):
    opendssdirect.Text.Command(f"? LineCode.k.{word}")
    assert float(opendssdirect.Text.Result()) == float(epri.text(f"? LineCode.k.{word}")) == value, word
print("\ninterruptions, hours, W lost, normal A")
for name, values in found.items():
    print(f"  {name:18s}", *values)
print("by hand as stated:", *by_hand(1, 0.5, 60, 8), "of the defaults:", *by_hand(1, 0.1, 20, 3))
assert found["mile, by itself"][:2] == by_hand(1, 0.5, 60, 8) == (0.3, 2.4), found
assert found["mile, by its code"] == found["mile, by nobody"] and found["mile, by nobody"][:2] == by_hand(1, 0.1, 20, 3), found
assert found["feet, by its code"][:2] == by_hand(5280, 0.1, 20, 3) == (105.6, 316.8), found
assert found["km, by its code"][:2] == by_hand(1.609344, 0.1, 20, 3), found
assert len({values[2:] for values in found.values()}) == 1 and found["mile, by nobody"][3] == 250, found
PY
echo "as recorded"
