#!/usr/bin/env bash
# pandapower 3.5.6. A transformer that states tap_side, tap_neutral, tap_step_percent and tap_pos, but no tap_changer_type, has a
# tap that does nothing: without the word "Ratio" there its position is not looked at. At tap -2 the low side has 0.984 pu
# instead of 1.038, from parameters as from a standard type of one's own; those of pandapower's library state it. A
# tap controller on it walks to its end stop, changes no voltage, and the power flow converges below its band without a
# word. power-grid-model-io 1.3.38 with power-grid-model 1.12.110, given the same network, does follow the tap: 1.038.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 power-grid-model-io==1.3.38 power-grid-model==1.12.110 \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 numba==0.68.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import pandapower as pp
from pandapower.control import DiscreteTapControl
from power_grid_model import PowerGridModel
from power_grid_model_io.converters import PandaPowerConverter

SIZE = dict(sn_mva=0.63, vn_hv_kv=20, vn_lv_kv=0.4, vkr_percent=1.2, vk_percent=6, pfe_kw=1.2, i0_percent=0.2)
TAP = dict(tap_side="hv", tap_neutral=0, tap_min=-2, tap_max=2, tap_step_percent=2.5)


def net(tap_pos, how, **more):
    n = pp.create_empty_network()
    hv, lv = pp.create_bus(n, 20.0), pp.create_bus(n, 0.4)
    pp.create_ext_grid(n, hv, s_sc_max_mva=1e5, rx_max=0.1)
    if how == "parameters":
        pp.create_transformer_from_parameters(n, hv, lv, **SIZE, **TAP, tap_pos=tap_pos, **more)
    elif how == "library":
        pp.create_transformer(n, hv, lv, "0.63 MVA 20/0.4 kV", tap_pos=tap_pos)
    else:
        pp.create_std_type(n, dict(**SIZE, **TAP, shift_degree=150, tap_step_degree=0, **more), "own", element="trafo")
        pp.create_transformer(n, hv, lv, "own", tap_pos=tap_pos)
    pp.create_load(n, lv, p_mw=0.3, q_mvar=0.1)
    pp.runpp(n)
    return n


def volts(n):
    return round(float(n.res_bus.vm_pu.iloc[1]), 3)


typed = {"tap_changer_type": "Ratio"}
for how, more in (("parameters", {}), ("parameters", typed), ("own type", {}), ("own type", typed), ("library", {})):
    print(how, more, [volts(net(tap_pos, how, **more)) for tap_pos in (0, -2)])
bare = [volts(net(t, "parameters")) for t in (0, -2)], [volts(net(t, "own type")) for t in (0, -2)]
full = [volts(net(t, "parameters", **typed)) for t in (0, -2)], [volts(net(t, "own type", **typed)) for t in (0, -2)]
assert bare[0] == bare[1] == [0.984, 0.984], bare
assert full[0] == full[1] == [0.984, 1.038], full
assert [volts(net(t, "library")) for t in (0, -2)] == [0.984, 1.038]

for more, end in (({}, (0.984, -2)), (typed, (1.01, -1))):
    n = net(0, "parameters", **more)
    DiscreteTapControl(n, element_index=0, vm_lower_pu=1.0, vm_upper_pu=1.04)
    pp.runpp(n, run_control=True)
    print("regulated to 1.00 to 1.04 pu", more, volts(n), "at tap", int(n.trafo.tap_pos[0]), "converged", n.converged)
    assert n.converged and (volts(n), int(n.trafo.tap_pos[0])) == end

n = net(-2, "parameters")
data, _ = PandaPowerConverter().load_input_data(n)
elsewhere = round(float(PowerGridModel(data).calculate_power_flow()["node"]["u_pu"][1]), 3)
print("power-grid-model, of the same network:", elsewhere, "pandapower:", volts(n))
assert elsewhere == 1.038, elsewhere
PY
echo "as recorded"
