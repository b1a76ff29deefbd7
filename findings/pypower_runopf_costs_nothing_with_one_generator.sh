#!/usr/bin/env bash
# PYPOWER 5.1.21 (power flows and optimal power flows of MATPOWER's cases), its AC optimum, runopf, of a case with one generator in service,
# as a feeder with its grid connection is. Dispatch, flows and prices are right (40.2 MW, 10 $/MWh at the generator), and what it returns as f,
# the cost, is 0 $/h where they are 402: with linear costs, with quadratic ones (568) and with costs in pieces. rundcopf of the same
# tables has 400. With a second generator it is 401, and 0 again once that is taken out of service. Success is True throughout. So a
# sweep of a feeder's cost over sites or hours has zeros in it wherever the grid alone feeds it. And a case in which no
# branch states a limit (RATE_A is 0) ends with a numpy error about dimensions; one stated limit cures it. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q PYPOWER==5.1.21 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from pypower.api import ppoption, rundcopf, runopf

QUIET = ppoption(VERBOSE=0, OUT_ALL=0)
BUS = [
    [1, 3, 0, 0, 0, 0, 1, 1, 0, 110, 1, 1.1, 0.9],
    [2, 1, 30, 10, 0, 0, 1, 1, 0, 110, 1, 1.1, 0.9],
    [3, 2, 10, 2, 0, 0, 1, 1, 0, 110, 1, 1.1, 0.9],
]
GEN = [[1, 0, 0, 99, -99, 1, 100, 1, 200, 0, *[0] * 11], [3, 0, 0, 20, -20, 1, 100, 1, 50, 0, *[0] * 11]]
COSTS = {
    "linear": [2, 0, 0, 2, 10, 0, 0, 0],
    "quadratic": [2, 0, 0, 3, 0.1, 10, 5, 0],
    "in pieces": [1, 0, 0, 2, 0, 0, 200, 2000],
}


def optimum(run, cost, status=(1,), limit=50):
    """$/h, MW of each generator, $/MWh at the first bus."""
    branch = [[a, b, r, x, 0, limit, limit, limit, 0, 0, 1, -360, 360] for a, b, r, x in ((1, 2, 0.01, 0.05), (2, 3, 0.005, 0.1))]
    gen = np.array(GEN[: len(status)], dtype=float)
    gen[:, 7] = status
    costs = [COSTS[cost], [2, 0, 0, 2, 30, 0, 0, 0]][: len(status)]
    tables = {"bus": BUS, "branch": branch, "gencost": costs}
    case = {name: np.array(rows, dtype=float) for name, rows in tables.items()} | {"gen": gen, "version": "2", "baseMVA": 100.0}
    r = run(case, QUIET)
    assert r["success"]
    return round(float(r["f"])), r["gen"][:, 1].round(1).tolist(), round(float(r["bus"][0, 13]), 1)


print("$/h, MW of the generators, $/MWh at the first bus")
for cost, (dc, exact) in {"linear": (400, 401), "quadratic": (565, 568), "in pieces": (400, 401)}.items():
    found = optimum(runopf, cost), optimum(rundcopf, cost), optimum(runopf, cost, (1, 1)), optimum(runopf, cost, (1, 0))
    print(f"  {cost}: alone", *found[0], "DC", *found[1], "two", *found[2], "one of two", *found[3])
    assert found[0][0] == found[3][0] == 0 and found[1][0] == dc and found[2][0] == exact, found
    assert all(40.1 <= figures[1][0] <= 40.2 for figures in (found[0], found[2], found[3])) and found[0][2] == (18.0 if cost == "quadratic" else 10.0), found
try:
    optimum(runopf, "linear", (1, 1), 0)
    raise SystemExit("a case without limits is solved now")
except ValueError as error:
    print("without limits:", error)
PY
echo "as recorded"
