#!/usr/bin/env bash
# piqp 0.7.0. Asked for eps_abs = eps_rel = 1e-12, it stops at a duality gap of about 1e-8, says it is solved, and puts the
# nearest point of a half-line 3e-5 from where it is: the gap has tolerances of its own (eps_duality_gap_abs 1e-8 and _rel
# 1e-9), which the others do not touch, and in a projection a point is off by the square root of the gap. Its primal and dual
# residuals are small all the while. With the gap's tolerances set as well the point is exact to 1e-9.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q piqp==0.7.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import piqp
from scipy.sparse import csc_matrix


def off(gap_too):
    """How far the point nearest to (-0.0001, 1.0001) with x + y = 1 and x >= 0, which is (0, 1), is found."""
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-12
    if gap_too:
        solver.settings.eps_duality_gap_abs = solver.settings.eps_duality_gap_rel = 1e-12
    none = csc_matrix((0, 2))
    solver.setup(
        csc_matrix(np.eye(2)), np.array([1e-4, -1.0001]), csc_matrix(np.ones((1, 2))), np.ones(1),
        none, np.zeros(0), np.zeros(0), np.zeros(2), np.full(2, np.inf),
    )
    status = solver.solve()
    assert status == piqp.PIQP_SOLVED, status
    return float(np.abs(np.array(solver.result.x) - [0.0, 1.0]).max())


plain, tight = off(False), off(True)
print(f"off by {plain:.1e} with eps_abs = eps_rel = 1e-12, by {tight:.1e} with the gap's tolerances too")
assert plain > 5e-6, plain
assert tight < 1e-8, tight
PY
echo "as recorded"
