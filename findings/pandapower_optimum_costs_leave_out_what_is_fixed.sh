#!/usr/bin/env bash
# pandapower 3.5.6, AC and DC optimum (runopp, rundcopp), res_cost. Power of a static generator that is bought at 10 EUR/MWh counts in the
# cost if the generator is controllable, and not at all if it is not: of the same 2 MW, with the grid at 50 EUR/MWh and a load of 5 MW,
# the DC optimum costs 170 EUR/h where the dispatch chose them, 170 where its limits left no choice (2 to 2 MW), and 150 where
# controllable is False or is not stated. A storage that feeds in 2 MW at that price is the same, and so is what a customer pays (-80
# EUR/MWh): -150 EUR/h as a controllable load, 250 as a plain one, 400 apart for the same 5 MW. The dispatch is equal in each, only the
# sum is another. Their rows in poly_cost are accepted, and nothing is reported, so a plan with fixed units looks cheaper than one that
# may choose. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import pandapower as pp

logging.disable(logging.CRITICAL)
VARS = {"min_q_mvar": 0.0, "max_q_mvar": 0.0}


def costs(table, mw, price, load_mw=5.0, **words):
    """MW from the grid in the DC optimum, and the AC and DC optimum's costs in EUR/h, with a unit of a table at a price."""
    n = pp.create_empty_network()
    for _ in range(2):
        pp.create_bus(n, 20.0, min_vm_pu=0.9, max_vm_pu=1.1)
    pp.create_ext_grid(n, 0, min_p_mw=-100, max_p_mw=100, min_q_mvar=-100, max_q_mvar=100)
    pp.create_poly_cost(n, 0, "ext_grid", cp1_eur_per_mw=50.0)
    pp.create_line_from_parameters(n, 0, 1, 5.0, 0.1, 0.35, 10.0, 0.3, max_loading_percent=100.0)
    if load_mw:
        pp.create_load(n, 1, load_mw, controllable=False)
    create = {"sgen": pp.create_sgen, "storage": pp.create_storage, "load": pp.create_load}[table]
    size = {"max_e_mwh": 10.0} if table == "storage" else {}
    unit = create(n, 1, mw, **size, **words)
    pp.create_poly_cost(n, unit, table, cp1_eur_per_mw=price)
    pp.runopp(n, numba=False)
    ac = round(float(n.res_cost))
    pp.rundcopp(n)
    return round(float(n.res_ext_grid.p_mw[0]), 2), ac, round(float(n.res_cost))


found = {
    "sgen, free": costs("sgen", 2.0, 10.0, controllable=True, min_p_mw=0.0, max_p_mw=2.0, **VARS),
    "sgen, no choice": costs("sgen", 2.0, 10.0, controllable=True, min_p_mw=2.0, max_p_mw=2.0, **VARS),
    "sgen, fixed": costs("sgen", 2.0, 10.0, controllable=False),
    "sgen, nothing said": costs("sgen", 2.0, 10.0),
    "storage, free": costs("storage", -2.0, -10.0, controllable=True, min_p_mw=-2.0, max_p_mw=0.0, **VARS),
    "storage, fixed": costs("storage", -2.0, -10.0, controllable=False),
    "customer, free": costs("load", 5.0, -80.0, 0.0, controllable=True, min_p_mw=0.0, max_p_mw=5.0, **VARS),
    "customer, fixed": costs("load", 5.0, -80.0, 0.0, controllable=False),
}
print(found)
assert found["sgen, free"] == found["sgen, no choice"] == found["storage, free"] == (3.0, 171, 170), found
assert found["sgen, fixed"] == found["sgen, nothing said"] == found["storage, fixed"] == (3.0, 151, 150), found
assert (found["customer, free"], found["customer, fixed"]) == ((5.0, -148, -150), (5.0, 252, 250)), found
PY
echo "as recorded"
