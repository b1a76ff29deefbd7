#!/usr/bin/env bash
# PyPSA 1.4.0 (linopy 0.10.1, highspy 1.16.0), a day as one optimum and as four windows of six hours (optimize_with_rolling_horizon). What
# a year or a day may have in all, each window has anew: a unit with e_sum_max=700 MWh gives 700 in one optimum and 1,418 by windows, and
# a limit of 400 t of CO2 (GlobalConstraint, primary_energy) is kept by the one and passed by the other, 709 t. Costs fall from 51,000 to
# 29,448 $ with it, so the shorter the windows, the better a plan under a budget looks. n.objective is then the last window's, 2,902 $,
# where costs of the four add up to 29,448. The state of charge is handed on from window to window. Each window ends with ("ok",
# "optimal"), and neither its description nor a message has a word about budgets. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6
cd "$folder"
cat > windows.py <<'PY'
import logging
import warnings

import numpy as np
import pypsa

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
HOURS = 24


def day(window, energy_mwh=None, co2_t=None):
    """Objective and cost of a day in $, MWh of the cheap unit and t of CO2."""
    n = pypsa.Network()
    n.set_snapshots(range(HOURS))
    n.add("Bus", "b")
    n.add("Carrier", "gas", co2_emissions=0.5)
    budget = {} if energy_mwh is None else {"e_sum_max": energy_mwh}
    n.add("Generator", "cheap", bus="b", p_nom=100, marginal_cost=20, carrier="gas", **budget)
    n.add("Generator", "dear", bus="b", p_nom=200, marginal_cost=50)
    n.add("Load", "d", bus="b", p_set=60 + 50 * np.sin(np.arange(HOURS) * 2 * np.pi / 24))
    n.add("StorageUnit", "s", bus="b", p_nom=20, max_hours=4)
    if co2_t is not None:
        n.add("GlobalConstraint", "cap", type="primary_energy", carrier_attribute="co2_emissions", sense="<=", constant=co2_t)
    if window is None:
        n.optimize(solver_name="highs")
    else:
        n.optimize.optimize_with_rolling_horizon(horizon=window, overlap=0, solver_name="highs")
    given = n.generators_t.p
    cheap = float(given["cheap"].sum())
    return tuple(round(float(value)) for value in (n.objective, (given * n.generators.marginal_cost).to_numpy().sum(), cheap, cheap / 2))


for name, budget in (("none", {}), ("energy", {"energy_mwh": 700.0}), ("co2", {"co2_t": 400.0})):
    for window in (None, 6):
        print("RESULT", name, window, *day(window, **budget))
PY
"$folder/venv/bin/python" windows.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT none None 28800 28800 1440 720
RESULT none 6 2902 29448 1418 709
RESULT energy None 51000 51000 700 350
RESULT energy 6 2902 29448 1418 709
RESULT co2 None 48000 48000 800 400
RESULT co2 6 2902 29448 1418 709
EXPECTED
echo "as recorded"
