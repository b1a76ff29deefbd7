#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1). `New PVSystem.b like=a` is not
# another a. A plant of 1,000 kW that is held at %Pmpp=60 gives 600 kW, its copy 1,000; one of pf=0.9 with WattPriority gives 1,000 kW
# and no vars, its copy 875 kW and 484 kvar, as does that of one with PFPriority, which itself gives 900 and 436. The copy of a
# transformer has neither its %imag (20 kvar of 1,000 kVA at 2 %) nor its LeadLag: the low side of a delta-wye unit leads by 30
# degrees, that of its copy lags by 30. Of two regulators with line drop compensation the first stops at 124.2 V for its VLimit of
# 124, its copy goes on to 126.5. Both engines do so; asked for the copy's VLimit, DSS C-API answers 0 and EPRI's 124. In DSS C-API
# alone a copied CapControl has 115 and 126 V, 15 s and 300 s for the stated Vmin, Vmax, Delay and DeadTime. Nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import math

import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()


def build(*lines):
    for line in ("Clear", "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000", *lines, "Solve"):
        epri.text(line)
        opendssdirect.Text.Command(line)


def powers(name):
    """kW and kvar that enter the element's first three phases, in DSS C-API and in EPRI's engine."""
    opendssdirect.Circuit.SetActiveElement(name)
    epri.circuit.set_active_element(name)
    both = opendssdirect.CktElement.Powers(), epri.cktelement.powers
    return [(abs(round(sum(p[0:6:2]))), abs(round(sum(p[1:6:2])))) for p in both]


def voltages(bus):
    """Volts and degrees of the bus's first phase in both."""
    opendssdirect.Circuit.SetActiveBus(bus)
    epri.circuit.set_active_bus(bus)
    return [(round(v[0], 1), round(v[1])) for v in (opendssdirect.Bus.VMagAngle(), epri.bus.vmag_angle)]


def asked(name, *words):
    answers = []
    for word in words:
        opendssdirect.Text.Command(f"? {name}.{word}")
        answers.append((float(opendssdirect.Text.Result()), float(epri.text(f"? {name}.{word}"))))
    return answers


vars_of_all = 1000 * math.tan(math.acos(0.9))
cut = round((1000**2 - vars_of_all**2) ** 0.5), round(vars_of_all)
steady = 900, round(1000 * math.sin(math.acos(0.9)))
print("\nPV system: itself, its copy (kW and kvar in DSS C-API and EPRI's)")
for words, itself, copied in (
    ("%pmpp=60", (600, 0), (1000, 0)),
    ("pf=0.9 wattpriority=yes", (1000, 0), cut),
    ("pf=0.9 pfpriority=yes", steady, cut),
):
    build(f"New PVSystem.a bus1=s kv=12.47 kva=1000 pmpp=1000 {words}", "New PVSystem.b like=a bus1=s")
    found = powers("PVSystem.a"), powers("PVSystem.b")
    print(f"  {words}:", *found)
    assert found == ([itself] * 2, [copied] * 2), found
    assert cut == (875, 484) and steady == (900, 436)

UNIT = "kvs=(12.47 0.48) kvas=(1000 1000) xhl=6 %loadloss=1 %noloadloss=0.2 %imag=2 conns=(delta wye) leadlag=lead"
build(f"New Transformer.a buses=(s x) {UNIT}", "New Transformer.b like=a buses=(s y)")
taken, sides = [powers(f"Transformer.{n}") for n in "ab"], [voltages(bus) for bus in "xy"]
print("transformer and copy, kW and kvar of no load:", *taken, "volts and degrees:", *sides)
assert taken == [[(2, 20)] * 2, [(2, 0)] * 2], taken
assert [degrees for side in sides for _, degrees in side] == [30, 30, -30, -30], sides

# Two regulators at 122 V whose compensators add 7 V at 700 A, 5 V at the 509 A of 11 MW, and a limit of 124 V.
REGULATED = [f"New Transformer.{t} buses=(s {t}) kvs=(12.47 12.47) kvas=(20000 20000) xhl=0.1 wdg=2 numtaps=32" for t in "ab"]
COMPENSATED = "winding=2 vreg=122 band=2 ptratio=60 ctprim=700 r=7 x=0 vlimit=124"
build(
    *REGULATED,
    *(f"New Load.{t} bus1={t} kv=12.47 kw=11000 pf=1 vmaxpu=1.2" for t in "ab"),
    f"New RegControl.a transformer=a {COMPENSATED}",
    "New RegControl.b like=a transformer=b",
)
ends = [[round(volts / 60, 1) for volts, _ in voltages(bus)] for bus in "ab"]
limits = asked("RegControl.a", "vlimit"), asked("RegControl.b", "vlimit")
print("V at regulator and copy:", *ends, "VLimit:", *limits)
assert limits == ([(124, 124)], [(0, 124)]), limits
assert ends == [[124.2, 124.2], [126.5, 126.5]] and abs(126.5 - 122 - 7 * 11000 / 3**0.5 / 12.47 / 700) < 1, ends

build(
    "New Line.l bus1=s bus2=a switch=yes",
    "New Capacitor.c bus1=a kv=12.47 kvar=300",
    "New CapControl.a element=Line.l capacitor=c type=kvar onsetting=200 offsetting=-200 ptratio=60 voltoverride=yes "
    "vmin=110 vmax=128 delay=60 deadtime=10",
    "New CapControl.b like=a enabled=no",
)
stated, copied = (asked(f"CapControl.{n}", "vmin", "vmax", "delay", "deadtime") for n in "ab")
print("CapControl:", *stated, "copy:", *copied)
assert stated == [(110, 110), (128, 128), (60, 60), (10, 10)], stated
assert copied == [(115, 110), (126, 128), (15, 60), (300, 10)], copied
PY
echo "as recorded"
