#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. AllocateLoads scales customers
# that are stated by their transformer's kVA (xfkva) until the meter carries its measured peak, and where nobody stated one that is 400 A
# (peakcurrent). A customer behind 1,000 kVA who took 500 kW takes 6,389 after it, 7,556 after a second time, and says an allocation factor
# of 7.6 of his transformer: nothing limits it, and Status=Fixed does not keep him out. Customers by kWh get the same by their CFactor
# (75.5 for 4), those by kW nothing. peakcurrent=[60], one value, is 60 A on the first phase and 0 on the others: a third of the
# peak, 432 kW for 1,294. Nor does a stated peak hold where something feeds in: with a generator of 800 kW in the zone the meter has 12 of
# its 40 A after it and 21 after five times. All converge and nothing is reported, so the base case of a feeder hangs on a number
# that is not in its file. Exits 0 while this is so.
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


def allocated(customer, peak="", times=1, others=(), ask="allocationfactor"):
    """kW of the customer and A at the meter before and after each AllocateLoads, the same in both engines; and the customer's factor."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        "New Line.head bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        f"New Load.x bus1=b kv=12.47 pf=1 {customer}",
        *others,
        f"New EnergyMeter.m element=Line.head terminal=1 {peak}",
        "Solve",
        *["AllocateLoads", "Solve"] * times,
    )
    found = []
    for line in circuit:
        dss.Text.Command(line)
        epri.text(line)
        if line != "Solve":
            continue
        read = []
        for name in ("Load.x", "Line.head"):
            dss.Circuit.SetActiveElement(name)
            epri.circuit.set_active_element(name)
            mine, theirs = (sum(powers[0:6:2]) for powers in (dss.CktElement.Powers(), epri.cktelement.powers))
            assert abs(mine - theirs) < 0.5, (name, mine, theirs)
            read.append(mine)
        amps = dss.CktElement.CurrentsMagAng()[0]
        found.append((round(read[0]), round(amps)))
    dss.Text.Command(f"? Load.x.{ask}")
    return found, round(float(dss.Text.Result()), 1)


PLAIN = ("New Load.y bus1=b kv=12.47 kw=1000 pf=1",)
unstated = allocated("xfkva=1000", times=2, others=PLAIN)
fixed = allocated("xfkva=1000 status=fixed", times=2, others=PLAIN)
energy = allocated("kwh=72000 kwhdays=30", times=2, others=PLAIN, ask="cfactor")
by_kw = allocated("kw=500", others=PLAIN)
three, one = allocated("xfkva=1000", "peakcurrent=[60 60 60]"), allocated("xfkva=1000", "peakcurrent=[60]")
fed = {
    kw: allocated("xfkva=2000", f"peakcurrent=[{peak} {peak} {peak}]", 5, (f"New Generator.g bus1=b kv=12.47 kw={kw} pf=1",))
    for kw, peak in ((200, 40), (800, 40))
}
print("kW of the customer and A at the meter, before and after each time; factor")
print("  no peak stated:", *unstated)
print("  the same, Status=Fixed:", *fixed)
print("  by kWh, no peak stated, CFactor:", *energy)
print("  by kW, no peak stated:", *by_kw)
print("  60 A stated three times:", *three, "once:", *one)
for kw, figures in fed.items():
    print(f"  beside a generator of {kw} kW:", *figures)
assert unstated == fixed == ([(500, 70), (6389, 344), (7556, 399)], 7.6), (unstated, fixed)
assert energy[0][0] == (400, 65) and energy[0][-1][1] == 399 and energy[1] == 75.5, energy
assert by_kw[0] == [(500, 70)] * 2, by_kw
assert three == ([(500, 23), (1294, 60)], 1.3) and one == ([(500, 23), (432, 20)], 0.4), (three, one)
assert fed[200][0][-1][1] == 40 and [amps for _, amps in fed[800][0][1:]] == [12, 14, 17, 19, 21], fed
PY
echo "as recorded"
