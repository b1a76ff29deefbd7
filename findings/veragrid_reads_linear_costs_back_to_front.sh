#!/usr/bin/env bash
# VeraGridEngine 6.5.36 (GridCal's successor), the costs of MATPOWER's cases and its linear optimal power flow. A cost of two terms
# (NCOST=2), 20 $/MWh and 5 $/h, is read in the wrong order, as 5 $/MWh and 20 $/h; with a constant of 0, as most have it, power is free: 70
# MW come from the unit of 20 $/MWh and none from that of 10, at a price of 0. In a table that is wider, as another unit has three terms,
# the 20 become the quadratic term, and quadratic terms are read, kept (Cost2) and left out of the linear optimum: case9 costs 10,492 $/h
# where the DC optimum is 5,216, at 1.20 $/MWh for 24.04, case39 13 % more, at 0.30 for 13.52, case118 42 % more, at 20.00 for 39.38.
# PYPOWER's linear optimum has all of them. Stated in three terms with 0 before them linear costs are right. Costs in pieces become 0, and
# power that shunts take (Gs) is left out. But for the pieces, which the log of reading has, nothing is reported, and all converge. Exits 0
# while this is so. (Two minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q veragridengine==6.5.36 PYPOWER==5.1.21 highspy==1.16.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import numpy as np
import VeraGridEngine as veragrid
from pypower.api import case9, case39, case118, ppoption, rundcopf

logging.disable(logging.CRITICAL)


def written(case):
    """The case as MATPOWER's file, by its path."""
    tables = []
    for name in ("bus", "gen", "branch", "gencost"):
        rows = case[name][:, :13] if name == "bus" else case[name]
        tables.append(f"mpc.{name} = [\n" + "".join("\t" + "\t".join(str(float(x)) for x in row) + ";\n" for row in rows) + "];\n")
    with open("case.m", "w") as file:
        file.write(f"function mpc = case\nmpc.version = '2';\nmpc.baseMVA = {case['baseMVA']};\n" + "".join(tables))
    return "case.m"


def dollars(case, mw):
    return sum(np.polyval(row[4 : 4 + int(row[3])], p) for row, p in zip(case["gencost"], mw))


def both(case):
    """$/h by the case's costs and mean $/MWh of the buses, of PYPOWER and of VeraGrid, and MW of each unit."""
    exact = rundcopf(case, ppoption(VERBOSE=0, OUT_ALL=0))
    grid = veragrid.open_file(written(case))
    result = veragrid.linear_opf(grid)
    assert exact["success"] and bool(np.all(result.converged))
    mw = np.asarray(result.generator_power, dtype=float).ravel()
    # VeraGrid keeps the limits, so that its dispatch is one that PYPOWER might have found.
    assert np.abs(result.overloads).max() < 1e-3 and np.abs(result.load_shedding).max() < 1e-3
    mine = round(float(dollars(case, exact["gen"][:, 1]))), round(float(exact["bus"][:, 13].mean()), 2)
    other = round(float(dollars(case, mw))), round(float(np.mean(result.bus_shadow_prices)), 2)
    return mine, other, mw.round(1).tolist(), [unit.Cost2 for unit in grid.generators]


def small(costs, *, gs=0.0):
    """70 MW of load, two units of 0 to 200 and 0 to 50 MW."""
    bus = [[1, 3, 0, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9], [2, 2, 70, 0, gs, 0, 1, 1, 0, 20, 1, 1.1, 0.9]]
    gen = [[1, 0, 0, 99, -99, 1, 100, 1, 200, 0, *[0] * 11], [2, 10, 0, 50, -50, 1, 100, 1, 50, 0, *[0] * 11]]
    branch = [[1, 2, 0.01, 0.05, 0, 0, 0, 0, 0, 0, 1, -360, 360]]
    tables = {"bus": bus, "gen": gen, "branch": branch, "gencost": costs}
    return {"version": "2", "baseMVA": 100.0} | {name: np.array(rows, dtype=float) for name, rows in tables.items()}


found = {case.__name__: both(case()) for case in (case9, case39, case118)}
print("\n$/h and $/MWh, of PYPOWER and of VeraGrid")
for name, (mine, other, mw, _) in found.items():
    print(f"  {name:8s}", mine, other, f"{100 * other[0] / mine[0] - 100:.0f} % dearer", mw if len(mw) < 9 else "")
assert found["case9"][:3] == ((5216, 24.04), (10492, 1.2), [10.0, 35.0, 270.0]), found["case9"]
assert found["case9"][3] == [0.11, 0.085, 0.1225], found["case9"]
assert found["case39"][:2] == ((41264, 13.52), (46438, 0.3)), found["case39"][:2]
assert found["case118"][:2] == ((125948, 39.38), (179143, 20.0)), found["case118"][:2]

THREE = [[2, 0, 0, 3, 0, 20, 0], [2, 0, 0, 3, 0, 10, 0]]
three, two = both(small(THREE)), both(small([[2, 0, 0, 2, 20, 0], [2, 0, 0, 2, 10, 0]]))
print("20 and 10 $/MWh in three terms:", *three, "in two:", *two)
assert three[:3] == ((900, 20.0), (900, 20.0), [20.0, 50.0]), three
assert two[:3] == ((900, 20.0), (1400, 0.0), [70.0, 0.0]), two
for wide in ([], [0]):
    units = veragrid.open_file(written(small([[2, 0, 0, 2, 20, 5, *wide], [2, 0, 0, 2, 10, 0, *wide]]))).generators
    read = units[0].Cost2, units[0].Cost, units[0].Cost0
    print("20 $/MWh and 5 $/h are read as", read)
    assert read == ((20.0, 5.0, 0.0) if wide else (0.0, 5.0, 20.0)), read

PIECES = [[1, 0, 0, 3, 0, 0, 40, 400, 200, 9000], [1, 0, 0, 3, 0, 0, 20, 600, 50, 1500]]
exact = rundcopf(small(PIECES), ppoption(VERBOSE=0, OUT_ALL=0))
free = veragrid.linear_opf(veragrid.open_file(written(small(PIECES))))
print("in pieces: PYPOWER", exact["gen"][:, 1].round(1), "VeraGrid", np.round(free.generator_power, 1), free.bus_shadow_prices)
assert exact["gen"][:, 1].round(1).tolist() == [40.0, 30.0] and np.abs(free.bus_shadow_prices).max() == 0.0, exact

shunt = small(THREE, gs=10.0)
exact = rundcopf(shunt, ppoption(VERBOSE=0, OUT_ALL=0))
short = veragrid.linear_opf(veragrid.open_file(written(shunt)))
print("with a shunt of 10 MW:", exact["gen"][:, 1].sum().round(3), np.sum(short.generator_power).round(3))
assert round(exact["gen"][:, 1].sum(), 3) == 80.0 and round(float(np.sum(short.generator_power)), 3) == 70.0, short.generator_power
PY
echo "as recorded"
