#!/usr/bin/env bash
# PyPSA 1.4.0 with HiGHS (highspy 1.16.0). HiGHS solves no mixed-integer problem of quadratic cost and ends with an error;
# linopy 0.10.1, which stands between, goes on with what it finds there, zeros. So two generators of which one has a quadratic
# cost and the other is committable end with ("ok", "unknown"), the log says that the optimization was successful, is_solved is
# true, and the network has an objective of 0 $, dispatch of 0 of the 310 MWh that its load takes, prices of 0 and an energy
# balance of -310 MWh. The optimum is 9,960 $. Without the quadratic term it is 7,900 $, without commitment 9,250 $, both found,
# both optimal. Who looks at the status alone, the first word, takes a day without power for one that costs nothing. Where
# integers are solved, prices are 0 in every hour, too: they have none, and 0 is put there. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import io
import itertools
import logging

import highspy
import numpy as np
import pypsa

LOAD = (50.0, 80.0, 120.0, 60.0)
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.INFO, force=True)


def optimum(quadratic, commits):
    """What PyPSA returns, $, MWh dispatched, prices, MWh of the balance, is_solved, and what the log says of it."""
    n = pypsa.Network()
    n.set_snapshots(range(len(LOAD)))
    n.add("Bus", "b")
    n.add("Load", "l", bus="b", p_set=LOAD)
    n.add("Generator", "base", bus="b", p_nom=100, marginal_cost=20, marginal_cost_quadratic=quadratic)
    peaker = {"committable": True, "p_min_pu": 0.3, "start_up_cost": 500} if commits else {}
    n.add("Generator", "peaker", bus="b", p_nom=100, marginal_cost=60, **peaker)
    log.seek(0)
    log.truncate()
    answer = n.optimize(solver_name="highs", log_to_console=False)
    prices = [round(float(p)) for p in n.c.buses.dynamic.marginal_price["b"]]
    dispatched = round(float(n.c.generators.dynamic.p.sum().sum()))
    balance = round(float(n.statistics.energy_balance().sum()))
    successful = "Optimization successful" in log.getvalue()
    return answer, round(float(n.objective)), dispatched, prices, balance, n.is_solved, successful


def by_hand(quadratic, commits):
    """The least cost over every pattern of hours in which the peaker is on; it is on before the first."""
    def hour(load, on):
        low, high = (30 if on else 0, 100 if on else 0) if commits else (0, 100)
        low, high = max(low, load - 100), min(high, load)
        # 20 + 2 q (load - p) = 60 where both run freely
        free = load - 20 / quadratic if quadratic else low
        p = min(max(low, free), high)
        return 20 * (load - p) + quadratic * (load - p) ** 2 + 60 * p if low <= high else float("inf")

    patterns = itertools.product((0, 1), repeat=len(LOAD)) if commits else [(1,) * len(LOAD)]
    return round(min(
        sum(hour(load, on) for load, on in zip(LOAD, pattern)) + 500 * sum(b > a for a, b in zip((1, *pattern), pattern))
        for pattern in patterns
    ))


found = {(q, c): optimum(q, c) for q in (0.0, 0.1) for c in (False, True)}
for (quadratic, commits), got in found.items():
    print("quadratic" if quadratic else "linear", "with commitment:" if commits else "alone:", *got, "by hand", by_hand(quadratic, commits))
assert found[0.0, False][:3] == (("ok", "optimal"), by_hand(0.0, False), 310), found
assert found[0.0, True][:3] == (("ok", "optimal"), by_hand(0.0, True), 310) and by_hand(0.0, True) == 7900, found
assert found[0.1, False][:3] == (("ok", "optimal"), by_hand(0.1, False), 310) and by_hand(0.1, False) == 9250, found
assert found[0.1, True] == (("ok", "unknown"), 0, 0, [0, 0, 0, 0], -310, True, True) and by_hand(0.1, True) == 9960, found
assert found[0.0, True][3] == [0, 0, 0, 0] and found[0.0, False][3] == [20, 20, 60, 20], found
# HiGHS itself, of the smallest such problem: x^2 - x with x whole.
h = highspy.Highs()
h.setOptionValue("output_flag", False)
h.addVar(0, 5)
h.changeColCost(0, -1.0)
h.changeColIntegrality(0, highspy.HighsVarType.kInteger)
h.passHessian(1, 1, 1, np.array([0, 1], dtype=np.int32), np.array([0], dtype=np.int32), np.array([2.0]))
ended = h.run(), h.getModelStatus()
print("HiGHS itself:", *ended)
assert ended == (highspy.HighsStatus.kError, highspy.HighsModelStatus.kNotset), ended
PY
echo "as recorded"
