#!/usr/bin/env bash
# pandapower 3.5.6. Customers stated by phase (asymmetric_load, what its low-voltage feeders are made of) count in the balanced flow,
# runpp, and in no other of its balanced calculations: rundcpp, the AC optimum runopp and the DC optimum rundcopp leave them out. A line
# that carries 2 MW of plain loads and 3 MW by phase is loaded to 124 % in runpp. The optimum of that network, which is to keep it below
# 100 %, converges: 2.016 MW from the grid, line at 50 %, 101 EUR an hour for 255, and beside it res_asymmetric_load says that 3 MW are
# served. Stated as a plain load the same 3 MW have no optimum, as is right. So a limit, a price or a size that an optimum finds is one
# of a feeder without these customers. Generation by phase (asymmetric_sgen) is left out likewise. A warning is given by none.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import warnings

import pandapower as pp

said = []


class Heard(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


def network(*, plain=0.0, by_phase=0.0, generation_by_phase=0.0):
    """2 MW and more behind a line of 0.12 kA, from a grid at 50 EUR/MWh."""
    n = pp.create_empty_network()
    head, end = (pp.create_bus(n, 20.0, min_vm_pu=0.9, max_vm_pu=1.1) for _ in range(2))
    pp.create_ext_grid(n, head, vm_pu=1.0)
    pp.create_poly_cost(n, 0, "ext_grid", cp1_eur_per_mw=50)
    pp.create_line_from_parameters(n, head, end, 5.0, 0.3, 0.35, 0.0, 0.12, max_loading_percent=100.0)
    pp.create_load(n, end, 2.0, 0.5, controllable=False)
    if plain:
        pp.create_load(n, end, plain, 0.0, controllable=False)
    if by_phase:
        pp.create_asymmetric_load(n, end, *(by_phase / 3,) * 3)
    if generation_by_phase:
        pp.create_asymmetric_sgen(n, end, *(generation_by_phase / 3,) * 3)
    return n


def solved(run, **what):
    """MW from the grid, loading of the line in %, EUR an hour where there is a cost; nothing where there is no optimum."""
    n = network(**what)
    try:
        run(n)
    except pp.OPFNotConverged:
        return None
    cost = round(float(n.res_cost)) if run in (pp.runopp, pp.rundcopp) else round(50 * float(n.res_ext_grid.p_mw[0]))
    if what.get("by_phase") and run == pp.runopp:
        assert round(float(n.res_asymmetric_load.p_mw[0]), 6) == 3.0, n.res_asymmetric_load
    return round(float(n.res_ext_grid.p_mw[0]), 3), round(float(n.res_line.loading_percent[0])), cost


logging.getLogger().addHandler(Heard(logging.WARNING))
RUNS = pp.runpp, pp.rundcpp, pp.runopp, pp.rundcopp
cases = {
    "2 MW": {},
    "and 3 by phase": {"by_phase": 3.0},
    "and 3 plain": {"plain": 3.0},
    "less 1 by phase": {"generation_by_phase": 1.0},
}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = {name: [solved(run, **what) for run in RUNS] for name, what in cases.items()}
print("MW from the grid, loading in %, EUR an hour:", *(run.__name__ for run in RUNS))
for name, results in found.items():
    print(f"  {name:16s}", *results)
mentioned = [text for text in (*said, *(str(w.message) for w in warned)) if "asym" in text]
assert mentioned == [], mentioned
assert found["2 MW"] == [(2.016, 50, 101), (2.0, 48, 100), (2.016, 50, 101), (2.0, 48, 100)], found
assert found["and 3 by phase"] == [(5.099, 124, 255), *found["2 MW"][1:]], found
assert found["and 3 plain"] == [(5.099, 124, 255), (5.0, 120, 250), None, None], found
assert found["less 1 by phase"][0][0] < 1.01 and found["less 1 by phase"][1:] == found["2 MW"][1:], found
PY
echo "as recorded"
