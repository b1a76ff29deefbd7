#!/usr/bin/env bash
# pypowsybl 1.16.1 (OpenLoadFlow), convert_from_pandapower of networks of pandapower 3.5.6, then an AC flow of either. Switches at lines
# and transformers are left out, so an open one is closed: a ring that is run open is closed (0.995 pu at its end for 0.984), and 2 MW
# behind an open transformer are fed. Left out as well are the scaling of loads and static generators (4 MW for 2), storage, motors,
# wards, loads by phase, and three-winding transformers with all that is behind them. A shunt's watts come with their sign turned: one of
# 1 MW feeds 1 MW in, 3.06 MW from the grid for 5.04, while its vars are right. Two lines in parallel, 600 A together, come as one of
# 150 A: their rating is divided by their number where it should be multiplied. Each converges, at voltages that look like those of a
# feeder, and nothing is reported; a plain feeder is the same in both to the last digit. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 pypowsybl==1.16.1 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import warnings

import pandapower as pp
import pypowsybl

said = []


class Heard(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


LINE = {"length_km": 2.0, "r_ohm_per_km": 0.3, "x_ohm_per_km": 0.35, "c_nf_per_km": 0.0, "max_i_ka": 0.3}
UNIT = {"sn_mva": 10.0, "vn_hv_kv": 20.0, "vn_lv_kv": 20.0, "vk_percent": 10.0, "vkr_percent": 0.5, "pfe_kw": 0.0, "i0_percent": 0.0}
SIDES = "hv", "mv", "lv"
WINDING = ("sn", "mva", 9.0), ("vk", "percent", 9.0), ("vkr", "percent", 0.5)
THREE = {f"{what}_{side}_{unit}": value for side in SIDES for what, unit, value in WINDING}


def network(what):
    """4 MW at the end of two lines, and what is named."""
    n = pp.create_empty_network()
    head, middle, end = (pp.create_bus(n, 20.0) for _ in range(3))
    pp.create_ext_grid(n, head, vm_pu=1.0)
    pp.create_line_from_parameters(n, head, middle, **LINE, parallel=2 if what == "two in parallel" else 1)
    pp.create_line_from_parameters(n, middle, end, **LINE)
    pp.create_load(n, end, 4.0, 1.0, scaling=0.5 if what == "load scaled by a half" else 1.0)
    if what == "ring run open":
        pp.create_line_from_parameters(n, head, end, **LINE)
        pp.create_switch(n, end, 2, et="l", closed=False)
    elif what == "2 MW switched off":
        pp.create_load(n, pp.create_bus(n, 20.0), 2.0)
        pp.create_transformer_from_parameters(n, end, 3, **UNIT)
        pp.create_switch(n, end, 0, et="t", closed=False)
    elif what == "2 MW behind three windings":
        medium, low = pp.create_bus(n, 10.0), pp.create_bus(n, 0.4)
        pp.create_load(n, medium, 2.0)
        kv = {"vn_hv_kv": 20.0, "vn_mv_kv": 10.0, "vn_lv_kv": 0.4}
        pp.create_transformer3w_from_parameters(n, end, medium, low, **kv, **THREE, pfe_kw=0.0, i0_percent=0.0)
    elif what == "generation scaled by a half":
        limits = {"min_p_mw": 0.0, "max_p_mw": 2.0, "min_q_mvar": -1.0, "max_q_mvar": 1.0}
        pp.create_sgen(n, end, 2.0, scaling=0.5, **limits)
    elif what == "storage taking 1 MW":
        pp.create_storage(n, end, 1.0, max_e_mwh=4.0)
    elif what == "motor of 1 MW":
        pp.create_motor(n, end, pn_mech_mw=1.0, cos_phi=0.9, loading_percent=100.0)
    elif what == "ward of 1 MW":
        pp.create_ward(n, end, 1.0, 0.0, 0.0, 0.0)
    elif what == "1 MW by phase":
        pp.create_asymmetric_load(n, end, 0.3, 0.3, 0.4)
    elif what == "shunt of 1 MW":
        pp.create_shunt(n, end, q_mvar=0.0, p_mw=1.0)
    elif what == "shunt of -1 Mvar":
        pp.create_shunt(n, end, q_mvar=-1.0, p_mw=0.0)
    return n


def both(what):
    """MW of the grid and pu at the end, of pandapower and of pypowsybl; A that each of them allows the first line."""
    n = network(what)
    pp.runpp(n)
    other = pypowsybl.network.convert_from_pandapower(n)
    result = pypowsybl.loadflow.run_ac(other)[0]
    assert result.status.name == "CONVERGED" and abs(result.slack_bus_results[0].active_power_mismatch) < 0.001, what
    grid = other.get_generators().p.loc["gen_0_0"]
    end = other.get_buses().v_mag.iloc[2] / 20.0
    mine = round(float(n.res_ext_grid.p_mw[0]), 3), round(float(n.res_bus.vm_pu[2]), 4)
    amps = round(100 * 1000 * float(n.res_line.i_ka[0]) / float(n.res_line.loading_percent[0]))
    return mine, (round(-float(grid), 3), round(float(end), 4)), (amps, round(float(other.get_operational_limits()["value"].iloc[0])))


logging.getLogger().addHandler(Heard(logging.WARNING))
logging.getLogger("powsybl").addHandler(Heard(logging.WARNING))
PLAIN = (4.053, 0.9842)
# MW of the grid and pu at the end: in pandapower, and in pypowsybl.
due = {
    "nothing": (PLAIN, PLAIN),
    "shunt of -1 Mvar": ((4.049, 0.9877), (4.049, 0.9877)),
    "ring run open": (PLAIN, (4.017, 0.9948)),
    "2 MW switched off": (PLAIN, (6.118, 0.9777)),
    "2 MW behind three windings": ((6.119, 0.9777), PLAIN),
    "load scaled by a half": ((2.013, 0.9922), PLAIN),
    "generation scaled by a half": ((3.031, 0.9873), (2.015, 0.9904)),
    "storage taking 1 MW": ((5.081, 0.981), PLAIN),
    "motor of 1 MW": ((5.085, 0.9793), PLAIN),
    "ward of 1 MW": ((5.081, 0.981), PLAIN),
    "1 MW by phase": ((5.081, 0.981), PLAIN),
    "shunt of 1 MW": ((5.043, 0.9812), (3.057, 0.9872)),
    "two in parallel": ((4.039, 0.9882), (4.039, 0.9882)),
}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = {what: both(what) for what in due}
print("MW of the grid and pu at the end, of pandapower and of pypowsybl, A of the first line in either")
for what, figures in found.items():
    print(f"  {what:28s}", *figures)
LEFT_OUT = "switch", "scal", "motor", "storage", "winding", "ward", "asym"
mentioned = [text for text in (*said, *(str(w.message) for w in warned)) if any(word in text for word in LEFT_OUT)]
assert mentioned == [], mentioned
assert {what: figures[:2] for what, figures in found.items()} == due, found
assert found["two in parallel"][2] == (600, 150) and found["nothing"][2] == (300, 300), found
PY
echo "as recorded"
