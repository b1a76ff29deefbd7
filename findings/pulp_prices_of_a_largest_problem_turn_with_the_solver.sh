#!/usr/bin/env bash
# PuLP 3.3.2 with the CBC that it brings and with HiGHS (highspy 1.16.0). One problem, its largest value, 240 $/h by both: power of an own
# unit at 20 $/MWh and bought at 40 serves up to 10 MW that are worth 50. The price of the balance (`pi`) is -50 by CBC and 50 by HiGHS,
# that of the limit on own power 30 and -30, the reduced cost of buying (`dj`) -5 and 5. Written as the least of what is its opposite,
# both give HiGHS's signs. CBC's are slopes of the value that is asked for, HiGHS's of its opposite, whose least it is given. SCIP
# (PySCIPOpt 6.3.0) gives None. So a power price or the worth of another MW of limit changes its sign with the solver that is installed,
# and nothing tells which it is. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pulp==3.3.2 highspy==1.16.0 pyscipopt==6.3.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import pulp

SOLVERS = {
    "CBC": lambda: pulp.PULP_CBC_CMD(msg=False),
    "HiGHS": lambda: pulp.HiGHS(msg=False),
    "SCIP": lambda: pulp.SCIP_PY(msg=False),
}


def solved(solver, largest):
    """The optimum, the prices of the balance and of the limit on own power, and the reduced cost of buying."""
    sign = 1 if largest else -1
    p = pulp.LpProblem("supply", pulp.LpMaximize if largest else pulp.LpMinimize)
    own, bought, used = (pulp.LpVariable(name, 0) for name in ("own", "bought", "used"))
    p += sign * (50 * used - 20 * own - 40 * bought)
    p += own + bought == used, "balance"
    p += own + 0.5 * bought <= 8, "limit"
    p += used <= 10, "demand"
    p.solve(SOLVERS[solver]())
    assert p.status == pulp.LpStatusOptimal
    rows = p.constraints
    return round(pulp.value(p.objective)), rows["balance"].pi, rows["limit"].pi, bought.dj


found = {(name, largest): solved(name, largest) for name in SOLVERS for largest in (True, False)}
print(found)
assert found["CBC", True] == (240, -50.0, 30.0, -5.0), found
assert found["HiGHS", True] == (240, 50.0, -30.0, 5.0), found
assert found["CBC", False] == found["HiGHS", False] == (-240, 50.0, -30.0, 5.0), found
assert found["SCIP", True] == (240, None, None, None), found
PY
echo "as recorded"
