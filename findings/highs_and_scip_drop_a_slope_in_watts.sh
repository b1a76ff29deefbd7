#!/usr/bin/env bash
# HiGHS 1.15.1 (highspy; by itself, in SciPy 1.17.1, by Pyomo 6.10.1) and SCIP (PySCIPOpt 6.3.0). Both take coefficients up to 1e-9
# for zero, whatever they are multiplied with. A voltage rise of 2e-9 pu/W at a bus is a row like any other; one of 1e-9, as a
# strong bus has it, is none: the answer is the bound of the variable, 1 GW, a rise of 1 pu where 0.05 were allowed, and
# the status is optimal. SciPy also reports a slack of 0.05, that of the row without its coefficient; HiGHS
# tells by a warning as it takes the model, which neither SciPy nor Pyomo passes on. In kW the slope is 1e-6 and all is well. HiGHS
# has an option (small_matrix_value=1e-12).
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q highspy==1.15.1 pyscipopt==6.3.0 pyomo==6.10.1 scipy==1.17.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import highspy
import numpy as np
import pyomo.environ as pyo
from pyscipopt import Model
from scipy.optimize import linprog

LIMIT_PU, BOUND_W = 0.05, 1e9


def by_scipy(slope):
    result = linprog([-1.0], A_ub=[[slope]], b_ub=[LIMIT_PU], bounds=[(0.0, BOUND_W)])
    assert result.status == 0
    return float(result.x[0]), float(result.slack[0])


def by_pyomo(slope):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.0, BOUND_W))
    m.band = pyo.Constraint(expr=slope * m.x <= LIMIT_PU)
    m.most = pyo.Objective(expr=-m.x)
    result = pyo.SolverFactory("highs").solve(m)
    assert str(result.solver.termination_condition) == "optimal"
    return m.x.value


def by_scip(slope):
    m = Model()
    m.hideOutput()
    x = m.addVar(ub=BOUND_W, obj=-1.0)
    m.addCons(slope * x <= LIMIT_PU)
    m.optimize()
    assert m.getStatus() == "optimal"
    return m.getVal(x)


print("the most power (W) that keeps a rise of 0.05 pu, by the slope in pu/W")
for slope in (2e-9, 1e-9, 5e-10):
    (x, slack), others = by_scipy(slope), (by_pyomo(slope), by_scip(slope))
    rise = slope * x
    print(f"  {slope:.0e}: SciPy {x:.4g} (rise {rise:.3f} pu, reported slack {slack:.3f}), Pyomo {others[0]:.4g}, SCIP {others[1]:.4g}")
    if slope > 1e-9:
        assert np.allclose([x, *others], LIMIT_PU / slope) and abs(slack) < 1e-9
    else:
        assert x == others[0] == BOUND_W and np.isclose(others[1], BOUND_W) and slack == LIMIT_PU and rise > 9 * LIMIT_PU

engine = highspy.Highs()
engine.setOptionValue("output_flag", False)
lp = highspy.HighsLp()
lp.num_col_ = lp.num_row_ = 1
lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.array([-1.0]), np.array([0.0]), np.array([BOUND_W])
lp.row_lower_, lp.row_upper_ = np.array([-highspy.kHighsInf]), np.array([LIMIT_PU])
lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = np.array([0, 1]), np.array([0]), np.array([5e-10])
told = engine.passModel(lp)
engine.run()
print("HiGHS itself:", told, engine.getModelStatus(), engine.getSolution().col_value)
assert told == highspy.HighsStatus.kWarning and engine.getSolution().col_value[0] == BOUND_W
engine.setOptionValue("small_matrix_value", 1e-12)
assert engine.passModel(lp) == highspy.HighsStatus.kOk
engine.run()
print("with small_matrix_value=1e-12:", engine.getSolution().col_value)
assert np.isclose(engine.getSolution().col_value[0], LIMIT_PU / 5e-10)
PY
echo "as recorded"
