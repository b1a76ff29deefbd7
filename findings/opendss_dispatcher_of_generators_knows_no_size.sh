#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. A GenDispatcher holds the power of
# a line at its kWLimit by setting generators' kW, and neither their kW nor their kVA limits it: a generator of 100 kW and 120 kVA gives
# 2,035 kW to hold a load of 7,000 at 5,000, and 5,072 kW where the load is 10,000. Its kVA is still 120, and its kW now says 2,035. With
# one of 3,000 kW and 3,600 kVA beside it both get the same 457 kW on top: the small one stands at 5.6 times its size, the large one has
# room left. Downwards the end is 1 kW: a generator of 2,000 kW whose dispatcher states no limit stands at 1, since 8,000 kW are
# allowed unless stated, and customers are fed by the grid. Without a list it takes every generator of the circuit, also one on the other
# side of the line, which changes nothing there, and gives it as much (4,987 kW). All converge and nothing is reported, so the unit that
# a site needs beside it to stay within a grid limit is always as large as it has to be. Exits 0 while this is so.
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


def dispatched(load_kw, generators, dispatcher):
    """kW of each generator and of the line, the same in both engines; and what the first generator says of itself."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        "New Line.head bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        f"New Load.customers bus1=b kv=12.47 kw={load_kw} pf=0.95",
        *(f"New Generator.{name} bus1={bus} kv=12.47 kw={kw} kva={1.2 * kw} pf=1" for name, (bus, kw) in generators.items()),
        f"New GenDispatcher.d element=Line.head terminal=1 {dispatcher}",
        "Set maxcontroliter=100",
        "Solve",
    )
    for line in circuit:
        dss.Text.Command(line)
        epri.text(line)
    assert dss.Solution.Converged() and epri.solution.converged == 1
    found = []
    for name in (*(f"Generator.{name}" for name in generators), "Line.head"):
        dss.Circuit.SetActiveElement(name)
        epri.circuit.set_active_element(name)
        mine, theirs = (sum(powers[0:6:2]) for powers in (dss.CktElement.Powers(), epri.cktelement.powers))
        assert abs(mine - theirs) < 0.1, (name, mine, theirs)
        found.append(round(abs(mine)))
    said = []
    for word in ("kw", "kva"):
        dss.Text.Command(f"? Generator.{next(iter(generators))}.{word}")
        said.append(round(float(dss.Text.Result())))
    return found, said


LIMIT = "kwlimit=5000 kwband=100 genlist=(small)"
SMALL, LARGE = {"small": ("b", 100)}, {"large": ("b", 3000)}
of_7, of_10 = dispatched(7000, SMALL, LIMIT), dispatched(10000, SMALL, LIMIT)
both = dispatched(7000, SMALL | LARGE, "kwlimit=3000 kwband=100 genlist=(small large)")
no_limit = dispatched(3000, {"unit": ("b", 2000)}, "genlist=(unit)")
before = dispatched(10000, SMALL | {"before": ("s", 100)}, "kwlimit=5000 kwband=100")
print("kW of generators and of the line, kW and kVA that the first one says it has")
print("  100 kW, load of 7,000:", *of_7)
print("  100 kW, load of 10,000:", *of_10)
print("  100 and 3,000 kW:", *both)
print("  2,000 kW, no limit stated, load of 3,000:", *no_limit)
print("  100 kW and 100 kW on the other side, no list:", *before)
assert of_7 == ([2035, 4985], [2035, 120]), of_7
assert of_10 == ([5072, 4952], [5072, 120]), of_10
assert both[0][0] == 557 and both[0][1] == 3457 and both[1] == [557, 120], both
assert no_limit == ([1, 3005], [1, 2400]), no_limit
assert before[0][:2] == [4987, 4987], before
PY
echo "as recorded"
