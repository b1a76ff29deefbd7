#!/usr/bin/env bash
# pandapower 3.5.6, runpp_3ph, with simbench 1.6.3. Loads and static generators count in the three-phase flow if their `type` is the word
# wye or delta, and not at all otherwise. For loads it is wye unless stated; for static generators nothing is, so a plant of 2 MW as
# create_sgen makes it feeds in 2 MW in runpp and none in runpp_3ph, as does one of type PV, and a load of type residential, or without
# one, takes none. Storage and motors count under no word. res_sgen_3ph, res_load_3ph and res_storage_3ph have their 2 MW all the same.
# simbench's grids call their generators PV and their loads nothing: its rural low-voltage grid takes 0.5 kW by the three-phase flow, its
# transformer at 0.3 %, and feeds in 78.9 by the balanced one, at 52.5; with both columns set to wye the two flows agree. Nothing is
# reported, so the grid with roof-top panels that is to be studied by phase is an empty one. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 simbench==1.6.3 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import pandapower as pp
import simbench

EARTH = {"vk0_percent": 4.0, "vkr0_percent": 1.0, "mag0_percent": 100.0, "mag0_rx": 0.0, "si0_hv_partial": 0.9, "vector_group": "Dyn"}
GRID = {"s_sc_max_mva": 500.0, "rx_max": 0.1, "r0x0_max": 0.1, "x0x_max": 1.0}
UNITS = {
    "sgen": lambda n: pp.create_sgen(n, 1, 2.0),
    "sgen, PV": lambda n: pp.create_sgen(n, 1, 2.0, type="PV"),
    "sgen, wye": lambda n: pp.create_sgen(n, 1, 2.0, type="wye"),
    "load": lambda n: pp.create_load(n, 1, 2.0),
    "load, residential": lambda n: pp.create_load(n, 1, 2.0, type="residential"),
    "load, none": lambda n: pp.create_load(n, 1, 2.0, type=None),
    "storage": lambda n: pp.create_storage(n, 1, 2.0, 10.0),
    "motor": lambda n: pp.create_motor(n, 1, 2.0, 0.9, efficiency_percent=95, loading_percent=100),
}


def flows(n):
    """MW from the grid in the balanced and in the three-phase flow."""
    pp.runpp(n, numba=False)
    pp.runpp_3ph(n, numba=False)
    by_phase = n.res_ext_grid_3ph[["p_a_mw", "p_b_mw", "p_c_mw"]].to_numpy().sum()
    return round(float(n.res_ext_grid.p_mw.sum()), 4), round(float(by_phase), 4)


def with_unit(add):
    """Both flows of a line with one unit at its end, and the MW that the three-phase flow's tables say of the unit."""
    n = pp.create_empty_network()
    for _ in range(2):
        pp.create_bus(n, 20.0)
    pp.create_ext_grid(n, 0, **GRID)
    pp.create_line_from_parameters(n, 0, 1, 10.0, 0.3, 0.35, 10.0, 0.3, r0_ohm_per_km=0.6, x0_ohm_per_km=1.0, c0_nf_per_km=5.0)
    add(n)
    grid = flows(n)
    said = [float(n[table].p_mw.iloc[0]) for table in ("res_sgen_3ph", "res_load_3ph", "res_storage_3ph") if len(n[table])]
    return (*(round(mw, 2) for mw in grid), *said)


units = {name: with_unit(add) for name, add in UNITS.items()}
print("MW from the grid by runpp and runpp_3ph, MW in the tables:", units)
for name in ("sgen", "sgen, PV"):
    assert units[name] == (-1.97, 0.0, 2.0), (name, units[name])
assert units["sgen, wye"] == (-1.97, -1.97, 2.0), units
assert units["load"] == (2.03, 2.03, 2.0), units
for name in ("load, residential", "load, none", "storage"):
    assert units[name] == (2.03, 0.0, 2.0), (name, units[name])
assert units["motor"] == (2.15, 0.0), units

rural = simbench.get_simbench_net("1-LV-rural1--0-sw")
for column in "rx":
    rural.line[f"{column}0_ohm_per_km"] = 4.0 * rural.line[f"{column}_ohm_per_km"]
rural.line["c0_nf_per_km"] = rural.line.c_nf_per_km
for table, words in (("trafo", EARTH), ("ext_grid", GRID)):
    for column, value in words.items():
        rural[table][column] = value


def of_rural():
    """Both flows, the transformer's loading in either, in per cent, and MW of loads and generators in the three-phase flow's tables."""
    grid = flows(rural)
    loading = (round(float(t.loading_percent.max()), 1) for t in (rural.res_trafo, rural.res_trafo_3ph))
    return *grid, *loading, *(round(float(t.p_mw.sum()), 2) for t in (rural.res_load_3ph, rural.res_sgen_3ph))


print("types:", rural.sgen.type.unique(), rural.load.type.unique())
before = of_rural()
rural.load["type"] = rural.sgen["type"] = "wye"
after = of_rural()
print("simbench's grid:", before, "called wye:", after)
assert before == (-0.0789, 0.0005, 52.5, 0.3, 0.08, 0.16), before
assert after == (-0.0789, -0.0789, 52.5, 52.5, 0.08, 0.16), after
PY
echo "as recorded"
