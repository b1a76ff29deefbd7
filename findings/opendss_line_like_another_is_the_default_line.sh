#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. `New Line.copy like=line`, of a
# line of r1=0.3 x1=0.6 length=10, says r1 0.3 and x1 0.6, and is a line of 0.058 and 0.1206, which are the defaults of a line that
# states nothing: 2,000 kW at its end have 0.992 pu with 15 kW lost where the line itself has 0.956 and 84. Stood a `Solve` or a
# CalcVoltageBases between the two lines of the file, or does the line name a linecode, the copy is right: what it takes is
# the matrix, which is first made by a solution. The unit of length is never copied: a mile of a code in ohms per km is 0.1 ohm
# in the copy, not 0.161, and stated in feet 528 ohm. A copy of a LineCode has no unit either, and a line of 5,280 ft that names it
# is 528 ohm, too. Nothing is reported. An impedance that the copy states itself puts it right. Exits 0 while this is so.
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
SOURCE = "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000"
LINE = "New Line.line bus1=s bus2=a r1=0.3 x1=0.6 length=10"
COPY = "New Line.copy like=line bus1=s bus2=b"
CODE = "New LineCode.k nphases=3 r1=0.1 x1=0.2 c1=0 c0=0 units=km"
CODED = "New Line.line bus1=s bus2=a linecode=k length={} units={}"


def ends(*lines, kw=2000):
    """Volts at the end of the line and of its copy, and ohms of each by losses and current, as both engines have them."""
    loads = [f"New Load.{bus} bus1={bus} kv=12.47 kw={kw} pf=1 vminpu=0.1" for bus in "ab"]
    for line in ("Clear", SOURCE, *lines, *loads, "Solve"):
        epri.text(line)
        opendssdirect.Text.Command(line)
    found = []
    for bus, name in (("a", "line"), ("b", "copy")):
        opendssdirect.Circuit.SetActiveBus(bus)
        epri.circuit.set_active_bus(bus)
        volts = opendssdirect.Bus.VMagAngle()[0], epri.bus.vmag_angle[0]
        opendssdirect.Circuit.SetActiveElement(f"Line.{name}")
        epri.circuit.set_active_element(f"Line.{name}")
        lost = opendssdirect.CktElement.Losses()[0], epri.cktelement.losses[0]
        amps = opendssdirect.CktElement.CurrentsMagAng()[0], epri.cktelement.currents_mag_ang[0]
        mine, theirs = ((round(v), round(w / 1000, 1), round(w / 3 / i**2, 3)) for v, w, i in zip(volts, lost, amps))
        assert mine == theirs, (lines, mine, theirs)
        found.append(mine)
    return found


def by_hand(z, kw=2000):
    """Volts behind z ohms and kW lost in it, of a load of constant power without vars."""
    source, load = 12470 / 3**0.5, kw * 1000 / 3
    # |source|^2 = |v + z * load / v|^2 is quadratic in v^2.
    b = source**2 - 2 * z.real * load
    v = ((b + (b**2 - 4 * (abs(z) * load) ** 2) ** 0.5) / 2) ** 0.5
    return v, 3 * z.real * (load / v) ** 2 / 1000


def stated(name):
    answers = []
    for word in ("r1", "x1", "units"):
        opendssdirect.Text.Command(f"? Line.{name}.{word}")
        answers.append(opendssdirect.Text.Result())
    return answers


plain = ends(LINE, COPY)
print("volts, kW lost and ohms of a line and its copy:", *plain, "which says", *stated("copy"))
assert stated("copy") == ["0.3", "0.6", "none"], stated("copy")
for (volts, lost, ohms), z in zip(plain, (3 + 6j, 0.58 + 1.206j)):
    print("  by hand:", *(round(x, 1) for x in by_hand(z)))
    assert abs(by_hand(z)[0] - volts) < 2 and abs(by_hand(z)[1] - lost) < 0.1 and abs(ohms - z.real) < 0.005, (plain, z)
solved, based = ends(LINE, "Solve", COPY), ends(LINE, "CalcVoltageBases", COPY)
again = ends(LINE, COPY + " r1=0.3")
coded = ends(CODE, "New Line.line bus1=s bus2=a linecode=k length=10", COPY)
print("copied after a solution:", *solved, "with its own r1:", *again, "of a code:", *coded)
assert solved[1] == based[1] == again[1] == plain[0] and coded[1] == coded[0], (solved, based, again, coded)
mile = ends(CODE, CODED.format(1, "mi"), COPY)
feet = ends(CODE, CODED.format(5280, "ft"), COPY, kw=100)
code = ends(CODE, CODED.format(5280, "ft"), "New LineCode.l like=k", COPY.replace("like=line", "linecode=l length=5280 units=ft"), kw=100)
print("ohms of a mile:", mile[0][2], mile[1][2], "of 5280 ft:", feet[0][2], feet[1][2], "by a copied code:", code[1][2])
assert mile[0][2] == feet[0][2] == round(0.1 * 1.609344, 3) and mile[1][2] == 0.1, (mile, feet)
assert abs(feet[1][2] - 528) < 0.5 and abs(code[1][2] - 528) < 0.5, (feet, code)
PY
echo "as recorded"
