#!/usr/bin/env bash
# demandlib 0.2.2 (standard load profiles of BDEW), heat of a house of 20,000 kWh a year (annual_heat_demand) by HeatBuilding. Whatever the
# length of the index, its sum is 20,000: a July alone holds 19,998 kWh where the July of the year's profile holds 393, 51 times as much,
# and peaks at 58.0 kW where that house's coldest hour of the year is 5.8; a January alone 20,004 for 3,254. Over two years each has half. In
# quarter hours the values are kWh of a quarter (1.44 where the power is 5.8 kW), beside electric profiles of the same library that are
# kW, also by the quarter (get_scaled_power_profiles: 1,000 kWh add up to 4,000). Nothing is reported. So heat pumps of a study of one
# week or month are sized by a whole year, and beside electric load in quarter hours they are a fourth. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q demandlib==0.2.2 pandas==2.3.3 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import warnings

import numpy as np
import pandas as pd
from demandlib import bdew

warnings.simplefilter("ignore")


def heat(periods, freq="h", start="2023-01-01"):
    """Heat of a house from `start` on, by the temperature of that day of the year."""
    index = pd.date_range(start, periods=periods, freq=freq)
    celsius = pd.Series(8 - 10 * np.cos(2 * np.pi * (index.dayofyear - 20) / 365), index=index)
    house = bdew.HeatBuilding(
        index, temperature=celsius, shlp_type="EFH", building_class=1, wind_class=0, annual_heat_demand=20000, name="house"
    )
    return house.get_bdew_profile()


def figures(profile):
    return round(float(profile.sum())), round(float(profile.max()), 2)


year = heat(8760)
found = {
    "the year": figures(year),
    "its July": figures(year["2023-07"]),
    "a July alone": figures(heat(744, start="2023-07-01")),
    "its January": figures(year["2023-01"]),
    "a January alone": figures(heat(744)),
    "two years": figures(heat(17520)),
    "the year in quarter hours": figures(heat(35040, "15min")),
}
electric = bdew.ElecSlp(2023).get_scaled_power_profiles({"h0": 1000.0})
found["1,000 kWh of electricity in quarter hours"] = figures(electric["h0"])
print("sum and largest value")
for name, row in found.items():
    print(f"  {name}:", *row)
assert found["the year"] == (20002, 5.76) and found["its July"][0] == 393 and found["its January"][0] == 3254, found
assert found["a July alone"] == (19998, 58.04) and found["a January alone"] == (20004, 35.38), found
assert found["two years"] == (20002, 2.88), found
assert found["the year in quarter hours"] == (20001, 1.44), found
assert found["1,000 kWh of electricity in quarter hours"][0] == 4000, found
PY
echo "as recorded"
