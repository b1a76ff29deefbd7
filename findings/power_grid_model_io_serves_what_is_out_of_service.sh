#!/usr/bin/env bash
# power-grid-model-io 1.3.38 (PandaPowerConverter, to power-grid-model 1.12.110), a network of pandapower 3.5.6 and its results brought back
# into pandapower's tables (convert); a plain one is the same in both to 0.1 %. A bus that is out of service is in service: its 3 MW of
# 7 are supplied at 0.997 pu, where pandapower has 4 MW and no voltage. A transformer that may carry 80 % of its size (df) is loaded
# less for it, 23.8 %, where pandapower has 37.2: what divides there multiplies here, while a line's df is right in both. A tap of
# -1.5, half way between two steps, is -1 (0.980 pu at the end for 0.989), and one of -0.5 none. The page of this
# reader lists what it does not support or has otherwise, none of these among it, and nothing is reported. Exits 0 while this is so.
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
from power_grid_model_io.converters import PandaPowerConverter


def both(*edits):
    """MW from the grid, % of the first cable and of the transformer, and pu at the end, by pandapower and by power-grid-model."""
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
        pandapower.create_load(n, buses[bus], mw, 1)
    for table, column, value in edits:
        n[table][column] = value
    pandapower.runpp(n, calculate_voltage_angles=True, init="dc", numba=False)
    converter = PandaPowerConverter(trafo_loading="current")
    data, _ = converter.load_input_data(n)
    back = converter.convert(PowerGridModel(data).calculate_power_flow())
    rows = []
    for result in (n, back):
        grid, line, transformer, bus = (result[f"res_{kind}"] for kind in ("ext_grid", "line", "trafo", "bus"))
        figures = grid.p_mw.iloc[0], line.loading_percent.iloc[0], transformer.loading_percent.iloc[0]
        rows.append((*(round(float(x), 1) for x in figures), round(float(bus.vm_pu.iloc[3]), 3)))
    return rows


cases = {
    "plain": (),
    "last bus out of service": (("bus", "in_service", [True, True, True, False]),),
    "line, df=0.8": (("line", "df", 0.8),),
    "transformer, df=0.8": (("trafo", "df", 0.8),),
    "tap -1.5": (("trafo", "tap_pos", -1.5),),
    "tap -0.5": (("trafo", "tap_pos", -0.5),),
}
found = {name: both(*edits) for name, edits in cases.items()}
print("MW, % of the first cable, % of the transformer, pu at the end; pandapower, power-grid-model")
for name, rows in found.items():
    print(f"  {name:24s}", *rows)
for name in ("plain", "line, df=0.8"):
    assert all(abs(one / other - 1) < 0.002 for one, other in zip(*found[name])), found[name]
mine, theirs = found["last bus out of service"]
assert mine[0] == 4.0 and mine[3] != mine[3] and theirs == found["plain"][1], (mine, theirs)
assert [row[2] for row in found["plain"]] == [29.7, 29.7] and [row[2] for row in found["transformer, df=0.8"]] == [37.2, 23.8], found
assert [row[3] for row in found["tap -1.5"]] == [0.989, 0.98], found
assert found["tap -0.5"][0][3] - found["tap -0.5"][1][3] > 0.007, found
PY
echo "as recorded"
