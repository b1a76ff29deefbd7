#!/usr/bin/env bash
# PyPSA 1.4.0 (linopy 0.10.1) and cvxpy 1.9.3 with SCIP (PySCIPOpt 6.3.0) beside HiGHS (highspy 1.16.0): linear programs, one optimum,
# other prices. A day of two buses, a cheap unit of 20 $/MWh behind a line, a dear one of 50 and a battery: both solvers end with ("ok",
# "optimal") at 40,565 $ and the same dispatch, and the prices of HiGHS are 20 at the first bus and 20, 45 or 50 at the other. Those of
# SCIP are 0 at the first bus in every hour and 0 or -5 at the other, as what its presolve took out has no dual and is given one of 0. So
# a load pays nothing for what costs 50, and is paid at times. cvxpy switches that presolve off and has the price of a balance right (50),
# but of a limit on one variable, which SCIP makes a bound, it has 0 where HiGHS and Clarabel have 10. Nothing is reported by either, and
# no value is missing. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 cvxpy==1.9.3 pyscipopt==6.3.0 highspy==1.16.0 clarabel==0.11.1 numpy==2.4.6
cd "$folder"
cat > prices.py <<'PY'
import logging
import warnings

import cvxpy
import pypsa

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
HOURS = 24
MW = [75, 61, 52, 51, 83, 87, 74, 79, 72, 87, 83, 50, 84, 51, 79, 57, 85, 72, 62, 67, 51, 55, 77, 76]


def day(solver):
    """What PyPSA says of a day's optimum, its cost, the MWh of the cheap unit, and all prices at the two buses, in $/MWh."""
    n = pypsa.Network()
    n.set_snapshots(range(HOURS))
    n.add("Bus", ["a", "b"])
    n.add("Line", "l", bus0="a", bus1="b", x=0.1, s_nom=60)
    n.add("Generator", "cheap", bus="a", p_nom=100, marginal_cost=20)
    n.add("Generator", "dear", bus="b", p_nom=100, marginal_cost=50)
    n.add("StorageUnit", "s", bus="b", p_nom=10, max_hours=2, cyclic_state_of_charge=True, efficiency_store=0.9)
    n.add("Load", "d", bus="b", p_set=MW)
    says = n.optimize(solver_name=solver)
    prices = n.buses_t.marginal_price.round(1) + 0.0
    cheap = round(float(n.generators_t.p["cheap"].sum()))
    return *says, round(float(n.objective)), cheap, *(sorted(set(prices[bus])) for bus in "ab")


def selection(solver):
    """Best value of a purchase, and the prices of its balance, of a limit on one variable and of one on two, by cvxpy."""
    own, bought, used = (cvxpy.Variable(nonneg=True) for _ in range(3))
    rows = [own + bought == used, own <= 8, own + 0.5 * bought <= 8.8]
    problem = cvxpy.Problem(cvxpy.Minimize(20 * own + 40 * bought - 50 * used), rows)
    problem.solve(solver=solver)
    return problem.status, round(float(problem.value)), *(round(float(row.dual_value), 1) + 0.0 for row in rows)


for solver in ("highs", "scip"):
    print("RESULT", "PyPSA", solver, *day(solver))
for solver in ("HIGHS", "CLARABEL", "SCIP"):
    print("RESULT", "cvxpy", solver, *selection(solver))
PY
"$folder/venv/bin/python" prices.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT PyPSA highs ok optimal 40565 1440 [20.0] [20.0, 45.0, 50.0]
RESULT PyPSA scip ok optimal 40565 1440 [0.0] [-5.0, 0.0]
RESULT cvxpy HIGHS optimal -256 -50.0 10.0 20.0
RESULT cvxpy CLARABEL optimal -256 -50.0 10.0 20.0
RESULT cvxpy SCIP optimal -256 -50.0 0.0 20.0
EXPECTED
echo "as recorded"
