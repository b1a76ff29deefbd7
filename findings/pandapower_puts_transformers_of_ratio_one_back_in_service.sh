#!/usr/bin/env bash
# pandapower 3.5.6, from_ppc (MATPOWER's and PYPOWER's tables; from_mpc goes through it), beside PYPOWER 5.1.21 on the same tables. A branch
# between two voltages whose ratio is 0 or 1, a transformer at its nominal tap, comes as an impedance, whose status is never read:
# where the table has it out of service it is in service. Of two units of 5 MVA to a load of 10 MW, one of them out, the flow has 0.9945 pu
# for 0.9932, and the optimum brings 10 MW through both for 402 $/h, where 5 MW and a dear generator behind them for 501 are what
# is possible (400 for 500 by DC). At a ratio of 0.98 the same two are transformers, and the second is out as stated; so is a line between
# two buses of one voltage. So an outage that was written into a case as a status is undone for some branches and
# kept for others, and nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 PYPOWER==5.1.21 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import copy
import logging

import numpy as np
import pandapower as pp
from pandapower.converter.pypower import from_ppc
from pypower.api import ppoption, rundcopf, runopf, runpf

logging.disable(logging.CRITICAL)
QUIET = ppoption(VERBOSE=0, OUT_ALL=0)
# 110 kV: the grid at 10 $/MWh and a line to 30 MW. 20 kV: 10 MW and a generator of 30 $/MWh behind one unit of 5 MVA or two.
BUS = [
    [1, 3, 0, 0, 0, 0, 1, 1, 0, 110, 1, 1.1, 0.9],
    [2, 1, 30, 10, 0, 0, 1, 1, 0, 110, 1, 1.1, 0.9],
    [3, 1, 10, 2, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9],
]
GEN = [[1, 0, 0, 99, -99, 1, 100, 1, 200, 0, *[0] * 11], [3, 0, 0, 20, -20, 1, 100, 1, 50, 0, *[0] * 11]]
COST = [[2, 0, 0, 3, 0, 10, 0], [2, 0, 0, 3, 0, 30, 0]]


def case(ratio, *, second=None, generator=1):
    branch = [[1, 2, 0.005, 0.02, 0.02, 90, 90, 90, 0, 0, 1, -360, 360]]
    branch += [[2, 3, 0.005, 0.1, 0, 5, 5, 5, ratio, 0, status, -360, 360] for status in (1, *(() if second is None else (second,)))]
    tables = {"bus": BUS, "gen": GEN, "branch": branch, "gencost": COST}
    made = {name: np.array(rows, dtype=float) for name, rows in tables.items()}
    made["gen"][1, 7] = generator
    return made | {"version": "2", "baseMVA": 100.0}


def optima(ratio):
    """One unit out: $/h and MW of the generator behind them, PYPOWER's AC and DC optimum, pandapower's; and how many impedances there are."""
    found = []
    for run in (runopf, rundcopf):
        r = run(case(ratio, second=0), QUIET)
        assert r["success"]
        found.append((round(float(r["f"])), round(float(r["gen"][1, 1]))))
    for run in (pp.runopp, pp.rundcopp):
        n = from_ppc(case(ratio, second=0), f_hz=60)
        run(n)
        assert n.OPF_converged
        found.append((round(float(n.res_cost)), abs(round(float((n.res_gen if len(n.gen) else n.res_sgen).p_mw.iloc[0])))))
    return *found, len(n.impedance)


def lowest(ratio, second):
    """pu at 20 kV without its generator: of PYPOWER and of pandapower; whether pandapower has each unit in service."""
    tables = case(ratio, second=second, generator=0)
    exact = runpf(copy.deepcopy(tables), QUIET)[0]["bus"][2, 7]
    n = from_ppc(tables, f_hz=60)
    pp.runpp(n)
    units = n.impedance if len(n.impedance) else n.trafo
    return round(float(exact), 4), round(float(n.res_bus.vm_pu.iloc[2]), 4), units.in_service.tolist()


print("ratio: $/h and MW of the dear generator, PYPOWER AC and DC, pandapower AC and DC; impedances")
limits = {ratio: optima(ratio) for ratio in (0.0, 1.0, 0.98)}
for ratio, figures in limits.items():
    print(" ", ratio, *figures)
print("ratio, status of the second unit: pu of PYPOWER and of pandapower, units in service there")
states = {(ratio, second): lowest(ratio, second) for ratio in (0.0, 1.0, 0.98) for second in (0, 1)}
for name, figures in states.items():
    print(" ", *name, *figures)
tables = case(1.0)
tables["branch"][0, 10] = 0
assert not from_ppc(tables, f_hz=60).line.in_service.any()
for ratio in (0.0, 1.0):
    assert limits[ratio][:2] == ((501, 5), (500, 5)) and limits[ratio][2:] == ((402, 0), (400, 0), 2), limits
    assert states[ratio, 0] == (0.9932, 0.9945, [True, True]) and states[ratio, 1] == (0.9945, 0.9945, [True, True]), states
assert limits[0.98] == ((501, 5), (500, 5), (501, 5), (500, 5), 0), limits
assert states[0.98, 0][0] == states[0.98, 0][1] and states[0.98, 0][2] == [True, False], states
PY
echo "as recorded"
