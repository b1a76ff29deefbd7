#!/usr/bin/env bash
# PyPSA 1.4.0. A slack generator that states no p_set, which is how an optimised network has its grid connection, comes out of pf()
# with NaN: the flow converges, the line carries 5.032 MW to a load of 5, and the generator's sum over time and its row in
# statistics.energy_balance are nothing at all, so that supply and demand differ by all there is. The linear flow, lpf(), of the same
# network gives the slack its 5 MW. Stating p_set=0 brings the 5.032 MW of pf(), and takes the optimisation away: there a stated
# p_set is a fixed dispatch, also for the slack, so 0 is infeasible, and a slack of 2 MW beside a unit twice as dear is kept at 2
# (400 instead of 250 $). The same word is needed by one and must not be there for the other.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import numpy as np
import pypsa

logging.disable(logging.CRITICAL)


def network(dear=False, **slack):
    n = pypsa.Network()
    n.add("Bus", ["HEAD", "END"], v_nom=20.0)
    n.add("Line", "line", bus0="HEAD", bus1="END", r=0.5, x=1.0, s_nom=20.0)
    n.add("Generator", "grid", bus="HEAD", control="Slack", p_nom=20.0, marginal_cost=50.0, **slack)
    if dear:
        n.add("Generator", "unit", bus="HEAD", p_nom=20.0, marginal_cost=100.0)
    n.add("Load", "site", bus="END", p_set=5.0)
    return n


def given(n):
    """MW of the slack after the last calculation, and MW that enter the line."""
    return round(float(n.c.generators.dynamic.p["grid"].iloc[0]), 3), round(float(n.c.lines.dynamic.p0["line"].iloc[0]), 3)


def optimum(n):
    """How the optimisation ended, MW of the slack and cost."""
    _, ended = n.optimize(solver_name="highs", log_to_console=False)
    if ended != "optimal":
        return ended
    return ended, round(float(n.c.generators.dynamic.p["grid"].iloc[0]), 3), round(float(n.objective), 2)


plain, linear, stated = network(), network(), network(p_set=0.0)
assert bool(plain.pf()["converged"].all().all()) and bool(stated.pf()["converged"].all().all())
linear.lpf()
print("MW of the slack and of the line: pf", given(plain), "lpf", given(linear), "pf with p_set=0", given(stated))
rows = set(plain.statistics.energy_balance().index.get_level_values("component"))
print("sum of the slack", float(plain.c.generators.dynamic.p["grid"].sum()), "rows of the energy balance", rows)
optima = {
    "nothing stated": optimum(network(dear=True)),
    "p_set=2": optimum(network(dear=True, p_set=2.0)),
    "p_set=0, alone": optimum(network(p_set=0.0)),
}
print("optimum", optima)
assert np.isnan(given(plain)[0]) and given(plain)[1] == 5.032, given(plain)
assert given(linear) == (5.0, 5.0) and given(stated) == (5.032, 5.032), (given(linear), given(stated))
assert float(plain.c.generators.dynamic.p["grid"].sum()) == 0.0 and rows == {"Line", "Load"}, rows
assert optima["nothing stated"] == ("optimal", 5.0, 250.0), optima
assert optima["p_set=2"] == ("optimal", 2.0, 400.0), optima
assert optima["p_set=0, alone"] == "infeasible", optima
PY
echo "as recorded"
