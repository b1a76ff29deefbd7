#!/usr/bin/env bash
# lightsim2grid 1.2.0 with pandapower 3.5.6. Contingencies that are added as branch 5, branch 2, branches 0 and 7 together, and
# branch 0 come back in the order 0, (0, 7), 2, 5, and one that is added twice comes back once: voltages and flows are tables
# without names, with one row for each contingency in an order of its own, so that who pairs row k with the k-th
# that was added gives branch 2's outage the flows of 0 and 7's. The order is told only by my_defaults(), of the class that
# computes them. An outage that cuts a bus off is a row of voltages of 0 and flows of NaN among the others.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lightsim2grid==1.2.0 pandapower==3.5.6 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandapower
import pandapower.networks
from lightsim2grid.contingencyAnalysis import ContingencyAnalysisCPP
from lightsim2grid.gridmodel import init_from_pandapower

net = pandapower.networks.case14()
pandapower.runpp(net, numba=False)
model = init_from_pandapower(net)
start = model.ac_pf(np.ones(len(net.bus), complex), 20, 1e-8)
assert np.allclose(np.abs(start), net.res_bus.vm_pu), "the two packages' power flows differ"


def branches_without_flow(analysis):
    analysis.compute(start, 20, 1e-8)
    analysis.compute_flows()
    return [np.flatnonzero(np.abs(row) < 1e-9).tolist() for row in analysis.get_flows()]


analysis = ContingencyAnalysisCPP(model)
analysis.add_n1(5)
analysis.add_n1(2)
analysis.add_nk([0, 7])
analysis.add_n1(0)
analysis.add_n1(5)
out = branches_without_flow(analysis)
print(out, analysis.my_defaults())
assert out == [[0], [0, 7], [2], [5]] == [list(c) for c in analysis.my_defaults()], out

every = ContingencyAnalysisCPP(model)
every.add_all_n1()
branches_without_flow(every)
cut = np.flatnonzero(np.abs(every.get_voltages()).max(axis=1) == 0.0)
assert len(cut) == 1 and np.isnan(every.get_flows()[cut[0]]).any(), cut
print("cuts a bus off:", cut)
PY
echo "as recorded"
