#!/usr/bin/env bash
# simbench 1.6.3 (SimBench's German grids and their profiles of 2016 in quarter hours) with pandapower 3.5.6. No panel of its profiles gives
# more than 0.634 of its rating in the year, at 575 to 697 full hours, while its own study case of high generation (lPV) has them at
# 0.95: in a rural low-voltage grid they feed in 152 kW by the study case and 92 in the best quarter hour of the year, and the transformer
# is loaded to 87 % by the one and to 42 where generation exceeds load the most. So a hosting study by the year's profiles finds
# room for half as much PV again as one by study cases. Loads are less as well: in the rural medium-voltage grid the network as it is loaded,
# and the study cases of high load, have 17.3 MW, and the highest of the year is 7.5 (10.2 if each had its own peak at once). And the
# profiles' time is that of clocks, without a zone: an hour is missing on 27 March, and four quarter hours of 30 October stand there
# twice, so that a join by time stamps doubles them, and the sun of summer is an hour off. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simbench==1.6.3 pandapower==3.5.6 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging
import warnings

import pandapower as pp
import pandas as pd
import simbench

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def series(net, kind):
    return simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)[kind, "p_mw"]


def loading(net, load, sgen):
    net.load["p_mw"], net.load["q_mvar"], net.sgen["p_mw"], net.sgen["q_mvar"] = load, 0.0, sgen, 0.0
    pp.runpp(net)
    return round(float(net.res_trafo.loading_percent.max()))


low = simbench.get_simbench_net("1-LV-rural1--0-sw")
low_load, low_sun = series(low, "load"), series(low, "sgen")
rated, nominal = low.sgen.p_mw.copy(), low.load.p_mw.copy()
case = low.loadcases.loc["lPV"]
best = (low_sun.sum(axis=1) - low_load.sum(axis=1)).idxmax()
by_case = round(1000 * float((rated * case["PV_p"]).sum())), loading(low, nominal * case["pload"], rated * case["PV_p"])
by_year = round(1000 * float(low_sun.sum(axis=1).max())), loading(low, low_load.loc[best], low_sun.loc[best])
print("low voltage: kW of panels and % of the transformer, by the study case", *by_case, "and in the year", *by_year)

shares, hours, medium = [], [], None
for code in ("1-LV-rural1--0-sw", "1-LV-rural3--2-sw", "1-LV-semiurb4--1-sw", "1-MV-rural--0-sw"):
    medium = simbench.get_simbench_net(code)
    panels = medium.profiles["renewables"].filter(regex="^PV")
    shares += panels.max().round(3).tolist()
    hours += (panels.sum() / 4).round().tolist()
print("largest share of any panel's rating in the year", max(shares), "smallest of them", min(shares), "full hours", min(hours), max(hours))
demand = series(medium, "load")
peaks = tuple(round(float(x), 1) for x in (medium.load.p_mw.sum(), demand.sum(axis=1).max(), demand.max().sum()))
print("medium voltage: MW as loaded, highest of the year, sum of each one's highest", *peaks)

time = pd.to_datetime(medium.profiles["load"].time, dayfirst=True)
twice, step = time[time.duplicated()], time.diff()
jump = time[step == step.max()].iloc[0]
print(len(time), "quarter hours; twice:", *(f"{t:%d %b %H:%M}" for t in twice), "; a step of", step.max(), "to", f"{jump:%d %b %H:%M}")
assert by_case == (152, 87) and by_year == (92, 42), (by_case, by_year)
assert max(shares) == 0.634 and 570 < min(hours) < max(hours) < 700, (shares, hours)
assert peaks == (17.3, 7.5, 10.2) and medium.loadcases.loc["hL", "pload"] == 1.0, peaks
assert len(time) == 35136 and [f"{t:%m-%d %H}" for t in twice] == ["10-30 02"] * 4, twice
assert step.max() == pd.Timedelta("75min") and f"{jump:%m-%d %H:%M}" == "03-27 03:00", jump
PY
echo "as recorded"
