#!/usr/bin/env bash
# power-grid-model 1.12.110, asymmetric flow, beside pandapower 3.5.6 (runpp_3ph). A line's loading is that of its fullest phase, a
# transformer's is the sum of its phases' kVA over its rating. 200 kW on one phase behind 630 kVA (210 kVA a phase) load the cable to 98 %
# and the Dyn5 transformer to 37, where pandapower has 96 % for its phase; with 250 kW the cable is at 123 %, the transformer at 47, and its
# winding carries 1.21 times what it may. So a search for the customers that still fit on one phase stops, by the transformer's loading,
# at 521 kW where 207 fill the phase. Roof-top panels on a second phase count as load on it: with 250 kW out on one and 250 in on another it
# is at 79 %. The balanced flow of the same network has all three at a third. Nothing is reported: output has kVA and amperes of each phase,
# and `loading`, the one figure that is compared with 1, is of all three. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q power-grid-model==1.12.110 pandapower==3.5.6 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import numpy as np
import pandapower
from power_grid_model import PowerGridModel, initialize_array

logging.disable(logging.CRITICAL)


def rows(kind, **columns):
    """Input of one component kind."""
    made = initialize_array("input", kind, len(columns["id"]))
    for name, values in columns.items():
        made[name] = values
    return made


def model(kw):
    """630 kVA, 20/0.4 kV, and 900 A of cable behind it; kW of each phase."""
    return {
        "node": rows("node", id=[1, 2, 3], u_rated=[20e3, 400, 400]),
        "source": rows("source", id=[4], node=[1], status=[1], u_ref=[1.0], sk=[1e9]),
        "transformer": rows(
            "transformer", id=[5], from_node=[1], to_node=[2], from_status=[1], to_status=[1], u1=[20e3], u2=[400], sn=[630e3],
            uk=[0.06], pk=[6e3], i0=[0.001], p0=[600], winding_from=[2], winding_to=[1], clock=[5], tap_side=[0], tap_pos=[0],
            tap_min=[-1], tap_max=[1], tap_nom=[0], tap_size=[100],
        ),
        "line": rows(
            "line", id=[6], from_node=[2], to_node=[3], from_status=[1], to_status=[1], r1=[0.001], x1=[0.001], c1=[0], tan1=[0],
            r0=[0.001], x0=[0.001], c0=[0], tan0=[0], i_n=[900],
        ),
        "asym_load": rows("asym_load", id=[7], node=[3], status=[1], type=[0], p_specified=[1e3 * np.array(kw)], q_specified=[[0, 0, 0]]),
    }  # fmt: skip


def loading(*kw, symmetric=False):
    """% of the cable, % of the transformer, and % of the fullest winding of its low side (909 A)."""
    out = PowerGridModel(model(kw)).calculate_power_flow(symmetric=symmetric)
    amps = np.max(out["transformer"]["i_to"])
    figures = (out["line"]["loading"][0], out["transformer"]["loading"][0], amps / (630e3 / 3**0.5 / 400))
    return tuple(round(100 * float(x)) for x in figures)


def by_pandapower(*kw):
    n = pandapower.create_empty_network()
    a, b, c = (pandapower.create_bus(n, kv) for kv in (20, 0.4, 0.4))
    pandapower.create_ext_grid(n, a, s_sc_max_mva=1000, rx_max=0.1, x0x_max=1, r0x0_max=0.1)
    pandapower.create_transformer_from_parameters(
        n, a, b, sn_mva=0.63, vn_hv_kv=20, vn_lv_kv=0.4, vk_percent=6, vkr_percent=1, pfe_kw=0.6, i0_percent=0.1, vector_group="Dyn",
        vk0_percent=6, vkr0_percent=1, mag0_percent=100, mag0_rx=0, si0_hv_partial=0.9, shift_degree=150,
    )  # fmt: skip
    pandapower.create_line_from_parameters(
        n, b, c, 1, 0.001, 0.001, 0, 0.9, r0_ohm_per_km=0.001, x0_ohm_per_km=0.001, c0_nf_per_km=0
    )
    pandapower.create_asymmetric_load(n, c, p_a_mw=kw[0] / 1e3, p_b_mw=kw[1] / 1e3, p_c_mw=kw[2] / 1e3)
    pandapower.runpp_3ph(n)
    return tuple(round(float(table.loading_percent.iloc[0])) for table in (n.res_line_3ph, n.res_trafo_3ph))


found = {kw: loading(*kw) for kw in ((200, 0, 0), (200, 200, 200), (250, 0, 0), (250, -250, 0))}
print("kW by phase: % of the cable, of the transformer, of its fullest winding; pandapower: % of the cable and of the transformer")
for kw, figures in found.items():
    print(" ", kw, *figures, "pandapower:", *by_pandapower(*kw))
balanced = loading(200, 0, 0, symmetric=True)
print("  balanced flow of 200 kW on one phase:", *balanced)
fits = {name: max(kw for kw in range(150, 700) if loading(kw, 0, 0)[place] <= 100) for name, place in (("transformer", 1), ("winding", 2))}
print("most kW on one phase by the loading of", fits)
assert found[200, 0, 0] == (98, 37, 97) and by_pandapower(200, 0, 0) == (97, 96), found
assert found[200, 200, 200][:2] == (98, 97), found
assert found[250, 0, 0] == (123, 47, 121) and found[250, -250, 0][1] == 79, found
assert balanced[:2] == (32, 32), balanced
assert fits == {"transformer": 521, "winding": 207}, fits
PY
echo "as recorded"
