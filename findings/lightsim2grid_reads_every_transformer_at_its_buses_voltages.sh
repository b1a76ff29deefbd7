#!/usr/bin/env bash
# lightsim2grid 1.2.0, init_from_pandapower of networks of pandapower 3.5.6, then an AC flow of either; a plain feeder with its tap moved is
# the same in both to all that is printed. A transformer's rated voltages count for nothing unless they are those of its buses: 110/21 kV on a 20 kV feeder,
# as most are bought, gives 0.971 pu at the feeder's end for 1.022, one of 115/20 kV 0.971 for 0.926, both as though they were 110/20.
# Left out as well: a bank's steps (2 of 2 Mvar count once) and its rated voltage, an SVC that holds 1.0 pu, generation by phase
# (2 MW fed in, 3.07 from the grid for 1.03), the scaling of storage (half of 2 MW is 2), constant impedance of
# loads, and a symmetrical tap changer, which is taken for one of ratio alone. Loads by phase, wards, motors and three-winding
# transformers are refused with an error; these are not. A warning is given of slack generators and of limits it fills in, of
# none of this. So contingencies and set points come quickly, of another feeder. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lightsim2grid==1.2.0 pandapower==3.5.6 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import warnings

import numpy as np
import pandapower as pp
from lightsim2grid.network import init_from_pandapower

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def feeder(**transformer):
    """110 kV, a transformer, two lines and 3 MW at their end."""
    n = pp.create_empty_network()
    for kv in (110, 20, 20, 20):
        pp.create_bus(n, kv)
    pp.create_ext_grid(n, 0)
    pp.create_transformer(n, 0, 1, "25 MVA 110/20 kV")
    for name, value in ({"shift_degree": 0.0} | transformer).items():
        n.trafo[name] = value
    for first in (1, 2):
        pp.create_line_from_parameters(n, first, first + 1, 5, 0.2, 0.3, 10, 0.4)
    pp.create_load(n, 3, 3, 1)
    return n


def both(n):
    """pu at the feeder's end and MW from the grid, of pandapower and of lightsim2grid, and the words of its warnings that name an element."""
    pp.runpp(n, tolerance_mva=1e-9)
    exact = n.res_bus.vm_pu.values[3], n.res_ext_grid.p_mw.iloc[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = init_from_pandapower(n)
    told = " ".join(str(w.message) for w in caught)
    volts = model.ac_pf(np.ones(4, dtype=complex), 30, 1e-8)
    assert len(volts) == 4
    mw = np.sum(model.get_gen_res()[0]) - (float(n.gen.p_mw.sum()) if len(n.gen) else 0.0)
    for word in ("vn_lv_kv", "vn_hv_kv", "step", "svc", "asymmetric", "scaling", "const_z", "tap_changer"):
        assert word not in told, told
    return tuple(round(float(x), 3) for x in exact), (round(float(abs(volts[3])), 3), round(float(mw), 3))


cases = {"plain": feeder(), "tap at -5": feeder(tap_pos=-5)}
cases["110/21 kV"], cases["115/20 kV"] = feeder(vn_lv_kv=21.0), feeder(vn_hv_kv=115.0)
for name, words in (("2 steps of 2 Mvar", {"step": 2, "max_step": 3}), ("2 Mvar at 18 kV", {"vn_kv": 18.0})):
    cases[name] = feeder()
    pp.create_shunt(cases[name], 3, -2, 0.0, **words)
cases["SVC at 1.0 pu"] = feeder()
pp.create_svc(cases["SVC at 1.0 pu"], 3, 1, -5, 1.0, 90.0)
cases["2 MW by phase"] = feeder()
pp.create_asymmetric_sgen(cases["2 MW by phase"], 3, p_a_mw=1, p_b_mw=1)
cases["half of 2 MW stored"] = feeder()
pp.create_storage(cases["half of 2 MW stored"], 3, 2, 10, scaling=0.5)
cases["constant impedance"] = feeder()
cases["constant impedance"].load["const_z_p_percent"] = cases["constant impedance"].load["const_z_q_percent"] = 100.0
symmetrical = {"tap_pos": 5, "tap_step_degree": 60.0, "tap_changer_type": "Symmetrical", "tap_step_percent": 2.0}
cases["symmetrical tap"] = feeder(**symmetrical)
found = {name: both(n) for name, n in cases.items()}
print("pu at the end and MW from the grid, of pandapower and of lightsim2grid")
for name, figures in found.items():
    print(f"  {name:20s}", *figures)
exact, read = ({name: figures[k] for name, figures in found.items()} for k in (0, 1))
assert all(np.allclose(exact[name], read[name], atol=1.1e-3) for name in ("plain", "tap at -5")), found
for name in ("110/21 kV", "115/20 kV", "SVC at 1.0 pu", "2 MW by phase", "constant impedance"):
    assert read[name] == read["plain"], (name, found)
assert read["2 steps of 2 Mvar"] == read["2 Mvar at 18 kV"], found
assert (exact["110/21 kV"][0], exact["115/20 kV"][0], exact["SVC at 1.0 pu"][0]) == (1.022, 0.926, 1.0), found
assert exact["2 steps of 2 Mvar"][0] == 1.022 and read["2 steps of 2 Mvar"][0] == 0.996, found
assert exact["2 MW by phase"][1] == 1.025 and read["2 MW by phase"][1] > 3.0, found
assert exact["half of 2 MW stored"][1] < 4.2 and read["half of 2 MW stored"][1] > 5.1, found
assert exact["symmetrical tap"][0] == 0.918 and read["symmetrical tap"][0] == 0.877, found
PY
echo "as recorded"
