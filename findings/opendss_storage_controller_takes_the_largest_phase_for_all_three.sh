#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A StorageController that shaves a
# feeder to kWTarget=1500 discharges 1,000 kW where the feeder takes 1,400: it looks at the phase with the most power and takes it three
# times (MonPhase is MAX unless stated, as its help says), and 1,000, 200 and 200 kW on three phases count as 3,000. So it empties its
# battery in an hour and a quarter and brings the feeder to 401 kW, where nothing had to be shaved. Charging has the same eye: at 500, 100
# and 100 kW, 700 of the 1,200 up to which it may charge (kWTargetLow), it counts 1,500 and charges nothing; with MonPhase=AVG it takes
# 500 kW and the feeder has 1,201, with MonPhase=MIN it takes 900 and the feeder 1,602, a third above what it was to keep. With AVG
# the first feeder is left alone. Nothing is reported. Exits 0 while this is so.
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


def run(phases_kw, control, stored=90, steps=6):
    """kW of the battery (below zero: into the grid) and of the feeder in quarter hours, and % stored at the end, the same in both engines."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        "New Line.head bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        *(f"New Load.p{n} bus1=b.{n} phases=1 kv=7.2 kw={kw} pf=1" for n, kw in enumerate(phases_kw, start=1)),
        f"New Storage.s bus1=b kv=12.47 kwrated=1000 kva=1000 kwhrated=2000 %stored={stored} %reserve=20 state=idling",
        f"New StorageController.c element=Line.head terminal=1 modedischarge=peakshave modecharge=peakshavelow {control}",
        "Set mode=daily number=1 stepsize=15m",
    )
    for line in circuit:
        dss.Text.Command(line)
        epri.text(line)
    found = []
    for _ in range(steps):
        dss.Text.Command("Solve")
        epri.text("Solve")
        pair = []
        for name in ("Storage.s", "Line.head"):
            dss.Circuit.SetActiveElement(name)
            epri.circuit.set_active_element(name)
            mine, theirs = (sum(powers[0:6:2]) for powers in (dss.CktElement.Powers(), epri.cktelement.powers))
            assert abs(mine - theirs) < 0.1, (name, mine, theirs)
            pair.append(round(mine))
        found.append(tuple(pair))
    dss.Text.Command("? Storage.s.%stored")
    return found, round(float(dss.Text.Result()))


PEAK, VALLEY = (1000, 200, 200), (500, 100, 100)
SHAVE, FILL = "kwtarget=1500 kwtargetlow=100 ", "kwtarget=5000 kwtargetlow=1200 "
shaved = {words: run(PEAK, SHAVE + words) for words in ("", "monphase=avg")}
filled = {words: run(VALLEY, FILL + words, stored=50, steps=2) for words in ("", "monphase=avg", "monphase=min")}
print("battery and feeder in kW, quarter by quarter, and % stored at the end")
for words, figures in shaved.items():
    print(f"  1,400 kW, target 1,500 {words}:", *figures)
for words, figures in filled.items():
    print(f"  700 kW, charging up to 1,200 {words}:", *figures)
assert shaved[""][0][:5] == [(-1000, 401)] * 5 and shaved[""][0][5] == (10, 1412) and shaved[""][1] == 20, shaved
assert shaved["monphase=avg"][0] == [(10, 1412)] * 6 and shaved["monphase=avg"][1] == 90, shaved
assert filled[""][0] == [(10, 711)] * 2, filled
assert filled["monphase=avg"][0] == [(499, 1201)] * 2, filled
assert filled["monphase=min"][0] == [(900, 1602)] * 2, filled
PY
echo "as recorded"
