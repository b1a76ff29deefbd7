#!/usr/bin/env bash
# CBC 2.10.3 (the one that PuLP 3.3.2 brings), reading what HiGHS (highspy 1.15.1) wrote of one siting problem: two sites of which either
# may be built, a whole number of batteries, 100 $ that are due anyway. HiGHS's LP file has the sections `bin` and `gen`. CBC takes both words
# for variables and no number as whole: a third of the second site is built, and 7.5 batteries of 7, at 113.83 $ where the optimum is 112.25.
# HiGHS's MPS file says MAX after OBJSENSE; CBC ignores that and looks for the least: nothing is built, 100 $. SCIP (PySCIPOpt 6.3.0)
# and HiGHS itself read both files as they were meant. Written as a least problem the MPS file is read rightly (-112.25), and the LP file
# again without its whole numbers, and now without its constant as well (-13.83). CBC's log has a line about each word (a
# variable that appears nowhere, MAX ignored); its status is optimal, and its solution file says no more. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q highspy==1.15.1 pyscipopt==6.3.0 pulp==3.3.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import subprocess

import highspy
import pulp
from pyscipopt import Model

NAMES = ("b1", "b2", "n", "x")


def written(sense):
    """Sites b1 and b2 of 3 MW each where 4 MW are free, batteries n and other flexibility x beside them, 7.5 MW together."""
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    whole = highspy.HighsVarType.kInteger
    b1, b2 = (h.addVariable(0, 1, type=whole, name=name) for name in NAMES[:2])
    n, x = h.addVariable(0, highspy.kHighsInf, type=whole, name="n"), h.addVariable(0, 10, name="x")
    h.addConstr(3 * b1 + 3 * b2 <= 4)
    h.addConstr(n + x <= 7.5)
    value = 5 * b1 + 4 * b2 + n + 0.5 * x + 100
    h.maximize(value) if sense == "max" else h.minimize(-1 * value)
    for form in ("lp", "mps"):
        h.writeModel(f"{sense}.{form}")


def by_highs(path):
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    h.readModel(path)
    h.run()
    assert h.getModelStatus() == highspy.HighsModelStatus.kOptimal
    values = h.getSolution().col_value
    return h.getInfo().objective_function_value, *(values[h.getColByName(name)[1]] for name in NAMES)


def by_scip(path):
    m = Model()
    m.hideOutput()
    m.readProblem(path)
    m.optimize()
    assert m.getStatus() == "optimal"
    values = {v.name: m.getVal(v) for v in m.getVars()}
    return m.getObjVal(), *(values[name] for name in NAMES)


def by_cbc(path):
    if os.path.exists("cbc.txt"):
        os.remove("cbc.txt")
    subprocess.run([pulp.PULP_CBC_CMD().path, path, "solve", "solu", "cbc.txt"], capture_output=True, check=True)
    first, *rows = open("cbc.txt").read().splitlines()
    assert first.startswith("Optimal - objective value"), first
    values = {row.split()[1]: float(row.split()[2]) for row in rows}
    return float(first.split()[-1]), *(values[name] for name in NAMES)


found = {}
print("file, reader: objective, b1, b2, n, x")
for sense in ("max", "min"):
    written(sense)
    for form in ("lp", "mps"):
        for reader in (by_highs, by_scip, by_cbc):
            path = f"{sense}.{form}"
            found[path, reader.__name__[3:]] = tuple(round(float(v), 2) + 0.0 for v in reader(path))
            print(" ", path, reader.__name__[3:], found[path, reader.__name__[3:]])
MEANT, LOOSE = (1.0, 0.0, 7.0, 0.5), (1.0, 0.33, 7.5, 0.0)
for path, objective in (("max.lp", 112.25), ("max.mps", 112.25), ("min.lp", -112.25), ("min.mps", -112.25)):
    assert found[path, "highs"] == found[path, "scip"] == (objective, *MEANT), (path, found)
assert found["max.lp", "cbc"] == (113.83, *LOOSE), found
assert found["max.mps", "cbc"] == (100.0, 0.0, 0.0, 0.0, 0.0), found
assert found["min.mps", "cbc"] == (-112.25, *MEANT), found
assert found["min.lp", "cbc"] == (-13.83, *LOOSE), found
PY
echo "as recorded"
