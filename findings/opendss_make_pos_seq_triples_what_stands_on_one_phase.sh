#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike but for the last sentence.
# MakePosSeq, which makes a circuit one of its positive sequence, divides by three what has three phases and leaves what has one,
# whose power so counts three times: 150 kW of a Generator or of a Storage on one phase are 450 kW, while a load on one phase stays
# 150. A load between two phases (phases=1 kv=12.47) keeps its 12.47 kV on a circuit of 7.2 and takes 52 kW; with conn=delta 150.
# Of a three-phase PVSystem the kVA are divided and the Pmpp is not: of 150 kW and kVA it gives 150 kW at 0.4 of the sun, for 60,
# and one of pf=0.9 at full sun (150 kW, 180 kVA) gives no watt at all and 180 kvar. Nothing is reported. In EPRI's engine
# a Storage of three phases is 450 kW as well; that one prints that it does not know kWrating. Exits 0 while this is so.
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
ONE, TWO, THREE = "phases=1 bus1=a.1 kv=7.2 ", "phases=1 bus1=a.1.2 kv=12.47 ", "bus1=a kv=12.47 "
BATTERY = "Storage.x " + THREE + "kwrated=150 kwhrated=600 state=discharging"


def powers(element, *, sequence):
    """kW and kvar that the element takes, and kW that the source gives, the same in both engines."""
    name = element.split()[0]
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
        "New Line.l bus1=s bus2=a switch=yes",
        "New Load.base bus1=a kv=12.47 kw=600 pf=1",
        f"New {element}",
        *(["MakePosSeq"] if sequence else []),
        "Solve",
    )
    for line in circuit:
        epri.text(line)
        opendssdirect.Text.Command(line)
    opendssdirect.Circuit.SetActiveElement(name)
    epri.circuit.set_active_element(name)
    n = 2 * opendssdirect.CktElement.NumConductors()
    mine, theirs = opendssdirect.CktElement.Powers(), epri.cktelement.powers
    kw = -opendssdirect.Circuit.TotalPower()[0], -epri.circuit.total_power[0]
    found = [(round(sum(p[0:n:2])), round(sum(p[1:n:2])), round(k)) for p, k in zip((mine, theirs), kw)]
    assert found[0] == found[1] or (sequence and element == BATTERY), (element, found)
    return found[0] if element != BATTERY else found


def low_voltage_share(pu, edge=0.95, low=0.5):
    """What a load of constant power takes at `pu`, below its edge: its current goes in a straight line to that of an impedance."""
    return pu * (low + (pu - low) / (edge - low) * (1 / edge - low))


third = round(150 * low_voltage_share(3**-0.5))
lit = "kva=150 pmpp=150 irradiance=0.4"
# Element, kW and kvar before, and after: by what is divided by three and what is not, times three.
elements = {
    "Load.x " + ONE + "kw=150 pf=1": (150, 0, 150, 0),
    "Load.x " + THREE + "kw=150 pf=1": (150, 0, 150, 0),
    "Load.x " + TWO + "kw=150 pf=1": (150, 0, third, 0),
    "Load.x " + TWO + "conn=delta kw=150 pf=1": (150, 0, 150, 0),
    "Generator.x " + ONE + "kw=150 pf=1": (-150, 0, -3 * 150, 0),
    "Generator.x " + THREE + "kw=150 pf=1": (-150, 0, -150, 0),
    "Storage.x " + ONE + "kwrated=150 kwhrated=600 state=discharging": (-150, 0, -3 * 150, 0),
    "PVSystem.x " + ONE + lit: (-60, 0, -3 * 60, 0),
    "PVSystem.x " + THREE + lit: (-60, 0, -3 * min(60, round(150 / 3)), 0),
    "PVSystem.x " + THREE + "kva=180 pmpp=150 pf=0.9": (-150, -73, 0, -180),
}
assert third == 52, third
print("\nkW and kvar before and after, kW of the source before and after")
for element, due in elements.items():
    before, after = powers(element, sequence=False), powers(element, sequence=True)
    print(f"  {element:77s}", *before[:2], "/", *after[:2], "source", before[2], "/", after[2])
    assert before[:2] + after[:2] == due, (element, before, after)
    # The base of 600 kW comes through, so that the source's kW differ by what the element's do.
    assert abs(before[2] - before[0] - 600) <= 3 and abs(after[2] - after[0] - 600) <= 3, (element, before, after)
battery = powers(BATTERY, sequence=False), powers(BATTERY, sequence=True)
print(f"  {BATTERY} (DSS C-API, EPRI's):", *battery)
assert battery == ([(-150, 0, 450)] * 2, [(-150, 0, 450), (-450, 0, 150)]), battery
PY
echo "as recorded"
