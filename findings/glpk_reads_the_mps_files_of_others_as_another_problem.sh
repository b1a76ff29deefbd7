#!/usr/bin/env bash
# GLPK 5.0 (swiglpk 5.0.13), reading MPS files that others wrote, beside HiGHS (highspy 1.15.1), SCIP (PySCIPOpt 6.3.0) and CBC (2.10.3, as
# PuLP 3.3.2 has it). How many batteries n, a whole number from 0, fit into 7.5 MW beside a plant y: PuLP writes n's bound as LO 0, and for
# GLPK a whole number whose upper end is not stated ends at 1. So its plan is one battery (n=1, y=6.5), "optimal", where the
# three others read seven; with a lower bound of 2 it says that no plan is possible. HiGHS writes LI, and GLPK reads seven. Pyomo 6.10.1
# writes no finite end but 10E20, and GLPK's reader refuses the file. A constant of the objective has the other sign in GLPK: fixed costs of
# 100 that HiGHS wrote make 92.95 in all three and -107.05 in GLPK, and of GLPK's own file HiGHS and SCIP read -100 for 100.
# PuLP leaves the constant out of the file. Nothing is reported by those that read, and each says that it is optimal. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q highspy==1.15.1 pyscipopt==6.3.0 swiglpk==5.0.13 pulp==3.3.2 pyomo==6.10.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import subprocess

import highspy
import pulp
import pyomo.environ as pyo
import swiglpk as glpk
from pyscipopt import Model

glpk.glp_term_out(glpk.GLP_OFF)


def by_highs(path):
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    h.readModel(path)
    h.run()
    assert h.getModelStatus() == highspy.HighsModelStatus.kOptimal, h.getModelStatus()
    values = {name: h.getSolution().col_value[h.getColByName(name)[1]] for name in ("n", "y")}
    return h.getInfo().objective_function_value, values["n"], values["y"]


def by_scip(path):
    m = Model()
    m.hideOutput()
    m.readProblem(path)
    m.optimize()
    assert m.getStatus() == "optimal"
    values = {v.name: m.getVal(v) for v in m.getVars()}
    return m.getObjVal(), values["n"], values["y"]


def by_cbc(path):
    if os.path.exists("cbc.txt"):
        os.remove("cbc.txt")
    subprocess.run([pulp.PULP_CBC_CMD().path, path, "solve", "solu", "cbc.txt"], capture_output=True, check=True)
    if not os.path.exists("cbc.txt"):
        return "refused"
    first, *rows = open("cbc.txt").read().splitlines()
    assert first.startswith("Optimal"), first
    values = {row.split()[1]: float(row.split()[2]) for row in rows}
    return float(first.split()[-1]), values["n"], values["y"]


def by_glpk(path):
    p = glpk.glp_create_prob()
    if glpk.glp_read_mps(p, glpk.GLP_MPS_FILE, None, path):
        return "refused"
    options = glpk.glp_iocp()
    glpk.glp_init_iocp(options)
    options.presolve = glpk.GLP_ON
    if glpk.glp_intopt(p, options):
        return "no solution"
    assert glpk.glp_mip_status(p) == glpk.GLP_OPT
    values = {glpk.glp_get_col_name(p, k + 1): glpk.glp_mip_col_val(p, k + 1) for k in range(glpk.glp_get_num_cols(p))}
    return glpk.glp_mip_obj_val(p), values["n"], values["y"]


def read(path):
    """Objective, n and y by each reader."""
    found = {}
    for name, reader in (("HiGHS", by_highs), ("SCIP", by_scip), ("CBC", by_cbc), ("GLPK", by_glpk)):
        answer = reader(path)
        found[name] = answer if isinstance(answer, str) else tuple(round(float(x), 3) + 0.0 for x in answer)
    print(path, found)
    return found


def by_pulp(path, at_least):
    problem = pulp.LpProblem("site", pulp.LpMinimize)
    n, y = pulp.LpVariable("n", at_least, None, "Integer"), pulp.LpVariable("y", 0)
    problem += -n - 0.1 * y + 100
    problem += n + y <= 7.5
    problem.writeMPS(path)
    return read(path)


def written_by_highs(path):
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    n = h.addVariable(0, highspy.kHighsInf, type=highspy.HighsVarType.kInteger, name="n")
    y = h.addVariable(0, highspy.kHighsInf, name="y")
    h.addConstr(n + y <= 7.5)
    h.minimize(-n - 0.1 * y + 100)
    h.writeModel(path)
    return read(path)


def written_by_pyomo(path):
    m = pyo.ConcreteModel()
    m.n, m.y = pyo.Var(domain=pyo.NonNegativeIntegers), pyo.Var(domain=pyo.NonNegativeReals)
    m.room = pyo.Constraint(expr=m.n + m.y <= 7.5)
    m.cost = pyo.Objective(expr=-m.n - 0.1 * m.y + 100)
    m.write(path, io_options={"symbolic_solver_labels": True})
    return read(path)


def written_by_glpk(path):
    """Least n + y + 100, which is 100 at 0."""
    p = glpk.glp_create_prob()
    glpk.glp_set_obj_coef(p, 0, 100)
    glpk.glp_add_cols(p, 2)
    glpk.glp_add_rows(p, 1)
    glpk.glp_set_row_bnds(p, 1, glpk.GLP_UP, 0, 7.5)
    places, entries = glpk.intArray(3), glpk.doubleArray(3)
    for k, name in enumerate(("n", "y"), start=1):
        glpk.glp_set_col_name(p, k, name)
        glpk.glp_set_col_bnds(p, k, glpk.GLP_LO, 0, 0)
        glpk.glp_set_obj_coef(p, k, 1)
        places[k], entries[k] = k, 1
    glpk.glp_set_mat_row(p, 1, 2, places, entries)
    glpk.glp_set_col_kind(p, 1, glpk.GLP_IV)
    glpk.glp_write_mps(p, glpk.GLP_MPS_FILE, None, path)
    return read(path)


OTHERS = ("HiGHS", "SCIP", "CBC")
print("file: objective, n, y by each reader")
free, two = by_pulp("pulp.mps", 0), by_pulp("pulp_from_2.mps", 2)
highs, from_pyomo, own = written_by_highs("highs.mps"), written_by_pyomo("pyomo.mps"), written_by_glpk("glpk.mps")
assert {free[name] for name in OTHERS} == {two[name] for name in OTHERS} == {(-7.05, 7.0, 0.5)}, (free, two)
assert free["GLPK"] == (-1.65, 1.0, 6.5) and two["GLPK"] == "no solution", (free, two)
assert {highs[name] for name in OTHERS} == {from_pyomo[name] for name in OTHERS} == {(92.95, 7.0, 0.5)}, (highs, from_pyomo)
assert highs["GLPK"] == (-107.05, 7.0, 0.5) and from_pyomo["GLPK"] == "refused", (highs, from_pyomo)
assert own["HiGHS"] == own["SCIP"] == (-100.0, 0.0, 0.0) and own["CBC"] == "refused" and own["GLPK"] == (100.0, 0.0, 0.0), own
PY
echo "as recorded"
