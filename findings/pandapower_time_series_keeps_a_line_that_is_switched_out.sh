#!/usr/bin/env bash
# pandapower 3.5.6, run_timeseries as it comes. A ConstControl writes a line's in_service from a schedule, False in the second of three
# hours; the table says False then, and the line carries on: both of a pair are at 40 %, and the voltage is 0.979 pu, as in the hours
# before and after, where the flow of that network has one at 80.5 % and 0.964 pu. What is taken from the hour before (recycle, on unless
# it is switched off) is renewed for the controls of a transformer and not for those of a line, so its length, impedances and number in
# parallel stay those of the first hour as well, while its rating is followed: with parallel=2 the old flow stands over the new rating,
# 20 % where it is 26. A switch that opens the line, a transformer's tap, and recycle=False are right. Nothing is
# reported, so a year with an outage plan is a year without outages. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import numpy as np
import pandapower as pp
import pandas as pd
from pandapower.control import ConstControl
from pandapower.timeseries import DFData, OutputWriter, run_timeseries

logging.disable(logging.CRITICAL)
UNIT = {"sn_mva": 25.0, "vn_hv_kv": 110.0, "vn_lv_kv": 20.0, "vk_percent": 10.0, "vkr_percent": 0.5, "pfe_kw": 0.0, "i0_percent": 0.0}
TAP = {"tap_side": "hv", "tap_neutral": 0, "tap_min": -9, "tap_max": 9, "tap_pos": 0, "tap_step_percent": 1.5, "tap_changer_type": "Ratio"}


def network():
    """8 MW behind a transformer and two lines side by side."""
    n = pp.create_empty_network()
    grid, head, end = pp.create_bus(n, 110.0), pp.create_bus(n, 20.0), pp.create_bus(n, 20.0)
    pp.create_ext_grid(n, grid)
    pp.create_transformer_from_parameters(n, grid, head, **UNIT, **TAP)
    for _ in range(2):
        pp.create_line_from_parameters(n, head, end, 4.0, 0.3, 0.35, 10.0, 0.3)
    pp.create_switch(n, head, 1, et="l", closed=True)
    pp.create_load(n, end, 8.0, 1.0)
    return n


def results(n):
    return [*n.res_line.loading_percent.round(1), round(float(n.res_bus.vm_pu[2]), 3)]


def hours(table, column, values, **options):
    """Loading of both lines in % and pu at the end, hour by hour: of the time series, and of a flow of each hour alone."""
    index = 1 if table == "line" else 0
    n = network()
    data = DFData(pd.DataFrame({"plan": values}))
    ConstControl(n, table, column, element_index=[index], profile_name=["plan"], data_source=data)
    writer = OutputWriter(n, range(len(values)), output_path=None)
    writer.log_variable("res_line", "loading_percent")
    writer.log_variable("res_bus", "vm_pu")
    run_timeseries(n, range(len(values)), verbose=False, **options)
    # What was written stands in the network's own table at the end.
    assert n[table].at[index, column] == values[-1], n[table]
    loading, pu = (writer.output[name].to_numpy(dtype=float) for name in ("res_line.loading_percent", "res_bus.vm_pu"))
    series = [[*np.round(row, 1).tolist(), round(float(volts[2]), 3)] for row, volts in zip(loading, pu)]
    alone = []
    for value in values:
        m = network()
        m[table].at[index, column] = value
        pp.runpp(m)
        alone.append(results(m))
    return series, alone


outage = [True, False, True]
plans = {
    "in_service": ("line", "in_service", outage),
    "ends out": ("line", "in_service", outage[:2]),
    "length_km": ("line", "length_km", [4.0, 12.0, 4.0]),
    "r_ohm_per_km": ("line", "r_ohm_per_km", [0.3, 1.2, 0.3]),
    "parallel": ("line", "parallel", [1, 2, 1]),
    "max_i_ka": ("line", "max_i_ka", [0.3, 0.1, 0.3]),
    "switch": ("switch", "closed", outage),
    "tap_pos": ("trafo", "tap_pos", [0, 4, 0]),
}
found = {name: hours(*plan) for name, plan in plans.items()}
print("of the second hour, loading of both lines in % and pu at the end: time series, flow of that hour alone")
for name, (series, alone) in found.items():
    print(f"  {name:14s}", series[1], alone[1])
beside = hours(*plans["in_service"], recycle=False)
AS_BEFORE = [39.6, 39.6, 0.979]
due = {
    "in_service": (AS_BEFORE, [80.5, 0.0, 0.964]),
    "ends out": (AS_BEFORE, [80.5, 0.0, 0.964]),
    "length_km": (AS_BEFORE, [59.9, 20.0, 0.972]),
    "r_ohm_per_km": (AS_BEFORE, [60.5, 22.3, 0.969]),
    "parallel": ([39.6, 19.8, 0.979], [26.3, 26.3, 0.984]),
    "max_i_ka": ([39.6, 118.8, 0.979],) * 2,
    "switch": ([80.5, 0.0, 0.964],) * 2,
    "tap_pos": ([42.1, 42.1, 0.921],) * 2,
}
assert {name: (series[1], alone[1]) for name, (series, alone) in found.items()} == due, found
assert all(series[0] == alone[0] == AS_BEFORE for series, alone in found.values()), found
assert found["in_service"][0] == [AS_BEFORE] * 3, found
assert beside[0] == beside[1] == found["in_service"][1], beside
PY
echo "as recorded"
