#!/usr/bin/env bash
# PyPSA 1.4.0. A ShuntImpedance of 1 MW (g = 1/400 S at 20 kV) takes 1 MW in lpf(), the linear power flow, and nothing in
# optimize(), the linear flow with costs: beside a load of 5 MW the optimum dispatches 5 MW for 250 $, and lpf() of the same network takes
# 6 MW from the slack and brings 6 along the line, a fifth more than the optimum made room for. A load of 1 MW in its place
# counts in both (6 MW, 300 $), and PYPOWER's linear optimum of the same case counts Gs (6 MW, 300 $). Cases that write losses or
# auxiliary power as Gs come in as ShuntImpedances (import_from_pypower_ppc), so their optimum is short of that power; nothing is said.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 PYPOWER==5.1.21 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import numpy as np
import pypsa
from pypower.api import ppoption, rundcopf

logging.disable(logging.CRITICAL)
# Bus 1 with a generator of 50 $/MWh, bus 2 with a load of 5 MW and a shunt of Gs MW, a line between them.
BUS = [[1, 3, 0, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9], [2, 1, 5, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9]]
GEN = [[1, 0, 0, 10, -10, 1, 100, 1, 20, 0, *[0] * 11]]
BRANCH = [[1, 2, 0.125, 0.25, 0, 20, 20, 20, 0, 0, 1, -360, 360]]


def case(shunt_mw):
    bus = np.array(BUS, dtype=float)
    bus[1, 4] = shunt_mw
    tables = {"bus": bus, "gen": np.array(GEN, dtype=float), "branch": np.array(BRANCH, dtype=float)}
    return tables | {"version": "2", "baseMVA": 100.0, "gencost": np.array([[2.0, 0.0, 0.0, 2.0, 50.0, 0.0]])}


def pypsa_flows(shunt_mw, load_mw=0.0):
    """MW dispatched by the optimum, its cost, and MW that the linear flow takes from the slack and brings along the line."""
    n = pypsa.Network()
    n.import_from_pypower_ppc(case(shunt_mw))
    generator, line = n.c.generators.static.index[0], n.c.lines.static.index[0]
    n.c.generators.static["marginal_cost"] = 50.0
    n.c.generators.static["p_set"] = np.nan
    if load_mw:
        n.add("Load", "more", bus=n.c.lines.static.bus1[line], p_set=load_mw)
    status, ended = n.optimize(solver_name="highs", log_to_console=False)
    assert ended == "optimal", ended
    dispatched, cost = round(float(n.c.generators.dynamic.p[generator].iloc[0]), 3), round(float(n.objective), 2)
    n.lpf()
    given, carried = n.c.generators.dynamic.p[generator].iloc[0], n.c.lines.dynamic.p0[line].iloc[0]
    return dispatched, cost, round(float(given), 3), round(float(carried), 3)


shunt, load = pypsa_flows(1.0), pypsa_flows(0.0, 1.0)
other = rundcopf(case(1.0), ppoption(VERBOSE=0, OUT_ALL=0))
pypower = round(float(other["gen"][0, 1]), 3), round(float(other["f"]), 2)
print("MW and $ of the optimum, MW of the slack and of the line in the linear flow: shunt", shunt, "load", load)
print("PYPOWER's linear optimum", pypower)
assert shunt == (5.0, 250.0, 6.0, 6.0), shunt
assert load == (6.0, 300.0, 6.0, 6.0), load
assert pypower == (6.0, 300.0), pypower
PY
echo "as recorded"
