#!/usr/bin/env bash
# power-grid-model-io 1.3.38 (PandaPowerConverter, to power-grid-model 1.12.110), loads of a network of pandapower 3.5.6. A load that has a
# share of constant impedance or constant current becomes three, and the scaling of that share counts twice in what is left at constant
# power: 7 MW, half of them impedance, are 7 at scaling 1 as in pandapower, 14.1 at scaling 2 there and 7.2 here, 3.6 at a half for 4.5,
# and at scaling 2.4 5.3 for 16.8: beyond 2 what is left is negative, so a growth of loads takes load away, and the cable that is at 140 %
# by the one is at 43 by the other. Of constant power alone, or at scaling 1, the two agree to 0.1 %. What was read comes back as
# pandapower's own tables (convert) with these figures, power-grid-model takes the negative load as valid (assert_valid_input_data), and
# nothing is reported of it. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 power-grid-model-io==1.3.38 power-grid-model==1.12.110 \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY' 2>errors || { cat errors; exit 1; }
import pandapower
from power_grid_model import PowerGridModel
from power_grid_model.validation import assert_valid_input_data
from power_grid_model_io.converters import PandaPowerConverter


def feeder(share, scaling):
    """110/20 kV, 10 km of cable, 4 and 3 MW; % of constant impedance, and what all loads are multiplied with."""
    n = pandapower.create_empty_network()
    buses = [pandapower.create_bus(n, kv) for kv in (110, 20, 20, 20)]
    pandapower.create_ext_grid(n, buses[0])
    pandapower.create_transformer_from_parameters(
        n, *buses[:2], 25, 110, 20, 0.4, 12, 14, 0.07, shift_degree=150, vector_group="YNd5", tap_side="hv", tap_neutral=0, tap_min=-9,
        tap_max=9, tap_step_percent=1.5, tap_pos=-2, tap_changer_type="Ratio",
    )  # fmt: skip
    for first, second in ((1, 2), (2, 3)):
        pandapower.create_line_from_parameters(n, buses[first], buses[second], 5, 0.16, 0.117, 250, 0.36)
    for bus, mw in ((2, 4), (3, 3)):
        pandapower.create_load(n, buses[bus], mw, 1, const_z_p_percent=share, const_z_q_percent=share, scaling=scaling)
    return n


def both(share, scaling):
    """MW from the grid, % of the first cable and pu at the end, by pandapower and by power-grid-model."""
    n = feeder(share, scaling)
    pandapower.runpp(n, calculate_voltage_angles=True, init="dc", numba=False)
    converter = PandaPowerConverter()
    data, _ = converter.load_input_data(n)
    assert_valid_input_data(data)
    back = converter.convert(PowerGridModel(data).calculate_power_flow())
    mine = n.res_ext_grid, n.res_line, n.res_bus
    theirs = back["res_ext_grid"], back["res_line"], back["res_bus"]
    rows = [(e.p_mw.iloc[0], line.loading_percent.iloc[0], bus.vm_pu.iloc[3]) for e, line, bus in (mine, theirs)]
    return [(round(float(mw), 1), round(float(full)), round(float(pu), 2)) for mw, full, pu in rows]


cases = [(0, 1), (0, 2.4), (50, 1), (50, 0.5), (50, 2), (50, 2.4), (25, 2), (100, 2)]
found = {case: both(*case) for case in cases}
print("% of constant impedance, scaling: MW, % of the first cable, pu at the end; pandapower, power-grid-model")
for case, rows in found.items():
    print(" ", *case, *rows)
for case in ((0, 1), (0, 2.4), (50, 1)):
    assert all(abs(one / other - 1) < 0.02 for one, other in zip(*found[case])), found[case]
mw = {case: [row[0] for row in found[case]] for case in cases}
assert mw[50, 0.5] == [3.6, 4.5] and mw[50, 2] == [14.1, 7.2] and mw[50, 2.4] == [16.8, 5.3], mw
assert [row[1] for row in found[50, 2.4]] == [140, 43], found
PY
echo "as recorded"
