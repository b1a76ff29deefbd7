#!/usr/bin/env bash
# PYPOWER 5.1.21 (power flows and optimal power flows of MATPOWER's cases). The cost of a generator may be a polynomial of any
# number of terms (NCOST), also of a constant alone: so much an hour, whatever it gives. Its AC optimal power flow counts that
# constant, its DC optimal power flow does not: costs of one term are left out of the objective that it returns, without a
# word, while the same constant as the last of two terms counts. With every cost a constant the DC optimum costs 0.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q PYPOWER==5.1.21 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from pypower.api import case9, ppoption, rundcopf, runopf

QUIET = ppoption(VERBOSE=0, OUT_ALL=0)
ONE_TERM, TWO_TERMS = [2, 0, 0, 1, 120, 0], [2, 0, 0, 2, 0, 120]
OTHER = [2, 0, 0, 2, 20, 80]


def cost(solve, *rows):
    found = solve(case9() | {"gencost": np.array(rows, dtype=float)}, QUIET)
    assert found["success"]
    return float(found["f"])


one, two = cost(rundcopf, ONE_TERM, OTHER, OTHER), cost(rundcopf, TWO_TERMS, OTHER, OTHER)
nothing, counted = cost(rundcopf, *[ONE_TERM] * 3), cost(runopf, *[ONE_TERM] * 3)
print(f"DC, 120 $ as one term: {one:.2f} $, as the last of two: {two:.2f} $; three of them: {nothing:.2f} $, AC {counted:.2f} $")
assert abs(two - one - 120.0) < 1e-3, (one, two)
assert nothing == 0.0, nothing
assert abs(counted - 360.0) < 1e-3, counted
PY
echo "as recorded"
