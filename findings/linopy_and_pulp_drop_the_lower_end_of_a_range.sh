#!/usr/bin/env bash
# linopy 0.10.1, PuLP 3.3.2, Python-MIP 2.0.0, highspy 1.16.0, cvxpy 1.9.3, Pyomo 6.10.1 and PySCIPOpt 6.3.0, one range: charge is to stay
# between 2 and 5 MWh, written `2 <= charge <= 5`. Least charge: highspy takes both ends (2), cvxpy, Pyomo and PySCIPOpt refuse it with an
# error that says why, and linopy, PuLP and Python-MIP take the upper end alone: 0, optimal. With the ends turned round (5 >= charge >= 2)
# it is the upper end that is lost, and the most charge is 10, the variable's own bound. Python makes two comparisons of the range and
# asks whether the first is true; theirs always is. So a reserve or a least load goes from a model with the move from one modeller to
# another, and nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q linopy==0.10.1 pulp==3.3.2 mip==2.0.0 highspy==1.16.0 cvxpy==1.9.3 pyomo==6.10.1 pyscipopt==6.3.0 numpy==2.4.6
cd "$folder"
cat > ranges.py <<'PY'
import logging
import warnings

import cvxpy
import highspy
import linopy
import mip
import pulp
import pyomo.environ as pyo
import pyscipopt

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)


def written(charge, turned):
    """The range as it is written; what comes of it is the modeller's."""
    return (5 >= charge >= 2) if turned else (2 <= charge <= 5)


def by_linopy(turned):
    m = linopy.Model()
    charge = m.add_variables(0, 10, name="charge")
    m.add_constraints(written(1 * charge, turned), name="range")
    m.add_objective(1 * charge, sense="max" if turned else "min")
    m.solve("highs")
    return float(charge.solution)


def by_pulp(turned):
    p = pulp.LpProblem("range", pulp.LpMaximize if turned else pulp.LpMinimize)
    charge = pulp.LpVariable("charge", 0, 10)
    p += charge
    p += written(charge + 0, turned)
    p.solve(pulp.PULP_CBC_CMD(msg=False))
    assert p.status == pulp.LpStatusOptimal
    return charge.value()


def by_mip(turned):
    m = mip.Model(sense=mip.MAXIMIZE if turned else mip.MINIMIZE)
    m.verbose = 0
    charge = m.add_var(ub=10)
    m.objective = charge
    m += written(charge + 0, turned)
    assert m.optimize() == mip.OptimizationStatus.OPTIMAL
    return charge.x


def by_highspy(turned):
    h = highspy.Highs()
    h.silent()
    charge = h.addVariable(0, 10)
    h.addConstr(written(1 * charge, turned))
    (h.maximize if turned else h.minimize)(charge)
    return h.val(charge)


def by_cvxpy(turned):
    return written(cvxpy.Variable(), turned)


def by_pyomo(turned):
    m = pyo.ConcreteModel()
    m.charge = pyo.Var(bounds=(0, 10))
    m.range = pyo.Constraint(expr=written(m.charge, turned))


def by_pyscipopt(turned):
    m = pyscipopt.Model()
    m.addCons(written(m.addVar(lb=0, ub=10) + 0, turned))


for name, of in list(globals().items()):
    if name.startswith("by_"):
        for turned in (False, True):
            try:
                print("RESULT", name[3:], "most" if turned else "least", round(of(turned), 6))
            except Exception as error:  # Each has an error of its own.
                print("RESULT", name[3:], "most" if turned else "least", type(error).__name__)
PY
"$folder/venv/bin/python" ranges.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT linopy least 0.0
RESULT linopy most 10.0
RESULT pulp least 0.0
RESULT pulp most 10.0
RESULT mip least 0.0
RESULT mip most 10.0
RESULT highspy least 2.0
RESULT highspy most 5.0
RESULT cvxpy least Exception
RESULT cvxpy most Exception
RESULT pyomo least PyomoException
RESULT pyomo most PyomoException
RESULT pyscipopt least TypeError
RESULT pyscipopt most TypeError
EXPECTED
echo "as recorded"
